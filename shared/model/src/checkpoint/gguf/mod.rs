//! GGUF files as models: llama.cpp's names, layouts and metadata, turned back into Hugging Face's.

mod blocks;
mod config;
mod parts;
mod tensors;
mod tokenizer;

use std::path::Path;

use crate::tensor::Device;

use super::{ChatSettings, Checkpoint, finite, load};
use crate::gguf::Metadata;
use crate::{Error, Family, LoadProgress, ModelConfig, Storage, TensorMap};
use parts::Parts;
pub use parts::gguf_parts;

/// A GGUF file, or several that are one model. Opening reads headers only.
#[derive(Debug)]
pub struct GgufModel {
    name: String,
    file: Parts,
    config: ModelConfig,
}

impl GgufModel {
    /// Opens a file and makes a config of its metadata. Of a model in several files
    /// (`NAME-00001-of-00003.gguf`) any may be named.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Gguf`], [`Error::Unsupported`] for an architecture or option
    /// that we don't run, [`Error::Config`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        let mut file = Parts::open(path)?;
        let config = config::read(&mut file)?;
        Ok(Self {
            name: parts::name(path),
            file,
            config,
        })
    }
}

/// The `tokenizer.json` of a GGUF file, which may hold a vocabulary and nothing else.
///
/// # Errors
/// [`Error::Missing`], [`Error::Gguf`], [`Error::Unsupported`], [`Error::Tokenizer`].
pub fn gguf_tokenizer(path: &Path) -> Result<Vec<u8>, Error> {
    tokenizer::to_json(Parts::open(path)?.metadata())
}

impl Checkpoint for GgufModel {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn config(&self) -> &ModelConfig {
        &self.config
    }

    fn read_tensor(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
        let values = tensors::read(&mut self.file, &self.config, name, shape)?;
        finite(name, values)
    }

    fn load_as_stored(
        &mut self,
        device: &Device,
        progress: &mut dyn FnMut(LoadProgress),
    ) -> Result<TensorMap, Error> {
        load(self, progress, |file, map, name, shape| {
            match blocks::read(&mut file.file, &file.config, name, shape)? {
                Some(blocks) => map.keep(name, &blocks, device),
                None => map.insert(name, shape, file.read_tensor(name, shape)?, device)?,
            }
            Ok(())
        })
    }

    fn stored_as(&self) -> Storage {
        blocks::most(&self.file, &self.config)
    }

    fn tokenizer(&mut self) -> Result<Vec<u8>, Error> {
        tokenizer::to_json(self.file.metadata())
    }

    fn chat(&mut self) -> Result<ChatSettings, Error> {
        let metadata = self.file.metadata();
        let template = metadata.optional("tokenizer.chat_template", Metadata::str)?;
        let token = |key: &str| {
            let Some(id) = metadata.optional(key, Metadata::u64)? else {
                return Ok(String::new());
            };
            let tokens = metadata.strings("tokenizer.ggml.tokens")?;
            let text = usize::try_from(id).ok().and_then(|id| tokens.get(id));
            text.map(|text| (*text).to_owned()).ok_or_else(|| {
                Error::Tokenizer(format!(
                    "{key} = {id} is outside of its {} tokens",
                    tokens.len()
                ))
            })
        };
        Ok(ChatSettings {
            template: template.map(str::to_owned),
            bos_token: token("tokenizer.ggml.bos_token_id")?,
            eos_token: token("tokenizer.ggml.eos_token_id")?,
            eos_token_ids: Vec::new(),
        })
    }
}

/// The families as llama.cpp calls them. DeepSeek's generations share a name.
fn architecture(family: Family) -> Option<&'static str> {
    match family {
        Family::Llama => Some("llama"),
        Family::Qwen2 => Some("qwen2"),
        Family::Qwen3 => Some("qwen3"),
        Family::Gemma3 => Some("gemma3"),
        Family::Lfm2 => Some("lfm2"),
        Family::Phi3 => Some("phi3"),
        Family::Olmo2 => Some("olmo2"),
        Family::Qwen3Moe => Some("qwen3moe"),
        Family::DeepseekV2 | Family::DeepseekV3 => Some("deepseek2"),
        Family::Mistral | Family::SmolLm3 => None,
    }
}
