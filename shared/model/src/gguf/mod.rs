//! GGUF files: metadata, and tensors as f32, one at a time.
//!
//! GGUF is one file with a model's configuration, vocabulary and weights, mostly quantized; its
//! description is <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>. Read are versions 2
//! and 3, little-endian, with tensors of every [`Kind`].
//!
//! ```no_run
//! # use sprat_model::gguf::Gguf;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut file = Gguf::open(std::fs::File::open("model.gguf")?)?;
//! let layers = file.metadata().u64("llama.block_count")?;
//! let shape = file.tensor("token_embd.weight").map(|tensor| tensor.shape.clone());
//! let values = file.read_f32("token_embd.weight")?;
//! # Ok(())
//! # }
//! ```
//!
//! A file comes from anywhere. Its header is checked before anything is made of it: a damaged or
//! hostile file is a [`GgufError`], in time proportional to the header's size and in memory that
//! the header's size limits. What the values are is not checked; they may be NaN or infinite.

mod header;
mod metadata;
mod quants;
#[cfg(test)]
mod tests;

use std::io::{BufReader, Read, Seek, SeekFrom};

pub use metadata::{Metadata, Value};
pub use quants::Kind;

/// Bytes read at a time while a tensor is decoded.
const CHUNK: usize = 64 << 10;

/// A tensor as the header describes it. It lies in the file, aligned, and overlaps no other.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TensorInfo {
    /// Its name, such as `blk.0.attn_q.weight`.
    pub name: String,
    /// Row-major, as in numpy and safetensors: the last dimension is contiguous. (The file has the
    /// reverse order.) At most four dimensions, none 0; a scalar has none.
    pub shape: Vec<usize>,
    /// How values are stored.
    pub kind: Kind,
    /// Where its data starts, in bytes from the start of the file.
    pub offset: u64,
    /// Bytes of its data in the file.
    pub bytes: u64,
}

impl TensorInfo {
    /// Number of values.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

/// An open GGUF file. Holds its header; tensors are read when asked for.
#[derive(Debug)]
pub struct Gguf<R> {
    reader: R,
    header: header::Header,
}

impl<R: Read + Seek> Gguf<R> {
    /// Reads and checks the header of the file that is all of `reader`: an open file, or bytes in
    /// a [`std::io::Cursor`]. No buffer around it is needed.
    ///
    /// # Errors
    /// Any [`GgufError`] but [`GgufError::TensorMissing`], [`GgufError::Memory`] and
    /// [`GgufError::KeyMissing`].
    pub fn open(mut reader: R) -> Result<Self, GgufError> {
        let sized = reader.seek(SeekFrom::End(0));
        let sized = sized.and_then(|size| reader.rewind().map(|()| size));
        let file_bytes = sized.map_err(|e| GgufError::Io {
            place: "the file's size".to_owned(),
            offset: 0,
            reason: e.to_string(),
        })?;
        let header = header::parse(BufReader::new(&mut reader), file_bytes)?;
        Ok(Self { reader, header })
    }

    /// Version of the format: 2 or 3.
    pub fn version(&self) -> u32 {
        self.header.version
    }

    /// Keys and values.
    pub fn metadata(&self) -> &Metadata {
        &self.header.metadata
    }

    /// All tensors, in the header's order.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.header.tensors
    }

