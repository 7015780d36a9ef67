//! Packs: a model as a folder of standard files, listed and hashed in `sprat.json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Error, Storage};

/// Name of the manifest inside a pack.
pub const MANIFEST: &str = "sprat.json";
/// What the names of a draft model's files begin with: `draft-config.json` and its shards.
pub(crate) const DRAFT: &str = "draft-";
/// Version of the manifest's format that this crate reads and writes.
pub const FORMAT: u32 = 1;
/// Bytes per hashed chunk in packs this crate writes: what a broken download loses at most.
pub const CHUNK_BYTES: u64 = 1024 * 1024;

/// `sprat.json`: what the pack is, and the hash of every chunk of every file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Format version, [`FORMAT`].
    pub format: u32,
    /// The model's id, such as `sprat-tiny`.
    pub name: String,
    /// What the model is good at, one or two sentences for a person.
    pub description: String,
    /// SPDX expression.
    pub license: String,
    /// Tokens of prompt and answer together that the model was trained for.
    pub context: usize,
    /// Number of weights.
    pub parameters: u64,
    /// How the matrices are stored.
    pub storage: Storage,
    /// The token that begins a conversation, as text.
    pub bos_token: String,
    /// The token that ends an answer, as text.
    pub eos_token: String,
    /// Questions that show what the model can do.
    #[serde(default)]
    pub examples: Vec<String>,
    /// All files of the pack but this one.
    pub files: Vec<PackFile>,
    /// The gate fitted for this model (`sprat_route::gate::Gate`); opaque here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<serde_json::Value>,
    /// Bytes of the largest buffer that a GPU holds of it, which its adapter must take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub largest_buffer: Option<u64>,
    /// A known value, computed before the first question to prove the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<Check>,
    /// Of an adapter's pack, which has no model of its own: the packs that it can be put over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bases: Vec<Base>,
}

/// A pack that an adapter was made for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// Its name, for a person.
    pub name: String,
    /// [`Manifest::fingerprint`].
    pub fingerprint: String,
}

/// One file of a pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackFile {
    /// Name inside the pack; a plain file name.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Bytes per chunk; the last may be shorter.
    pub chunk_bytes: u64,
    /// SHA-256 of each chunk, hex.
    pub sha256: Vec<String>,
}

/// A short greedy continuation whose result is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Token ids fed in.
    pub prompt: Vec<u32>,
    /// Token ids the model must answer, greedily.
    pub tokens: Vec<u32>,
    /// Their log-probabilities.
    pub logprobs: Vec<f32>,
}

impl Manifest {
    /// Reads and checks a `sprat.json`.
    ///
    /// # Errors
    /// [`Error::Json`] when it does not parse, has another format version, or names a file outside
    /// the pack or with the wrong number of hashes.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Error> {
        let wrong = |reason: String| Error::Json {
            file: MANIFEST,
            reason,
        };
        let manifest: Self = serde_json::from_slice(bytes).map_err(|e| wrong(e.to_string()))?;
        if manifest.format != FORMAT {
            return Err(wrong(format!(
                "format {} is unknown; known: {FORMAT}",
                manifest.format
            )));
        }
        for file in &manifest.files {
            let plain = !file.path.is_empty()
                && file
                    .path
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
                && !file.path.starts_with('.');
            if !plain {
                return Err(wrong(format!("{:?} is not a plain file name", file.path)));
            }
            if file.chunk_bytes == 0 || file.chunks() as usize != file.sha256.len() {
                return Err(wrong(format!(
                    "{} has the wrong number of chunk hashes",
                    file.path
                )));
            }
        }
        Ok(manifest)
    }

    /// The manifest as pretty-printed JSON.
    pub fn to_json(&self) -> Vec<u8> {
        let mut json =
            serde_json::to_vec_pretty(self).expect("strings and numbers always serialize");
        json.push(b'\n');
        json
    }

    /// The entry of one file.
    ///
    /// # Errors
    /// [`Error::Missing`] when the manifest does not list it.
    pub fn file(&self, path: &str) -> Result<&PackFile, Error> {
        self.files
            .iter()
            .find(|file| file.path == path)
            .ok_or_else(|| Error::Missing {
                file: path.to_owned(),
                reason: "sprat.json does not list it".to_owned(),
            })
    }

    /// Files with the model's weights, in the manifest's order.
    pub fn shards(&self) -> impl Iterator<Item = &PackFile> {
        self.weights().filter(|file| !file.path.starts_with(DRAFT))
    }

    /// Files with the weights of the draft model, of which there are none without one.
    pub(crate) fn draft_shards(&self) -> impl Iterator<Item = &PackFile> {
        self.weights().filter(|file| file.path.starts_with(DRAFT))
    }

    fn weights(&self) -> impl Iterator<Item = &PackFile> {
        self.files
            .iter()
            .filter(|file| file.path.ends_with(".safetensors"))
    }

    /// Names the tokenizer and the chat template: models of the same one have the same tokens for a conversation, so that
    /// one can go on with what the other has written. SHA-256, hex.
    pub fn text_id(&self) -> String {
        let mut hash = Sha256::new();
        let text = self.files.iter().filter(|file| {
            ["tokenizer", "chat_template"]
                .iter()
                .any(|name| file.path.starts_with(name))
        });
        for file in text {
            hash.update(file.path.as_bytes());
            file.sha256
                .iter()
                .for_each(|chunk| hash.update(chunk.as_bytes()));
        }
        hex::encode(hash.finalize())
    }

    /// Whether this adapter can be put over that pack.
    ///
    /// # Errors
    /// [`Error::Adapter`] if it is none, or was made for other packs.
    pub fn check_base(&self, model: &Self) -> Result<(), Error> {
        let fingerprint = model.fingerprint();
        let own = |base: &Base| base.fingerprint == fingerprint;
        if self.bases.iter().any(own) {
            return Ok(());
        }
        let names: Vec<_> = self.bases.iter().map(|base| &*base.name).collect();
        Err(Error::Adapter {
            what: self.name.clone(),
            problem: format!(
                "it is made for [{}] and not for this {}",
                names.join(", "),
                model.name
            ),
        })
    }

    /// Bytes that the weights take in memory, of a model of this shape; of a draft model, about as many, by its files.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn weight_bytes(&self, config: &crate::ModelConfig) -> u64 {
        let draft: u64 = self.draft_shards().map(|file| file.size).sum();
        let widened = match self.storage {
            Storage::F16 => 2,
            _ => 1,
        };
        crate::weight_bytes(config, self.storage) + draft * widened
    }

    /// Bytes of all files.
    pub fn total_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    /// Names the model by what decides its answers: SHA-256, hex, over the name, size and hashes of
    /// every listed file but those of a draft model, which changes no token.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        let own = self.files.iter().filter(|f| !f.path.starts_with(DRAFT));
        for file in own {
            hash.update(&file.path);
            hash.update(file.size.to_le_bytes());
            file.sha256.iter().for_each(|chunk| hash.update(chunk));
        }
        hex::encode(hash.finalize())
    }

    /// Compares a whole file with its hashes.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Size`] or [`Error::Hash`].
    pub fn verify(&self, path: &str, bytes: &[u8]) -> Result<(), Error> {
        let file = self.file(path)?;
        file.check_size(bytes.len() as u64, file.size)?;
        for (index, chunk) in bytes.chunks(file.chunk_bytes as usize).enumerate() {
            file.check_hash(index, chunk)?;
        }
        Ok(())
    }

    /// Compares one chunk of a file with its hash.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Size`] or [`Error::Hash`].
    pub fn verify_chunk(&self, path: &str, index: usize, bytes: &[u8]) -> Result<(), Error> {
        let file = self.file(path)?;
        let range = file.chunk_range(index);
        file.check_size(bytes.len() as u64, range.end.saturating_sub(range.start))?;
        file.check_hash(index, bytes)
    }
}

