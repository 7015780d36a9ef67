//! Models as people have them from Hugging Face: a folder with `config.json`, `tokenizer.json` and
//! safetensors in one file or in shards with an index.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, Metadata};
use serde::Deserialize;
use serde_json::Value;

use crate::weights::floats;
use crate::{Error, MANIFEST, ModelConfig, TensorMap};

/// A Hugging Face folder. Opening reads headers only; tensors are read one at a time.
#[derive(Debug)]
pub struct ModelFolder {
    path: PathBuf,
    config: ModelConfig,
    tensors: HashMap<String, Place>,
}

/// Where one tensor lies.
#[derive(Debug, Clone)]
struct Place {
    file: String,
    dtype: Dtype,
    shape: Vec<usize>,
    start: u64,
    bytes: usize,
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

const INDEX: &str = "model.safetensors.index.json";
/// safetensors' own limit on its header.
const MAX_HEADER: u64 = 100_000_000;

#[derive(Deserialize)]
struct Index {
    weight_map: HashMap<String, String>,
}

impl ModelFolder {
    /// Opens a folder: its config, and the headers of its safetensors files.
    ///
    /// # Errors
    /// [`Error::Missing`] for a file that isn't there, [`Error::Json`], [`Error::Unsupported`],
    /// [`Error::Config`], [`Error::Safetensors`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        let config = ModelConfig::from_json(&read(path, "config.json")?)?;
        let mut tensors = HashMap::new();
        for file in weight_files(path)? {
            for (name, place) in header(path, &file)? {
                tensors.insert(name, place);
            }
        }
        Ok(Self {
            path: path.to_owned(),
            config,
            tensors,
        })
    }

    /// The folder's own name.
    pub fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// The model's shape.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Reads one tensor of `shape` as f32.
    ///
    /// # Errors
    /// [`Error::TensorMissing`], [`Error::Shape`], [`Error::Dtype`], [`Error::Missing`] when the
    /// file can't be read, [`Error::WeightNotFinite`].
    pub fn read_tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
        let place = self.tensors.get(name);
        let place = place.ok_or_else(|| Error::TensorMissing(name.to_owned()))?;
        if place.shape != shape {
            return Err(Error::Shape {
                name: name.to_owned(),
                expected: shape.to_vec(),
                actual: place.shape.clone(),
            });
        }
        let mut bytes = vec![0; place.bytes];
        let mut file = open(&self.path, &place.file)?;
        file.seek(SeekFrom::Start(place.start))
            .and_then(|_| file.read_exact(&mut bytes))
            .map_err(missing(&place.file))?;
        let values = floats(name, place.dtype, &bytes)?;
        match values.iter().position(|v| !v.is_finite()) {
            None => Ok(values),
            Some(index) => Err(Error::WeightNotFinite {
                name: name.to_owned(),
                index,
            }),
        }
    }

    /// All tensors that the config names, on `device`.
    ///
    /// # Errors
    /// As [`ModelFolder::read_tensor`].
    pub fn load_tensors(&self, device: &Device) -> Result<TensorMap, Error> {
        let mut map = TensorMap::new();
        for (name, shape) in self.config.tensors() {
            map.insert(&name, &shape, self.read_tensor(&name, &shape)?, device)?;
        }
        Ok(map)
    }

    /// The bytes of `tokenizer.json`.
    ///
    /// # Errors
    /// [`Error::Missing`].
    pub fn tokenizer(&self) -> Result<Vec<u8>, Error> {
        read(&self.path, "tokenizer.json")
    }

    /// Template and special tokens; see [`ModelFolder::chat_settings`].
    ///
    /// # Errors
    /// [`Error::Json`] for a file that is there but does not parse.
    pub fn chat(&self) -> Result<ChatSettings, Error> {
        Self::chat_settings(&self.path)
    }

    /// Template and special tokens of a folder, from `chat_template.jinja`,
    /// `tokenizer_config.json`, `generation_config.json`, or a pack's manifest, as far as they are
    /// there.
    ///
    /// # Errors
    /// [`Error::Json`] for a file that is there but does not parse.
    pub fn chat_settings(folder: &Path) -> Result<ChatSettings, Error> {
        let tokenizer = optional_json(folder, "tokenizer_config.json")?;
        let manifest = optional_json(folder, MANIFEST)?;
        let generation = optional_json(folder, "generation_config.json")?;
        let file = read(folder, "chat_template.jinja").ok();
        let file = file.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let ids = match &generation["eos_token_id"] {
            Value::Array(ids) => ids.iter().filter_map(id).collect(),
            one => id(one).into_iter().collect(),
        };
        let special = |key: &str| match token(&tokenizer[key]) {
            none if none.is_empty() => token(&manifest[key]),
            found => found,
        };
        Ok(ChatSettings {
            template: file.or_else(|| default_template(&tokenizer["chat_template"])),
            bos_token: special("bos_token"),
            eos_token: special("eos_token"),
            eos_token_ids: ids,
        })
    }
}

