//! The header: everything before the tensors' data. Nothing in it is believed before it is checked.

use std::collections::HashMap;
use std::io::Read;

use super::quants::unread_name;
use super::{GgufError, Kind, Metadata, TensorInfo, Value};

/// Largest header in bytes. Vocabularies of 260,000 tokens with their merges take 20 MB.
const MAX_BYTES: u64 = 128 << 20;
/// Most tensors, keys and array items together: each takes more memory than its bytes in the file.
/// The same vocabularies have 1.3 million.
const MAX_ITEMS: u64 = 4 << 20;
/// Arrays in arrays; files have one level.
const MAX_DEPTH: usize = 4;
/// Longest name of a key or tensor; the format's own limit for keys.
const MAX_NAME: u64 = 65_535;
/// What ggml computes with.
const MAX_DIMENSIONS: u32 = 4;
const DEFAULT_ALIGNMENT: u64 = 32;

/// A parsed and checked header.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) version: u32,
    pub(super) metadata: Metadata,
    pub(super) tensors: Vec<TensorInfo>,
    /// Name to position in `tensors`.
    pub(super) index: HashMap<String, usize>,
}

/// Reads the header of a file of `file_bytes` from its first byte on.
pub(super) fn parse(reader: impl Read, file_bytes: u64) -> Result<Header, GgufError> {
    let mut parser = Parser {
        reader,
        file_bytes,
        at: 0,
        items: 0,
        place: "the file's first bytes".to_owned(),
    };
    let version = parser.version()?;
    // The least a tensor takes: lengths of name and shape, type, offset.
    let tensor_count = parser.items(8 + 4 + 4 + 8)?;
    // The least a key takes: length of its name, type, one byte.
    let key_count = parser.items(8 + 4 + 1)?;

    let mut metadata = Metadata::default();
    for number in 0..key_count {
        let (key, value) = parser.key_value(number)?;
        metadata.insert(key, value)?;
    }
    let alignment = alignment(&metadata)?;

    let mut tensors = Vec::new();
    let mut index = HashMap::new();
    for number in 0..tensor_count {
        let tensor = parser.tensor(number)?;
        if index.insert(tensor.name.clone(), tensors.len()).is_some() {
            return Err(GgufError::DuplicateTensor { name: tensor.name });
        }
        tensors.push(tensor);
    }
    locate(&mut tensors, parser.at, alignment, file_bytes)?;
    Ok(Header {
        version,
        metadata,
        tensors,
        index,
    })
}

fn alignment(metadata: &Metadata) -> Result<u64, GgufError> {
    let found = metadata.optional("general.alignment", Metadata::u64)?;
    let alignment = found.unwrap_or(DEFAULT_ALIGNMENT);
    if alignment.is_power_of_two() && alignment <= u32::MAX.into() {
        Ok(alignment)
    } else {
        Err(GgufError::Alignment { alignment })
    }
}

/// Turns offsets into the data section into offsets into the file, and checks what lies there.
fn locate(
    tensors: &mut [TensorInfo],
    header_end: u64,
    alignment: u64,
    file_bytes: u64,
) -> Result<(), GgufError> {
    let data = header_end.next_multiple_of(alignment);
    for tensor in &mut *tensors {
        if !tensor.offset.is_multiple_of(alignment) {
            return Err(GgufError::Misaligned {
                tensor: tensor.name.clone(),
                offset: tensor.offset,
                alignment,
            });
        }
        let start = data.checked_add(tensor.offset);
        let end = start.and_then(|start| start.checked_add(tensor.bytes));
        if end.is_none_or(|end| end > file_bytes) {
            return Err(GgufError::Outside {
                tensor: tensor.name.clone(),
                offset: start.unwrap_or(u64::MAX),
                bytes: tensor.bytes,
                file_bytes,
            });
        }
        tensor.offset += data;
    }
    let mut sorted: Vec<&TensorInfo> = tensors.iter().collect();
    sorted.sort_by_key(|tensor| tensor.offset);
    match sorted
        .windows(2)
        .find(|pair| pair[0].offset + pair[0].bytes > pair[1].offset)
    {
        None => Ok(()),
        Some(pair) => Err(GgufError::Overlap {
            first: pair[0].name.clone(),
            second: pair[1].name.clone(),
            offset: pair[1].offset,
        }),
    }
}