    /// The tensor called `name`.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        let index = self.header.index.get(name)?;
        Some(&self.header.tensors[*index])
    }

    /// Values of the tensor called `name` in f32, row-major. Takes their memory and 64 KiB.
    ///
    /// # Errors
    /// [`GgufError::TensorMissing`], [`GgufError::Memory`], [`GgufError::Io`].
    pub fn read_f32(&mut self, name: &str) -> Result<Vec<f32>, GgufError> {
        let Some(&index) = self.header.index.get(name) else {
            return Err(GgufError::TensorMissing {
                name: name.to_owned(),
            });
        };
        let elements = self.header.tensors[index].elements();
        self.read_part(index, 0, elements)
    }

    /// The bytes of the tensor called `name`, as they are stored; or of one of those that it stacks along its first
    /// dimension. Takes their memory.
    ///
    /// # Errors
    /// As [`Gguf::read_f32`] and [`Gguf::read_slice_f32`].
    pub fn read_bytes(&mut self, name: &str, slice: Option<usize>) -> Result<Vec<u8>, GgufError> {
        let missing = || GgufError::TensorMissing {
            name: name.to_owned(),
        };
        let info = self.tensor(name).ok_or_else(missing)?;
        let slices = match slice {
            Some(slice) if info.shape.len() < 2 || slice >= info.shape[0] => return Err(missing()),
            Some(_) => info.shape[0] as u64,
            None => 1,
        };
        // A slice is whole rows, and rows are whole blocks.
        let size = info.bytes / slices;
        let offset = info.offset + size * slice.unwrap_or(0) as u64;
        let (elements, tensor, place) = (info.elements(), info.name.clone(), info.offset);
        let memory = || GgufError::Memory {
            tensor: tensor.clone(),
            values: elements,
        };
        let io = |e: std::io::Error| GgufError::Io {
            place: format!("tensor {tensor:?}"),
            offset: place,
            reason: e.to_string(),
        };
        let size = usize::try_from(size).map_err(|_| memory())?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(size).map_err(|_| memory())?;
        bytes.resize(size, 0);
        self.reader.seek(SeekFrom::Start(offset)).map_err(io)?;
        self.reader.read_exact(&mut bytes).map_err(io)?;
        Ok(bytes)
    }

    /// Values of one of the tensors that `name` stacks along its first dimension, such as one
    /// expert's matrix; the others are not read.
    ///
    /// # Errors
    /// [`GgufError::TensorMissing`] also when there is no such slice; [`GgufError::Memory`],
    /// [`GgufError::Io`].
    pub fn read_slice_f32(&mut self, name: &str, slice: usize) -> Result<Vec<f32>, GgufError> {
        let index = self.header.index.get(name).copied();
        // Of a matrix or more, a slice is whole rows, and rows are whole blocks.
        let sliced = |index: &usize| {
            let shape = &self.header.tensors[*index].shape;
            shape.len() > 1 && slice < shape[0]
        };
        let Some(index) = index.filter(sliced) else {
            return Err(GgufError::TensorMissing {
                name: format!("{name}[{slice}]"),
            });
        };
        let info = &self.header.tensors[index];
        let elements = info.elements() / info.shape[0];
        self.read_part(index, slice * elements, elements)
    }

    /// `count` values from `start` on, both whole blocks, of the tensor at `index` of the header.
    fn read_part(
        &mut self,
        index: usize,
        start: usize,
        count: usize,
    ) -> Result<Vec<f32>, GgufError> {
        let info = &self.header.tensors[index];
        let bytes = |values: usize| {
            values as u64 / info.kind.block_len() as u64 * info.kind.block_bytes() as u64
        };
        let io = |e: std::io::Error| GgufError::Io {
            place: format!("tensor {:?}", info.name),
            offset: info.offset,
            reason: e.to_string(),
        };

        let mut values = Vec::new();
        let reserved = values.try_reserve_exact(count);
        reserved.map_err(|_| GgufError::Memory {
            tensor: info.name.clone(),
            values: count,
        })?;
        let mut left = bytes(count);
        let seek = SeekFrom::Start(info.offset + bytes(start));
        self.reader.seek(seek).map_err(io)?;
        let mut buffer = vec![0; CHUNK - CHUNK % info.kind.block_bytes()];
        while left > 0 {
            let size = left.min(buffer.len() as u64);
            let part = &mut buffer[..size as usize];
            self.reader.read_exact(part).map_err(io)?;
            quants::decode(info.kind, part, &mut values);
            left -= size;
        }
        Ok(values)
    }
}

