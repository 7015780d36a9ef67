#!/usr/bin/env python3
"""Makes the golden merges: runs mergekit itself on tiny random models.

    python make.py            # made with torch 2.15.0, mergekit 0.1.5, transformers 5.23.0

Writes beside itself
    base.safetensors, chat.safetensors, math.safetensors, near.safetensors   the parents
    dtypes.safetensors                                                       one tensor per storage type
    expected/<recipe>.safetensors                                            mergekit's answer, in f32

The parents have the shape of a Llama of three layers (hidden 4, one key-value head). The recipes
in recipes/ are read by mergekit and by our test, as they are.

In qwen3/ is the same once more for parents of the Qwen3 kind: norms of queries and keys, a head that is the
embedding table, and everything stored in bfloat16. mergekit computes in f32 there too, and rounds at the end
(`out_dtype`): in bfloat16 it would round after every operation, and magnitudes would be equal that are not.

DARE draws random masks. So that both programs draw the same ones, `torch.bernoulli` is replaced
by the rule in `keep` below, which the Rust test repeats. `ties-count` sets the election method in
mergekit's method object because its YAML has no key for it.
"""

import json
import shutil
import tempfile
from pathlib import Path

import torch
import yaml
from mergekit.config import MergeConfiguration
from mergekit.merge import MergeOptions, run_merge
from mergekit.merge_methods import get as merge_method
from safetensors.torch import load_file, save_file

HERE = Path(__file__).resolve().parent
HIDDEN, INNER, VOCAB, LAYERS, HEADS = 4, 8, 8, 3, 2
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": HIDDEN,
    "intermediate_size": INNER,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": 1,
    "vocab_size": VOCAB,
    "max_position_embeddings": 32,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
    "dtype": "float32",
}


QWEN3 = CONFIG | {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "head_dim": HIDDEN // HEADS,
    "tie_word_embeddings": True,
    "dtype": "bfloat16",
}


def shapes(qwen3=False):
    head = HIDDEN // HEADS
    yield "model.embed_tokens.weight", (VOCAB, HIDDEN)
    for i in range(LAYERS):
        p = f"model.layers.{i}"
        yield f"{p}.input_layernorm.weight", (HIDDEN,)
        yield f"{p}.self_attn.q_proj.weight", (HIDDEN, HIDDEN)
        yield f"{p}.self_attn.k_proj.weight", (head, HIDDEN)
        yield f"{p}.self_attn.v_proj.weight", (head, HIDDEN)
        yield f"{p}.self_attn.o_proj.weight", (HIDDEN, HIDDEN)
        if qwen3:
            yield f"{p}.self_attn.q_norm.weight", (head,)
            yield f"{p}.self_attn.k_norm.weight", (head,)
        yield f"{p}.post_attention_layernorm.weight", (HIDDEN,)
        yield f"{p}.mlp.gate_proj.weight", (INNER, HIDDEN)
        yield f"{p}.mlp.up_proj.weight", (INNER, HIDDEN)
        yield f"{p}.mlp.down_proj.weight", (HIDDEN, INNER)
    yield "model.norm.weight", (HIDDEN,)
    if not qwen3:
        yield "lm_head.weight", (VOCAB, HIDDEN)


def parents(qwen3=False):
    rng = torch.Generator().manual_seed(20240312 if qwen3 else 20240311)
    draw = lambda shape, scale: torch.randn(shape, generator=rng) * scale
    base = {name: draw(shape, 0.5) for name, shape in shapes(qwen3)}
    models = {"base": base}
    for name, scale in (("chat", 0.2), ("math", 0.3), ("near", 1e-3)):
        models[name] = {key: x + draw(x.shape, scale) for key, x in base.items()}
    if qwen3:
        models = {name: {key: x.bfloat16() for key, x in model.items()} for name, model in models.items()}
    return models


