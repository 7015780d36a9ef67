//! Models as people have them from Hugging Face: a folder with `config.json`, `tokenizer.json` and
//! safetensors in one file or in shards with an index.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, Metadata};
use serde::Deserialize;
use serde_json::Value;

use super::{ChatSettings, Checkpoint, finite, missing, tiktoken};
use crate::weights::floats;
use crate::{Error, MANIFEST, ModelConfig};

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

/// Bytes of a tensor read at once; a multiple of every element's size.
const CHUNK: usize = 1 << 20;
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
}

impl Checkpoint for ModelFolder {
    fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    fn config(&self) -> &ModelConfig {
        &self.config
    }

    fn read_tensor(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
        let place = self.tensors.get(name);
        let place = place.ok_or_else(|| Error::TensorMissing(name.to_owned()))?;
        if place.shape != shape {
            return Err(Error::Shape {
                name: name.to_owned(),
                expected: shape.to_vec(),
                actual: place.shape.clone(),
            });
        }
        let mut file = open(&self.path, &place.file)?;
        let start = file.seek(SeekFrom::Start(place.start));
        start.map_err(missing(&place.file))?;
        let mut values = Vec::with_capacity(shape.iter().product());
        let mut left = place.bytes;
        while left > 0 {
            let mut bytes = vec![0; left.min(CHUNK)];
            file.read_exact(&mut bytes).map_err(missing(&place.file))?;
            values.extend(floats(name, place.dtype, &bytes)?);
            left -= bytes.len();
        }
        finite(name, values)
    }

    fn tokenizer(&mut self) -> Result<Vec<u8>, Error> {
        folder_tokenizer(&self.path)
    }

    fn chat(&mut self) -> Result<ChatSettings, Error> {
        chat_settings(&self.path)
    }
}

/// The bytes of a folder's `tokenizer.json`; in a folder without one, made of its ranks in tiktoken's
/// form (`tokenizer.model`, as Llama 3 was released, or `*.tiktoken`).
///
/// # Errors
/// [`Error::Missing`], [`Error::Tokenizer`].
pub fn folder_tokenizer(folder: &Path) -> Result<Vec<u8>, Error> {
    const FILE: &str = "tokenizer.json";
    if folder.join(FILE).exists() {
        return read(folder, FILE);
    }
    match tiktoken::find(folder) {
        Some(ranks) => {
            let model_type = optional_json(folder, "config.json")?;
            let settings = optional_json(folder, "tokenizer_config.json")?;
            tiktoken::to_json(&read(folder, &ranks)?, &settings, &model_type["model_type"])
        }
        None => read(folder, FILE),
    }
}

/// Template and special tokens of a folder, from `chat_template.jinja`, `tokenizer_config.json`,
/// `generation_config.json`, or a pack's manifest, as far as they are there.
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

/// Names and places of all tensors in one file.
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
    let mut json = vec![0; size as usize];
    reader.read_exact(&mut json).map_err(missing(file))?;
    // Deserializing checks that places are in order, and of the size that types and shapes imply.
    let metadata: Metadata = serde_json::from_slice(&json).map_err(|e| wrong(e.to_string()))?;
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
