//! A model in one or several safetensors.

use std::collections::BTreeMap;
use std::io::{Read, Seek};

use super::blocks::{SCALE_SUFFIX, dequantize, per_byte};
use super::{SafetensorsReader, TensorReader};
use crate::{Error, Result};

/// The tensors of one safetensors file or of several shards. Weights of 8 and 4 bits, as Sprat's packs have them, are
/// read as floats.
#[derive(Debug)]
pub struct Shards<R> {
    shards: Vec<SafetensorsReader<R>>,
    /// Each tensor's shard.
    places: BTreeMap<String, usize>,
    /// Tensors in the order of shards and offsets.
    names: Vec<String>,
}

impl<R: Read + Seek> Shards<R> {
    /// Puts shards together.
    ///
    /// # Errors
    /// [`Error::Format`] if one tensor is in two of them.
    pub fn new(shards: Vec<SafetensorsReader<R>>) -> Result<Self> {
        let mut places = BTreeMap::new();
        let mut names = Vec::new();
        for (index, shard) in shards.iter().enumerate() {
            for name in shard.names() {
                if places.insert(name.clone(), index).is_some() {
                    let problem = format!("tensor `{name}` is in another shard too");
                    return Err(Error::Format {
                        what: shard.what().to_owned(),
                        problem,
                    });
                }
                names.push(name);
            }
        }
        let mut model = Self {
            shards,
            places,
            names: Vec::new(),
        };
        names.retain(|name| !model.is_scale(name));
        model.names = names;
        Ok(model)
    }

    /// Whether a tensor has the scales of another's blocks.
    fn is_scale(&self, name: &str) -> bool {
        name.strip_suffix(SCALE_SUFFIX)
            .is_some_and(|of| self.weights_in_a_byte(of).is_some())
    }

    /// Of a tensor that is stored in blocks.
    fn weights_in_a_byte(&self, name: &str) -> Option<usize> {
        let dtype = self.shards[*self.places.get(name)?].dtype(name)?;
        let scales = format!("{name}{SCALE_SUFFIX}");
        per_byte(dtype).filter(|_| self.places.contains_key(&scales))
    }

    fn read_blocks(&mut self, name: &str) -> Result<Vec<f32>> {
        let name_of_scales = format!("{name}{SCALE_SUFFIX}");
        let scales = self.read(&name_of_scales)?;
        let shard = &mut self.shards[self.places[name]];
        let (bytes, dtype) = shard.read_bytes(name)?;
        dequantize(&bytes, &scales, dtype).ok_or_else(|| Error::Format {
            what: format!("tensor `{name_of_scales}`"),
            problem: format!(
                "{} scales don't fit {} bytes of blocks",
                scales.len(),
                bytes.len()
            ),
        })
    }
}

impl<R: Read + Seek> TensorReader for Shards<R> {
    fn names(&self) -> Vec<String> {
        self.names.clone()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        let shard = &self.shards[*self.places.get(name)?];
        let mut shape = shard.shape(name)?;
        if let (Some(columns), Some(per_byte)) = (shape.last_mut(), self.weights_in_a_byte(name)) {
            *columns *= per_byte;
        }
        Some(shape)
    }

    fn read(&mut self, name: &str) -> Result<Vec<f32>> {
        match self.places.get(name) {
            Some(_) if self.weights_in_a_byte(name).is_some() => self.read_blocks(name),
            Some(&shard) => self.shards[shard].read(name),
            None => Err(Error::Format {
                what: format!("tensor `{name}`"),
                problem: "there is no such tensor".into(),
            }),
        }
    }
}
