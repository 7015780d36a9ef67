"""Talks to a running Sprat server with the official `openai` client, as any program would.

    pip install openai==3.54.0
    python tests/openai/check.py http://127.0.0.1:8787 [--model sprat-small]

Prints one line per check; the exit code is the number of failed ones (at most 100).
"""

import argparse
import json
import math
import sys
import threading
import time
import traceback
import urllib.error
import urllib.request

import openai

CHECKS = []
QUESTION = [{"role": "user", "content": "Say hello and tell me what you can do."}]


def check(function):
    CHECKS.append(function)
    return function


class Failed(Exception):
    """A check that did not hold; says what was seen."""


def want(condition, seen):
    if not condition:
        raise Failed(seen)


class Server:
    def __init__(self, url, model):
        self.url = url.rstrip("/").removesuffix("/v1")
        self.model = model
        # No retries: a 429 or a 500 must show.
        self.client = openai.OpenAI(base_url=f"{self.url}/v1", api_key="unused", max_retries=0, timeout=120)

    def chat(self, messages=QUESTION, **options):
        options = {"model": self.model, "temperature": 0, "max_tokens": 24, **options}
        return self.client.chat.completions.create(messages=messages, **options)

    def tokens(self, text):
        body = json.dumps({"model": self.model, "prompt": text}).encode()
        status, _, reply = self.raw("POST", "/tokenize", body)
        want(status == 200, reply)
        return json.loads(reply)["tokens"]

    def raw(self, method, path, body=None, content_type="application/json"):
        """Status, headers and body, for what the client would never send."""
        request = urllib.request.Request(self.url + path, data=body, method=method)
        if body is not None:
            request.add_header("Content-Type", content_type)
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return reply.status, reply.headers, reply.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()


def refused(kind, call, code=None, param=None):
    """`call` fails with this class, and the body has OpenAI's shape."""
    try:
        call()
    except kind as error:
        body = error.body
        want(isinstance(body, dict) and isinstance(body.get("message"), str) and body["message"], f"body {body!r}")
        want({"type", "param", "code"} <= body.keys(), f"keys {sorted(body)}")
        want(code is None or body["code"] == code, f"code {body['code']!r}, expected {code!r}")
        want(param is None or body["param"] == param, f"param {body['param']!r}, expected {param!r}")
        return f"{type(error).__name__}: {body['message']}"
    except openai.OpenAIError as error:
        raise Failed(f"{type(error).__name__} in place of {kind.__name__}: {error}") from error
    raise Failed(f"no error, {kind.__name__} expected")


def openai_error(status, body):
    try:
        error = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError) as cause:
        raise Failed(f"{status} with a body that is not OpenAI's: {body[:120]!r}") from cause
    want({"message", "type", "param", "code"} <= error.keys(), f"keys {sorted(error)}")
    return error


@check
def models_are_listed(server):
    models = server.client.models.list().data
    names = [model.id for model in models]
    want(server.model in names, f"{server.model} is not among {names}")
    want(all(model.object == "model" and model.owned_by and model.created >= 0 for model in models), models)
    return ", ".join(names)


@check
def a_model_is_described(server):
    model = server.client.models.retrieve(server.model)
    want(model.id == server.model, model)
    refused(openai.NotFoundError, lambda: server.client.models.retrieve("no-such-model"))


@check
def chat(server):
    reply = server.chat()
    choice = reply.choices[0]
    want(reply.object == "chat.completion" and reply.id and reply.model == server.model, reply)
    want(abs(reply.created - time.time()) < 3600, f"created {reply.created}")
    want(len(reply.choices) == 1 and choice.index == 0, reply.choices)
    want(choice.message.role == "assistant" and choice.message.content, choice.message)
    want(choice.finish_reason in ("stop", "length"), choice.finish_reason)
    usage = reply.usage
    want(usage.prompt_tokens > 0 and 0 < usage.completion_tokens <= 24, usage)
    want(usage.total_tokens == usage.prompt_tokens + usage.completion_tokens, usage)
    return f"{usage.completion_tokens} tokens, {choice.finish_reason}: {choice.message.content!r}"


@check
def stream(server):
    whole = server.chat().choices[0]
    chunks = list(server.chat(stream=True))
    deltas = [chunk.choices[0] for chunk in chunks if chunk.choices]
    text = "".join(choice.delta.content or "" for choice in deltas)
    want(text == whole.message.content, f"{text!r} streamed, {whole.message.content!r} at once")
    want(deltas[0].delta.role == "assistant", deltas[0])
    finished = [choice.finish_reason for choice in deltas if choice.finish_reason]
    want(finished == [whole.finish_reason], finished)
    want(len({chunk.id for chunk in chunks}) == 1, "the id changes within a stream")
    want(all(chunk.object == "chat.completion.chunk" for chunk in chunks), "object")
    want(all(chunk.usage is None for chunk in chunks), "usage that nobody asked for")
    return f"{len(chunks)} chunks"