/// A reader that knows where it is, for errors, and how much the file can still hold.
struct Parser<R> {
    reader: R,
    file_bytes: u64,
    at: u64,
    /// Tensors, keys and array items announced so far.
    items: u64,
    /// What is being read, for errors.
    place: String,
}

impl<R: Read> Parser<R> {
    /// Fails unless the file can hold `count` things of at least `each` bytes from here on.
    fn need(&self, count: u64, each: u64) -> Result<(), GgufError> {
        let (needed, left) = (count.saturating_mul(each), self.file_bytes - self.at);
        if needed > left {
            return Err(GgufError::Truncated {
                place: self.place.clone(),
                offset: self.at,
                needed,
                left,
            });
        }
        if self.at + needed > MAX_BYTES {
            return Err(self.limit(format!("headers of {MAX_BYTES} bytes")));
        }
        Ok(())
    }

    fn limit(&self, limit: String) -> GgufError {
        GgufError::Limit {
            place: self.place.clone(),
            offset: self.at,
            limit,
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<(), GgufError> {
        self.need(buffer.len() as u64, 1)?;
        self.reader.read_exact(buffer).map_err(|e| GgufError::Io {
            place: self.place.clone(),
            offset: self.at,
            reason: e.to_string(),
        })?;
        self.at += buffer.len() as u64;
        Ok(())
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], GgufError> {
        let mut bytes = [0; N];
        self.read(&mut bytes)?;
        Ok(bytes)
    }

    fn u32(&mut self) -> Result<u32, GgufError> {
        self.bytes().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, GgufError> {
        self.bytes().map(u64::from_le_bytes)
    }

    /// A count of things of at least `each` bytes, as many as file and memory can hold.
    fn items(&mut self, each: u64) -> Result<u64, GgufError> {
        let count = self.u64()?;
        self.need(count, each)?;
        self.items += count;
        if self.items > MAX_ITEMS {
            return Err(self.limit(format!("{MAX_ITEMS} tensors, keys and array items")));
        }
        Ok(count)
    }

    fn string(&mut self) -> Result<String, GgufError> {
        let length = self.u64()?;
        self.need(length, 1)?;
        let offset = self.at;
        let mut bytes = vec![0; length as usize];
        self.read(&mut bytes)?;
        String::from_utf8(bytes).map_err(|e| GgufError::Utf8 {
            place: self.place.clone(),
            offset: offset + e.utf8_error().valid_up_to() as u64,
        })
    }

    fn name(&mut self) -> Result<String, GgufError> {
        let name = self.string()?;
        if name.len() as u64 > MAX_NAME {
            return Err(self.limit(format!("names of {MAX_NAME} bytes")));
        }
        Ok(name)
    }

    fn version(&mut self) -> Result<u32, GgufError> {
        let magic = self.bytes()?;
        if magic != *b"GGUF" {
            return Err(GgufError::Magic { found: magic });
        }
        let version = self.u32()?;
        match version {
            2 | 3 => Ok(version),
            // A small number in the other byte order is a number above 65535 in this one.
            _ if version > 0xffff && version.swap_bytes() <= 0xffff => Err(GgufError::BigEndian),
            _ => Err(GgufError::Version { version }),
        }
    }

    fn key_value(&mut self, number: u64) -> Result<(String, Value), GgufError> {
        self.place = format!("the name of metadata key {number}");
        let key = self.name()?;
        self.place = format!("metadata key {key:?}");
        let kind = self.u32()?;
        let value = self.value(kind, 0)?;
        Ok((key, value))
    }

    /// A value of type `kind` inside `depth` arrays.
    fn value(&mut self, kind: u32, depth: usize) -> Result<Value, GgufError> {
        Ok(match kind {
            0 => Value::U8(self.bytes().map(u8::from_le_bytes)?),
            1 => Value::I8(self.bytes().map(i8::from_le_bytes)?),
            2 => Value::U16(self.bytes().map(u16::from_le_bytes)?),
            3 => Value::I16(self.bytes().map(i16::from_le_bytes)?),
            4 => Value::U32(self.u32()?),
            5 => Value::I32(self.bytes().map(i32::from_le_bytes)?),
            6 => Value::F32(self.bytes().map(f32::from_le_bytes)?),
            7 => Value::Bool(self.boolean()?),
            8 => Value::String(self.string()?),
            9 => Value::Array(self.array(depth)?),
            10 => Value::U64(self.u64()?),
            11 => Value::I64(self.bytes().map(i64::from_le_bytes)?),
            12 => Value::F64(self.bytes().map(f64::from_le_bytes)?),
            _ => return Err(self.value_type(kind)),
        })
    }

    fn value_type(&self, found: u32) -> GgufError {
        GgufError::ValueType {
            place: self.place.clone(),
            offset: self.at - 4,
            found,
        }
    }

    fn boolean(&mut self) -> Result<bool, GgufError> {
        match self.bytes()? {
            [0] => Ok(false),
            [1] => Ok(true),
            [found] => Err(GgufError::Bool {
                place: self.place.clone(),
                offset: self.at - 1,
                found,
            }),
        }
    }

    fn array(&mut self, depth: usize) -> Result<Vec<Value>, GgufError> {
        if depth == MAX_DEPTH {
            return Err(self.limit(format!("arrays {MAX_DEPTH} deep")));
        }
        let kind = self.u32()?;
        let least = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            8 | 10..=12 => 8,
            9 => 12,
            _ => return Err(self.value_type(kind)),
        };
        let count = self.items(least)?;
        // Collecting results allocates as items arrive, not from the claimed count.
        (0..count).map(|_| self.value(kind, depth + 1)).collect()
    }

    /// A tensor's entry, its offset still counted from the data section.
    fn tensor(&mut self, number: u64) -> Result<TensorInfo, GgufError> {
        self.place = format!("the name of tensor {number}");
        let name = self.name()?;
        self.place = format!("tensor {name:?}");
        let rank = self.u32()?;
        if rank > MAX_DIMENSIONS {
            return Err(self.limit(format!("{MAX_DIMENSIONS} dimensions, and it has {rank}")));
        }
        let mut dims = Vec::new();
        for _ in 0..rank {
            dims.push(self.u64()?);
        }
        // The file names the contiguous dimension first.
        dims.reverse();
        let id = self.u32()?;
        let offset = self.u64()?;
        let Some(kind) = Kind::from_id(id) else {
            return Err(GgufError::Kind {
                tensor: name,
                id,
                found: unread_name(id),
            });
        };
        match measure(&dims, kind) {
            Ok((shape, bytes)) => Ok(TensorInfo {
                name,
                shape,
                kind,
                offset,
                bytes,
            }),
            Err(reason) => Err(GgufError::Shape {
                tensor: name,
                shape: dims,
                reason,
            }),
        }
    }
}

/// The shape as sizes in memory and the tensor's bytes in the file, or what is wrong with it.
fn measure(dims: &[u64], kind: Kind) -> Result<(Vec<usize>, u64), String> {
    if dims.contains(&0) {
        return Err("it has no values".to_owned());
    }
    let (block_len, block_bytes) = (kind.block_len() as u64, kind.block_bytes() as u64);
    let row = dims.last().copied().unwrap_or(1);
    if !row.is_multiple_of(block_len) {
        return Err(format!(
            "rows of {row} values are not whole {kind} blocks of {block_len}"
        ));
    }
    let too_many = || "it has more values than this machine can count".to_owned();
    let shape: Result<Vec<usize>, _> = dims.iter().map(|&n| n.try_into()).collect();
    let shape = shape.map_err(|_| too_many())?;
    let values = shape.iter().try_fold(1usize, |n, &dim| n.checked_mul(dim));
    let values = values.ok_or_else(too_many)? as u64;
    let bytes = (values / block_len).checked_mul(block_bytes);
    Ok((shape, bytes.ok_or_else(too_many)?))
}
