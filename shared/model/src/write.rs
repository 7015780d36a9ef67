//! Writing packs: tensor by tensor, so that memory holds one at a time.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use sha2::{Digest, Sha256};

use crate::pack::DRAFT;
use crate::storage::{Part, encode, largest_buffer, parts};
use crate::{CHUNK_BYTES, Error, FORMAT, MANIFEST, Manifest, ModelConfig, PackFile, Storage};

/// Everything a pack is written from, but the weights.
pub struct PackContents<'a> {
    /// Name, description, license, context, tokens, examples; sizes and hashes are filled in.
    pub manifest: Manifest,
    /// The decoder's shape.
    pub config: &'a ModelConfig,
    /// `tokenizer.json`.
    pub tokenizer: &'a [u8],
    /// `chat_template.jinja`.
    pub template: &'a str,
    /// A smaller model of the same vocabulary, which guesses tokens for this one to check.
    pub draft: Option<DraftContents<'a>>,
    /// Further files, such as a README.md with the model card.
    pub extra: Vec<(&'a str, Vec<u8>)>,
}

/// A draft model to put into a pack.
pub struct DraftContents<'a> {
    /// The decoder's shape.
    pub config: &'a ModelConfig,
    /// Its weights.
    pub read: &'a mut ReadTensor<'a>,
}

/// Gives the values of a tensor by its name and shape.
pub type ReadTensor<'a> = dyn FnMut(&str, &[usize]) -> Result<Vec<f32>, Error> + 'a;

/// Bytes after which a new shard begins: a browser holds one shard in memory while loading.
const SHARD_BYTES: usize = 16 << 20;
/// Values encoded at once; a multiple of every block.
const SLICE: usize = 1 << 20;

/// One weight of the model, and what it becomes in the file.
struct Weight {
    name: String,
    shape: Vec<usize>,
    parts: Vec<Part>,
}

impl Weight {
    fn bytes(&self) -> usize {
        self.parts.iter().map(Part::bytes).sum()
    }
}

/// Writes a pack into `dir`, through a folder beside it that is renamed when complete: a pack
/// that was cut off never looks finished. `read` gives the values of a tensor by name and shape;
/// `progress` hears of bytes done and bytes in all.
///
/// # Errors
/// [`Error::Write`] naming the path, and whatever `read` returns.
pub fn write_pack(
    dir: &Path,
    contents: PackContents<'_>,
    read: &mut ReadTensor<'_>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Manifest, Error> {
    let PackContents {
        mut manifest,
        config,
        tokenizer,
        template,
        draft,
        extra,
    } = contents;
    let staging = Staging::begin(dir)?;
    let config_json = pretty(&config.to_json());
    let texts: [(&str, &[u8]); 3] = [
        ("config.json", &config_json),
        ("tokenizer.json", tokenizer),
        ("chat_template.jinja", template.as_bytes()),
    ];
    let mut files = Vec::new();
    for (path, bytes) in texts {
        staging.write(path, bytes)?;
        files.push(PackFile::of(path, bytes));
    }
    let storage = manifest.storage;
    let bytes_of = |config| -> u64 { shards(config, storage).iter().flatten().map(bytes).sum() };
    let draft_bytes = draft.as_ref().map_or(0, |draft| bytes_of(draft.config));
    let total = bytes_of(config) + draft_bytes;
    let mut done = 0;
    let mut report = |bytes: u64| {
        done += bytes;
        progress(done, total);
    };
    files.extend(staging.write_weights("", config, storage, read, &mut report)?);
    if let Some(DraftContents { config, read }) = draft {
        let file = format!("{DRAFT}config.json");
        let json = pretty(&config.to_json());
        staging.write(&file, &json)?;
        files.push(PackFile::of(&file, &json));
        files.extend(staging.write_weights(DRAFT, config, storage, read, &mut report)?);
    }
    manifest.format = FORMAT;
    manifest.parameters = config.parameters();
    manifest.largest_buffer = Some(largest_buffer(config, manifest.storage));
    manifest.files = files;
    staging.write(MANIFEST, &manifest.to_json())?;
    // Beside the manifest's files, for people: not fetched by a browser, so not listed.
    for (path, bytes) in extra {
        staging.write(path, &bytes)?;
    }
    staging.publish()?;
    Ok(manifest)
}

