// @ts-check
/**
 * The types of the OpenAI-shaped client, and nothing else: those of the service (`shared/wire`), and what only a page has.
 *
 * @typedef {{ role: "system" | "developer" | "user" | "assistant", content: string | null | { type: "text", text: string }[],
 *   refusal?: null, tool_calls?: unknown[], tool_call_id?: string }} ChatMessage `tool_calls` and the role "tool": the cloud only
 * @typedef {"stop" | "length" | "tool_calls" | "content_filter"} FinishReason
 *
 * @typedef {object} ChatRequest
 * @property {string} model with an engine "auto", "device", "cloud", or the name of the model on the device; without one, an
 *   id that the service lists
 * @property {(ChatMessage | { role: "tool", content: string, tool_call_id: string })[]} messages oldest first
 * @property {boolean | null} [stream]
 * @property {{ include_usage?: boolean | null } | null} [stream_options]
 * @property {number | null} [max_tokens] the older name
 * @property {number | null} [max_completion_tokens]
 * @property {number | null} [temperature] 0 to 2; 0 is greedy
 * @property {number | null} [top_p]
 * @property {number | null} [top_k] 0 or -1 means all
 * @property {number | null} [min_p]
 * @property {number | null} [repetition_penalty]
 * @property {number | null} [seed]
 * @property {string | string[] | null} [stop]
 * @property {number | null} [n] 1 on the device
 * @property {boolean | null} [x_private] nothing derived from this conversation leaves the device
 * @property {boolean | null} [logprobs] this and what follows: the cloud only
 * @property {number | null} [top_logprobs]
 * @property {{ tokens: number[], text_id: string } | null} [x_continue]
 * @property {number | null} [frequency_penalty]
 * @property {number | null} [presence_penalty]
 * @property {Record<string, number> | null} [logit_bias]
 * @property {string | null} [user]
 * @property {{ type: "text" | "json_object" | "json_schema", json_schema?: object } | null} [response_format]
 * @property {object[] | null} [tools]
 * @property {string | object | null} [tool_choice]
 * @property {boolean | null} [parallel_tool_calls]
 *
 * @typedef {object} Usage
 * @property {number} prompt_tokens
 * @property {number} completion_tokens
 * @property {number} total_tokens
 * @property {{ cached_tokens: number }} [prompt_tokens_details]
 *
 * @typedef {object} RouteRecord who answered, as the service says it
 * @property {string} target
 * @property {string} rule
 * @property {number} [confidence]
 * @property {{ leader: number, total: number }} [votes]
 * @property {number} [cost_usd]
 * @property {number} tries
 *
 * @typedef {object} ChatCompletion
 * @property {string} id
 * @property {"chat.completion"} object
 * @property {number} created seconds since 1970
 * @property {string} model
 * @property {string | null} system_fingerprint
 * @property {{ index: number, message: { role: "assistant", content: string | null, refusal: string | null, tool_calls?: any[] },
 *   logprobs: any, finish_reason: FinishReason }[]} choices
 * @property {Usage} [usage]
 * @property {RouteRecord} [x_route]
 * @property {import("./types.js").Receipt} [x_receipt] of an answer made in this page
 *
 * @typedef {object} ChatCompletionChunk
 * @property {string} id
 * @property {"chat.completion.chunk"} object
 * @property {number} created
 * @property {string} model
 * @property {string | null} system_fingerprint
 * @property {{ index: number, delta: { role?: "assistant", content?: string, tool_calls?: any[] }, logprobs: any,
 *   finish_reason: FinishReason | null }[]} choices
 * @property {Usage | null} [usage] there if `include_usage`; `null` but in the last chunk
 * @property {RouteRecord} [x_route] beside the finish reason
 * @property {import("./types.js").Receipt} [x_receipt] beside the finish reason, of an answer made in this page
 *
 * @typedef {{ message: string, type: string, param: string | null, code: string | null }} ErrorDetail OpenAI's error body
 */
export {};
