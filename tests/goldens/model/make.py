"""Makes the tiny random models that sprat-model's numbers are checked against.

Hugging Face transformers computes the expected values (CPU, float32, eager attention) and the
same weights in float64 say how exact those are. Run it from anywhere:

    pip install torch==2.15.0 transformers==5.23.0 tokenizers==0.23.3 safetensors==0.8.0 numpy==2.4.6
    python tests/goldens/model/make.py

Each model is a folder as people have it from Hugging Face, plus

    golden.json         token ids, the greedy continuation, and statistics of each of its steps
    golden.safetensors  "sequence.logits" [24, vocab] and "single.logits" [1, vocab], float32

text/ holds a tokenizer for all of them in which every id is one character.

The weights are far larger than a trained model's, norm weights are not ones and biases are not
zeros, so that a forgotten norm, a wrong rotation or a swapped head shows in the first decimals.
"""

import json
import math
import platform
import shutil
from pathlib import Path

import safetensors
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.decoders import Fuse
from tokenizers.models import BPE
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config, Qwen3Config

HERE = Path(__file__).parent
VOCAB = 256
SPECIAL = (0, 1, 2)
SEQUENCE, PROMPT, GREEDY = 24, 8, 64
# The distance of the two best logits at every greedy step. Backends differ by about 1e-5.
MIN_LOGIT_MARGIN = 0.02
# A continuation that circles around three tokens proves little.
MIN_DISTINCT = 24

COMMON = dict(
    vocab_size=VOCAB,
    max_position_embeddings=128,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=0,
    use_cache=False,
)

# name -> (config, layout of config.json, storage type, largest shard in bytes or None)
MODELS = {
    # Grouped queries, tied head; config.json as transformers 5 writes it (`rope_parameters`).
    "llama-gqa-tied": (
        LlamaConfig(
            **COMMON,
            hidden_size=32,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=8,
            intermediate_size=96,
            rms_norm_eps=1e-6,
            tie_word_embeddings=True,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        ),
        "v5",
        torch.float32,
        None,
    ),
    # As many key heads as query heads, a head of its own, another theta; no `head_dim` key.
    "llama-mha-untied": (
        LlamaConfig(
            **COMMON,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
            intermediate_size=80,
            rms_norm_eps=1e-5,
            attention_bias=False,
            tie_word_embeddings=False,
            rope_parameters={"rope_type": "default", "rope_theta": 500000.0},
        ),
        "classic",
        torch.float32,
        None,
    ),
    # QK-norm, and heads wider than hidden / heads.
    "qwen3-qknorm-tied": (
        Qwen3Config(
            **COMMON,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=24,
            intermediate_size=64,
            rms_norm_eps=1e-6,
            tie_word_embeddings=True,
            rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
        ),
        "classic",
        torch.float32,
        None,
    ),
    # Biases on q, k and v but not on o; config.json says nothing about them, the kind does.
    "qwen2-bias-untied": (
        Qwen2Config(
            **COMMON,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=1,
            intermediate_size=80,
            rms_norm_eps=1e-6,
            tie_word_embeddings=False,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        ),
        "classic",
        torch.float32,
        None,
    ),
    # Half-precision storage in several shards with Hugging Face's index; still computed in float32.
    "llama-f16-shards": (
        LlamaConfig(
            **COMMON,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            intermediate_size=64,
            rms_norm_eps=1e-5,
            tie_word_embeddings=True,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        ),
        "classic",
        torch.float16,
        24_000,
    ),
}


def build(config, storage, seed):
    """A model whose every parameter is random; rounded to what `storage` can hold."""
    generator = torch.Generator().manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager")
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            if "norm" in name:
                weight.uniform_(0.5, 1.5, generator=generator)
            elif name.endswith("bias"):
                weight.normal_(0.0, 0.5, generator=generator)
            else:
                weight.normal_(0.0, 0.3, generator=generator)
            weight.copy_(weight.to(storage).to(torch.float32))
    return model.eval()


@torch.no_grad()
def logits(model, ids):
    return model(torch.tensor([ids])).logits[0]


def greedy(model, prompt, weak_margin):
    """The greedy continuation, or None once a step is too close to call or would end the text."""
    ids, steps = list(prompt), []
    for _ in range(GREEDY):
        last = logits(model, ids)[-1]
        best = torch.topk(last, 2)
        logit_margin = (best.values[0] - best.values[1]).item()
        if logit_margin < weak_margin or best.indices[0].item() in SPECIAL:
            return None
        logprobs = torch.log_softmax(last.double(), -1)
        probs = logprobs.exp()
        first, second = best.indices.tolist()
        ids.append(first)
        steps.append(
            {
                "token": first,
                "logprob": logprobs[first].item(),
                "margin": (probs[first] - probs[second]).item(),
                "entropy": -(probs * logprobs).sum().item(),
                "logit_margin": logit_margin,
            }
        )
    return steps