/// Writes a pack of these files, whose sizes and hashes are filled in, into `dir`, as [`write_pack`] does.
///
/// # Errors
/// [`Error::Write`] naming the path.
pub fn write_files(
    dir: &Path,
    mut manifest: Manifest,
    files: &[(&str, &[u8])],
) -> Result<Manifest, Error> {
    let staging = Staging::begin(dir)?;
    let listed = files.iter().map(|(path, bytes)| PackFile::of(path, bytes));
    manifest.files = listed.collect();
    for (path, bytes) in files {
        staging.write(path, bytes)?;
    }
    staging.write(MANIFEST, &manifest.to_json())?;
    staging.publish()?;
    Ok(manifest)
}

impl Manifest {
    /// Replaces `sprat.json` in a written pack (to add a check or a calibration).
    ///
    /// # Errors
    /// [`Error::Write`] naming the path.
    pub fn save(&self, dir: &Path) -> Result<(), Error> {
        let temporary = dir.join("sprat.json.part");
        fs::write(&temporary, self.to_json()).map_err(|e| cannot(&temporary, &e))?;
        let path = dir.join(MANIFEST);
        fs::rename(&temporary, &path).map_err(|e| cannot(&path, &e))
    }
}

/// Copies the pack in `from` to `dir` with another manifest (one with a calibration), through a
/// folder beside it that is renamed when complete; a pack that was in `dir` is replaced.
///
/// # Errors
/// [`Error::Write`] naming the path.
pub fn copy_pack(from: &Path, dir: &Path, manifest: &Manifest) -> Result<(), Error> {
    let staging = Staging::begin(dir)?;
    // Listed or not: a README is as much a part of the folder.
    for entry in fs::read_dir(from).map_err(|e| cannot(from, &e))? {
        let path = entry.map_err(|e| cannot(from, &e))?.path();
        let Some(name) = path.file_name().filter(|_| path.is_file()) else {
            continue;
        };
        fs::copy(&path, staging.folder.join(name)).map_err(|e| cannot(&path, &e))?;
    }
    staging.write(MANIFEST, &manifest.to_json())?;
    staging.publish()
}

fn bytes(weight: &Weight) -> u64 {
    weight.bytes() as u64
}

fn pretty(json: &serde_json::Value) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(json).expect("a JSON value always serializes");
    bytes.push(b'\n');
    bytes
}

/// The config's tensors in groups of about [`SHARD_BYTES`]; a larger one has a shard of its own.
fn shards(config: &ModelConfig, storage: Storage) -> Vec<Vec<Weight>> {
    let mut groups: Vec<Vec<Weight>> = vec![Vec::new()];
    let mut size = 0;
    for (name, shape) in config.tensors() {
        let parts = parts(&name, &shape, storage);
        let weight = Weight { name, shape, parts };
        if size > 0 && size + weight.bytes() > SHARD_BYTES {
            groups.push(Vec::new());
            size = 0;
        }
        size += weight.bytes();
        let last = groups.last_mut().expect("there is always a last group");
        last.push(weight);
    }
    // Wide types first: then every tensor begins at a multiple of its type's size.
    for group in &mut groups {
        group.sort_by_key(|weight| match weight.parts[0].dtype {
            Dtype::F32 => 0,
            Dtype::F16 => 1,
            _ => 2,
        });
    }
    groups
}

/// The header of a safetensors file: its length, then names, types, shapes and places.
fn header(shard: &[Weight], file: &str) -> Result<Vec<u8>, Error> {
    let mut end = 0;
    let info = |part: &Part| {
        let start = end;
        end += part.bytes();
        let info = TensorInfo {
            dtype: part.dtype,
            shape: part.shape.clone(),
            data_offsets: (start, end),
        };
        (part.name.clone(), info)
    };
    let tensors = shard.iter().flat_map(|w| &w.parts).map(info).collect();
    let wrong = |reason: String| Error::Safetensors {
        file: file.to_owned(),
        reason,
    };
    let metadata = Metadata::new(None, tensors).map_err(|e| wrong(e.to_string()))?;
    let mut json = serde_json::to_vec(&metadata).map_err(|e| wrong(e.to_string()))?;
    json.resize(json.len().next_multiple_of(8), b' ');
    let mut header = (json.len() as u64).to_le_bytes().to_vec();
    header.extend(json);
    Ok(header)
}

/// A folder beside the pack's place, in which it is made.
struct Staging {
    folder: PathBuf,
    target: PathBuf,
}

