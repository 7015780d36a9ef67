// @ts-check
/**
 * The types of Sprat's public API, and nothing else: this file holds no code.
 *
 * @typedef {"system" | "user" | "assistant"} Role
 * @typedef {{ role: Role, content: string }} Message
 * @typedef {"exact" | "device" | "cloud"} Source
 *
 * @typedef {"open" | "ask" | "private"} Level who may read a conversation: "open", the cloud too; "ask", the person is asked each
 *   time and shown what would be sent; "private", nothing derived from it leaves the device
 *
 * @typedef {"bad_request" | "model_missing" | "model_corrupt" | "model_unsupported" | "network" | "cloud_unreachable"
 *   | "cloud_interrupted" | "cloud_refused" | "cloud_disabled" | "private_unanswerable"
 *   | "consent_refused" | "context_too_long" | "too_large" | "webgpu_unavailable" | "webgpu_lost" | "worker_lost" | "unsupported"
 *   | "aborted" | "internal"} ErrorCode
 * @typedef {"saved_missing" | "saved_corrupt" | "storage_refused"} SavedErrorCode what saving and restoring fail with, and no answer
 * @typedef {"wrong_base" | "busy"} AdapterErrorCode what putting an adapter over a model fails with, and no answer
 *
 * @typedef {"prefer-device" | "only-device" | "prefer-cloud" | "only-cloud" | "auto" | "device" | "cloud"} Mode who is to answer.
 *   "prefer-device", or "auto": this device, and the cloud where it is not sure or has no model yet. "only-device", or "device".
 *   "prefer-cloud": the cloud, and this device where it cannot be reached. "only-cloud", or "cloud"
 *
 * @typedef {{ prefill: number, decode: number }} Speed tokens of prompt, and of answer, per second; zeros
 *   where it was given up, because it took ten times as long as the other device
 * @typedef {{ adapter: string, model: string, cpu: Speed | null, webgpu: Speed | null }} Figures what was measured of a device;
 *   `adapter` in words
 *
 * @typedef {object} Progress
 * @property {"engine" | "download" | "mix" | "load" | "warmup" | "ready"} stage "load" checks every byte
 * @property {number} loaded bytes; of "mix" weights
 * @property {number} total bytes, or weights; 0 where it is not known
 * @property {string} message what is being loaded, or what it is loaded onto
 *
 * @typedef {object} Warning something went wrong and Sprat goes on
 * @property {"evicted" | "gate_unreadable" | "recipe" | "tab_killed" | "threads_unavailable" | ErrorCode | SavedErrorCode | AdapterErrorCode} code "recipe": something in it
 *   had no effect; "evicted": another stored model was removed to make room; "threads_unavailable": one goes on alone; "tab_killed": at an earlier visit the browser
 *   closed the tab while a model was loaded
 * @property {string} message
 *
 * @typedef {object} Status
 * @property {"loading" | "ready" | "failed" | "disposed"} state
 * @property {DeviceInfo | null} device
 * @property {ModelInfo | null} model
 *
 * @typedef {{ model: string | URL | Recipe, mode?: Mode }} WithModel `model` is the URL of a model pack's folder, or what to make
 *   of several; `mode` is for the chats that give none of their own
 * @typedef {{ model?: undefined, mode: "only-cloud" | "cloud" }} WithoutModel only the cloud answers, and no model is fetched
 * @typedef {LoadSettings & (WithModel | WithoutModel)} LoadOptions
 *
 * @typedef {object} LoadSettings
 * @property {string | URL | null} [cloud] base URL of an OpenAI-compatible API, such as "/v1"
 * @property {string} [cloudModel] model to ask there; "sprat-small" by default
 * @property {Record<string, string>} [cloudHeaders] more headers for it, such as Authorization
 * @property {import("./bridge/host-fetch.js").CloudFetch} [cloudFetch] asks the cloud instead of this package: an app's own
 *   client, with its own authorization
 * @property {{ prompt?: number, completion?: number }} [cloudPrice] US dollars per million tokens
 * @property {(offer: Offer) => boolean | Promise<boolean>} [onAsk] for the chats that give none of their own
 * @property {"auto" | "cpu" | "webgpu"} [device] "auto": WebGPU where a hardware adapter works and is not slower than the CPU
 * @property {number} [threads] how many the CPU computes with, 1 to 16; by default half the cores and at most 4 for a model of 16 MB
 *   or more. Only where the page is cross-origin isolated; elsewhere there is one
 * @property {boolean} [canary] false: "auto" does not time the devices, and takes WebGPU wherever there is hardware for it
 * @property {number} [maxBytes] of all files of a model, with those of its adapter: a larger one is not downloaded, and fails with "too_large"
 * @property {boolean} [strikes] false: no notice is taken of tabs that the browser has killed
 * @property {boolean} [pauseHidden] false: the model goes on to write while nobody sees the page
 * @property {string | URL} [wasm] where the folders cpu, webgpu, mix and link are, if their .wasm files are not beside the scripts
 * @property {AbortSignal} [signal] stops loading
 * @property {(progress: Progress) => void} [onProgress]
 * @property {(warning: Warning) => void} [onWarning]
 * @property {(status: Status) => void} [onStatus]
 *
 * @typedef {object} UseOptions
 * @property {AbortSignal} [signal] stops it; the present model stays
 * @property {(progress: Progress) => void} [onProgress] the one given while opening by default
 *
 * @typedef {UseOptions & { scale?: number }} AdaptOptions `scale`: how much of the adapter is added, as a multiple of what it
 *   says of itself, from -10 to 10; 1 by default
 *
 * @typedef {number | number[] | string | boolean | { filter?: string, value: number | number[] }[]} RecipeParameter
 *   one for all layers, a gradient over them, or by filters on tensors' names
 *
 * @typedef {object} Recipe a merge as mergekit's YAML describes them; its models are URLs of packs
 * @property {string} merge_method "linear", "slerp", "task_arithmetic", "ties", "dare_ties", ...
 * @property {string | URL} [base_model]
 * @property {{ model: string | URL, parameters?: Record<string, RecipeParameter> }[]} models
 * @property {Record<string, RecipeParameter>} [parameters]
 *
 * @typedef {object} ChatOptions
 * @property {Mode} [mode] the one given while opening by default, or else "prefer-device"
 * @property {Level} [level] "open" by default. What is found in the conversation can raise it, and so can what its turns
 *   were before; nothing lowers it
 * @property {boolean} [private] short for the level "private"
 * @property {(offer: Offer) => boolean | Promise<boolean>} [onAsk] shows the person what would be sent, at the level "ask";
 *   true is a yes, and without this function the answer is no
 * @property {AbortSignal} [signal] stops the answer
 * @property {number} [maxTokens]
 * @property {number} [temperature] 0 is greedy
 * @property {number} [topK]
 * @property {number} [topP]
 * @property {number} [minP]
 * @property {number} [repetitionPenalty]
 * @property {number} [seed] a whole number; the same seed gives the same answer
 * @property {string | string[]} [stop] texts that end the answer
 * @property {boolean} [lookup] false: on a CPU, no tokens are guessed from the text so far and checked several at
 *   once; the answer is the same, only its speed is not
 *
 * @typedef {object} DeviceInfo
 * @property {"cpu" | "webgpu"} kind
 * @property {string} words for a person
 * @property {number} threads how many the CPU computes with; 1 for a GPU
 * @property {boolean} sealed whether a policy of the page's server forbids the model's worker to connect to anything, and to load anything
 *
 * @typedef {object} ModelInfo
 * @property {string} name
 * @property {string} description
 * @property {string} license
 * @property {number} parameters
 * @property {number} context tokens of prompt and answer together
 * @property {number} bytes
 * @property {string[]} examples questions to try
 * @property {boolean} stored whether it is on the device for the next visit
 *
 * @typedef {object} StoredPack
 * @property {string} name
 * @property {number} bytes
 * @property {string[]} urls addresses it was loaded from
 * @property {number} used when it was loaded last, in milliseconds since 1970; 0 where that is not known
 *
 * @typedef {object} StoragePlan what it takes to have a model on the device, in bytes
 * @property {number} bytes of all its files
 * @property {number} stored here already
 * @property {number} missing to be downloaded and stored
 * @property {number | null} room that this site may still store; null where the browser does not say
 * @property {number} evictable in other stored models that no tab uses; those unused longest go if there is no room
 * @property {"opfs" | "indexeddb" | "memory"} store where it would be kept; "memory" is until the page is closed
 * @property {boolean} persisted whether the browser keeps it also when the device gets full; see `Sprat.persist()`
 *
 * @typedef {object} SaveOptions
 * @property {Level} [level] as in ChatOptions
 * @property {boolean} [private] short for the level "private"
 * @property {AbortSignal} [signal] stops it; what was saved under this name before stays
 *
 * @typedef {object} SavedConversation
 * @property {string} name
 * @property {string} model name of the model that it was had with
 * @property {Level} level
 * @property {number} tokens whose keys and values were saved too: the model need not read them again
 * @property {number} bytes on the device
 * @property {number} saved when, in milliseconds since 1970
 *
 * @typedef {object} RestoredConversation
 * @property {Message[]} messages
 * @property {Level} level the conversation keeps it, whatever a later call says
 * @property {number} tokens that the model remembers again; the rest it reads at the next question
 *
 * @typedef {object} Receipt who answered, and why
 * @property {Source} source
 * @property {string} rule id of the policy rule that decided
 * @property {string} reason one sentence for a person
 * @property {number | null} confidence probability that the device's answer is right, if judged
 * @property {number | null} threshold the confidence below which the cloud takes over
 * @property {{ alpha: number, delta: number, n: number, coverage: number } | null} bound what the threshold promises: at most
 *   the share alpha of the answers kept is wrong, except with probability delta; chosen on n answers, of which it keeps that share
 * @property {string | null} model
 * @property {string | null} device in words
 * @property {number} prompt_tokens
 * @property {number} cached_tokens prompt tokens that were not computed again
 * @property {number} completion_tokens
 * @property {"stop" | "length" | string | null} finish_reason why the answer ended; null if it was stopped, or a server does not say
 * @property {number | null} first_token_ms from the question to the first text shown
 * @property {number} device_ms
 * @property {number} cloud_ms
 * @property {number} total_ms
 * @property {number} continued_tokens tokens of this device at the beginning of an answer that the cloud has gone on with
 * @property {number} bytes_sent bytes of request bodies that left the device
 * @property {number} cost_usd
 *
 * @typedef {object} Offer what would be sent, if the person agrees
 * @property {string} to address of the cloud
 * @property {string} model
 * @property {string} reason one sentence for a person
 * @property {Message[]} messages exactly these
 * @property {string[]} stop and the texts that end the answer
 *
 * @typedef {{ type: "level", level: Level, found: string[] }} LevelEvent the conversation has a higher level than the caller
 *   said. `found`: kinds of private matter in it, such as "card"; empty if its turns were private before
 * @typedef {{ type: "start", source: Source }} StartEvent the text begins anew
 * @typedef {{ type: "delta", source: Source, text: string }} DeltaEvent
 * @typedef {{ type: "handover", from: Source, to: Source, rule: string, reason: string }} HandoverEvent
 *   the text so far was a draft; another source's text replaces it
 * @typedef {{ type: "end", text: string, receipt: Receipt }} EndEvent
 * @typedef {LevelEvent | StartEvent | DeltaEvent | HandoverEvent | EndEvent} ChatEvent
 *
 * @typedef {object} Failure
 * @property {ErrorCode | SavedErrorCode | AdapterErrorCode} code
 * @property {string} message
 * @property {string} hint
 * @property {string} partial
 * @property {Receipt | null} receipt
 */
export {};
