// Every entry of the package, for its types.
import { SpratOpenAI, APIError } from "sprat/openai";
import * as promptApi from "sprat/prompt-api";
import * as aiSdk from "sprat/ai-sdk";
import { SpratChat } from "sprat/element";
import * as bridge from "sprat/bridge";

export const entries = [SpratOpenAI, APIError, promptApi, aiSdk, SpratChat, bridge];
