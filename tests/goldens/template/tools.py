"""Renders conversations with tools by transformers' `apply_chat_template`: tools.json.

    pip install transformers==5.23.0 jinja2==3.1.6 tokenizers==0.23.3
    python tests/goldens/template/tools.py

tools.jinja does what published templates for tools do: it lists them as JSON, indented or not, reads
calls in both of their usual forms with arguments as an object or as text, and results as text, as an
object or in parts. Transformers drops the keys of a message whose value is null, so that templates
find no `content` in a message that only calls.
A case has `expected`, or `error` with what the message of the failure must contain.
"""

import json

import jinja2
import transformers
from make import BOS, EOS, HERE, message, render
from transformers import PreTrainedTokenizerFast


def function(name, description, properties, required):
    parameters = {"type": "object", "properties": properties, "required": required}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


def call(name, arguments, identity):
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}


def calls(*tool_calls, content=None):
    return message("assistant", content) | {"tool_calls": list(tool_calls)}


def result(name, content, identity):
    return message("tool", content) | {"name": name, "tool_call_id": identity}


TOOLS = [
    function(
        "set_light",
        "Turns a light on or off.",
        {
            "room": {"type": "string", "description": "The room, such as \"hall\" or <kitchen> & co"},
            "on": {"type": "boolean"},
            "level": {"type": "integer", "minimum": 0, "maximum": 100, "default": 100},
        },
        ["room", "on"],
    ),
    function(
        "tides",
        "Tells when the sea is high & low.",
        {
            "harbour": {"type": "string", "description": "Caf\u00e9s at the quay count: \u6e2f \U0001f41f"},
            "unit": {"type": "string", "enum": ["m", "ft"]},
        },
        ["harbour"],
    ),
]
# Without the frame of a type, without parameters or a description.
BARE_TOOLS = [
    {"name": "now", "description": "Tells the time.", "parameters": {"type": "object", "properties": {}}},
    {"name": "stop", "parameters": {"type": "object", "properties": {"why": {"type": "string", "nullable": True}}}},
]
NESTED = {
    "scene": {"name": "evening", "lights": [{"room": "hall", "level": 0.5}, {"room": "loft", "level": 1}]},
    "days": [],
    "options": {},
    "until": None,
    "repeat": True,
}
UNICODE = {
    "room": "K\u00fcche \u2014 \u53f0\u6240 \U0001f373",
    "\u00e9tage": "quote \" backslash \\ slash / tag </call> & 'single'",
    "note": "line\nnew\ttab\u2028separator\u00a0nbsp \u0007 \u007f",
}
NUMBERS = {"list": [0, -1, 1.0, 0.1, 21.5, -0.0, 1e15, 1e16, 1.5e-5, 1e-7, 9007199254740993, 1e300]}

CALL = [
    message("user", "Is it high tide in Sund?"),
    calls(call("tides", {"harbour": "Sund", "unit": "m"}, "call00001")),
    result("tides", '{"high": "17:45", "metres": 1.25}', "call00001"),
]
# name -> (messages, tools)
CONVERSATIONS = {
    "question": ([message("user", "Hello")], TOOLS),
    "system": ([message("system", "  Be brief.\n"), message("user", "Lights off, please.")], TOOLS),
    "no tools": ([message("system", "Be brief."), message("user", "Hello")], None),
    "empty list": ([message("user", "Hello")], []),
    "bare tools": ([message("user", "What time is it?")], BARE_TOOLS),
    "call": ([message("system", "Be brief."), *CALL], TOOLS),
    "answered": ([*CALL, message("assistant", "Yes, until a quarter to six."), message("user", "Thanks")], TOOLS),
    "two calls": (
        [
            message("user", "Light the hall and tell me the tides."),
            calls(
                call("set_light", {"room": "hall", "on": True, "level": 40}, "call00001"),
                call("tides", {"harbour": "Sund"}, "call00002"),
                content="I'll do both.",
            ),
            result("set_light", "done", "call00001"),
            result("tides", "high at 17:45", "call00002"),
            message("user", "And off again."),
            calls(call("set_light", {"room": "hall", "on": False}, "call00003"), content=""),
        ],
        TOOLS,
    ),
    "nested": ([message("user", "Evening"), calls(call("scene", NESTED, "call00001"))], TOOLS),
    "unicode": ([message("user", "\u706f"), calls(call("set_light", UNICODE, "call00001"))], TOOLS),
    "numbers": ([message("user", "Count"), calls(call("count", NUMBERS, "call00001"))], None),
    "text": ([message("user", "Hall"), calls(call("set_light", '{"room":"hall", "on":true}', "call00001"))], TOOLS),
    "bare calls": (
        [
            message("user", "What time is it?"),
            calls({"name": "now", "arguments": {}}, {"name": "stop", "arguments": {"why": None}}),
            {"role": "tool", "content": {"time": "17:45", "zone": None}},
        ],
        BARE_TOOLS,
    ),
    "parts": (
        [
            message("user", [{"type": "text", "text": "One"}, {"type": "image"}, {"type": "text", "text": "Two"}]),
            message("assistant", [{"type": "text", "text": "Three"}]),
        ],
        None,
    ),
    "no call": ([message("user", "Hello"), result("tides", "high", "call00001")], TOOLS),
}
SAID = ["There is a result but no call"]


def tokenizer():
    file = HERE.parent / "tokenizer" / "tokenizer.json"
    return PreTrainedTokenizerFast(tokenizer_file=str(file), bos_token=BOS, eos_token=EOS)


def main():
    # `headers` counts the tools that it is given.
    wanted = [("tools", name) for name in CONVERSATIONS] + [("headers", "system"), ("headers", "empty list")]
    cases = []
    for template, name in wanted:
        messages, tools = CONVERSATIONS[name]
        source = (HERE / f"{template}.jinja").read_text()
        for prompt in (True, False):
            case = {"template": template, "messages": messages, "tools": tools, "add_generation_prompt": prompt}
            cases.append(case | render(tokenizer(), source, messages, prompt, tools, SAID))
    sections = {
        "made_with": json.dumps({"transformers": transformers.__version__, "jinja2": jinja2.__version__}),
        "bos_token": json.dumps(BOS),
        "eos_token": json.dumps(EOS),
        "cases": "[\n    " + ",\n    ".join(json.dumps(case) for case in cases) + "\n  ]",
    }
    text = "{\n" + ",\n".join(f'  "{key}": {value}' for key, value in sections.items()) + "\n}\n"
    json.loads(text)
    (HERE / "tools.json").write_text(text)
    print(f"{len(cases)} cases, {sum('error' in case for case in cases)} of them errors")


if __name__ == "__main__":
    main()
