"""Trains a tiny tokenizer of our own kind and records what Hugging Face's makes of tricky text.

    pip install tokenizers==0.23.3
    python tests/goldens/tokenizer/make.py

tokenizer.json  byte-level BPE of 400 tokens; digits are split one by one; six special tokens
golden.json     encode: text -> ids -> text again, where special tokens in the text are
                  recognized ("ids") and where they are plain text ("plain_ids", for what people type)
                decode: ids -> text, also ids that are no valid UTF-8
"""

import json
import random
from pathlib import Path

import tokenizers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

HERE = Path(__file__).parent
SPECIAL = ["<|pad|>", "<|start|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"]

SENTENCES = """
The small fish lives in a shoal, and the shoal turns as one.
When the tide goes out, the fish wait in the pools between the stones.
I asked the lighthouse keeper how many boats had come home that night; she said there were seven.
What is the capital of the country where the river ends?
Could you turn on the kitchen light and set the heater to nineteen degrees, please?
Seven times eight is fifty-six, and fifty-six minus nine is forty-seven.
The baker sold 24 loaves in the morning, 18 after lunch, and gave the last 3 away.
She didn't know whether they'd arrive on Tuesday or on Wednesday, so she'd packed for both.
A word is short when it has few letters; a sentence is short when it has few words.
It's raining. We'll stay inside, we're warm here, and I've made some tea.
Please remind me to call my brother at 17:45 and to water the plants on 2031-04-09.
"Nothing is lost," said the captain, "that the sea has only borrowed."
The teacher wrote the answer on the board and the children copied the answer into their books.
Open the window in the bedroom. Close the door of the garage. Dim the lights in the hall.
There is nothing there that was not there before, and there is no one here who would take it.
Is this the question, or is this the answer to another question?
The quick answer is often the right answer; the long answer is often only long.
Between the mountains and the sea there is a town with a market, a mill and a station.
Thank you for the letter. I am glad that you are well, and that the garden is growing.
How far is it from the harbour to the island, and how long does the ferry take?
""".strip().splitlines()

FAMILY = "\U0001f469\u200d\U0001f469\u200d\U0001f467"
TEXTS = [
    "",
    " ",
    "a",
    "the",
    " the",
    "The small fish lives in a shoal.",
    "the the  the   the",
    "What is 17 * 23?",
    "1234567890",
    "0.1 + 0.2 = 0.30000000000000004",
    "2031-04-09T17:45:00Z",
    "x1y22z333",
    "\u0663\u0664\u0665 \uff11\uff12 \u00bd \u2167",
    "I'm you're he'll they'd we've it's don't",
    "I\u2019m IT'S 'quoted'",
    "  leading and trailing  ",
    "\ttab\tand\n\nnew lines\r\n",
    "a\u00a0b\u2003c\u3000d",
    "    indented = True\n        more = False\n",
    "\n\n\n",
    "\u00e9 e\u0301 \u00fc u\u0308",
    "Z\u0323\u0334\u0301a\u0327\u0302l",
    "na\u00efve caf\u00e9 \u0141\u00f3d\u017a \u00dfe\u00df",
    "\u4f60\u597d\uff0c\u4e16\u754c",
    "\u3053\u3093\u306b\u3061\u306f\u3001\u6771\u4eac\u3067\u3059\u3002",
    "\uc548\ub155\ud558\uc138\uc694",
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645",
    "\u05e9\u05dc\u05d5\u05dd 123 abc",
    "\u0928\u092e\u0938\u094d\u0924\u0947",
    "\U0001f600",
    "fish \U0001f41f\U0001f41f and " + FAMILY + "!",
    "\U0001f44b\U0001f3fd \U0001f1eb\U0001f1f7",
    "\ufeffbyte order mark",
    "zero\u200bwidth\u200djoiner",
    "null\x00byte \x07 \x1b[0m",
    "\ufffd replacement",
    "\U00020000 \U0010ffff",
    "<|user|>What is the answer?<|end|>",
    "<|start|><|user|>Hi<|end|><|assistant|>",
    "before <|end|> after",
    "<|end|",
    "<|END|> <|unknown|>",
    "<|pad|><|pad|>",
    "<| user |>",
    "{% if x %}{{ x }}{% endif %}",
    "https://example.org/a?b=c&d=%20#e",
    "snake_case camelCase SCREAMING-kebab",
    "!!!???...---___~~~",
    "a" * 40,
    " " * 33 + "x",
]


def train():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=[AddedToken(token, normalized=False, special=True) for token in SPECIAL],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    assert tokenizer.get_vocab_size() == 400
    return tokenizer


def encode_case(tokenizer, text):
    tokenizer.encode_special_tokens = False
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    tokenizer.encode_special_tokens = True
    plain_ids = tokenizer.encode(text, add_special_tokens=False).ids
    tokenizer.encode_special_tokens = False
    assert tokenizer.decode(ids, skip_special_tokens=False) == text, text
    case = {"text": text, "ids": ids}
    if plain_ids != ids:
        case["plain_ids"] = plain_ids
        case["without_special"] = tokenizer.decode(ids, skip_special_tokens=True)
    return case


def broken_ids(tokenizer):
    """Ids whose bytes are cut or no UTF-8 at all."""
    fish = tokenizer.encode("\U0001f41f").ids
    han = tokenizer.encode("\u754c").ids
    yield from (fish[:length] for length in range(1, len(fish)))
    yield from (fish[start:] for start in range(1, len(fish)))
    yield han[:-1] + fish
    yield fish[:2] + tokenizer.encode("a").ids + fish[2:]
    yield fish[:3] + [SPECIAL.index("<|end|>")]
    yield fish[:2] + [SPECIAL.index("<|end|>")] + fish[2:]
    rng = random.Random(7)
    for length in (3, 8, 20, 60):
        yield [rng.randrange(tokenizer.get_vocab_size()) for _ in range(length)]


def main():
    tokenizer = train()
    tokenizer.save(str(HERE / "tokenizer.json"))
    tokenizer = Tokenizer.from_file(str(HERE / "tokenizer.json"))
    encode = [encode_case(tokenizer, text) for text in TEXTS]
    decode = [
        {
            "ids": ids,
            "text": tokenizer.decode(ids, skip_special_tokens=False),
            "without_special": tokenizer.decode(ids, skip_special_tokens=True),
        }
        for ids in broken_ids(tokenizer)
    ]
    sections = {
        "made_with": json.dumps({"tokenizers": tokenizers.__version__}),
        "special": json.dumps({token: tokenizer.token_to_id(token) for token in SPECIAL}),
        "encode": "[\n    " + ",\n    ".join(json.dumps(case) for case in encode) + "\n  ]",
        "decode": "[\n    " + ",\n    ".join(json.dumps(case) for case in decode) + "\n  ]",
    }
    text = "{\n" + ",\n".join(f'  "{key}": {value}' for key, value in sections.items()) + "\n}\n"
    json.loads(text)
    (HERE / "golden.json").write_text(text)
    print(f"{len(encode)} texts, {len(decode)} id lists")


if __name__ == "__main__":
    main()
