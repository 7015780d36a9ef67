//! Prepared arrays on disk: one file with a header, the arrays and a hash of both.
//!
//! ```text
//! "SPRATDS1" | u32 header length | header as JSON | per stream: tokens u16, mask u8, starts u32 | SHA-256
//! ```
//! All numbers are little-endian.

use std::fs;
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Dataset, Stream};
use crate::{Error, Result};

const MAGIC: &[u8; 8] = b"SPRATDS1";
const HASH: usize = 32;

#[derive(Serialize, Deserialize)]
struct Header {
    train: Vec<StreamHeader>,
    validation: Vec<StreamHeader>,
    skipped: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct StreamHeader {
    source: String,
    weight: f32,
    tokens: usize,
    documents: usize,
    bytes: u64,
}

impl StreamHeader {
    fn of(stream: &Stream) -> Self {
        Self {
            source: stream.source.clone(),
            weight: stream.weight,
            tokens: stream.tokens.len(),
            documents: stream.starts.len(),
            bytes: stream.bytes,
        }
    }

    /// Takes this stream's arrays off the front of `bytes`; `None` when they don't add up.
    fn take(self, bytes: &mut &[u8]) -> Option<Stream> {
        let tokens = split_off(bytes, self.tokens.checked_mul(2)?)?;
        let mask = split_off(bytes, self.tokens)?;
        let starts = split_off(bytes, self.documents.checked_mul(4)?)?;
        let starts: Vec<u32> = starts
            .chunks_exact(4)
            .map(|chunk| u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]))
            .collect();
        let ordered = starts.first() == Some(&0)
            && starts.is_sorted_by(|a, b| a < b)
            && starts
                .last()
                .is_some_and(|&last| (last as usize) < self.tokens);
        ordered.then(|| Stream {
            source: self.source,
            weight: self.weight,
            tokens: tokens
                .chunks_exact(2)
                .map(|c| u16::from_le_bytes([c[0], c[1]]))
                .collect(),
            mask: mask.iter().map(|&byte| byte != 0).collect(),
            starts,
            bytes: self.bytes,
        })
    }
}

fn split_off<'a>(bytes: &mut &'a [u8], n: usize) -> Option<&'a [u8]> {
    let (head, tail) = bytes.split_at_checked(n)?;
    *bytes = tail;
    Some(head)
}

impl Dataset {
    /// Hex SHA-256 of the whole content: equal hashes mean equal batches.
    #[must_use]
    pub fn hash(&self) -> String {
        hex::encode(Sha256::digest(self.to_bytes()))
    }

    /// Writes the arrays to one file, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut bytes = self.to_bytes();
        let hash = Sha256::digest(&bytes);
        bytes.extend(hash);
        write_whole(path, &bytes)
    }

    /// Reads what [`Dataset::save`] wrote and checks its hash.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Format`] for a file that is cut, changed or something else.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).map_err(Error::io("read", path))?;
        let bad = |problem: &str| Error::format(path, format!("{problem}; prepare the data again"));
        if !bytes.starts_with(MAGIC) {
            return Err(bad("it does not begin as prepared data does"));
        }
        let at = bytes
            .len()
            .checked_sub(HASH)
            .ok_or_else(|| bad("it is cut short"))?;
        let (content, hash) = bytes.split_at(at);
        if Sha256::digest(content).as_slice() != hash {
            return Err(bad(
                "its hash does not match: it is cut short or was changed",
            ));
        }
        Self::from_bytes(content).ok_or_else(|| bad("its arrays do not add up"))
    }

    fn to_bytes(&self) -> Vec<u8> {
        let header = Header {
            train: self.train.iter().map(StreamHeader::of).collect(),
            validation: self.validation.iter().map(StreamHeader::of).collect(),
            skipped: self.skipped.clone(),
        };
        // A struct of strings and numbers always serialises.
        let header = serde_json::to_vec(&header).unwrap_or_default();
        let mut bytes = MAGIC.to_vec();
        bytes.extend((header.len() as u32).to_le_bytes());
        bytes.extend(header);
        for stream in self.train.iter().chain(&self.validation) {
            bytes.extend(stream.tokens.iter().flat_map(|token| token.to_le_bytes()));
            bytes.extend(stream.mask.iter().map(|&counts| u8::from(counts)));
            bytes.extend(stream.starts.iter().flat_map(|start| start.to_le_bytes()));
        }
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.get(MAGIC.len()..)?;
        let length = split_off(&mut rest, 4)?;
        let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]);
        let header: Header = serde_json::from_slice(split_off(&mut rest, length as usize)?).ok()?;
        let mut streams = |headers: Vec<StreamHeader>| {
            headers
                .into_iter()
                .map(|header| header.take(&mut rest))
                .collect::<Option<Vec<_>>>()
        };
        let (train, validation) = (streams(header.train)?, streams(header.validation)?);
        rest.is_empty().then_some(Self {
            train,
            validation,
            skipped: header.skipped,
        })
    }
}

/// Writes a file so that a reader sees the old content or the new, never a part.
///
/// # Errors
/// [`Error::Io`].
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder {
        fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    }
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.part", std::process::id()));
    let part = path.with_file_name(name);
    let write = || {
        let mut file = fs::File::create(&part)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&part, path)
    };
    write().map_err(|error| {
        // The half-written file is of no use to anybody.
        let _ = fs::remove_file(&part);
        Error::io("write", path)(error)
    })
}