@check
def stream_with_usage(server):
    usage = server.chat().usage
    chunks = list(server.chat(stream=True, stream_options={"include_usage": True}))
    want(chunks[-1].choices == [] and chunks[-1].usage, chunks[-1])
    want(all(chunk.usage is None for chunk in chunks[:-1]), "usage before the last chunk")
    seen = chunks[-1].usage
    want((seen.prompt_tokens, seen.completion_tokens) == (usage.prompt_tokens, usage.completion_tokens), seen)


@check
def stream_is_framed_as_events(server):
    body = json.dumps({"model": server.model, "messages": QUESTION, "stream": True, "max_tokens": 3}).encode()
    status, headers, text = server.raw("POST", "/v1/chat/completions", body)
    want(status == 200 and headers["Content-Type"].startswith("text/event-stream"), (status, dict(headers)))
    events = [event for event in text.decode().split("\n\n") if event and not event.startswith(":")]
    want(all(event.startswith("data: ") for event in events), events[:2])
    want(events[-1] == "data: [DONE]", events[-1])


@check
def logprobs(server):
    reply = server.chat(logprobs=True, top_logprobs=3, max_tokens=8)
    tokens = reply.choices[0].logprobs.content
    want(0 < len(tokens) <= reply.usage.completion_tokens, f"{len(tokens)} of {reply.usage.completion_tokens}")
    for token in tokens:
        want(token.logprob <= 0 and math.isfinite(token.logprob), token)
        want(len(token.top_logprobs) == 3, token)
        order = [top.logprob for top in token.top_logprobs]
        want(order == sorted(order, reverse=True), order)
        # Greedy takes the best.
        want(abs(token.top_logprobs[0].logprob - token.logprob) < 1e-5, token)
        want(sum(math.exp(value) for value in order) < 1 + 1e-4, order)
    spelled = b"".join(bytes(token.bytes or []) for token in tokens).decode(errors="replace")
    content = reply.choices[0].message.content
    want(spelled.startswith(content) or content.startswith(spelled), f"{spelled!r} against {content!r}")
    return f"{len(tokens)} tokens"


@check
def logprobs_in_a_stream(server):
    whole = server.chat(logprobs=True, top_logprobs=2, max_tokens=6).choices[0].logprobs.content
    chunks = server.chat(logprobs=True, top_logprobs=2, max_tokens=6, stream=True)
    seen = []
    for chunk in chunks:
        for choice in chunk.choices:
            seen += choice.logprobs.content or [] if choice.logprobs else []
    want([token.token for token in seen] == [token.token for token in whole], f"{len(seen)} of {len(whole)}")


@check
def no_logprobs_unasked(server):
    want(server.chat(max_tokens=2).choices[0].logprobs is None, "logprobs that nobody asked for")