impl PackFile {
    /// The entry for a file with these bytes.
    pub fn of(path: &str, bytes: &[u8]) -> Self {
        let digest = |chunk: &[u8]| hex::encode(Sha256::digest(chunk));
        Self {
            path: path.to_owned(),
            size: bytes.len() as u64,
            chunk_bytes: CHUNK_BYTES,
            sha256: bytes.chunks(CHUNK_BYTES as usize).map(digest).collect(),
        }
    }

    /// Number of chunks.
    pub fn chunks(&self) -> u64 {
        self.size.div_ceil(self.chunk_bytes)
    }

    /// Byte range of chunk `index` in the file.
    pub fn chunk_range(&self, index: usize) -> std::ops::Range<u64> {
        let start = (index as u64)
            .saturating_mul(self.chunk_bytes)
            .min(self.size);
        start..start.saturating_add(self.chunk_bytes).min(self.size)
    }

    fn check_size(&self, actual: u64, expected: u64) -> Result<(), Error> {
        if actual == expected {
            return Ok(());
        }
        Err(Error::Size {
            file: self.path.clone(),
            expected,
            actual,
        })
    }

    fn check_hash(&self, index: usize, bytes: &[u8]) -> Result<(), Error> {
        let actual = hex::encode(Sha256::digest(bytes));
        let expected = self.sha256.get(index).cloned().unwrap_or_default();
        if actual.eq_ignore_ascii_case(&expected) {
            return Ok(());
        }
        Err(Error::Hash {
            file: self.path.clone(),
            chunk: index,
            expected,
            actual,
        })
    }
}

/// Where a pack's files come from: a folder, memory, a browser's storage.
pub trait PackSource {
    /// All bytes of one file, unverified.
    ///
    /// # Errors
    /// [`Error::Missing`] when there is no such file or it cannot be read.
    fn read(&self, file: &str) -> impl Future<Output = Result<Vec<u8>, Error>>;
}

/// A pack in memory.
#[derive(Debug, Default, Clone)]
pub struct MemorySource(pub BTreeMap<String, Vec<u8>>);

impl PackSource for MemorySource {
    async fn read(&self, file: &str) -> Result<Vec<u8>, Error> {
        self.0.get(file).cloned().ok_or_else(|| Error::Missing {
            file: file.to_owned(),
            reason: "not in memory".to_owned(),
        })
    }
}

/// A pack in a folder.
#[cfg(not(target_arch = "wasm32"))]
#[derive(Debug, Clone)]
pub struct DirSource(pub std::path::PathBuf);

#[cfg(not(target_arch = "wasm32"))]
impl PackSource for DirSource {
    async fn read(&self, file: &str) -> Result<Vec<u8>, Error> {
        std::fs::read(self.0.join(file)).map_err(|e| Error::Missing {
            file: file.to_owned(),
            reason: e.to_string(),
        })
    }
}
