"""Makes the tiny random models that sprat-model's numbers are checked against.

Hugging Face transformers computes the expected values (CPU, float32, eager attention) and the
same weights in float64 say how exact those are. Run it from anywhere:

    pip install torch==2.15.0 transformers==5.23.0 tokenizers==0.23.3 safetensors==0.8.0 numpy==2.4.6
    python tests/goldens/model/make.py [NAME...]

Each model is a folder as people have it from Hugging Face, plus

    golden.json         token ids, the greedy continuation, and statistics of each of its steps;
                        of a mixture of experts also "experts": per layer that has them and per
                        token of the sequence, the experts it was routed to, in ascending order;
                        of deepseek_v3-negative "zero_masked_experts" too, those that programs
                        choose which mask the experts of the other groups with 0.0
    golden.safetensors  "sequence.logits" [24, vocab] and "single.logits" [1, vocab], float32

text/ holds a tokenizer for all of them in which every id is one character.

The weights are far larger than a trained model's, norm weights are not ones and biases are not
zeros, so that a forgotten norm, a wrong rotation or a swapped head shows in the first decimals.

The continuation is computed without a cache: each step runs the whole text so far. That matters
where RoPE's frequencies follow from the text's length, as in llama-rope-dynamic: every step rotates
all of its keys anew, and a cache of rotated keys gives other tokens.
"""

import copy
import json
import math
import platform
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import safetensors
import torch
import transformers
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.decoders import Fuse
from tokenizers.models import BPE
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, LlamaConfig, PreTrainedConfig, Qwen2Config, Qwen3Config

import edges
import families

HERE = Path(__file__).parent
VOCAB = 256
SPECIAL = (0, 1, 2)
SEQUENCE, PROMPT, GREEDY = 24, 8, 64
# The continuation of the models in families.py and edges.py.
FAMILY_GREEDY = 32
# The distance of the two best logits at every greedy step. Backends differ by about 1e-5.
MIN_LOGIT_MARGIN = 0.02
# The distance of a router's last chosen and first unchosen score, of about 1e-6 between backends.
MIN_ROUTER_MARGIN = 0.001
# How far float32 may be from float64, so that a test's tolerance is for the program under test.
MAX_FLOAT32_ERROR = 1.5e-5
# A continuation that circles around three tokens proves little: this part of it must be distinct.
MIN_DISTINCT = 3 / 8

EAGER = dict(attn_implementation="eager", experts_implementation="eager")

COMMON = dict(
    vocab_size=VOCAB,
    max_position_embeddings=128,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=0,
    use_cache=False,
)


class Golden(NamedTuple):
    config: PreTrainedConfig
    # Of config.json: "v5", "classic", or all of its keys.
    layout: str | dict
    storage: torch.dtype
    # Largest shard in bytes.
    max_shard: int | None
    greedy: int = GREEDY
    # The mean of the routers' correction biases.
    router_bias: float = 0.0


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


def goldens():
    made = {name: Golden(*fields) for name, fields in MODELS.items()}
    for layout, configs in (("v5", families.V5 | edges.V5), ("classic", families.CLASSIC | edges.CLASSIC)):
        for name, keys in configs.items():
            # Some configs move keys about in the nested dicts they are given.
            config = CONFIG_MAPPING[keys["model_type"]].from_dict(copy.deepcopy(keys))
            layout_or_keys = keys if layout == "classic" else layout
            bias = edges.ROUTER_BIAS.get(name, 0.0)
            made[name] = Golden(config, layout_or_keys, torch.float16, None, FAMILY_GREEDY, bias)
    return made


def router_biases(model):
    return [buffer for name, buffer in model.named_buffers() if name.endswith("e_score_correction_bias")]


def build(config, storage, router_bias, seed):
    """A model whose every parameter is random; rounded to what `storage` can hold."""
    generator = torch.Generator().manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, **EAGER)
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            if "norm" in name:
                weight.uniform_(0.5, 1.5, generator=generator)
            elif name.endswith("bias"):
                weight.normal_(0.0, 0.5, generator=generator)
            else:
                weight.normal_(0.0, 0.3, generator=generator)
            weight.copy_(weight.to(storage).to(torch.float32))
        for bias in router_biases(model):
            bias.normal_(router_bias, 0.2, generator=generator)
            bias.copy_(bias.to(storage).to(torch.float32))
    return model.eval()


@torch.no_grad()
def logits(model, ids):
    if model.config.rope_parameters.get("rope_type") == "dynamic":
        # It keeps the frequencies of the longest text so far until it sees a short one.
        model(torch.tensor([ids[:1]]))
    return model(torch.tensor([ids])).logits[0]


def router_margin(router, router_logits, negative):
    """The least distance between what a router chose and what it did not, over all tokens."""
    deepseek_v3 = hasattr(router, "e_score_correction_bias")
    if deepseek_v3:
        scores = router_logits.sigmoid() + router.e_score_correction_bias
    else:
        scores = router_logits.softmax(-1)
    margins = []
    if deepseek_v3 or getattr(router, "topk_method", "greedy") == "group_limited_greedy":
        grouped = scores.view(len(scores), router.num_group, -1)
        group_scores = grouped.topk(2 if deepseek_v3 else 1).values.sum(-1)
        ranked, order = group_scores.sort(descending=True)
        margins.append(ranked[:, router.topk_group - 1] - ranked[:, router.topk_group])
        masked = torch.zeros_like(group_scores, dtype=torch.bool).scatter(1, order[:, router.topk_group :], True)
        scores = grouped.masked_fill(masked[..., None], -math.inf).flatten(1)
    ranked = scores.sort(descending=True).values
    margins.append(ranked[:, router.top_k - 1] - ranked[:, router.top_k])
    if deepseek_v3:
        # Programs mask the experts of the other groups with -inf, as here, or with 0.0. Both choose
        # the same ones as long as every chosen score is positive; if it may be negative, it is clear
        # at least which scores are.
        chosen = ranked[:, : router.top_k]
        margins.append((chosen.abs() if negative else chosen).min(-1).values)
    return torch.cat(margins).min().item()


