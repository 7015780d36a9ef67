#!/usr/bin/env python3
"""Makes golden adapters: PEFT's LoRA on a tiny Llama, and what PEFT merges them to.

    python make.py      # made with torch 2.15.0, transformers 5.23.0, peft 0.21

Writes beside itself the model's `model.safetensors`, and for each kind of adapter a folder with PEFT's files and `merged.safetensors`.
"""

import shutil
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

HERE = Path(__file__).resolve().parent
KINDS = {
    "plain": dict(r=2, lora_alpha=6, target_modules=["q_proj", "down_proj"]),
    "stabilized": dict(r=3, lora_alpha=4, use_rslora=True, target_modules=["v_proj"], modules_to_save=["lm_head"]),
    "patterns": dict(
        r=2, lora_alpha=4, target_modules=["q_proj", "k_proj"], rank_pattern={"k_proj": 1}, alpha_pattern={"layers.1.self_attn.q_proj": 10}
    ),
}


def model():
    torch.manual_seed(20261127)
    config = LlamaConfig(
        vocab_size=8, hidden_size=8, intermediate_size=12, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
        tie_word_embeddings=False,
    )
    return LlamaForCausalLM(config)


def main():
    tensors = lambda m: {name: x.detach().float().contiguous().clone() for name, x in m.state_dict().items()}
    save_file(tensors(model()), HERE / "model.safetensors")
    for name, settings in KINDS.items():
        adapted = get_peft_model(model(), LoraConfig(task_type="CAUSAL_LM", **settings))
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                # B begins at zero.
                parameter.data.normal_(std=0.3)
        folder = HERE / name
        shutil.rmtree(folder, ignore_errors=True)
        adapted.save_pretrained(folder)
        for file in folder.iterdir():
            if file.name not in ("adapter_config.json", "adapter_model.safetensors"):
                file.unlink()
        save_file(tensors(adapted.merge_and_unload()), folder / "merged.safetensors")


if __name__ == "__main__":
    main()
