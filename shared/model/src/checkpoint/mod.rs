//! Models as people have them: Hugging Face folders and GGUF files, read tensor by tensor.

mod bpe;
mod folder;
mod gguf;
mod random;
mod tiktoken;

use std::path::Path;

use crate::tensor::Device;

use crate::{Error, LoadProgress, LoadStage, ModelConfig, Storage, TensorMap};

pub use folder::{ModelFolder, chat_settings, folder_tokenizer};
pub use gguf::{GgufModel, gguf_parts, gguf_tokenizer};
pub use random::RandomModel;

/// A model that is not a pack. Nothing vouches for its bytes; every tensor is checked for its shape
/// and for NaN when it is read.
pub trait Checkpoint {
    /// The name of the file or folder.
    fn name(&self) -> String;

    /// The model's shape.
    fn config(&self) -> &ModelConfig;

    /// Reads one tensor, by Hugging Face's name, as f32 in row-major order.
    ///
    /// # Errors
    /// [`Error::TensorMissing`], [`Error::Shape`], [`Error::Dtype`], [`Error::WeightNotFinite`],
    /// [`Error::Missing`] when the file can't be read, [`Error::Gguf`].
    fn read_tensor(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Error>;

    /// The bytes of `tokenizer.json`, found or made.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Tokenizer`].
    fn tokenizer(&mut self) -> Result<Vec<u8>, Error>;

    /// What a conversation needs besides the tokenizer.
    ///
    /// # Errors
    /// [`Error::Json`] for a file that is there but does not parse, [`Error::Gguf`].
    fn chat(&mut self) -> Result<ChatSettings, Error>;

    /// All tensors that the config names, on `device`, with matrices as a pack of that `storage` has
    /// them; [`Storage::F32`] leaves them as they are. Progress counts their bytes as f32.
    ///
    /// # Errors
    /// As [`Checkpoint::read_tensor`].
    fn load_tensors(
        &mut self,
        storage: Storage,
        device: &Device,
        progress: &mut dyn FnMut(LoadProgress),
    ) -> Result<TensorMap, Error> {
        load(self, progress, |source, map, name, shape| {
            let values = source.read_tensor(name, shape)?;
            map.insert_as(storage, name, shape, values, device)
        })
    }

    /// As [`Checkpoint::load_tensors`], with every matrix as it lies in the file: blocks that a pack has too stay blocks,
    /// of which no weight changes, and everything else becomes floats.
    ///
    /// # Errors
    /// As [`Checkpoint::read_tensor`].
    fn load_as_stored(
        &mut self,
        device: &Device,
        progress: &mut dyn FnMut(LoadProgress),
    ) -> Result<TensorMap, Error> {
        self.load_tensors(Storage::F32, device, progress)
    }

    /// What most matrices are stored as after [`Checkpoint::load_as_stored`].
    fn stored_as(&self) -> Storage {
        Storage::F32
    }
}

/// All tensors that the config names, added one by one.
fn load<C: Checkpoint + ?Sized>(
    source: &mut C,
    progress: &mut dyn FnMut(LoadProgress),
    add: impl Fn(&mut C, &mut TensorMap, &str, &[usize]) -> Result<(), Error>,
) -> Result<TensorMap, Error> {
    let bytes = |shape: &[usize]| (shape.iter().product::<usize>() * size_of::<f32>()) as u64;
    let tensors = source.config().tensors();
    let total = tensors.iter().map(|(_, shape)| bytes(shape)).sum();
    let mut map = TensorMap::keeping_blocks();
    let mut done = 0;
    for (name, shape) in tensors {
        add(source, &mut map, &name, &shape)?;
        done += bytes(&shape);
        progress(LoadProgress {
            stage: LoadStage::Weights,
            done,
            total,
        });
    }
    Ok(map)
}

/// What a conversation needs besides the tokenizer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChatSettings {
    /// The chat template; `None` for a model that was not made for conversations.
    pub template: Option<String>,
    /// The token that begins a text, or nothing.
    pub bos_token: String,
    /// The token that ends an answer, or nothing.
    pub eos_token: String,
    /// Further tokens that end an answer, from `generation_config.json`.
    pub eos_token_ids: Vec<u32>,
}

/// Opens a `.gguf` file or a Hugging Face folder. Reads headers only.
///
/// # Errors
/// [`Error::Missing`] for a file that isn't there, [`Error::Json`], [`Error::Unsupported`],
/// [`Error::Config`], [`Error::Safetensors`], [`Error::Gguf`].
pub fn open_checkpoint(path: &Path) -> Result<Box<dyn Checkpoint>, Error> {
    let gguf = path
        .extension()
        .is_some_and(|end| end.eq_ignore_ascii_case("gguf"));
    Ok(match gguf {
        true => Box::new(GgufModel::open(path)?),
        false => Box::new(ModelFolder::open(path)?),
    })
}

fn missing(file: &str) -> impl Fn(std::io::Error) -> Error {
    move |error| Error::Missing {
        file: file.to_owned(),
        reason: error.to_string(),
    }
}

/// That no weight is NaN or infinite.
fn finite(name: &str, values: Vec<f32>) -> Result<Vec<f32>, Error> {
    match values.iter().position(|v| !v.is_finite()) {
        None => Ok(values),
        Some(index) => Err(Error::WeightNotFinite {
            name: name.to_owned(),
            index,
        }),
    }
}