fn optional_json(folder: &Path, file: &'static str) -> Result<Value, Error> {
    match read(folder, file) {
        Err(_) => Ok(Value::Null),
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| Error::Json {
            file,
            reason: e.to_string(),
        }),
    }
}

fn id(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|id| u32::try_from(id).ok())
}

/// A special token as text, or as an object with its text.
fn token(value: &Value) -> String {
    let text = value.as_str().or_else(|| value["content"].as_str());
    text.unwrap_or_default().to_owned()
}

/// A template, or the one called "default" of several.
fn default_template(value: &Value) -> Option<String> {
    let named = |value: &Value| {
        let default = value.as_array()?.iter().find(|t| t["name"] == "default")?;
        default["template"].as_str().map(str::to_owned)
    };
    value.as_str().map(str::to_owned).or_else(|| named(value))
}

/// The files that hold weights: those of the index, or the single one.
fn weight_files(folder: &Path) -> Result<Vec<String>, Error> {
    if !folder.join(INDEX).exists() {
        return Ok(vec!["model.safetensors".to_owned()]);
    }
    let index: Index = serde_json::from_slice(&read(folder, INDEX)?).map_err(|e| Error::Json {
        file: INDEX,
        reason: e.to_string(),
    })?;
    let mut files: Vec<String> = index.weight_map.into_values().collect();
    files.sort();
    files.dedup();
    match files.iter().find(|file| !is_plain(file)) {
        None => Ok(files),
        Some(file) => Err(Error::Json {
            file: INDEX,
            reason: format!("{file:?} is not a plain file name"),
        }),
    }
}

/// Whether a name stays inside its folder.
fn is_plain(file: &str) -> bool {
    Path::new(file).file_name().is_some_and(|name| name == file)
}

/// Names and places of all tensors in one file. Offsets are checked by safetensors' own parser.
fn header(folder: &Path, file: &str) -> Result<Vec<(String, Place)>, Error> {
    let wrong = |reason: String| Error::Safetensors {
        file: file.to_owned(),
        reason,
    };
    let mut reader = open(folder, file)?;
    let length = reader.metadata().map_err(missing(file))?.len();
    let mut size = [0; 8];
    reader.read_exact(&mut size).map_err(missing(file))?;
    let size = u64::from_le_bytes(size);
    if size > MAX_HEADER.min(length.saturating_sub(8)) {
        return Err(wrong(format!(
            "its header claims {size} bytes of a file of {length}"
        )));
    }
    let mut bytes = (size).to_le_bytes().to_vec();
    bytes.resize(8 + size as usize, 0);
    reader.read_exact(&mut bytes[8..]).map_err(missing(file))?;
    let metadata: Metadata = match SafeTensors::read_metadata(&bytes) {
        Ok((_, metadata)) => metadata,
        Err(error) => return Err(wrong(error.to_string())),
    };
    if 8 + size + metadata.data_len() as u64 != length {
        let expected = 8 + size + metadata.data_len() as u64;
        return Err(wrong(format!(
            "its header describes {expected} bytes, the file has {length}; it was cut off or altered"
        )));
    }
    let place = |(name, info): (String, &safetensors::tensor::TensorInfo)| {
        let (start, end) = info.data_offsets;
        let place = Place {
            file: file.to_owned(),
            dtype: info.dtype,
            shape: info.shape.clone(),
            start: 8 + size + start as u64,
            bytes: end - start,
        };
        (name, place)
    };
    Ok(metadata.tensors().into_iter().map(place).collect())
}

fn open(folder: &Path, file: &str) -> Result<File, Error> {
    File::open(folder.join(file)).map_err(missing(file))
}

fn read(folder: &Path, file: &str) -> Result<Vec<u8>, Error> {
    std::fs::read(folder.join(file)).map_err(missing(file))
}

fn missing(file: &str) -> impl Fn(std::io::Error) -> Error {
    move |error| Error::Missing {
        file: file.to_owned(),
        reason: error.to_string(),
    }
}
