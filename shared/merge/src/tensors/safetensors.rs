//! Reads safetensors, one tensor at a time.

use std::fs::File;
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::path::Path;

use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::Metadata;

use super::TensorReader;
use crate::{Error, Result};

/// The length of the header's length.
const PREFIX: u64 = 8;
/// No real header is longer: a million tensors would fit.
const MAX_HEADER: u64 = 100 << 20;

/// A safetensors file, or bytes of that form. Only the header is kept in memory.
#[derive(Debug)]
pub struct SafetensorsReader<R> {
    source: R,
    /// For errors.
    what: String,
    metadata: Metadata,
    /// Where the values begin.
    start: u64,
}

impl SafetensorsReader<File> {
    /// Opens a file.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|source| Error::File {
            doing: "opening",
            path: path.to_owned(),
            source,
        })?;
        Self::new(file, path.display().to_string())
    }
}

impl SafetensorsReader<Cursor<Vec<u8>>> {
    /// Reads from bytes; `what` names them in errors.
    pub fn from_bytes(bytes: Vec<u8>, what: impl Into<String>) -> Result<Self> {
        Self::new(Cursor::new(bytes), what.into())
    }
}

impl<R: Read + Seek> SafetensorsReader<R> {
    /// Reads the header; `what` names the source in errors.
    ///
    /// # Errors
    /// [`Error::Format`] if it is not safetensors, or shorter or longer than its header says.
    pub fn new(mut source: R, what: String) -> Result<Self> {
        let format = |problem: String| Error::Format {
            what: what.clone(),
            problem,
        };
        let stream = |source| Error::Stream {
            doing: format!("reading {what}"),
            source,
        };
        let length = source.seek(SeekFrom::End(0)).map_err(stream)?;
        if length < PREFIX {
            return Err(format(format!(
                "{length} bytes are too short for safetensors"
            )));
        }
        source.rewind().map_err(stream)?;
        let mut prefix = [0; PREFIX as usize];
        source.read_exact(&mut prefix).map_err(stream)?;
        let header = u64::from_le_bytes(prefix);
        if header > MAX_HEADER || header > length - PREFIX {
            return Err(format(
                "the header is cut off, or this is not safetensors".into(),
            ));
        }
        let mut bytes = vec![0; header as usize];
        source.read_exact(&mut bytes).map_err(stream)?;
        // Deserializing checks offsets and sizes against shapes.
        let metadata: Metadata = serde_json::from_slice(&bytes)
            .map_err(|error| format(format!("the header is not valid: {error}")))?;
        let start = PREFIX + header;
        let expected = start + metadata.data_len() as u64;
        if expected != length {
            return Err(format(format!(
                "{length} bytes long, but its header says {expected}"
            )));
        }
        Ok(Self {
            source,
            what,
            metadata,
            start,
        })
    }
}

impl<R: Read + Seek> TensorReader for SafetensorsReader<R> {
    fn names(&self) -> Vec<String> {
        self.metadata.offset_keys()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.metadata.info(name).map(|info| info.shape.clone())
    }

    fn read(&mut self, name: &str) -> Result<Vec<f32>> {
        let (bytes, dtype) = self.read_bytes(name)?;
        decode(&bytes, dtype).ok_or_else(|| Error::Format {
            what: format!("tensor `{name}` of {}", self.what),
            problem: format!(
                "it is stored as {dtype:?}; only F32, F16, BF16 and F64 weights can be merged, and \
                 blocks of 8 or 4 bits with their scales"
            ),
        })
    }
}

impl<R: Read + Seek> SafetensorsReader<R> {
    /// What it is called in errors.
    pub(super) fn what(&self) -> &str {
        &self.what
    }

    /// How a tensor is stored.
    pub(super) fn dtype(&self, name: &str) -> Option<Dtype> {
        self.metadata.info(name).map(|info| info.dtype)
    }

    /// A tensor as it is stored.
    pub(super) fn read_bytes(&mut self, name: &str) -> Result<(Vec<u8>, Dtype)> {
        let what = || format!("tensor `{name}` of {}", self.what);
        let Some(info) = self.metadata.info(name) else {
            return Err(Error::Format {
                what: what(),
                problem: "there is no such tensor".into(),
            });
        };
        let dtype = info.dtype;
        let (from, to) = info.data_offsets;
        let mut bytes = vec![0; to - from];
        let place = SeekFrom::Start(self.start + from as u64);
        let read = self
            .source
            .seek(place)
            .and_then(|_| self.source.read_exact(&mut bytes));
        read.map_err(|source| Error::Stream {
            doing: format!("reading {}", what()),
            source,
        })?;
        Ok((bytes, dtype))
    }
}

/// Little-endian bytes to `f32`; none for types that are not plain numbers.
fn decode(bytes: &[u8], dtype: Dtype) -> Option<Vec<f32>> {
    Some(match dtype {
        Dtype::F32 => decode_as(bytes, f32::from_le_bytes),
        Dtype::F16 => decode_as(bytes, |bytes| f16::from_le_bytes(bytes).to_f32()),
        Dtype::BF16 => decode_as(bytes, |bytes| bf16::from_le_bytes(bytes).to_f32()),
        Dtype::F64 => decode_as(bytes, |bytes| f64::from_le_bytes(bytes) as f32),
        _ => return None,
    })
}

fn decode_as<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    bytes
        .as_chunks::<N>()
        .0
        .iter()
        .map(|bytes| value(*bytes))
        .collect()
}