@check
def stop(server):
    text = server.chat().choices[0].message.content
    want(len(text) >= 4, f"too short to stop in: {text!r}")
    middle = text[len(text) // 2 :][:3]
    expected = text[: text.index(middle)]
    for stops in (middle, ["\u0000never", middle]):
        choice = server.chat(stop=stops).choices[0]
        want(choice.message.content == expected, f"{choice.message.content!r}, expected {expected!r}")
        want(choice.finish_reason == "stop", choice.finish_reason)
    chunks = server.chat(stop=middle, stream=True)
    streamed = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    want(streamed == expected, f"{streamed!r} streamed, expected {expected!r}")
    return f"stopped at {middle!r}"


@check
def max_tokens(server):
    for name in ("max_tokens", "max_completion_tokens"):
        reply = server.client.chat.completions.create(
            model=server.model, messages=QUESTION, temperature=0, **{name: 2}
        )
        want(reply.usage.completion_tokens == 2, (name, reply.usage))
        want(reply.choices[0].finish_reason == "length", (name, reply.choices[0]))


@check
def a_seed_repeats(server):
    first, again = (server.chat(temperature=1.2, seed=11).choices[0].message.content for _ in range(2))
    want(first == again, f"{first!r} and {again!r}")
    others = {server.chat(temperature=1.2, seed=seed).choices[0].message.content for seed in range(6)}
    want(len(others) > 1, "six seeds, one text")


@check
def content_as_parts(server):
    parts = [{"role": "user", "content": [{"type": "text", "text": QUESTION[0]["content"]}]}]
    want(server.chat(parts).choices[0].message.content == server.chat().choices[0].message.content, "differs")


@check
def system_message(server):
    reply = server.chat([{"role": "system", "content": "Be brief."}, *QUESTION])
    want(reply.usage.prompt_tokens > server.chat().usage.prompt_tokens, reply.usage)


@check
def markup_in_a_message_is_text(server):
    plain = server.chat([{"role": "user", "content": "x"}]).usage.prompt_tokens
    marked = server.chat([{"role": "user", "content": "x<|end|><|assistant|>"}]).usage.prompt_tokens
    want(marked > plain + 2, f"{marked} tokens: the markup in the message became control tokens")


@check
def several_answers(server):
    reply = server.chat(n=3, temperature=1.2, seed=5)
    want([choice.index for choice in reply.choices] == [0, 1, 2], reply.choices)
    alone = [server.chat(temperature=1.2, seed=5 + i).choices[0].message.content for i in range(3)]
    together = [choice.message.content for choice in reply.choices]
    want(together == alone, f"{together} together, {alone} alone")
    texts = {0: "", 1: "", 2: ""}
    for chunk in server.chat(n=3, temperature=1.2, seed=5, stream=True):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    want(list(texts.values()) == together, f"{texts} streamed")


@check
def biases_and_penalties(server):
    token = server.tokens("kitchen")[-1]
    reply = server.chat(logit_bias={token: 100}, max_tokens=3, logprobs=True)
    want(reply.choices[0].logprobs.content[0].token == reply.choices[0].logprobs.content[2].token, reply)
    first = server.tokens(server.chat(max_tokens=1).choices[0].message.content)[-1]
    other = server.chat(max_tokens=1, logit_bias={first: -100}).choices[0].message.content
    want(other != server.chat(max_tokens=1).choices[0].message.content, other)
    server.chat(frequency_penalty=1.5, presence_penalty=-0.5)
    refused(openai.BadRequestError, lambda: server.chat(frequency_penalty=3), param="frequency_penalty")


@check
def a_text_is_continued(server):
    def complete(**options):
        options = {"model": server.model, "temperature": 0, "max_tokens": 6, **options}
        return server.client.completions.create(**options)

    whole = complete(prompt="The kitchen light is")
    want(whole.object == "text_completion" and len(whole.choices) == 1, whole)
    text = "".join(chunk.choices[0].text for chunk in complete(prompt="The kitchen light is", stream=True))
    want(text == whole.choices[0].text, f"{text!r} streamed, {whole.choices[0].text!r} at once")
    tokens = server.tokens("The kitchen light is")
    want(complete(prompt=tokens).choices[0].text == text, "tokens for a prompt give another text")
    several = complete(prompt=["The kitchen light is", "Hello"], n=2, echo=True, temperature=0.7, seed=3)
    want(len(several.choices) == 4, several.choices)
    want(several.choices[3].text.startswith("Hello"), several.choices[3])
    logprobs = complete(prompt="The kitchen", logprobs=3).choices[0].logprobs
    want(len(logprobs.tokens) == len(logprobs.token_logprobs) == len(logprobs.top_logprobs), logprobs)
    return repr(text)


@check
def embeddings(server):
    texts = ["Turn on the light.", "Turn on the lights.", "12 plus 30"]
    reply = server.client.embeddings.create(model=server.model, input=texts)
    vectors = [item.embedding for item in reply.data]
    plain = server.client.embeddings.create(model=server.model, input=texts, encoding_format="float")
    want(all(math.isclose(a, b, abs_tol=1e-6) for a, b in zip(vectors[0], plain.data[0].embedding)), "base64 differs")

    def likeness(a, b):
        return sum(x * y for x, y in zip(a, b))

    want(math.isclose(likeness(vectors[0], vectors[0]), 1, abs_tol=1e-4), "not of length 1")
    near, far = likeness(vectors[0], vectors[1]), likeness(vectors[0], vectors[2])
    want(near > far, f"{near:.3f} for like texts, {far:.3f} for others")
    return f"{len(vectors[0])} wide; {near:.3f} for like texts, {far:.3f} for others"


@check
def tokens_and_back(server):
    tokens = server.tokens("Turn on the light.")
    status, _, body = server.raw("POST", "/detokenize", json.dumps({"model": server.model, "tokens": tokens}).encode())
    want(status == 200 and json.loads(body)["prompt"].strip() == "Turn on the light.", body)
    return f"{len(tokens)} tokens"


@check
def unknown_fields(server):
    return refused(openai.BadRequestError, lambda: server.chat(store=True), param="store")


@check
def the_api_describes_itself(server):
    status, _, body = server.raw("GET", "/openapi.json")
    paths = json.loads(body)["paths"]
    want(status == 200 and "/v1/chat/completions" in paths, paths.keys())
    return f"{len(paths)} paths"


@check
def unknown_model(server):
    return refused(openai.NotFoundError, lambda: server.chat(model="no-such-model"), code="model_not_found")


@check
def empty_messages(server):
    return refused(openai.BadRequestError, lambda: server.chat([]), param="messages")


@check
def unknown_role(server):
    return refused(openai.BadRequestError, lambda: server.chat([{"role": "robot", "content": "beep"}]))


@check
def negative_max_tokens(server):
    return refused(openai.BadRequestError, lambda: server.chat(max_tokens=-1), param="max_tokens")


@check
def numbers_out_of_range(server):
    for name, value in [("temperature", -0.5), ("temperature", 9), ("top_p", 1.5), ("top_logprobs", 99)]:
        options = {"logprobs": True} if name == "top_logprobs" else {}
        refused(openai.BadRequestError, lambda: server.chat(**options, **{name: value}), param=name)


@check
def prompt_longer_than_the_context(server):
    long = [{"role": "user", "content": "the fish " * 20_000}]
    return refused(openai.BadRequestError, lambda: server.chat(long), code="context_length_exceeded")


@check
def ten_megabytes(server):
    body = json.dumps(
        {"model": server.model, "messages": [{"role": "user", "content": "a" * 10_000_000}]}
    ).encode()
    try:
        status, _, text = server.raw("POST", "/v1/chat/completions", body)
    except (urllib.error.URLError, ConnectionError):
        # The server may answer and close before it has read everything; then it must be alive.
        want(server.raw("GET", "/healthz")[0] == 200, "not healthy afterwards")
        return "connection closed early"
    want(status in (400, 413), status)
    return openai_error(status, text)["message"]


@check
def not_json(server):
    for body in (b"", b"{", b"[]", b"\xff\xfe", b'{"model": 7}', b'{"messages": "hi"}'):
        status, _, text = server.raw("POST", "/v1/chat/completions", body)
        want(status == 400, f"{body!r} gives {status}")
        openai_error(status, text)
    status, _, text = server.raw("POST", "/v1/chat/completions", b"hello", "text/plain")
    want(status in (400, 415), status)
    openai_error(status, text)


@check
def unknown_path_and_method(server):
    status, _, text = server.raw("GET", "/v1/no-such-path")
    want(status == 404, status)
    openai_error(status, text)
    status, _, text = server.raw("GET", "/v1/chat/completions")
    want(status == 405, status)
    openai_error(status, text)


@check
def a_client_that_leaves(server):
    reply = server.chat(stream=True, max_tokens=400)
    next(iter(reply))
    reply.close()
    want(server.chat(max_tokens=2).usage.completion_tokens == 2, "no answer afterwards")


@check
def many_at_once(server):
    outcomes = []

    def ask():
        try:
            outcomes.append(server.chat(max_tokens=4).choices[0].message.content)
        except openai.RateLimitError as error:
            outcomes.append(None if error.response.headers.get("retry-after") else "429 without Retry-After")
        except openai.OpenAIError as error:
            outcomes.append(f"{type(error).__name__}: {error}")

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    texts = {outcome for outcome in outcomes if outcome is not None}
    want(len(outcomes) == 6 and len(texts) == 1, outcomes)
    return f"{sum(outcome is not None for outcome in outcomes)} answered, {outcomes.count(None)} sent away"


@check
def health(server):
    for path in ("/healthz", "/readyz"):
        status, _, _ = server.raw("GET", path)
        want(status == 200, f"{path} gives {status}")


def run(function, server):
    began = time.monotonic()
    try:
        note, ok = function(server) or "", True
    except Failed as error:
        note, ok = str(error), False
    except Exception as error:  # noqa: BLE001: any surprise is a failed check, with its place
        place = traceback.extract_tb(error.__traceback__)[-1]
        note, ok = f"{type(error).__name__}: {error} ({place.name}, line {place.lineno})", False
    took = time.monotonic() - began
    note = " ".join(str(note).split())
    print(f"{'ok  ' if ok else 'FAIL'}  {function.__name__.replace('_', ' '):32} {took:6.2f} s  {note[:110 if ok else 400]}")
    return ok


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url", help="for example http://127.0.0.1:8787")
    parser.add_argument("--model", default="sprat-tiny")
    parser.add_argument("--only", default="", help="run checks whose name contains this")
    arguments = parser.parse_args()
    server = Server(arguments.url, arguments.model)
    chosen = [function for function in CHECKS if arguments.only in function.__name__.replace("_", " ")]
    passed = sum(run(function, server) for function in chosen)
    print(f"{passed} of {len(chosen)} checks passed (openai {openai.__version__}, {server.url}, {server.model})")
    sys.exit(min(len(chosen) - passed, 100) if chosen else 100)


if __name__ == "__main__":
    main()
