//! From bytes to tensors: safetensors in f32, f16, bf16 and 8-bit blocks, checked on the way.

use std::collections::HashMap;

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::{Error, ModelConfig};

/// Weights per scale in 8-bit storage.
pub const BLOCK: usize = 32;

/// A checkpoint's tensors on their device, by Hugging Face name.
#[derive(Debug, Default)]
pub struct TensorMap {
    tensors: HashMap<String, Stored>,
}

#[derive(Debug)]
enum Stored {
    Vector(Tensor<1>),
    Matrix(Tensor<2>),
}

impl TensorMap {
    /// An empty map; fill it with [`TensorMap::add_shard`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Decodes one safetensors file and puts its tensors on `device`. Call it shard by shard and
    /// drop each shard's bytes before reading the next: host memory then holds one shard.
    ///
    /// # Errors
    /// [`Error::Safetensors`], [`Error::Dtype`], [`Error::WeightNotFinite`], [`Error::Shape`].
    pub fn add_shard(&mut self, file: &str, bytes: &[u8], device: &Device) -> Result<(), Error> {
        let shard = SafeTensors::deserialize(bytes).map_err(|e| Error::Safetensors {
            file: file.to_owned(),
            reason: e.to_string(),
        })?;
        for (name, view) in shard.iter() {
            if name.ends_with(SCALE_SUFFIX) {
                continue;
            }
            let values = decode(name, &view, &shard)?;
            if let Some(index) = values.iter().position(|v| !v.is_finite()) {
                return Err(Error::WeightNotFinite {
                    name: name.to_owned(),
                    index,
                });
            }
            self.insert(name, view.shape(), values, device)?;
        }
        Ok(())
    }

    /// Adds one tensor of rank 1 or 2 from its values in row-major order.
    ///
    /// # Errors
    /// [`Error::Shape`] for any other rank, or when the number of values differs.
    pub fn insert(
        &mut self,
        name: &str,
        shape: &[usize],
        values: Vec<f32>,
        device: &Device,
    ) -> Result<(), Error> {
        let wrong = || Error::Shape {
            name: name.to_owned(),
            expected: vec![values.len()],
            actual: shape.to_vec(),
        };
        if shape.iter().product::<usize>() != values.len() {
            return Err(wrong());
        }
        let stored = match *shape {
            [n] => Stored::Vector(Tensor::from_data(TensorData::new(values, [n]), device)),
            [n, k] => Stored::Matrix(Tensor::from_data(TensorData::new(values, [n, k]), device)),
            _ => return Err(wrong()),
        };
        self.tensors.insert(name.to_owned(), stored);
        Ok(())
    }

    /// Fresh weights for `config`, drawn on the host from `seed`.
    pub(crate) fn random(config: &ModelConfig, seed: u64, device: &Device) -> Self {
        let mut map = Self::new();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for (name, shape) in config.tensors() {
            let count = shape.iter().product();
            let values = match shape.len() {
                1 if name.ends_with(".bias") => vec![0.0; count],
                1 => vec![1.0; count],
                _ => normal(&mut rng, count, config.initializer_range as f32),
            };
            map.insert(&name, &shape, values, device)
                .expect("names and shapes come from the config");
        }
        map
    }
}

/// Box-Muller, so that the draw depends on nothing but the generator.
fn normal(rng: &mut ChaCha8Rng, count: usize, std: f32) -> Vec<f32> {
    use rand::Rng;
    let mut values = Vec::with_capacity(count + 1);
    while values.len() < count {
        let radius = (-2.0 * (1.0 - rng.random::<f32>()).ln()).sqrt() * std;
        let (sin, cos) = (std::f32::consts::TAU * rng.random::<f32>()).sin_cos();
        values.extend([radius * cos, radius * sin]);
    }
    values.truncate(count);
    values
}

const SCALE_SUFFIX: &str = ".scale";

/// Values of one tensor in f32, whatever its storage.
fn decode(name: &str, view: &TensorView<'_>, shard: &SafeTensors<'_>) -> Result<Vec<f32>, Error> {
    let bytes = view.data();
    match view.dtype() {
        Dtype::F32 => Ok(bytes
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect()),
        Dtype::F16 => Ok(bytes
            .chunks_exact(2)
            .map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32())
            .collect()),
        Dtype::BF16 => Ok(bytes
            .chunks_exact(2)
            .map(|b| half::bf16::from_le_bytes([b[0], b[1]]).to_f32())
            .collect()),
        Dtype::I8 => {
            let scale_name = format!("{name}{SCALE_SUFFIX}");
            let scales = shard
                .tensor(&scale_name)
                .map_err(|_| Error::TensorMissing(scale_name.clone()))?;
            let values = decode_scales(&scale_name, &scales)?;
            dequantize(name, view.shape(), bytes, &values)
        }
        other => Err(Error::Dtype {
            name: name.to_owned(),
            dtype: format!("{other:?}"),
        }),
    }
}

fn decode_scales(name: &str, view: &TensorView<'_>) -> Result<Vec<f32>, Error> {
    match view.dtype() {
        Dtype::F16 => Ok(view
            .data()
            .chunks_exact(2)
            .map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32())
            .collect()),
        Dtype::F32 => Ok(view
            .data()
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect()),
        other => Err(Error::Dtype {
            name: name.to_owned(),
            dtype: format!("{other:?}"),
        }),
    }
}