/// Why a file, a key or a tensor cannot be used: what was found, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GgufError {
    /// Reading or seeking failed.
    #[error("byte {offset}, {place}: {reason}; check the disk and that no one changes the file")]
    Io {
        /// What was being read.
        place: String,
        /// Position in the file; of a tensor, where it starts.
        offset: u64,
        /// What the system said.
        reason: String,
    },
    /// Another kind of file.
    #[error("not a GGUF file: it starts with {found:02x?} and not with \"GGUF\"; choose another")]
    Magic {
        /// The first four bytes.
        found: [u8; 4],
    },
    /// A version that is not read: 1, or one made after this was written.
    #[error(
        "GGUF version {version} is not supported, versions 2 and 3 are; \
         convert the model again with a current llama.cpp"
    )]
    Version {
        /// The version found.
        version: u32,
    },
    /// The file is for big-endian machines.
    #[error(
        "the GGUF file is big-endian, which is not supported; \
         make it little-endian with the Python package's gguf-convert-endian"
    )]
    BigEndian,
    /// The file ends before what it announces can end.
    #[error(
        "byte {offset}, {place}: at least {needed} bytes must follow and {left} do; \
         the file was cut off or altered, fetch it again"
    )]
    Truncated {
        /// What was being read.
        place: String,
        /// Position in the file.
        offset: u64,
        /// Bytes announced, or the least that as many things take; at most [`u64::MAX`].
        needed: u64,
        /// Bytes from there to the end of the file.
        left: u64,
    },
    /// Larger, deeper or longer than any model's header.
    #[error("byte {offset}, {place}: past the limit of {limit}; the file is damaged or no model's")]
    Limit {
        /// What was being read.
        place: String,
        /// Position in the file.
        offset: u64,
        /// The limit.
        limit: String,
    },
    /// A name or string is not UTF-8.
    #[error("byte {offset}, {place}: not UTF-8; the file is damaged, fetch it again")]
    Utf8 {
        /// What was being read.
        place: String,
        /// Position in the file of the first wrong byte.
        offset: u64,
    },
    /// A metadata value of a type that does not exist.
    #[error(
        "byte {offset}, {place}: value type {found} does not exist (0 to 12 do); \
         the file is damaged, fetch it again"
    )]
    ValueType {
        /// What was being read.
        place: String,
        /// Position in the file.
        offset: u64,
        /// The type found.
        found: u32,
    },
    /// A bool that is neither 0 nor 1.
    #[error("byte {offset}, {place}: a bool is {found}; the file is damaged, fetch it again")]
    Bool {
        /// What was being read.
        place: String,
        /// Position in the file.
        offset: u64,
        /// The byte found.
        found: u8,
    },
    /// Two values for one key.
    #[error("metadata key {key:?} is there twice; convert the model again")]
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// Two tensors of one name.
    #[error("tensor {name:?} is there twice; convert the model again")]
    DuplicateTensor {
        /// The name.
        name: String,
    },
    /// An alignment that nothing can be aligned to.
    #[error(
        "general.alignment is {alignment} but must be a power of two below 2^32; \
         convert the model again"
    )]
    Alignment {
        /// The value found.
        alignment: u64,
    },
    /// A tensor is stored in a type that is not read.
    #[error(
        "tensor {tensor:?} is stored as {found} (type {id}), which is not supported; \
         requantize the model to F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K or Q6_K"
    )]
    Kind {
        /// Tensor name.
        tensor: String,
        /// Number of the type in the file.
        id: u32,
        /// Its name, where it has one.
        found: &'static str,
    },
    /// A tensor's dimensions are impossible, or do not fit its type.
    #[error("tensor {tensor:?} has shape {shape:?}: {reason}; convert the model again")]
    Shape {
        /// Tensor name.
        tensor: String,
        /// Its shape, row-major.
        shape: Vec<u64>,
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor's data does not start at a multiple of the alignment.
    #[error(
        "tensor {tensor:?} is at byte {offset} of the data, \
         which is no multiple of the alignment {alignment}; convert the model again"
    )]
    Misaligned {
        /// Tensor name.
        tensor: String,
        /// Position in the data section.
        offset: u64,
        /// Alignment of the file.
        alignment: u64,
    },
    /// A tensor's data does not lie in the file.
    #[error(
        "tensor {tensor:?} would take {bytes} bytes from byte {offset} on, \
         but the file has {file_bytes}; it was cut off or altered, fetch it again"
    )]
    Outside {
        /// Tensor name.
        tensor: String,
        /// Position in the file; [`u64::MAX`] when it is beyond any file.
        offset: u64,
        /// Bytes of the tensor.
        bytes: u64,
        /// Bytes of the file.
        file_bytes: u64,
    },
    /// Two tensors share bytes.
    #[error(
        "tensors {first:?} and {second:?} overlap at byte {offset}; \
         the file was altered, fetch it again"
    )]
    Overlap {
        /// The tensor that starts first.
        first: String,
        /// The other.
        second: String,
        /// Position in the file of the first shared byte.
        offset: u64,
    },
    /// A metadata key that is needed is not there.
    #[error("metadata key {key:?} is missing; convert the model again with a current llama.cpp")]
    KeyMissing {
        /// The key.
        key: String,
    },
    /// A metadata value has another type than it must have.
    #[error("metadata key {key:?} must be {expected} but is {found}; convert the model again")]
    KeyType {
        /// The key.
        key: String,
        /// What it must be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// A tensor that is needed is not there.
    #[error("tensor {name:?} is not in the file; is it a whole model of this architecture?")]
    TensorMissing {
        /// The name.
        name: String,
    },
    /// A model in several files, of which some are not beside the others.
    #[error(
        "the model is in {expected} files and {found} were found; put all of them, \
         named NAME-00001-of-{expected:05}.gguf and so on, into one folder"
    )]
    Parts {
        /// Files that the first one names.
        expected: u64,
        /// Files opened.
        found: usize,
    },
    /// A tensor does not fit into memory as f32.
    #[error("tensor {tensor:?} has {values} values, too many for this machine's memory")]
    Memory {
        /// Tensor name.
        tensor: String,
        /// Its values, of four bytes each.
        values: usize,
    },
}