impl Staging {
    fn begin(target: &Path) -> Result<Self, Error> {
        let staging = Self {
            folder: beside(target, "part"),
            target: target.to_owned(),
        };
        clear(&staging.folder)?;
        fs::create_dir_all(&staging.folder).map_err(|e| cannot(&staging.folder, &e))?;
        Ok(staging)
    }

    fn write(&self, file: &str, bytes: &[u8]) -> Result<(), Error> {
        let path = self.folder.join(file);
        fs::write(&path, bytes).map_err(|e| cannot(&path, &e))
    }

    /// All weights of a decoder, in files whose names begin with `prefix`.
    fn write_weights(
        &self,
        prefix: &str,
        config: &ModelConfig,
        storage: Storage,
        read: &mut ReadTensor<'_>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Vec<PackFile>, Error> {
        let shards = shards(config, storage);
        let write = |(i, shard): (usize, &Vec<Weight>)| {
            let file = match shards.len() {
                1 => format!("{prefix}model.safetensors"),
                count => format!("{prefix}model-{:05}-of-{count:05}.safetensors", i + 1),
            };
            self.write_shard(&file, shard, storage, read, progress)
        };
        shards.iter().enumerate().map(write).collect()
    }

    fn write_shard(
        &self,
        file: &str,
        shard: &[Weight],
        storage: Storage,
        read: &mut ReadTensor<'_>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<PackFile, Error> {
        let path = self.folder.join(file);
        let mut out = HashingFile::create(&path)?;
        out.write(&header(shard, file)?)?;
        for weight in shard {
            let values = read(&weight.name, &weight.shape)?;
            // Scales follow their quants in the file, so they wait for the last slice.
            let mut scales = Vec::new();
            for slice in values.chunks(SLICE) {
                let mut encoded = encode(&weight.name, &weight.shape, slice, storage).into_iter();
                for quants in encoded.by_ref().take(1) {
                    out.write(&quants)?;
                }
                scales.extend(encoded.flatten());
            }
            out.write(&scales)?;
            progress(weight.bytes() as u64);
        }
        out.finish(file)
    }

    /// Puts the finished folder in the pack's place.
    fn publish(&self) -> Result<(), Error> {
        let old = beside(&self.target, "old");
        clear(&old)?;
        if self.target.exists() {
            fs::rename(&self.target, &old).map_err(|e| cannot(&self.target, &e))?;
        }
        fs::rename(&self.folder, &self.target).map_err(|e| cannot(&self.target, &e))?;
        clear(&old)
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{name}.{suffix}"))
}

fn clear(folder: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(cannot(folder, &e)),
        _ => Ok(()),
    }
}

fn cannot(path: &Path, error: &std::io::Error) -> Error {
    Error::Write {
        path: path.display().to_string(),
        reason: error.to_string(),
    }
}

/// A file that is hashed chunk by chunk as it is written.
struct HashingFile {
    file: BufWriter<File>,
    path: PathBuf,
    size: u64,
    chunk: Sha256,
    hashes: Vec<String>,
}

impl HashingFile {
    fn create(path: &Path) -> Result<Self, Error> {
        let file = File::create(path).map_err(|e| cannot(path, &e))?;
        Ok(Self {
            file: BufWriter::new(file),
            path: path.to_owned(),
            size: 0,
            chunk: Sha256::new(),
            hashes: Vec::new(),
        })
    }

    fn write(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        let written = self.file.write_all(bytes);
        written.map_err(|e| cannot(&self.path, &e))?;
        while !bytes.is_empty() {
            let room = (CHUNK_BYTES - self.size % CHUNK_BYTES) as usize;
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.chunk.update(now);
            self.size += now.len() as u64;
            if self.size.is_multiple_of(CHUNK_BYTES) {
                self.end_chunk();
            }
            bytes = later;
        }
        Ok(())
    }

    fn end_chunk(&mut self) {
        let hash = self.chunk.finalize_reset();
        self.hashes.push(hex::encode(hash));
    }

    fn finish(mut self, name: &str) -> Result<PackFile, Error> {
        if !self.size.is_multiple_of(CHUNK_BYTES) {
            self.end_chunk();
        }
        self.file.flush().map_err(|e| cannot(&self.path, &e))?;
        Ok(PackFile {
            path: name.to_owned(),
            size: self.size,
            chunk_bytes: CHUNK_BYTES,
            sha256: self.hashes,
        })
    }
}
