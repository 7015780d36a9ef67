"""Makes tiny tokenizers of other kinds than the one of make.py, and records what tokenizers makes
of the same texts.

    pip install tokenizers==0.23.3
    python tests/goldens/tokenizer/kinds.py

Into a folder each:

unigram       Unigram with bytes for unknown characters, NFKC, Metaspace, `</s>` at the end
wordpiece     WordPiece as in BERT: lower case, no accents, between [CLS] and [SEP]
bpe-fallback  BPE as in Llama 2: bytes for unknown characters, no pre-tokenizer, `<s>` in front

tokenizer.json and golden.json:

    encode: text -> "ids", without what the post-processor adds; "special_ids" with it; "plain_ids"
            where special tokens in the text are plain text; these two where they differ from "ids"
    decode: ids -> "without_special", the text again as far as the kind can tell, also of ids that
            are no valid UTF-8

The trainers of Unigram and WordPiece go through hash maps in an order that is another in each run.
Hence all pieces come from the trainer of BPE, and it finds all characters in its special tokens,
already in order.
"""

import json
import math
import random
from collections import Counter
from pathlib import Path

import tokenizers
from make import SENTENCES, TEXTS
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = Path(__file__).parent
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
SENTENCEPIECE = ["<unk>", "<s>", "</s>"]
BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SPACE = "\u2581"
# Beside the texts for all: special tokens, what looks like one, and what stands for spaces and bytes.
OWN_TEXTS = {
    "unigram": ["<s>Is water wet?</s>", "a <unk> b", "<0x41><0x0A>", f"{SPACE}the{SPACE}{SPACE}sea"],
    "wordpiece": ["[CLS] Is water wet? [SEP] Yes [SEP]", "the [MASK] of the sea", "[cls][UNK]", "##s un##happy"],
}
OWN_TEXTS["bpe-fallback"] = OWN_TEXTS["unigram"]


def added(tokens):
    return [AddedToken(token, normalized=False, special=True) for token in tokens]


def train(tokenizer, size, first, **options):
    """Pieces and merges of BPE; `first` are the first pieces."""
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=first, show_progress=False, **options)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    assert len(model["vocab"]) == size
    assert list(model["vocab"].values()) == list(range(size))
    return model["vocab"], [tuple(merge) for merge in model["merges"]]


def unigram():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    first = SENTENCEPIECE + BYTES
    pieces, _ = train(tokenizer, 440, first)
    counts = Counter(token for sentence in SENTENCES for token in tokenizer.encode(sentence).tokens)
    total = sum(counts.values())
    # Logarithms of frequencies. A piece that only serves longer ones counts half.
    scores = [(piece, 0.0) for piece in first]
    scores += [(piece, round(math.log(counts.get(piece, 0.5) / total), 4)) for piece in list(pieces)[len(first) :]]
    tokenizer.model = models.Unigram(scores, unk_id=0, byte_fallback=True)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    return tokenizer, SENTENCEPIECE


def wordpiece():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    characters = sorted(set(tokenizer.normalizer.normalize_str("".join(SENTENCES))) - {" "})
    first = BERT + characters + [f"##{character}" for character in characters]
    pieces, _ = train(tokenizer, 400, first, continuing_subword_prefix="##")
    tokenizer.model = models.WordPiece(pieces, unk_token="[UNK]", max_input_chars_per_word=30)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", BERT.index("[CLS]")), ("[SEP]", BERT.index("[SEP]"))],
    )
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer, BERT


def bpe_fallback():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    pieces, merges = train(tokenizer, 440, SENTENCEPIECE + BYTES)
    tokenizer.model = models.BPE(pieces, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    # Words were of use in training only; now spaces are characters like any other.
    tokenizer.pre_tokenizer = None
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return tokenizer, SENTENCEPIECE


def fresh(made):
    """The tokenizer without what training has left in it: its added tokens are the special ones."""
    tokenizer, special = made
    clean = Tokenizer(tokenizer.model)
    for part in ("normalizer", "pre_tokenizer", "post_processor", "decoder"):
        if (value := getattr(tokenizer, part)) is not None:
            setattr(clean, part, value)
    clean.add_special_tokens(added(special))
    return clean, special


def encode_case(tokenizer, text):
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    case = {"text": text, "ids": ids}
    if (special_ids := tokenizer.encode(text).ids) != ids:
        case["special_ids"] = special_ids
    tokenizer.encode_special_tokens = True
    if (plain_ids := tokenizer.encode(text, add_special_tokens=False).ids) != ids:
        case["plain_ids"] = plain_ids
    tokenizer.encode_special_tokens = False
    return case


def odd_ids(tokenizer, end):
    """Ids that no text has: cut and mixed bytes, and any ids at all."""
    if (first := tokenizer.token_to_id(BYTES[0])) is not None:
        fish = [first + byte for byte in "\U0001f41f".encode()]
        letter = tokenizer.encode("a", add_special_tokens=False).ids
        yield from (fish[:length] for length in range(1, len(fish)))
        yield from (fish[start:] for start in range(1, len(fish)))
        yield fish[:2] + letter + fish[2:]
        yield fish[:3] + [end]
        yield fish[:2] + [end] + fish[2:]
        yield [first + ord(character) for character in " \n a "]
    rng = random.Random(7)
    for length in (1, 3, 8, 20, 60):
        yield [rng.randrange(tokenizer.get_vocab_size()) for _ in range(length)]


def make(name, made):
    tokenizer, special = fresh(made)
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    encode = [encode_case(tokenizer, text) for text in TEXTS + OWN_TEXTS[name]]
    whole = [case.get("special_ids", case["ids"]) for case in encode]
    decode = [
        {"ids": ids, "without_special": tokenizer.decode(ids, skip_special_tokens=True)}
        for ids in whole + list(odd_ids(tokenizer, special.index(special[-1])))
    ]
    sections = {
        "made_with": json.dumps({"tokenizers": tokenizers.__version__}),
        "special": json.dumps({token: tokenizer.token_to_id(token) for token in special}),
        "encode": "[\n    " + ",\n    ".join(json.dumps(case) for case in encode) + "\n  ]",
        "decode": "[\n    " + ",\n    ".join(json.dumps(case) for case in decode) + "\n  ]",
    }
    text = "{\n" + ",\n".join(f'  "{key}": {value}' for key, value in sections.items()) + "\n}\n"
    json.loads(text)
    (folder / "golden.json").write_text(text)
    print(f"{name}: {tokenizer.get_vocab_size()} tokens, {len(encode)} texts, {len(decode)} id lists")


def main():
    make("unigram", unigram())
    make("wordpiece", wordpiece())
    make("bpe-fallback", bpe_fallback())


if __name__ == "__main__":
    main()
