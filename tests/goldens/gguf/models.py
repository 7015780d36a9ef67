"""Makes GGUF files of goldens in tests/goldens/model as llama.cpp's convert_hf_to_gguf.py makes them.

Names, rows and metadata are those of `--outtype f16`: f16 matrices, but f32 for whatever llama.cpp
only computes in f32. Run it from anywhere:

    pip install gguf==0.19.0 safetensors==0.8.0 numpy==2.4.6 sentencepiece==0.2.3 tokenizers==0.23.3
    python tests/goldens/gguf/models.py

    models/<golden>.gguf         the golden; without a vocabulary, for it has none
    parts/                       one of them in three files
    models/tokenizer-gpt2.gguf   only a vocabulary: the byte-level BPE of tests/goldens/tokenizer
    models/tokenizer-llama.gguf  only a vocabulary: a SentencePiece BPE trained on TRAINING
    tokenizers.json              the ids that `tokenizers` and `sentencepiece` give for some texts;
                                 nothing is added before or after a text

Where the files are not what the converter makes of these very goldens, a comment says why: they hold
what it makes of released models.

The converter knows a config.json as transformers loads it, with the defaults of its class; a key that
only the class adds, such as lfm2's `layer_types`, is worked out here.
"""

import io
import json
import math
import re
from pathlib import Path

import numpy as np
import sentencepiece
from gguf import (
    GGML_QUANT_VERSION,
    ExpertGatingFuncType,
    GGUFReader,
    GGUFType,
    GGUFValueType,
    GGUFWriter,
    LlamaFileType,
    Metadata,
    TokenType,
    get_tensor_name_map,
    size_label,
)
from gguf.constants import MODEL_ARCH, MODEL_ARCH_NAMES
from safetensors.numpy import load_file
from tokenizers import Regex, Tokenizer, pre_tokenizers

HERE = Path(__file__).parent
GOLDENS = HERE.parent
OUT = HERE / "models"
PARTS = HERE / "parts"
# Routers and short convolutions are matrices that llama.cpp keeps in f32, and so are all norms.
FLOAT32 = ("_norm.weight", ".ffn_gate_inp.weight", ".shortconv.conv.weight")


def rope(config):
    """The RoPE rule: `rope_parameters`, where transformers 5 wrote the file, or the older keys."""
    old = (config.get("rope_scaling") or {}) | {"rope_theta": config.get("rope_theta", 10000.0)}
    rule = config.get("rope_parameters", old)
    return rule.get("full_attention", rule)


def common(writer, config):
    """What is written for every decoder; a golden has no linear or YaRN scaling."""
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_rope_freq_base(rope(config)["rope_theta"])
    local = config.get("rope_parameters", {}).get("sliding_attention")
    if local is not None:
        writer.add_rope_freq_base_swa(local["rope_theta"])
    writer.add_layer_norm_rms_eps(config.get("rms_norm_eps", config.get("norm_eps")))
    for key, add in (
        ("num_experts", writer.add_expert_count),
        ("num_experts_per_tok", writer.add_expert_used_count),
        ("n_group", writer.add_expert_group_count),
        ("topk_group", writer.add_expert_group_used_count),
    ):
        if key in config:
            add(config[key])
    if "scoring_func" in config:
        writer.add_expert_gating_func(ExpertGatingFuncType[config["scoring_func"].upper()])
    if "head_dim" in config:
        writer.add_key_length(config["head_dim"])
        writer.add_value_length(config["head_dim"])
    writer.add_file_type(LlamaFileType.MOSTLY_F16)


