// The engine's own types, under the names that the page uses, and the shape of one turn.
import type { ChatOptions, DeviceInfo, ModelInfo, Progress, Receipt, Source } from "../../edge/js/types.js";

export type { ChatEvent, DeviceInfo, Message, ModelInfo, Progress, Receipt, Recipe, Source, UseOptions, Warning } from "../../edge/js/types.js";
export type { Sprat } from "../../edge/js/sprat.js";
export type EngineModule = typeof import("../../edge/js/sprat.js");
export type Mode = NonNullable<ChatOptions["mode"]>;

/** Where loading the model stands. */
export type EngineStatus =
  | { state: "loading"; progress: Pick<Progress, "stage" | "loaded" | "total"> }
  | { state: "ready"; device: DeviceInfo; model: ModelInfo }
  | { state: "failed"; failure: Failure };

/** A SpratError, or anything else that was thrown, seen through the fields the page reads. */
export interface Failure {
  code: string;
  message: string;
  hint: string;
  partial: string;
  receipt: Receipt | null;
}

/** One question and what has come back so far. */
export interface Turn {
  question: string;
  state: "streaming" | "done" | "error";
  /** Who wrote what is shown; null until someone starts to answer. */
  source: Source | null;
  text: string;
  /** The device's text of which it was not sure; kept until the cloud has replaced all of it. */
  draft: string | null;
  /** Why the cloud was asked, in one sentence; null without a handover. */
  handover: string | null;
  receipt: Receipt | null;
  failure: Failure | null;
  /** True when the person stopped it. */
  stopped: boolean;
  /** Kinds of private matter in the conversation, that raised its level. */
  found: string[];
}
