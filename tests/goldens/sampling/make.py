"""Makes probabilities.json: what Hugging Face's sampling chain makes of fixed logits.

    pip install torch==2.15.0 transformers==5.23.0
    python tests/goldens/sampling/make.py

A case is a vector of logits, the ids already in the text, and the knobs; the answer is the
distribution a token would be drawn from. A knob that is absent is off. The order is that of
transformers' `generate`: repetition penalty, temperature, top-k, top-p, min-p; each sees the
distribution that the one before left, renormalized.
"""

import json
import platform
from pathlib import Path

import torch
import transformers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

HERE = Path(__file__).parent

LOGITS = {
    # Spread like a real model's: a few good candidates and a long tail.
    "graded": [2.1, -0.4, 3.7, 0.9, -1.8, 3.1, 0.2, -2.6, 1.4, -0.9, 2.8, -3.3, 0.6, -1.2, 1.9, -4.1],
    "peaked": [-3.0, 0.5, 11.0, -1.5, 2.0, -6.0, 4.5, -0.25],
    # Two pairs are equal: top-k keeps a tie whole.
    "ties": [1.0, 3.0, 3.0, 2.0, 2.0, -1.0],
    "flat": [0.31, 0.29, 0.33, 0.27, 0.35, 0.25, 0.37, 0.23, 0.39, 0.21],
    # exp() of these overflows in float32; a softmax must not.
    "huge": [200.0, 199.0, -200.0, 197.5, 0.0],
    "masked": [0.5, -1e9, 1.5, -1e9, 1.0],
    "single": [0.75],
}

TEMPERATURE = [0.05, 0.7, 1.0, 1.5]
TOP_K = [1, 3, 5, 1000]
TOP_P = [0.01, 0.5, 0.9, 0.97]
MIN_P = [0.02, 0.1, 0.5, 1.0]
PENALTY = [1.1, 1.8, 0.7]
COMBINATIONS = [
    dict(temperature=0.7, top_k=4),
    dict(temperature=0.7, top_p=0.8),
    dict(temperature=1.6, min_p=0.1),
    dict(top_k=5, top_p=0.75),
    dict(top_k=6, min_p=0.12),
    dict(top_p=0.85, min_p=0.2),
    dict(temperature=0.8, top_k=6, top_p=0.9, min_p=0.05),
    dict(repetition_penalty=1.3, temperature=0.8),
    dict(repetition_penalty=1.3, temperature=0.8, top_k=6, top_p=0.9, min_p=0.05),
    dict(repetition_penalty=1.15, temperature=1.3, top_k=4, top_p=0.95),
]
# How near to a threshold a candidate may be before two right programs could disagree about it.
CLEAR = 1e-4


def processors(knobs, vocab):
    """The chain that `generate` itself would build."""
    # Left alone, transformers would use a top-k of 50.
    config = GenerationConfig(do_sample=True, **{"top_k": 0, **knobs})
    tiny = LlamaForCausalLM(
        LlamaConfig(vocab_size=vocab, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    )
    return tiny._get_logits_processor(generation_config=config, input_ids_seq_length=1, device="cpu")


ORDER = [
    "RepetitionPenaltyLogitsProcessor",
    "TemperatureLogitsWarper",
    "TopKLogitsWarper",
    "TopPLogitsWarper",
    "MinPLogitsWarper",
]


def distribution(logits, history, knobs, dtype):
    chain = processors(knobs, len(logits))
    names = [type(step).__name__ for step in chain]
    assert [name for name in ORDER if name in names] == names, names
    scores = torch.tensor([logits], dtype=dtype)
    for step in chain:
        check_clear(step, scores)
        scores = step(torch.tensor([history], dtype=torch.long), scores)
    return torch.softmax(scores, -1)[0]


def check_clear(step, scores):
    probabilities = torch.softmax(scores.double(), -1)[0]
    if hasattr(step, "top_p"):
        sums = probabilities.sort().values.cumsum(0)
        assert (sums - (1 - step.top_p)).abs().min() > CLEAR, (step.top_p, scores)
    if hasattr(step, "min_p") and step.min_p < 1:
        limit = step.min_p * probabilities.max()
        assert ((probabilities - limit).abs() > CLEAR * limit).all(), (step.min_p, scores)


def cases():
    plans = [{}]
    plans += [{"temperature": value} for value in TEMPERATURE]
    plans += [{"top_k": value} for value in TOP_K]
    plans += [{"top_p": value} for value in TOP_P]
    plans += [{"min_p": value} for value in MIN_P]
    for name in LOGITS:
        for knobs in plans:
            # Which of two equal candidates top-p drops is nobody's business.
            if not (name == "ties" and "top_p" in knobs):
                yield name, [], knobs
    for name in ("graded", "flat", "peaked"):
        for knobs in COMBINATIONS:
            yield name, [2, 5, 5, 0, 7, 2], knobs
    for penalty in PENALTY:
        # A repeated id counts once; the penalty divides positive logits and multiplies negative ones.
        for name, history in [("graded", [2, 2, 2, 4, 11]), ("ties", [1]), ("peaked", [2, 0]), ("graded", [])]:
            yield name, history, {"repetition_penalty": penalty}


def main():
    transformers.logging.set_verbosity_error()
    out = []
    for name, history, knobs in cases():
        probabilities = distribution(LOGITS[name], history, knobs, torch.float32)
        exact = distribution(LOGITS[name], history, knobs, torch.float64)
        assert (probabilities - exact).abs().max() < 5e-6, (name, knobs)
        # A tail below any float32 sum's resolution says nothing.
        expected = [float(f"{p:.7g}") if p > 1e-12 else 0.0 for p in exact.tolist()]
        out.append({"logits": name, "history": history, **knobs, "probabilities": expected})
    made = {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
    }
    body = ",\n".join("    " + json.dumps(case) for case in out)
    vectors = ",\n".join(f'    "{name}": {json.dumps(values)}' for name, values in LOGITS.items())
    text = f'{{\n  "made_with": {json.dumps(made)},\n  "logits": {{\n{vectors}\n  }},\n  "cases": [\n{body}\n  ]\n}}\n'
    json.loads(text)
    (HERE / "probabilities.json").write_text(text)
    print(f"{len(out)} cases, {len(text) / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