def classic(config):
    """config.json as published before transformers 5: one `rope_theta`, and `torch_dtype`."""
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope["rope_theta"]
    config["rope_scaling"] = None
    config["torch_dtype"] = config.pop("dtype")
    config.pop("transformers_version")
    for key in ("layer_types", "head_dim") if config["model_type"] != "qwen3" else ("layer_types",):
        config.pop(key, None)
    return config


def save(folder, model, layout, storage, max_shard):
    shutil.rmtree(folder, ignore_errors=True)
    model.to(storage).save_pretrained(folder, max_shard_size=max_shard or "1GB")
    model.to(torch.float32)
    (folder / "generation_config.json").unlink(missing_ok=True)
    path = folder / "config.json"
    config = json.loads(path.read_text())
    if layout == "classic":
        config = classic(config)
    path.write_text(json.dumps(config, indent=2) + "\n")


def rounded(value):
    """Seven significant digits: more than float32 computes, less than half of the file."""
    if isinstance(value, float):
        return float(f"{value:.7g}")
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return value


def lines(golden):
    """JSON with one line per key, and per step."""
    body = {key: json.dumps(value) for key, value in golden.items()}
    body["steps"] = "[\n    " + ",\n    ".join(json.dumps(step) for step in golden["steps"]) + "\n  ]"
    return "{\n" + ",\n".join(f'  "{key}": {value}' for key, value in body.items()) + "\n}\n"


def make(name, config, layout, storage, max_shard):
    for seed in range(10_000):
        model = build(config, storage, seed)
        ids = torch.randint(3, VOCAB, (SEQUENCE + PROMPT,), generator=torch.Generator().manual_seed(seed))
        sequence, prompt = ids[:SEQUENCE].tolist(), ids[SEQUENCE:].tolist()
        steps = greedy(model, prompt, MIN_LOGIT_MARGIN)
        if steps and len({step["token"] for step in steps}) >= MIN_DISTINCT:
            break
    else:
        raise SystemExit(f"{name}: no seed gives a clear greedy path")

    single = [sequence[0]]
    tensors = {"sequence.logits": logits(model, sequence), "single.logits": logits(model, single)}
    folder = HERE / name
    save(folder, model, layout, storage, max_shard)
    save_file({key: value.contiguous() for key, value in tensors.items()}, folder / "golden.safetensors")

    # What was written must give the same numbers again, and float64 says how exact they are.
    again = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    assert torch.equal(logits(again, sequence), tensors["sequence.logits"]), name
    exact = logits(again.double(), sequence)
    error = (exact - load_file(folder / "golden.safetensors")["sequence.logits"]).abs().max().item()
    assert math.isfinite(error) and error < 2e-5, (name, error)

    golden = {
        "made_with": {
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "safetensors": safetensors.__version__,
            "python": platform.python_version(),
        },
        "seed": seed,
        "sequence": sequence,
        "single": single,
        "float64_max_abs_difference": error,
        "prompt": prompt,
        "greedy": [step["token"] for step in steps],
        "min_logit_margin": min(step["logit_margin"] for step in steps),
        "steps": [{key: step[key] for key in ("logprob", "margin", "entropy")} for step in steps],
    }
    (folder / "golden.json").write_text(lines(rounded(golden)))
    for file in folder.iterdir():
        file.chmod(0o644)
    distinct = len(set(golden["greedy"]))
    size = sum(file.stat().st_size for file in folder.iterdir())
    scale = tensors["sequence.logits"].abs().max().item()
    print(
        f"{name:20} seed {seed:4}  {distinct} distinct tokens  min margin {golden['min_logit_margin']:.4f}"
        f"  f64 difference {error:.1e} of {scale:.1f}  {size / 1024:.0f} KiB"
    )


def save_tokenizer(folder):
    """One character per id, so that a chat through text is a chat through ids: id 7 is U+4E07.

    With it and chat_template.jinja (the last message and nothing else) each model above is a whole
    pack, and greedy tokens can be compared where only text goes in and out, as in a browser.
    """
    alphabet = {chr(0x4E00 + token): token for token in range(VOCAB)}
    tokenizer = Tokenizer(BPE(vocab=alphabet, merges=[]))
    tokenizer.decoder = Fuse()
    tokenizer.add_special_tokens([chr(0x4E00 + token) for token in SPECIAL])
    folder.mkdir(exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    text = "".join(alphabet)
    assert tokenizer.encode(text).ids == list(range(VOCAB))
    assert tokenizer.decode(list(range(VOCAB)), skip_special_tokens=False) == text


def main():
    save_tokenizer(HERE / "text")
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    for name, (config, layout, storage, max_shard) in MODELS.items():
        make(name, config, layout, storage, max_shard)


if __name__ == "__main__":
    main()
