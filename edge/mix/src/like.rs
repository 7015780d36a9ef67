//! Weights in the form of a model that there is: its header, other values.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::rc::Rc;

use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors};
use sprat_kernels::{BLOCK, quantize_q4, quantize_q8};
use sprat_merge::{Error, Result};

/// What a tensor's scales are called, after it.
const SCALE_SUFFIX: &str = ".scale";

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
            Dtype::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Dtype::F16 => {
                let halves: Vec<f16> = values.iter().map(|v| f16::from_f32(*v)).collect();
                check(name, values, &halves, |half| half.is_finite(), "float16")?;
                halves.iter().flat_map(|v| v.to_le_bytes()).collect()
            }
            Dtype::BF16 => {
                let halves: Vec<bf16> = values.iter().map(|v| bf16::from_f32(*v)).collect();
                check(name, values, &halves, |half| half.is_finite(), "bfloat16")?;
                halves.iter().flat_map(|v| v.to_le_bytes()).collect()
            }
            Dtype::I8 | Dtype::U8 if self.places.contains_key(&scales) => {
                if !values.len().is_multiple_of(BLOCK) {
                    return Err(format(name, "it is not of whole blocks"));
                }
                let (factors, blocks) = match place.dtype {
                    Dtype::I8 => quantize_q8(values),
                    _ => quantize_q4(values),
                };
                check(name, values, &factors, |half| half.is_finite(), "a block")?;
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

/// That everything that was encoded can be decoded. `encoded` may have an element for several values.
fn check<T>(
    tensor: &str,
    values: &[f32],
    encoded: &[T],
    fits: impl Fn(&T) -> bool,
    dtype: &'static str,
) -> Result<()> {
    let Some(at) = encoded.iter().position(|half| !fits(half)) else {
        return Ok(());
    };
    let each = values.len() / encoded.len();
    let piece = &values[at * each..(at + 1) * each];
    let largest = (0..each).max_by(|a, b| piece[*a].abs().total_cmp(&piece[*b].abs()));
    let index = at * each + largest.unwrap_or(0);
    Err(Error::Overflow {
        tensor: tensor.to_owned(),
        index,
        value: values[index],
        dtype,
    })
}