def keep(index: int, model: int) -> float:
    """A number in [0, 1): element `index` of the `model`th task vector stays if it is < density."""
    return ((index * 2654435761 + model * 40503 + 12345) % 2**32) / 2**32


class Masks:
    """Stands in for torch.bernoulli; mergekit masks the models of one tensor in recipe order."""

    def __init__(self, models: int):
        self.models, self.calls = models, 0

    def __call__(self, probability, *_, **__):
        model = self.calls % self.models
        self.calls += 1
        flat = probability.flatten().tolist()
        mask = [1.0 if keep(i, model) < p else 0.0 for i, p in enumerate(flat)]
        return torch.tensor(mask, dtype=probability.dtype).reshape(probability.shape)


def merge(recipe: Path, folder: Path, out_dtype: str):
    data = yaml.safe_load(recipe.read_text())
    data["out_dtype"] = out_dtype
    # Ours, unknown to mergekit, which needs no telling to be itself.
    data.pop("compat", None)
    # `consensus` is our key too: see the head of this file.
    consensus = data.get("parameters", {}).pop("consensus", None)
    module = data["modules"]["default"] if "modules" in data else data
    slices = module.get("slices", [])
    models = module.get("models", []) + [source for part in slices for source in part["sources"]]
    for model in models:
        model["model"] = str(folder / model["model"])
    for part in slices:
        if "base_model" in part:
            part["base_model"] = str(folder / part["base_model"])
    if "base_model" in data:
        data["base_model"] = str(folder / data["base_model"])
    config = MergeConfiguration.model_validate(data)
    out = folder / "out" / recipe.stem
    with_delta = {m["model"] for m in models} - {data.get("base_model")}
    bernoulli, torch.bernoulli = torch.bernoulli, Masks(len(with_delta))
    method = merge_method(data["merge_method"])
    saved = getattr(method, "consensus_method", None)
    if consensus:
        object.__setattr__(method, "consensus_method", type(saved)(consensus))
    try:
        run_merge(config, str(out), MergeOptions(quiet=True, copy_tokenizer=False))
    finally:
        torch.bernoulli = bernoulli
        if consensus:
            object.__setattr__(method, "consensus_method", saved)
    merged = {}
    for shard in sorted(out.glob("*.safetensors")):
        merged.update(load_file(shard))
    return merged


def family(here: Path, config: dict, qwen3: bool):
    """All parents and all answers of one family, below `here`."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name, tensors in parents(qwen3).items():
            save_file(tensors, here / f"{name}.safetensors")
            (folder / name).mkdir()
            save_file(tensors, folder / name / "model.safetensors", metadata={"format": "pt"})
            (folder / name / "config.json").write_text(json.dumps(config))
        shutil.rmtree(here / "expected", ignore_errors=True)
        (here / "expected").mkdir()
        for recipe in sorted((HERE / "recipes").glob("*.yml")):
            # mergekit gives a Qwen 3 of other layers a config that transformers refuses.
            if qwen3 and recipe.stem.startswith("slices"):
                continue
            merged = merge(recipe, folder, config["dtype"])
            if not recipe.stem.startswith("slices"):
                assert set(merged) == {name for name, _ in shapes(qwen3)}, recipe
            assert all(x.dtype == getattr(torch, config["dtype"]) for x in merged.values()), recipe
            save_file(merged, here / "expected" / f"{recipe.stem}.safetensors")
            print(recipe.stem)


def main():
    family(HERE, CONFIG, qwen3=False)
    (HERE / "qwen3").mkdir(exist_ok=True)
    family(HERE / "qwen3", QWEN3, qwen3=True)
    x = torch.randn(3, 5, generator=torch.Generator().manual_seed(7))
    types = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16, "f64": torch.float64}
    stored = {name: x.to(t) for name, t in types.items()}
    stored |= {f"{name}_as_f32": stored[name].float().clone() for name in types}
    save_file(stored, HERE / "dtypes.safetensors")


if __name__ == "__main__":
    main()
