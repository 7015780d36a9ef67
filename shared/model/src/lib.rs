//! The model crate of both sides: from Hugging Face's files to tokens.
//!
//! ```text
//! config.json ─▶ ModelConfig ─▶ Decoder ◀─ TensorMap ◀─ *.safetensors, verified against sprat.json
//!                                  │
//! messages ─▶ ChatTemplate ─▶ Tokenizer ─▶ Session::generate ─▶ Token { text, logprob, margin, entropy }
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | `config` | `config.json`, checked: the one thing that decides a model's shape |
//! | `decoder` | embedding, the layers that the config lists, head |
//! | `attention`, `latent`, `short_conv` | what looks at other positions, one mechanism a file |
//! | `mlp`, `experts` | what looks at one position |
//! | `adapter` | LoRA adapters: what is computed beside the weights |
//! | `layers`, `rope`, `pass`, `cache` | linear maps and norms; positions, masks and memory of a pass |
//! | `weights`, `storage` | safetensors to tensors: f32, f16, bf16, blocks of 8-bit and 4-bit integers |
//! | `checkpoint` | Hugging Face folders and GGUF files, read tensor by tensor |
//! | [`gguf`] | the GGUF format: metadata, quantized blocks to f32 |
//! | `pack`, `write` | `sprat.json`: files, hashes, where they come from; writing packs |
//! | `tokenizer`, `template` | text to ids and back, conversations to prompts |
//! | [`tensor`] | burn's tensors, or what stands for them in a page without a GPU |
//! | `cpu`, `matrix` | the CPU's own passes; products with quantized matrices |
//! | `loss`, `fused` | cross entropy; training operations in one pass each, for the CPU |
//! | `session`, `sessions` | what is remembered of one conversation, and of a few |
//! | `sampling`, `sampler`, `generate` | logits to tokens, with the model's confidence in each |
//! | `constraint` | what an answer may be; not in the browser |
//!
//! A [`Device`] carries its backend, so nothing here is generic over one. Tensors stay on the
//! thread that made them; futures are not `Send`.
#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(all(feature = "cpu", feature = "burn", not(feature = "flex")))]
compile_error!("a CPU beside burn's other backends is burn's: switch `flex` on");

mod adapter;
mod attention;
mod cache;
#[cfg(not(target_arch = "wasm32"))]
mod checkpoint;
mod config;
#[cfg(not(target_arch = "wasm32"))]
mod constraint;
#[cfg(feature = "cpu")]
mod cpu;
mod decoder;
mod decoder_layer;
mod distribution;
mod draft;
mod error;
mod experts;
#[cfg(all(feature = "train", feature = "flex"))]
mod fused;
mod generate;
pub mod gguf;
#[cfg(feature = "gpu")]
mod gpu;
#[cfg(any(feature = "all-tokenizers", feature = "all-templates"))]
mod guard;
mod latent;
mod layers;
mod lookup;
#[cfg(feature = "burn")]
mod loss;
mod math;
mod matrix;
mod mlp;
mod model;
mod options;
mod pack;
mod pass;
mod rope;
mod row;
mod sampler;
mod sampling;
mod session;
mod sessions;
mod short_conv;
#[cfg(feature = "gpu")]
mod shortlist;
mod stop_text;
mod storage;
mod template;
pub mod tensor;
mod together;
mod tokenizer;
mod weights;
#[cfg(not(target_arch = "wasm32"))]
mod write;

pub use adapter::{ADAPTER_CONFIG, ADAPTER_WEIGHTS, Adapter, MAX_ADAPTER_SCALE};
#[cfg(feature = "wgpu")]
pub use burn::tensor::DeviceKind;
pub use cache::{Fingerprint, KvCache, KvPool, KvType, PAGE};
#[cfg(not(target_arch = "wasm32"))]
pub use checkpoint::{
    ChatSettings, Checkpoint, GgufModel, ModelFolder, RandomModel, chat_settings, folder_tokenizer,
    gguf_parts, gguf_tokenizer, open_checkpoint,
};
pub use config::{
    Activation, AttentionConfig, ExpertsConfig, Family, FeedForwardConfig, GroupsConfig, Hop,
    LatentConfig, LayerConfig, MixerConfig, MlpConfig, ModelConfig, QkNorm, RouterConfig, Scoring,
    ShortConvConfig,
};
#[cfg(not(target_arch = "wasm32"))]
pub use constraint::Constraint;
pub use decoder::{Decoder, Part};
pub use error::Error;
pub use generate::Generation;
#[cfg(feature = "burn")]
pub use loss::cross_entropy;
pub use options::{Finish, Options, Token};
pub use session::Session;
pub use sessions::Sessions;
#[cfg(feature = "cpu")]
pub use sprat_kernels::crew;
pub use tensor::Device;

/// How many of this crate's GPU kernels this thread has launched: none without a GPU's backend.
#[cfg(not(feature = "gpu"))]
pub fn gpu_dispatches() -> u64 {
    0
}

#[cfg(all(feature = "gpu", not(target_arch = "wasm32")))]
pub use gpu::{GpuProduct, gpu_bandwidth, gpu_products};
#[cfg(feature = "gpu")]
pub use gpu::{gpu_dispatches, gpu_is_software};
pub use model::{LoadProgress, LoadStage, Model};
#[cfg(not(target_arch = "wasm32"))]
pub use pack::DirSource;
pub use pack::{
    Base, CHUNK_BYTES, Check, FORMAT, MANIFEST, Manifest, MemorySource, PackFile, PackSource,
};
pub use rope::{Beyond, BeyondRule, RopeConfig};
pub use sampler::Confidence;
pub use sampling::Sampling;
pub use storage::{BLOCK, Storage};
#[cfg(not(target_arch = "wasm32"))]
pub use storage::{bytes_per_token, weight_bytes};
pub use template::{ChatTemplate, Message};
#[cfg(feature = "all-templates")]
pub use template::{Extras, TemplateValue};
pub use together::{PASS_TOKENS, step_together};
pub use tokenizer::{Detokenizer, Tokenizer};
pub use weights::TensorMap;
#[cfg(not(target_arch = "wasm32"))]
pub use write::{DraftContents, PackContents, ReadTensor, copy_pack, write_files, write_pack};
