"""Renders published chat templates, which are not here, by transformers' `apply_chat_template`:
published.json, with hashes for templates and texts.

    pip install transformers==5.23.0 jinja2==3.1.6 tokenizers==0.23.3
    python tests/goldens/template/published.py FOLDER...

of folders with `.jinja` files. Every template renders the conversations of make.py and two of tools.py,
the latter with "tools". A case has "sha256" and "bytes" of the text in UTF-8, or "error" with the class
of the exception in "says": what a template refuses, and what it can't do without tools, which
transformers defines as none. Cases whose text depends on the day are left out.
"""

import json
import sys
from collections import Counter
from datetime import datetime
from hashlib import sha256
from pathlib import Path

import jinja2
import make
import tools
import transformers
from transformers.utils import chat_template_utils

HERE = Path(__file__).parent
WITH_TOOLS = ["call", "two calls"]
CONVERSATIONS = make.CONVERSATIONS | {name: tools.CONVERSATIONS[name][0] for name in WITH_TOOLS}
DAYS = [datetime(2031, 3, 9), datetime(2044, 12, 24)]


def on(day):
    """Stands for the class `datetime`."""

    class Fixed(datetime):
        @classmethod
        def now(cls, tz=None):
            return day

    return Fixed


def outcome(tokenizer, template, name, prompt):
    try:
        text = tokenizer.apply_chat_template(
            CONVERSATIONS[name],
            tools.TOOLS if name in WITH_TOOLS else None,
            chat_template=template,
            add_generation_prompt=prompt,
            tokenize=False,
        )
    except Exception as error:  # A template can fail in as many ways as Python can.
        return {"error": True, "says": type(error).__name__}
    text = text.encode()
    return {"sha256": sha256(text).hexdigest(), "bytes": len(text)}


def render(tokenizer, path):
    """The cases of a template, and how many are left out."""
    source = path.read_bytes()
    cases, dated = [], 0
    for name in CONVERSATIONS:
        for prompt in (True, False):
            outcomes = []
            for day in DAYS:
                chat_template_utils.datetime = on(day)
                outcomes.append(outcome(tokenizer, source.decode(), name, prompt))
            if outcomes[0] != outcomes[1]:
                dated += 1
                continue
            case = {"template": path.name, "conversation": name}
            case |= {"tools": True} if name in WITH_TOOLS else {}
            cases.append(case | {"add_generation_prompt": prompt} | outcomes[0])
    return cases, dated


def main():
    paths = [path for folder in sys.argv[1:] for path in sorted(Path(folder).glob("*.jinja"))]
    if not paths or len({path.name for path in paths}) < len(paths):
        raise SystemExit("give folders with .jinja files, each name once")
    tokenizer = tools.tokenizer()
    cases = []
    for path in paths:
        made, dated = render(tokenizer, path)
        cases += made
        failed = Counter(case["says"] for case in made if "error" in case)
        print(f"{path.name}: {len(made)} cases, errors {dict(failed)}" + (f", {dated} with dates" if dated else ""))
    sections = {
        "made_with": json.dumps({"transformers": transformers.__version__, "jinja2": jinja2.__version__}),
        "bos_token": json.dumps(make.BOS),
        "eos_token": json.dumps(make.EOS),
        "tools": json.dumps(tools.TOOLS),
        "templates": json.dumps({path.name: sha256(path.read_bytes()).hexdigest() for path in paths}, indent=4),
        "conversations": "{\n    "
        + ",\n    ".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in CONVERSATIONS.items())
        + "\n  }",
        "cases": "[\n    " + ",\n    ".join(json.dumps(case) for case in cases) + "\n  ]",
    }
    text = "{\n" + ",\n".join(f'  "{key}": {value}' for key, value in sections.items()) + "\n}\n"
    json.loads(text)
    (HERE / "published.json").write_text(text)
    print(f"{len(cases)} cases, {sum('error' in case for case in cases)} of them errors")


if __name__ == "__main__":
    main()
