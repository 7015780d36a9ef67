//! A model as a folder of safetensors files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::blocks::{SCALE_SUFFIX, dequantize, per_byte};
use super::{SafetensorsReader, TensorReader};
use crate::{Error, Result};

/// The index that Hugging Face puts beside several shards.
const INDEX: &str = "model.safetensors.index.json";

/// A folder with one safetensors file or several shards, or one of Sprat's packs, whose weights of 8 and 4 bits are
/// read as floats.
///
/// The shards are those of `model.safetensors.index.json`; without it, all `.safetensors` files of
/// the folder. A path to a single file works too.
#[derive(Debug)]
pub struct ModelFolder {
    shards: Vec<SafetensorsReader<File>>,
    /// Each tensor's shard.
    places: BTreeMap<String, usize>,
    /// Tensors in the order of shards and offsets.
    names: Vec<String>,
}

impl ModelFolder {
    /// Opens all shards and reads their headers.
    ///
    /// # Errors
    /// [`Error::File`] or [`Error::Format`], with the path: nothing there, a shard or a tensor of
    /// the index missing, one tensor in two shards.
    pub fn open(path: &Path) -> Result<Self> {
        let index = path.join(INDEX);
        if path.is_file() {
            return Self::from_shards(&[path.to_owned()]);
        }
        if !index.is_file() {
            return Self::from_shards(&safetensors_in(path)?);
        }
        let weight_map = read_index(&index)?;
        let files: BTreeSet<&str> = weight_map.values().map(|file| &**file).collect();
        let files = files.into_iter().map(|file| inside(path, file, &index));
        let folder = Self::from_shards(&files.collect::<Result<Vec<_>>>()?)?;
        match weight_map
            .keys()
            .find(|name| !folder.places.contains_key(*name))
        {
            None => Ok(folder),
            Some(name) => {
                let problem = format!("tensor `{name}` is in none of the shards");
                Err(Error::Format {
                    what: index.display().to_string(),
                    problem,
                })
            }
        }
    }

    fn from_shards(files: &[PathBuf]) -> Result<Self> {
        let mut folder = Self {
            shards: Vec::new(),
            places: BTreeMap::new(),
            names: Vec::new(),
        };
        for (index, file) in files.iter().enumerate() {
            let shard = SafetensorsReader::open(file)?;
            for name in shard.names() {
                if folder.places.insert(name.clone(), index).is_some() {
                    let what = file.display().to_string();
                    let problem = format!("tensor `{name}` is in another shard too");
                    return Err(Error::Format { what, problem });
                }
                folder.names.push(name);
            }
            folder.shards.push(shard);
        }
        folder.names = std::mem::take(&mut folder.names)
            .into_iter()
            .filter(|name| !folder.is_scale(name))
            .collect();
        Ok(folder)
    }

    /// Whether a tensor has the scales of another's blocks.
    fn is_scale(&self, name: &str) -> bool {
        name.strip_suffix(SCALE_SUFFIX)
            .is_some_and(|of| self.weights_in_a_byte(of).is_some())
    }

    /// Of a tensor that is stored in blocks.
    fn weights_in_a_byte(&self, name: &str) -> Option<usize> {
        let dtype = self.shards[*self.places.get(name)?].dtype(name)?;
        let scales = format!("{name}{SCALE_SUFFIX}");
        per_byte(dtype).filter(|_| self.places.contains_key(&scales))
    }

    fn read_blocks(&mut self, name: &str) -> Result<Vec<f32>> {
        let name_of_scales = format!("{name}{SCALE_SUFFIX}");
        let scales = self.read(&name_of_scales)?;
        let shard = &mut self.shards[self.places[name]];
        let (bytes, dtype) = shard.read_bytes(name)?;
        dequantize(&bytes, &scales, dtype).ok_or_else(|| Error::Format {
            what: format!("tensor `{name_of_scales}`"),
            problem: format!(
                "{} scales don't fit {} bytes of blocks",
                scales.len(),
                bytes.len()
            ),
        })
    }
}

impl TensorReader for ModelFolder {
    fn names(&self) -> Vec<String> {
        self.names.clone()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        let shard = &self.shards[*self.places.get(name)?];
        let mut shape = shard.shape(name)?;
        if let (Some(columns), Some(per_byte)) = (shape.last_mut(), self.weights_in_a_byte(name)) {
            *columns *= per_byte;
        }
        Some(shape)
    }

    fn read(&mut self, name: &str) -> Result<Vec<f32>> {
        match self.places.get(name) {
            Some(_) if self.weights_in_a_byte(name).is_some() => self.read_blocks(name),
            Some(&shard) => self.shards[shard].read(name),
            None => Err(Error::Format {
                what: format!("tensor `{name}`"),
                problem: "there is no such tensor".into(),
            }),
        }
    }
}

/// The `.safetensors` files of a folder, by name.
fn safetensors_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |source| Error::File {
        doing: "looking into",
        path: folder.to_owned(),
        source,
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // A pack's draft model is another model.
        if name.ends_with(".safetensors") && !name.starts_with("draft-") {
            files.push(path);
        }
    }
    if files.is_empty() {
        let what = folder.display().to_string();
        return Err(Error::Format {
            what,
            problem: "no .safetensors file in it".into(),
        });
    }
    files.sort();
    Ok(files)
}

/// Which file holds which tensor.
fn read_index(path: &Path) -> Result<BTreeMap<String, String>> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let bytes = fs::read(path).map_err(|source| Error::File {
        doing: "reading",
        path: path.to_owned(),
        source,
    })?;
    let index: Index = serde_json::from_slice(&bytes).map_err(|error| Error::Format {
        what: path.display().to_string(),
        problem: error.to_string(),
    })?;
    Ok(index.weight_map)
}

/// A file that an index names: inside its folder, wherever the index came from.
fn inside(folder: &Path, file: &str, index: &Path) -> Result<PathBuf> {
    let mut parts = Path::new(file).components();
    if !file.is_empty() && parts.all(|part| matches!(part, Component::Normal(_))) {
        return Ok(folder.join(file));
    }
    let problem = format!("`{file}` is not a file beside it");
    Err(Error::Format {
        what: index.display().to_string(),
        problem,
    })
}
