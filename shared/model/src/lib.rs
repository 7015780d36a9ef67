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
//! | `decoder`, `attention`, `layers`, `rope`, `cache` | the transformer, one mechanism a file |
//! | `weights` | safetensors to tensors and back: f32, f16, bf16, 8-bit blocks |
//! | `pack` | `sprat.json`: files, hashes, where they come from |
//! | `tokenizer`, `template` | text to ids and back, conversations to prompts |
//! | `loss`, `fused` | cross entropy; training operations in one pass each, for the CPU |
//! | `sampler`, `generate` | logits to tokens, with the model's confidence in each |
//!
//! A [`Device`] carries its backend, so nothing here is generic over one. Tensors stay on the
//! thread that made them; futures are not `Send`.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod attention;
mod cache;
mod config;
mod decoder;
mod error;
#[cfg(all(feature = "train", feature = "flex"))]
mod fused;
mod generate;
mod layers;
mod loss;
mod model;
mod pack;
mod rope;
mod sampler;
mod template;
mod tokenizer;
mod weights;

pub use burn::tensor::Device;
#[cfg(feature = "wgpu")]
pub use burn::tensor::DeviceKind;
pub use cache::KvCache;
pub use config::{Family, ModelConfig};
pub use decoder::Decoder;
pub use error::Error;
pub use generate::{Finish, Generation, Options, Session, Token};
pub use loss::cross_entropy;
pub use model::{LoadProgress, LoadStage, Model};
pub use pack::{
    CHUNK_BYTES, Check, FORMAT, MANIFEST, Manifest, MemorySource, PackFile, PackSource,
};
#[cfg(not(target_arch = "wasm32"))]
pub use pack::{DirSource, PackContents, write_pack};
pub use sampler::{Confidence, Sampling};
pub use template::{ChatTemplate, Message};
pub use tokenizer::{Detokenizer, Tokenizer};
pub use weights::{BLOCK, Storage, TensorMap};
