//! Writes safetensors, one tensor at a time.

use std::fs::{self, File};
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use half::{bf16, f16};
use safetensors::tensor::{Metadata, TensorInfo};

use crate::{Dtype, Error, Result};

/// Writes a safetensors file whose tensors are known beforehand, in that order, so that none has
/// to be kept.
#[derive(Debug)]
pub struct SafetensorsWriter<W> {
    output: W,
    dtype: Dtype,
    /// Names and sizes of what is still to come, the next one last.
    missing: Vec<(String, usize)>,
}

/// A file's beginning, and what is to come after it: names and sizes, the next one last.
struct Header {
    bytes: Vec<u8>,
    missing: Vec<(String, usize)>,
}

/// The header for tensors of these names and shapes, all stored as `dtype`.
fn header<'a>(
    tensors: impl IntoIterator<Item = (&'a str, &'a [usize])>,
    dtype: Dtype,
) -> Result<Header> {
    let mut infos = Vec::new();
    let mut missing = Vec::new();
    let mut end = 0usize;
    for (name, shape) in tensors {
        let size = shape
            .iter()
            .fold(1, |product: usize, &size| product.saturating_mul(size));
        // A list that is too large saturates here and is refused below.
        let data_offsets = (end, end.saturating_add(size.saturating_mul(dtype.bytes())));
        end = data_offsets.1;
        let shape = shape.to_vec();
        infos.push((
            name.to_owned(),
            TensorInfo {
                dtype: stored(dtype),
                shape,
                data_offsets,
            },
        ));
        missing.push((name.to_owned(), size));
    }
    missing.reverse();
    // Libraries look at this entry to know who may open the file.
    let about = [("format".to_owned(), "pt".to_owned())].into();
    let format = |problem: String| Error::Format {
        what: "the list of tensors".into(),
        problem,
    };
    let metadata = Metadata::new(Some(about), infos).map_err(|error| format(error.to_string()))?;
    let mut json = serde_json::to_vec(&metadata).map_err(|error| format(error.to_string()))?;
    // Values begin at a multiple of eight, so that a mapped file can be used in place.
    json.resize(json.len().next_multiple_of(8), b' ');
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.extend(json);
    Ok(Header { bytes, missing })
}

impl<W: Write> SafetensorsWriter<W> {
    /// Writes the header for tensors of these names and shapes, all stored as `dtype`.
    pub fn new<'a>(
        mut output: W,
        tensors: impl IntoIterator<Item = (&'a str, &'a [usize])>,
        dtype: Dtype,
    ) -> Result<Self> {
        let Header { bytes, missing } = header(tensors, dtype)?;
        output.write_all(&bytes).map_err(in_header)?;
        Ok(Self {
            output,
            dtype,
            missing,
        })
    }

    /// Writes the next tensor.
    ///
    /// # Errors
    /// [`Error::Format`] if it is another one or of another size, [`Error::Overflow`] if a value is
    /// too large for the storage type, [`Error::Stream`] if it can't be written.
    pub fn write(&mut self, name: &str, values: &[f32]) -> Result<()> {
        let next = self.missing.pop();
        if next.as_ref().map(|(name, size)| (&**name, *size)) != Some((name, values.len())) {
            let problem = format!("{} values; expected was {next:?}", values.len());
            return Err(Error::Format {
                what: format!("tensor `{name}` to write"),
                problem,
            });
        }
        let bytes = encode(name, values, self.dtype)?;
        self.output
            .write_all(&bytes)
            .map_err(|source| Error::Stream {
                doing: format!("writing tensor `{name}`"),
                source,
            })
    }

    /// Checks that all tensors came, and gives the output back, flushed.
    pub fn finish(mut self) -> Result<W> {
        if let Some((name, _)) = self.missing.last() {
            let problem = "it was announced but not written".into();
            return Err(Error::Format {
                what: format!("tensor `{name}`"),
                problem,
            });
        }
        let doing = || "writing the last tensor".to_owned();
        self.output.flush().map_err(|source| Error::Stream {
            doing: doing(),
            source,
        })?;
        Ok(self.output)
    }
}

