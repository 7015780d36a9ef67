// Every entry of the package, for its types.
import { SpratOpenAI, APIError } from "sprat/openai";
import { SpratOpenAI as ServerClient } from "sprat/cloud";
import * as promptApi from "sprat/prompt-api";
import * as aiSdk from "sprat/ai-sdk";
import { SpratChat } from "sprat/element";
import * as bridge from "sprat/bridge";
import { Sprat as InServiceWorker } from "sprat/service-worker";

export const entries = [SpratOpenAI, APIError, ServerClient, promptApi, aiSdk, SpratChat, bridge, InServiceWorker];
