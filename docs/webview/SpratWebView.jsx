// A Sprat page in a React Native app, with react-native-webview.
import { forwardRef, useImperativeHandle, useRef } from "react";
import { WebView } from "react-native-webview";

const API = "https://api.example/v1/";

/**
 * @typedef {{ to: string, model: string, reason: string, messages: { role: string, content: string }[], stop: string[] }} Offer
 * @typedef {{ url: string, method: string, headers: Record<string, string>, body: string | null }} CloudRequest
 * @typedef {(message: object) => void} Send
 * @typedef {{ abort: () => void }} Stop
 * @typedef {{ call: (id: number | string, method: string, params?: object) => void, memoryWarning: () => void }} Handle
 *
 * @typedef {object} Props
 * @property {string} page
 * @property {() => string} token
 * @property {(offer: Offer, signal: AbortSignal) => boolean | Promise<boolean>} onAsk
 * @property {(message: { id?: number | string | null, method?: string, params?: any, result?: any, error?: any }) => void} onHeard
 */

/**
 * `page` is where a page that calls connect() is, such as "https://app.example/sprat/index.html" or a bundled file's address.
 * Answers and events come to `onHeard`; `ref.current.call(id, method, params)` asks. `onAsk(offer, signal)` shows the person what would be
 * sent and resolves to whether it may; the signal takes the question back. `sprat.load` needs `hostFetch` and `hostAsk` for
 * the app to be asked.
 *
 * @param {Props} props
 * @param {import("react").ForwardedRef<Handle>} ref
 */
function Bridged({ page, token, onAsk, onHeard }, ref) {
  const view = useRef(/** @type {WebView | null} */ (null));
  /** What goes on for the page: requests, and questions to the person. */
  const requests = useRef(/** @type {Map<string, Stop>} */ (new Map()));
  /** @type {Send} */
  const send = (message) => view.current?.postMessage(JSON.stringify({ jsonrpc: "2.0", ...message }));

  useImperativeHandle(ref, () => ({
    call: (id, method, params = {}) => send({ id, method, params }),
    // From AppState's "memoryWarning" event.
    memoryWarning: () => send({ method: "sprat.memoryWarning", params: { level: "critical" } }),
  }));

  /** @param {import("react-native-webview").WebViewMessageEvent} event */
  const hear = ({ nativeEvent: { data, url } }) => {
    // Whatever page is in the view can send: only ours is heard.
    if (!url.startsWith(page)) return;
    const message = JSON.parse(data);
    const { id, method, params } = message;
    const over = () => requests.current.delete(id);
    // The page says where to; the app decides whether its token may go there.
    if (method === "host.fetch" && !params.url.startsWith(API)) send({ id, error: { code: -32050, message: "not allowed" } });
    else if (method === "host.fetch") requests.current.set(id, fetchFor(id, params, { token, send, over }));
    else if (method === "host.ask") requests.current.set(id, askFor(id, params.offer, { onAsk, send, over }));
    else if (method === "host.fetch.cancel" || method === "host.ask.cancel") requests.current.get(params.id)?.abort();
    // An XMLHttpRequest cannot be held up, so acknowledgements change nothing: an answer must fit into the window.
    else if (method !== "host.fetch.ack") onHeard(message);
  };

  /** @type {import("react-native-webview").WebViewProps} */
  const options = {
    source: { uri: page },
    // Not by URL: React Native's has no origin.
    originWhitelist: page.match(/^[a-z-]+:\/\/[^/]*/) ?? [],
    // The bridge is for this page: it must not go anywhere else.
    onShouldStartLoadWithRequest: ({ url }) => url.startsWith(page),
    onMessage: hear,
  };
  return <WebView ref={view} {...options} />;
}

export const SpratWebView = forwardRef(Bridged);

/**
 * Asks the person for the page. Whatever is not `true` is a no.
 *
 * @param {string} id
 * @param {Offer} offer
 * @param {{ onAsk: Props["onAsk"], send: Send, over: () => void }} means
 * @returns {Stop}
 */
function askFor(id, offer, { onAsk, send, over }) {
  const stop = new AbortController();
  const asked = Promise.resolve().then(() => onAsk(offer, stop.signal));
  asked
    .catch(() => false)
    .then((yes) => {
      if (!stop.signal.aborted) send({ id, result: { yes: yes === true } });
    })
    .finally(over);
  return stop;
}

/**
 * Asks the cloud for the page, with the app's own authorization. React Native's fetch does not stream; this does.
 *
 * @param {string} id
 * @param {CloudRequest} request
 * @param {{ token: Props["token"], send: Send, over: () => void }} means
 * @returns {Stop}
 */
function fetchFor(id, { url, method, headers, body }, { token, send, over }) {
  const request = new XMLHttpRequest();
  // However it ends: the request holds the whole answer, which nobody is to keep.
  request.onloadend = over;
  let seq = 0;
  let told = 0;
  const tell = () => {
    const data = request.responseText.slice(told);
    if (!data) return;
    told += data.length;
    send({ method: "host.fetch.chunk", params: { id, seq: seq++, data } });
  };
  request.open(method, url);
  for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
  request.setRequestHeader("Authorization", `Bearer ${token()}`);
  request.onreadystatechange = () => {
    if (request.readyState !== XMLHttpRequest.HEADERS_RECEIVED) return;
    const type = request.getResponseHeader("content-type") ?? "";
    send({ id, result: { status: request.status, headers: { "content-type": type } } });
  };
  request.onprogress = tell;
  request.onload = () => {
    tell();
    send({ method: "host.fetch.end", params: { id, seq } });
  };
  // No reason is told: it may hold what was asked.
  request.onerror = () => send({ method: "host.fetch.error", params: { id } });
  request.send(body);
  return request;
}
