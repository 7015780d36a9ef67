//! Weights in the form of a model that there is: its header, other values.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::rc::Rc;

use half::f16;
use safetensors::{Dtype, SafeTensors};
use sprat_kernels::{BLOCK, quantize_q4, quantize_q8};
use sprat_merge::{Dtype as Storage, Error, Result, SCALE_SUFFIX, encode};

/// Where a tensor is.
struct Place {
    shard: usize,
    bytes: Range<usize>,
    dtype: Dtype,
}

/// A model's files with values still to come.
pub(crate) struct Like {
    shards: Vec<Vec<u8>>,
    places: BTreeMap<String, Place>,
    /// Tensors without a value yet.
    missing: BTreeSet<String>,
}

impl Like {
    /// In the form of these files of a model called `name`.
    pub(crate) fn new(name: &str, files: &[Rc<[u8]>]) -> Result<Self> {
        let mut places = BTreeMap::new();
        for (shard, file) in files.iter().enumerate() {
            let format = |error: safetensors::SafeTensorError| Error::Format {
                what: format!("model `{name}`"),
                problem: error.to_string(),
            };
            let (header, metadata) = SafeTensors::read_metadata(file).map_err(format)?;
            // The header's own length comes before it.
            let start = 8 + header;
            for (name, info) in metadata.tensors() {
                let (from, to) = info.data_offsets;
                let bytes = start + from..start + to;
                let dtype = info.dtype;
                let place = Place {
                    shard,
                    bytes,
                    dtype,
                };
                places.insert(name, place);
            }
        }
        Ok(Self {
            shards: files.iter().map(|file| file.to_vec()).collect(),
            missing: places.keys().cloned().collect(),
            places,
        })
    }

    /// Stores a tensor's values.
    ///
    /// # Errors
    /// [`Error::Overflow`] for values that its type can't hold, [`Error::Format`] when there is no such tensor, or not of
    /// this size or of a type that holds weights.
    pub(crate) fn write(&mut self, name: &str, values: &[f32]) -> Result<()> {
        let Some(place) = self.places.get(name) else {
            return Err(format(name, "the model it should be like has none"));
        };
        let scales = format!("{name}{SCALE_SUFFIX}");
        let encoded = match place.dtype {
            Dtype::F32 => encode(name, values, Storage::Float32)?,
            Dtype::F16 => encode(name, values, Storage::Float16)?,
            Dtype::BF16 => encode(name, values, Storage::BFloat16)?,
            Dtype::I8 | Dtype::U8 if self.places.contains_key(&scales) => {
                if !values.len().is_multiple_of(BLOCK) {
                    return Err(format(name, "it is not of whole blocks"));
                }
                let (factors, blocks) = match place.dtype {
                    Dtype::I8 => quantize_q8(values),
                    _ => quantize_q4(values),
                };
                check(name, values, &factors)?;
                let factors: Vec<u8> = factors.iter().flat_map(|v| v.to_le_bytes()).collect();
                self.fill(&scales, &factors)?;
                blocks
            }
            other => return Err(format(name, &format!("{other:?} holds no weights"))),
        };
        self.fill(name, &encoded)
    }

    fn fill(&mut self, name: &str, encoded: &[u8]) -> Result<()> {
        let place = self.places.get(name);
        let bytes = place.and_then(|place| {
            let shard = self.shards.get_mut(place.shard)?;
            shard.get_mut(place.bytes.clone())
        });
        match bytes {
            Some(bytes) if bytes.len() == encoded.len() => bytes.copy_from_slice(encoded),
            _ => return Err(format(name, "its size is not that of its values")),
        }
        self.missing.remove(name);
        Ok(())
    }

    /// The files.
    ///
    /// # Errors
    /// [`Error::Format`] when a tensor has got no value.
    pub(crate) fn finish(self) -> Result<Vec<Vec<u8>>> {
        match self.missing.first() {
            None => Ok(self.shards),
            Some(name) => Err(format(name, "the mix has no such tensor")),
        }
    }
}

fn format(name: &str, problem: &str) -> Error {
    Error::Format {
        what: format!("tensor `{name}`"),
        problem: problem.to_owned(),
    }
}

/// That each block's scale is a number of 16 bits.
fn check(tensor: &str, values: &[f32], scales: &[f16]) -> Result<()> {
    let Some(block) = scales.iter().position(|scale| !scale.is_finite()) else {
        return Ok(());
    };
    let start = block * BLOCK;
    let smaller = |a: &usize, b: &usize| values[*a].abs().total_cmp(&values[*b].abs());
    let index = (start..start + BLOCK).max_by(smaller).unwrap_or(start);
    Err(Error::Overflow {
        tensor: tensor.to_owned(),
        index,
        value: values[index],
        dtype: "a block's scale",
    })
}
