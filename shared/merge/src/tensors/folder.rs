//! A model as a folder of safetensors files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::{SafetensorsReader, Shards, TensorReader};
use crate::{Error, Result};

/// The index that Hugging Face puts beside several shards.
const INDEX: &str = "model.safetensors.index.json";

/// A folder with one safetensors file or several shards, or one of Sprat's packs.
pub type ModelFolder = Shards<File>;

impl ModelFolder {
    /// Opens all shards and reads their headers.
    ///
    /// The shards are those of `model.safetensors.index.json`; without it, all `.safetensors` files of
    /// the folder. A path to a single file works too.
    ///
    /// # Errors
    /// [`Error::File`] or [`Error::Format`], with the path: nothing there, a shard or a tensor of
    /// the index missing, one tensor in two shards.
    pub fn open(path: &Path) -> Result<Self> {
        let index = path.join(INDEX);
        if path.is_file() {
            return Self::from_files(&[path.to_owned()]);
        }
        if !index.is_file() {
            return Self::from_files(&safetensors_in(path)?);
        }
        let weight_map = read_index(&index)?;
        let files: BTreeSet<&str> = weight_map.values().map(|file| &**file).collect();
        let files = files.into_iter().map(|file| inside(path, file, &index));
        let folder = Self::from_files(&files.collect::<Result<Vec<_>>>()?)?;
        match weight_map.keys().find(|name| folder.shape(name).is_none()) {
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

    fn from_files(files: &[PathBuf]) -> Result<Self> {
        let shards = files.iter().map(|file| SafetensorsReader::open(file));
        Self::new(shards.collect::<Result<_>>()?)
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