fn dequantize(
    name: &str,
    shape: &[usize],
    bytes: &[u8],
    scales: &[f32],
) -> Result<Vec<f32>, Error> {
    if !bytes.len().is_multiple_of(BLOCK) || scales.len() != bytes.len() / BLOCK {
        return Err(Error::Shape {
            name: format!("{name}{SCALE_SUFFIX}"),
            expected: vec![bytes.len() / BLOCK],
            actual: vec![scales.len(), shape.last().copied().unwrap_or(0) % BLOCK],
        });
    }
    Ok(bytes
        .chunks_exact(BLOCK)
        .zip(scales)
        .flat_map(|(block, scale)| block.iter().map(move |&q| f32::from(q as i8) * scale))
        .collect())
}

/// How a pack stores its matrices. Vectors (norms, biases) are always f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// 8-bit integers in blocks of [`BLOCK`] along a row, with one f16 scale each.
    Q8,
}

/// One encoded tensor: what safetensors needs to write it.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) struct Encoded {
    pub(crate) name: String,
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: Vec<u8>,
}

/// Encodes one tensor for storage. A matrix whose rows are no multiple of [`BLOCK`] stays f16.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn encode(
    name: &str,
    shape: &[usize],
    values: &[f32],
    storage: Storage,
) -> Vec<Encoded> {
    let one = |dtype, bytes| Encoded {
        name: name.to_owned(),
        dtype,
        shape: shape.to_vec(),
        bytes,
    };
    let f16 = |values: &[f32]| {
        values
            .iter()
            .flat_map(|&v| half::f16::from_f32(v).to_le_bytes())
            .collect::<Vec<u8>>()
    };
    let blocked = shape.last().is_some_and(|k| k.is_multiple_of(BLOCK));
    match storage {
        Storage::F16 if shape.len() == 2 => vec![one(Dtype::F16, f16(values))],
        Storage::Q8 if shape.len() == 2 && !blocked => vec![one(Dtype::F16, f16(values))],
        Storage::Q8 if shape.len() == 2 => {
            let (quants, scales) = quantize(values);
            let scale = Encoded {
                name: format!("{name}{SCALE_SUFFIX}"),
                dtype: Dtype::F16,
                shape: vec![shape[0], shape[1] / BLOCK],
                bytes: f16(&scales),
            };
            vec![one(Dtype::I8, quants), scale]
        }
        _ => vec![one(
            Dtype::F32,
            values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        )],
    }
}

/// Symmetric 8-bit blocks: scale = max|w| / 127, rounded to f16 before it divides, so that what is
/// stored is what was used.
#[cfg(not(target_arch = "wasm32"))]
fn quantize(values: &[f32]) -> (Vec<u8>, Vec<f32>) {
    let mut quants = Vec::with_capacity(values.len());
    let mut scales = Vec::with_capacity(values.len() / BLOCK);
    for block in values.chunks_exact(BLOCK) {
        let max = block.iter().fold(0f32, |m, v| m.max(v.abs()));
        let scale = half::f16::from_f32(max / 127.0).to_f32();
        let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
        scales.push(scale);
        quants.extend(
            block
                .iter()
                .map(|v| (v * inverse).round().clamp(-127.0, 127.0) as i8 as u8),
        );
    }
    (quants, scales)
}

/// A place in the checkpoint's tree of names, like `model.layers.0.self_attn`.
pub(crate) struct Path<'a> {
    map: &'a mut TensorMap,
    prefix: String,
}

impl<'a> Path<'a> {
    pub(crate) fn root(map: &'a mut TensorMap) -> Self {
        Self {
            map,
            prefix: String::new(),
        }
    }

    pub(crate) fn join(&mut self, name: &str) -> Path<'_> {
        let prefix = self.full(name);
        Path {
            map: self.map,
            prefix,
        }
    }

    pub(crate) fn vector(
        &mut self,
        name: &str,
        shape: [usize; 1],
    ) -> Result<Param<Tensor<1>>, Error> {
        let name = self.full(name);
        match self.take(&name)? {
            Stored::Vector(t) if t.dims() == shape => Ok(Param::from_tensor(t)),
            Stored::Vector(t) => Err(wrong_shape(name, &shape, &t.dims())),
            Stored::Matrix(t) => Err(wrong_shape(name, &shape, &t.dims())),
        }
    }

    pub(crate) fn matrix(
        &mut self,
        name: &str,
        shape: [usize; 2],
    ) -> Result<Param<Tensor<2>>, Error> {
        let name = self.full(name);
        match self.take(&name)? {
            Stored::Matrix(t) if t.dims() == shape => Ok(Param::from_tensor(t)),
            Stored::Matrix(t) => Err(wrong_shape(name, &shape, &t.dims())),
            Stored::Vector(t) => Err(wrong_shape(name, &shape, &t.dims())),
        }
    }

    fn take(&mut self, name: &str) -> Result<Stored, Error> {
        self.map
            .tensors
            .remove(name)
            .ok_or_else(|| Error::TensorMissing(name.to_owned()))
    }

    fn full(&self, name: &str) -> String {
        if self.prefix.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.prefix)
        }
    }
}

fn wrong_shape(name: String, expected: &[usize], actual: &[usize]) -> Error {
    Error::Shape {
        name,
        expected: expected.to_vec(),
        actual: actual.to_vec(),
    }
}
