#!/usr/bin/env python3
"""Makes the golden merges of models with different vocabularies, by mergekit itself.

    PYTHONHASHSEED=0 python make.py     # made with torch 2.15.0, mergekit 0.1.5, transformers 5.23.0, tokenizers 0.23.3

Writes beside itself, for each of three tiny Llamas (`base`, `left`, `right`), a folder with `model.safetensors`,
`config.json` and `tokenizer.json`; and for each recipe in recipes/ a folder in expected/ with mergekit's `model.safetensors`
and the vocabulary it came to, `vocabulary.json`. Whose added tokens come first is chance in mergekit, and without a base also
whose tokens do, so the test compares by tokens.

`left` has what `base` has, in the same order, and more; `right` has another order. `base` has a row of its matrices more
than tokens.
"""

import json
import shutil
import tempfile
from pathlib import Path

import torch
import yaml
from mergekit.config import MergeConfiguration
from mergekit.merge import MergeOptions, run_merge
from safetensors.torch import load_file, save_file

HERE = Path(__file__).resolve().parent
HIDDEN = 4
# Tokens, merges, added tokens (numbered after the tokens), rows.
MODELS = {
    "base": (["a", "b", "c", "d", "ab"], [["a", "b"]], ["<s>", "</s>"], 8),
    "left": (["a", "b", "c", "d", "ab", "cd"], [["a", "b"], ["c", "d"]], ["<s>", "</s>", "<x>"], 9),
    "right": (["b", "a", "c", "d", "bc", "cd"], [["b", "c"], ["c", "d"]], ["<s>", "</s>", "<y>"], 9),
}


def config(rows):
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "intermediate_size": HIDDEN,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "num_key_value_heads": 1,
        "vocab_size": rows,
        "max_position_embeddings": 32,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": False,
        "bos_token_id": 5,
        "eos_token_id": 6,
        "dtype": "float32",
    }


def tokenizer(tokens, merges, added):
    entry = lambda id, content: {
        "id": id, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True,
    }
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [entry(len(tokens) + i, content) for i, content in enumerate(added)],
        "normalizer": None, "pre_tokenizer": None, "post_processor": None, "decoder": None,
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
            "vocab": {token: i for i, token in enumerate(tokens)}, "merges": merges,
        },
    }


def tensors(rows, rng):
    draw = lambda *shape: torch.randn(shape, generator=rng)
    p = "model.layers.0"
    square = [f"{p}.self_attn.{x}_proj.weight" for x in "qkvo"] + [f"{p}.mlp.{x}_proj.weight" for x in ("gate", "up", "down")]
    norms = [f"{p}.input_layernorm.weight", f"{p}.post_attention_layernorm.weight", "model.norm.weight"]
    return (
        {"model.embed_tokens.weight": draw(rows, HIDDEN)}
        | {name: draw(HIDDEN, HIDDEN) for name in square}
        | {name: draw(HIDDEN) for name in norms}
        | {"lm_head.weight": draw(rows, HIDDEN)}
    )


def located(value, folder):
    """A recipe's models as paths."""
    if isinstance(value, dict):
        names = ("model", "base_model")
        named = lambda key, x: key in names or (key in ("source", "tokenizer_source") and isinstance(x, str) and x in MODELS)
        return {key: str(folder / x) if named(key, x) else located(x, folder) for key, x in value.items()}
    if isinstance(value, list):
        return [located(x, folder) for x in value]
    return value


def main():
    rng = torch.Generator().manual_seed(20261127)
    for name, (tokens, merges, added, rows) in MODELS.items():
        folder = HERE / name
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(json.dumps(config(rows)))
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer(tokens, merges, added)))
        save_file(tensors(rows, rng), folder / "model.safetensors", metadata={"format": "pt"})
    shutil.rmtree(HERE / "expected", ignore_errors=True)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        for name in MODELS:
            shutil.copytree(HERE / name, work / name)
            kind = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}
            (work / name / "tokenizer_config.json").write_text(json.dumps(kind))
        for recipe in sorted((HERE / "recipes").glob("*.yml")):
            data = located(yaml.safe_load(recipe.read_text()), work)
            out = work / "out" / recipe.stem
            run_merge(MergeConfiguration.model_validate(data), str(out), MergeOptions(quiet=True))
            expected = HERE / "expected" / recipe.stem
            expected.mkdir(parents=True)
            merged = {}
            for shard in sorted(out.glob("*.safetensors")):
                merged |= load_file(shard)
            save_file({name: x.contiguous() for name, x in merged.items()}, expected / "model.safetensors")
            made = json.loads((out / "tokenizer.json").read_text())
            vocabulary = made["model"]["vocab"] | {token["content"]: token["id"] for token in made["added_tokens"]}
            (expected / "vocabulary.json").write_text(json.dumps(dict(sorted(vocabulary.items(), key=lambda x: x[1]))))
            size = json.loads((out / "config.json").read_text())["vocab_size"]
            print(recipe.stem, len(vocabulary), size, merged["lm_head.weight"].shape)


if __name__ == "__main__":
    main()
