"""Makes a tiny rank file in tiktoken's form, and records what tiktoken makes of the same texts.

    pip install tiktoken==0.14.0 tokenizers==0.23.3
    python tests/goldens/tokenizer/ranks.py

tiktoken/ranks.tiktoken  256 bytes and 150 merged tokens, in base64, each with its rank; trained by
                         tokenizers on the sentences of make.py, cut into words as Llama 3 does
tiktoken/golden.json     "pattern" of the words, "special" tokens behind the ranks
    encode: text -> "ids" with special tokens in the text recognized, "plain_ids" without where
            these are others
    decode: ids -> text with special tokens, also ids that are no valid UTF-8
"""

import base64
import json
import random
from pathlib import Path

import tiktoken
from make import SENTENCES, TEXTS
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

HERE = Path(__file__).parent / "tiktoken"
MERGES = 150
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
OWN_TEXTS = [
    "<|im_start|>user\nWhat is the answer?<|im_end|>\n<|im_start|>assistant\n",
    "before <|endoftext|> after",
    "<|im_end|",
    "1 22 333 4444 55555",
    "WE'LL they'RE \u017fo it'\u017f",
    "one  two   three \n four\r\n\r\n five \t",
]


def byte_values():
    """The byte that each character of byte-level BPE stands for: itself where it is printable."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}


def train():
    """Tokens as bytes, in the order of their ranks."""
    tokenizer = Tokenizer(models.BPE())
    words = pre_tokenizers.Split(Regex(PATTERN), "isolated")
    as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([words, as_bytes])
    values = byte_values()
    trainer = trainers.BpeTrainer(vocab_size=256 + MERGES, initial_alphabet=sorted(values), show_progress=False)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    vocab = tokenizer.get_vocab()
    tokens = [bytes(values[character] for character in token) for token in sorted(vocab, key=vocab.get)]
    assert len(set(tokens)) == 256 + MERGES
    return tokens


def read(path):
    lines = path.read_text().splitlines()
    return {base64.b64decode(token): int(rank) for token, rank in map(str.split, lines)}


def encode_case(encoding, text):
    ids = encoding.encode(text, allowed_special="all")
    plain_ids = encoding.encode_ordinary(text)
    assert encoding.decode(ids) == encoding.decode(plain_ids) == text, text
    return {"text": text, "ids": ids} | ({"plain_ids": plain_ids} if plain_ids != ids else {})


def odd_ids(encoding):
    """Ids that no text has: cut characters, and any ids at all."""
    fish = [encoding.encode_single_token(bytes([byte])) for byte in "\U0001f41f".encode()]
    end = encoding.encode_single_token(SPECIAL[-1])
    yield from (fish[:length] for length in range(1, len(fish)))
    yield from (fish[start:] for start in range(1, len(fish)))
    yield fish[:3] + [end]
    yield fish[:2] + [end] + fish[2:]
    rng = random.Random(7)
    for length in (3, 8, 20, 60):
        yield [rng.randrange(encoding.n_vocab) for _ in range(length)]


def main():
    HERE.mkdir(exist_ok=True)
    path = HERE / "ranks.tiktoken"
    tokens = train()
    path.write_text("".join(f"{base64.b64encode(token).decode()} {rank}\n" for rank, token in enumerate(tokens)))
    special = {token: len(tokens) + i for i, token in enumerate(SPECIAL)}
    encoding = tiktoken.Encoding("golden", pat_str=PATTERN, mergeable_ranks=read(path), special_tokens=special)
    encode = [encode_case(encoding, text) for text in TEXTS + OWN_TEXTS]
    decode = [{"ids": ids, "text": encoding.decode(ids)} for ids in odd_ids(encoding)]
    sections = {
        "made_with": json.dumps({"tiktoken": tiktoken.__version__}),
        "pattern": json.dumps(PATTERN),
        "special": json.dumps(special),
        "encode": "[\n    " + ",\n    ".join(json.dumps(case) for case in encode) + "\n  ]",
        "decode": "[\n    " + ",\n    ".join(json.dumps(case) for case in decode) + "\n  ]",
    }
    text = "{\n" + ",\n".join(f'  "{key}": {value}' for key, value in sections.items()) + "\n}\n"
    json.loads(text)
    (HERE / "golden.json").write_text(text)
    print(f"{encoding.n_vocab} tokens, {len(encode)} texts, {len(decode)} id lists")


if __name__ == "__main__":
    main()