def reroute(excluded):
    """A hook that routes as DeepSeek-V3 does, with `excluded` for scores outside of the best groups."""

    def hook(router, _, output):
        router_logits, _, _ = output
        scores = router_logits.sigmoid()
        grouped = (scores + router.e_score_correction_bias).view(len(scores), router.num_group, -1)
        best = grouped.topk(2).values.sum(-1).topk(router.topk_group).indices
        masked = torch.ones(grouped.shape[:2], dtype=torch.bool).scatter(1, best, False)
        chosen = grouped.masked_fill(masked[..., None], excluded).flatten(1).topk(router.top_k).indices
        weights = scores.gather(1, chosen)
        if router.norm_topk_prob:
            weights = weights / (weights.sum(-1, keepdim=True) + 1e-20)
        return router_logits, weights * router.routed_scaling_factor, chosen

    return hook


def routing(model, ids, negative=False, hook=None):
    """Per layer with experts and per token the chosen ones, and how clear the closest choice was."""
    experts, margins = [], [math.inf]

    def record(router, _, output):
        router_logits, _, chosen = output
        experts.append(chosen.sort().values.tolist())
        margins.append(router_margin(router, router_logits, negative))

    routers = [module for module in model.modules() if type(module).__name__.lower().endswith("topkrouter")]
    # A later hook sees what an earlier one made of the output.
    handles = [router.register_forward_hook(each) for each in (hook, record) if each for router in routers]
    logits(model, ids)
    for handle in handles:
        handle.remove()
    return experts, min(margins)


def greedy(model, prompt, length, weak_margin):
    """The greedy continuation, or None once a step is too close to call or would end the text."""
    ids, steps = list(prompt), []
    for _ in range(length):
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
    model.to(storage)
    for bias in router_biases(model):
        # As DeepSeek stores it, whatever the weights are.
        bias.data = bias.data.to(torch.float32)
    model.save_pretrained(folder, max_shard_size=max_shard or "1GB")
    model.to(torch.float32)
    (folder / "generation_config.json").unlink(missing_ok=True)
    path = folder / "config.json"
    config = json.loads(path.read_text())
    if layout == "classic":
        config = classic(config)
    elif layout != "v5":
        config = layout | {"architectures": config["architectures"], "torch_dtype": config["dtype"]}
        config = dict(sorted(config.items()))
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


def float32_error(model, ids):
    exact = logits(copy.deepcopy(model).double(), ids)
    return (exact - logits(model, ids)).abs().max().item()


def clear(model, sequence, text, negative):
    routed = min(routing(model, ids, negative)[1] for ids in (sequence, text))
    return routed >= MIN_ROUTER_MARGIN and float32_error(model, sequence) <= MAX_FLOAT32_ERROR


def make(name, config, layout, storage, max_shard, length, router_bias):
    negative = router_bias < 0
    for seed in range(10_000):
        model = build(config, storage, router_bias, seed)
        ids = torch.randint(3, VOCAB, (SEQUENCE + PROMPT,), generator=torch.Generator().manual_seed(seed))
        sequence, prompt = ids[:SEQUENCE].tolist(), ids[SEQUENCE:].tolist()
        steps = greedy(model, prompt, length, MIN_LOGIT_MARGIN)
        tokens = [step["token"] for step in steps or []]
        if len(set(tokens)) >= MIN_DISTINCT * length and clear(model, sequence, prompt + tokens, negative):
            break
    else:
        raise SystemExit(f"{name}: no seed gives a clear greedy path")

    single = [sequence[0]]
    tensors = {"sequence.logits": logits(model, sequence), "single.logits": logits(model, single)}
    folder = HERE / name
    save(folder, model, layout, storage, max_shard)
    save_file({key: value.contiguous() for key, value in tensors.items()}, folder / "golden.safetensors")

    # What was written must give the same numbers again.
    again = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **EAGER).eval()
    assert torch.equal(logits(again, sequence), tensors["sequence.logits"]), name
    error = float32_error(again, sequence)

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
    experts, _ = routing(model, sequence)
    if experts:
        golden["experts"] = experts
    if negative:
        # Transformers masks with -inf, as DeepSeek's own code does; it once masked with 0.0.
        assert routing(model, sequence, negative, reroute(-math.inf))[0] == experts, name
        zero_masked, _ = routing(model, sequence, negative, reroute(0.0))
        assert all(ours != others for ours, others in zip(experts, zero_masked, strict=True)), name
        golden["zero_masked_experts"] = zero_masked
    (folder / "golden.json").write_text(lines(rounded(golden)))
    for file in folder.iterdir():
        file.chmod(0o644)
    distinct = len(set(golden["greedy"]))
    size = sum(file.stat().st_size for file in folder.iterdir())
    scale = tensors["sequence.logits"].abs().max().item()
    print(
        f"{name:21} seed {seed:4}  {distinct} distinct tokens  min margin {golden['min_logit_margin']:.4f}"
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
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    models = goldens()
    names = sys.argv[1:] or list(models)
    if unknown := set(names) - set(models):
        raise SystemExit(f"no such golden: {', '.join(sorted(unknown))}")
    save_tokenizer(HERE / "text")
    for name in names:
        make(name, *models[name])


if __name__ == "__main__":
    main()