def halves_to_pairs(rows, heads):
    """Rows of q or k, so that RoPE's pair (i, i + d/2) of a head becomes (2i, 2i + 1)."""
    return rows.reshape(heads, 2, -1, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def stacked(tensors, parts=("down_proj", "gate_proj", "up_proj")):
    """A layer's experts as one tensor for each part: expert, output, input."""
    experts = {}
    for name, data in tensors:
        if ".experts." not in name:
            yield name, data
            continue
        layer, rest = name.split("experts.")
        number, part, _ = rest.split(".")
        experts.setdefault(layer, {})[part, int(number)] = data
    for layer, found in experts.items():
        for part in parts:
            numbers = sorted(number for each, number in found if each == part)
            assert numbers == list(range(len(numbers)))
            data = np.stack([found[part, number] for number in numbers])
            yield f"{layer}experts.{part}.weight", data


def llama(writer, config, tensors):
    common(writer, config)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_rope_dimension_count(config["head_dim"])
    rule = rope(config)
    if rule.get("rope_type") == "llama3":
        # The converter takes 8192 for the old length whatever the file says, which is what every
        # Llama 3 has. The golden has another one, and only with that do these factors fit it.
        old, low, high = (
            rule["original_max_position_embeddings"],
            rule["low_freq_factor"],
            rule["high_freq_factor"],
        )
        factors = []
        for i in range(0, config["head_dim"], 2):
            turns = old * rule["rope_theta"] ** (-i / config["head_dim"]) / (2 * math.pi)
            smooth = min(max((turns - low) / (high - low), 0), 1)
            factors.append(1 / ((1 - smooth) / rule["factor"] + smooth))
        yield "rope_freqs.weight", np.array(factors, dtype=np.float32)
    heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
    for name, data in tensors:
        kind = name.split(".")[-2]
        yield name, halves_to_pairs(data, heads[kind]) if kind in heads else data


def plain(writer, config, tensors):
    common(writer, config)
    return tensors


def gemma3(writer, config, tensors):
    # Nothing says which layers are global (llama.cpp: every sixth), nor `query_pre_attn_scalar`
    # (llama.cpp: the head's size, or hidden / heads in a model of 62 layers).
    common(writer, config)
    writer.add_sliding_window(config["sliding_window"])
    for name, data in tensors:
        # In f32, as from Gemma's own bf16: the converter adds in f16 only where the file is f16.
        yield name, data.astype(np.float32) + 1 if name.endswith("norm.weight") else data


def lfm2(writer, config, tensors):
    # A convolution is a layer without heads for keys.
    attention = config["full_attn_idxs"]
    heads = [
        config["num_key_value_heads"] if i in attention else 0
        for i in range(config["num_hidden_layers"])
    ]
    # The width that the weights have, not the one in config.json.
    assert config["block_auto_adjust_ff_dim"]
    width = int(config["block_ffn_dim_multiplier"] * int(2 * config["block_ff_dim"] / 3))
    step = config["block_multiple_of"]
    width = -(-width // step) * step
    common(writer, config | {"num_key_value_heads": heads, "intermediate_size": width})
    writer.add_vocab_size(config["vocab_size"])
    writer.add_shortconv_l_cache(config["conv_L_cache"])
    for name, data in tensors:
        yield name, data.squeeze(1) if ".conv.conv." in name else data


def phi3(writer, config, tensors):
    share = rope(config).get("partial_rotary_factor", 1.0)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_rope_scaling_orig_ctx_len(config["original_max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(int(share * config["hidden_size"]) // config["num_attention_heads"])
    writer.add_rope_freq_base(rope(config)["rope_theta"])
    writer.add_file_type(LlamaFileType.MOSTLY_F16)
    writer.add_sliding_window(config["sliding_window"] or 0)
    return tensors


def qwen3moe(writer, config, tensors):
    common(writer, config)
    writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
    # llama.cpp knows no dense layers here, so its converter refuses the golden's; they are given
    # the names of all other architectures. Nor does it know `norm_topk_prob`: true is taken.
    assert config["norm_topk_prob"]
    for name, data in stacked(tensors):
        dense = re.fullmatch(r"model\.layers\.(\d+)\.mlp\.(down|gate|up)_proj\.weight", name)
        yield f"blk.{dense[1]}.ffn_{dense[2]}.weight" if dense else name, data


def deepseek2(writer, config, tensors):
    # Attention is described as llama.cpp computes it, on the compressed keys: one head of keys,
    # with the rank in place of the part without RoPE. The sizes of the real heads are the _mla ones.
    rank, turned = config["kv_lora_rank"], config["qk_rope_head_dim"]
    heads, key, value = config["num_attention_heads"], config["qk_nope_head_dim"], config["v_head_dim"]
    described = {k: v for k, v in config.items() if k != "head_dim"}
    # Releases name the function, which transformers 5 leaves to the model's class.
    described["scoring_func"] = {"deepseek_v2": "softmax", "deepseek_v3": "sigmoid"}[config["model_type"]]
    common(writer, described | {"num_key_value_heads": 1})
    writer.add_leading_dense_block_count(config["first_k_dense_replace"])
    writer.add_vocab_size(config["vocab_size"])
    if config["q_lora_rank"] is not None:
        writer.add_q_lora_rank(config["q_lora_rank"])
    writer.add_kv_lora_rank(rank)
    writer.add_key_length(rank + turned)
    writer.add_value_length(rank)
    writer.add_key_length_mla(key + turned)
    writer.add_value_length_mla(value)
    writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
    writer.add_expert_count(config["n_routed_experts"])
    writer.add_expert_shared_count(config["n_shared_experts"])
    writer.add_expert_weights_scale(config["routed_scaling_factor"])
    if config["norm_topk_prob"]:
        writer.add_expert_weights_norm(True)
    writer.add_rope_dimension_count(turned)
    for name, data in stacked(tensors):
        if "kv_b_proj" in name:
            # The keys' half is applied to queries, so it is turned over.
            both = data.reshape(heads, key + value, rank)
            yield name.replace("kv_b", "k_b"), both[:, :key].swapaxes(1, 2)
            yield name.replace("kv_b", "v_b"), both[:, key:]
        else:
            yield name.replace("e_score_correction_bias", "e_score_correction.bias"), data


MODELS = {
    "llama-gqa-tied": (MODEL_ARCH.LLAMA, llama),
    "llama-rope-llama3": (MODEL_ARCH.LLAMA, llama),
    "qwen2-bias-untied": (MODEL_ARCH.QWEN2, plain),
    "qwen3-qknorm-tied": (MODEL_ARCH.QWEN3, plain),
    "gemma3_text": (MODEL_ARCH.GEMMA3, gemma3),
    "lfm2": (MODEL_ARCH.LFM2, lfm2),
    "phi3": (MODEL_ARCH.PHI3, phi3),
    "olmo2": (MODEL_ARCH.OLMO2, plain),
    "qwen3_moe": (MODEL_ARCH.QWEN3MOE, qwen3moe),
    "deepseek_v2-lite": (MODEL_ARCH.DEEPSEEK2, deepseek2),
    "deepseek_v3": (MODEL_ARCH.DEEPSEEK2, deepseek2),
}


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def make_model(golden, arch, convert):
    folder = GOLDENS / "model" / golden
    config = json.loads((folder / "config.json").read_text())
    names = get_tensor_name_map(arch, config["num_hidden_layers"])
    writer = GGUFWriter(OUT / f"{golden}.gguf", MODEL_ARCH_NAMES[arch])
    written = {}
    for name, data in convert(writer, config, load_file(folder / "model.safetensors").items()):
        if not name.startswith(("blk.", "rope_freqs.")):
            source, name = name, names.get_name(name, try_suffixes=(".weight", ".bias"))
            assert name is not None, source
        small = data.ndim == 1 or name.endswith(FLOAT32) or not name.endswith(".weight")
        written[name] = np.ascontiguousarray(data, dtype=np.float32 if small else np.float16)
        assert np.isfinite(written[name]).all(), name
        writer.add_tensor(name, written[name])

    # The converter has the tensors before the metadata, whose size label counts them; in the file,
    # general keys come first. The model's own keys are therefore put back behind them.
    own = dict(list(writer.kv_data[0].items())[1:])
    for key in own:
        del writer.kv_data[0][key]
    writer.add_type(GGUFType.MODEL)
    total, shared, expert, count = writer.get_total_parameter_count()
    about = Metadata(name=golden, size_label=size_label(total, shared, expert, count))
    about.set_gguf_meta_model(writer)
    writer.kv_data[0].update(own)
    writer.add_quantization_version(GGML_QUANT_VERSION)
    writer.add_tokenizer_model("none")
    finish(writer)

    reader = GGUFReader(OUT / f"{golden}.gguf")
    assert [tensor.name for tensor in reader.tensors] == list(written)
    for tensor in reader.tensors:
        # As the format has it, the last dimension comes first.
        assert tensor.shape.tolist() == list(reversed(written[tensor.name].shape)), tensor.name
        assert tensor.data.tobytes() == written[tensor.name].tobytes(), tensor.name


TEXTS = [
    "",
    "Hello, world!",
    "the cat and the other cat",
    " leading and trailing ",
    "a  b   c    d",
    "one\ntwo\n\nthree\r\n\tfour \n five",
    "naïve café, Ærøskøbing, Straße",
    "emoji 🐟 and 👩‍🚀, then 世界",
    "In 2024, 12345 x 0.5 = 6172.5",
    "IT'S we'll they've don't",
    "'They answer' and 'The light'",
    "def f(x):\n    return x**2  # ok\n",
    "   ",
    "\n",
]
# Control tokens, which become their ids where they stand in a text; SentencePiece knows no such rule.
MARKED = "<|user|>Hello<|end|>\n<|assistant|>"
TRAINING = [
    "The quick brown fox jumps over the lazy dog, and the dog sleeps on.",
    "Hello there! The other day the cat and the dog went to the café.",
    "A naïve reader may think that the weather is the same there as here.",
    "They have one thing in common: they don't know what they want.",
    "return the number of words in the text, then print the result",
    "In the year 2024 there were 365 days and 1 more; 50 x 12 = 600.",
    "Die Straße ist lang, und das Wasser dort ist kalt.",
    "the  text   with    several     spaces",
]
TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
# What `tokenizer.ggml.pre` "qwen2" stands for.
QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def make_parts(golden):
    """The same model in several files, as gguf-split cuts them."""
    reader = GGUFReader(OUT / f"{golden}.gguf")
    architecture = reader.fields["general.architecture"].contents()
    PARTS.mkdir(exist_ok=True)
    writer = GGUFWriter(PARTS / f"{golden}.gguf", architecture, split_max_tensors=8)
    for name, field in reader.fields.items():
        if not name.startswith("GGUF.") and name != "general.architecture":
            sub_type = field.types[-1] if field.types[0] == GGUFValueType.ARRAY else None
            writer.add_key_value(name, field.contents(), field.types[0], sub_type)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    finish(writer)
    assert len(list(PARTS.glob("*.gguf"))) == 3


def vocabulary(name, arch, model, pre):
    writer = GGUFWriter(OUT / f"{name}.gguf", arch)
    writer.add_type(GGUFType.MODEL)
    writer.add_name(name)
    writer.add_quantization_version(GGML_QUANT_VERSION)
    writer.add_tokenizer_model(model)
    writer.add_tokenizer_pre(pre)
    return writer


def make_gpt2():
    source = GOLDENS / "tokenizer" / "tokenizer.json"
    described = json.loads(source.read_text())
    special = {token["id"]: token["content"] for token in described["added_tokens"]}
    ids = described["model"]["vocab"] | {content: number for number, content in special.items()}
    tokens = sorted(ids, key=ids.get)
    assert [ids[token] for token in tokens] == list(range(len(tokens)))
    # Later files of `tokenizers` have pairs, earlier ones a line; no token has a space in it.
    merges = [m if isinstance(m, str) else " ".join(m) for m in described["model"]["merges"]]
    assert all(merge.count(" ") == 1 for merge in merges)

    writer = vocabulary("tokenizer-gpt2", "qwen2", "gpt2", "qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(
        [TokenType.CONTROL if i in special else TokenType.NORMAL for i in range(len(tokens))]
    )
    writer.add_token_merges(merges)
    writer.add_bos_token_id(ids["<|start|>"])
    writer.add_eos_token_id(ids["<|end|>"])
    writer.add_pad_token_id(ids["<|pad|>"])
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)
    finish(writer)

    # The file names Qwen's rule for words, which is not the one of tokenizer.json.
    tokenizer = Tokenizer.from_file(str(source))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    ids = {t: tokenizer.encode(t, add_special_tokens=False).ids for t in [*TEXTS, MARKED]}
    other = Tokenizer.from_file(str(source))
    assert any(other.encode(t, add_special_tokens=False).ids != ids[t] for t in TEXTS)
    return ids


def make_llama():
    trained = io.BytesIO()
    # As Llama's was trained, but on less.
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TRAINING),
        model_writer=trained,
        model_type="bpe",
        vocab_size=400,
        character_coverage=1.0,
        byte_fallback=True,
        split_digits=True,
        allow_whitespace_only_pieces=True,
        remove_extra_whitespaces=False,
        normalization_rule_name="identity",
        num_threads=1,
        minloglevel=2,
    )
    model = sentencepiece.SentencePieceProcessor(model_proto=trained.getvalue())
    every = range(model.vocab_size())

    def kind(i):
        for is_kind, found in (
            (model.is_unknown, TokenType.UNKNOWN),
            (model.is_control, TokenType.CONTROL),
            (model.is_unused, TokenType.UNUSED),
            (model.is_byte, TokenType.BYTE),
        ):
            if is_kind(i):
                return found
        return TokenType.NORMAL

    writer = vocabulary("tokenizer-llama", "llama", "llama", "default")
    writer.add_token_list([model.id_to_piece(i) for i in every])
    writer.add_token_scores([model.get_score(i) for i in every])
    writer.add_token_types([kind(i) for i in every])
    writer.add_bos_token_id(model.bos_id())
    writer.add_eos_token_id(model.eos_id())
    writer.add_unk_token_id(model.unk_id())
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    finish(writer)
    return {text: model.encode(text) for text in TEXTS}


def main():
    OUT.mkdir(exist_ok=True)
    for golden, (arch, convert) in MODELS.items():
        make_model(golden, arch, convert)
    make_parts("llama-rope-llama3")
    ids = {"gpt2": make_gpt2(), "llama": make_llama()}
    lines = (
        f" {json.dumps(kind)}: {{\n"
        + ",\n".join(f"  {json.dumps(t, ensure_ascii=False)}: {ids}" for t, ids in texts.items())
        + "\n }"
        for kind, texts in ids.items()
    )
    (HERE / "tokenizers.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
    assert json.loads((HERE / "tokenizers.json").read_text()) == ids
    for path in [*sorted(OUT.glob("*.gguf")), *sorted(PARTS.glob("*.gguf")), HERE / "tokenizers.json"]:
        path.chmod(0o644)
        assert path.stat().st_size < 120_000, path
        print(f"{path.name:26} {path.stat().st_size:6} bytes")


if __name__ == "__main__":
    main()