impl SafetensorsWriter<BufWriter<File>> {
    /// Goes on with a file of exactly these tensors that was cut off, behind the last one that is whole, and says how many
    /// are; any other file is begun anew. That the values are the right ones the caller must know.
    pub fn resume<'a>(
        mut file: File,
        tensors: impl IntoIterator<Item = (&'a str, &'a [usize])>,
        dtype: Dtype,
    ) -> Result<(Self, usize)> {
        let Header { bytes, mut missing } = header(tensors, dtype)?;
        let mut there = vec![0; bytes.len()];
        let is_ours = file.read_exact(&mut there).is_ok() && there == bytes;
        let length = file.metadata().map_err(in_header)?.len();
        let (mut end, all) = (bytes.len() as u64, missing.len());
        if is_ours {
            while let Some((_, size)) = missing.last() {
                let next = end + (*size as u64) * dtype.bytes() as u64;
                if next > length {
                    break;
                }
                end = next;
                missing.pop();
            }
        } else {
            file.rewind().map_err(in_header)?;
            file.write_all(&bytes).map_err(in_header)?;
        }
        file.set_len(end).map_err(in_header)?;
        file.seek(SeekFrom::End(0)).map_err(in_header)?;
        let done = all - missing.len();
        let writer = Self {
            output: BufWriter::new(file),
            dtype,
            missing,
        };
        Ok((writer, done))
    }
}

fn in_header(source: std::io::Error) -> Error {
    Error::Stream {
        doing: "writing the header".into(),
        source,
    }
}

/// Writes a file that appears under its name only when it is complete: what `fill` writes goes into
/// a file beside it first.
pub fn write_file<'a>(
    path: &Path,
    tensors: impl IntoIterator<Item = (&'a str, &'a [usize])>,
    dtype: Dtype,
    fill: impl FnOnce(&mut SafetensorsWriter<BufWriter<File>>) -> Result<()>,
) -> Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = Path::new(&partial);
    let failed = |doing, source| Error::File {
        doing,
        path: path.to_owned(),
        source,
    };
    let file = File::create(partial).map_err(|source| failed("creating", source))?;
    let written = SafetensorsWriter::new(BufWriter::new(file), tensors, dtype)
        .and_then(|mut writer| fill(&mut writer).and_then(|()| writer.finish()))
        .and_then(|output| {
            output
                .get_ref()
                .sync_all()
                .map_err(|e| failed("writing", e))
        })
        .and_then(|()| fs::rename(partial, path).map_err(|e| failed("renaming to", e)));
    if written.is_err() {
        // The error that counts is the first one; a file left over is only untidy.
        let _ = fs::remove_file(partial);
    }
    written
}

fn stored(dtype: Dtype) -> safetensors::Dtype {
    match dtype {
        Dtype::Float32 => safetensors::Dtype::F32,
        Dtype::Float16 => safetensors::Dtype::F16,
        Dtype::BFloat16 => safetensors::Dtype::BF16,
    }
}

/// `f32` to little-endian bytes, rounded to nearest.
///
/// # Errors
/// [`Error::Overflow`] for the first value that the type can't hold; `tensor` is its name there.
pub fn encode(tensor: &str, values: &[f32], dtype: Dtype) -> Result<Vec<u8>> {
    let fits = |&value: &f32| match dtype {
        Dtype::Float32 => value.is_finite(),
        Dtype::Float16 => f16::from_f32(value).is_finite(),
        Dtype::BFloat16 => bf16::from_f32(value).is_finite(),
    };
    if let Some(index) = values.iter().position(|value| !fits(value)) {
        let (value, dtype) = (values[index], dtype.name());
        return Err(Error::Overflow {
            tensor: tensor.to_owned(),
            index,
            value,
            dtype,
        });
    }
    Ok(match dtype {
        Dtype::Float32 => values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect(),
        Dtype::Float16 => values
            .iter()
            .flat_map(|&value| f16::from_f32(value).to_le_bytes())
            .collect(),
        Dtype::BFloat16 => values
            .iter()
            .flat_map(|&value| bf16::from_f32(value).to_le_bytes())
            .collect(),
    })
}
