//! From bytes to tensors: safetensors in f32, f16, bf16 and 8-bit blocks, checked on the way.

use std::collections::HashMap;

use crate::tensor::module::Param;
use crate::tensor::{Device, Tensor, TensorData};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

#[cfg(not(target_arch = "wasm32"))]
use crate::Storage;
use crate::matrix::Matrix;
use crate::storage::{Blocks, SCALE_SUFFIX};
use crate::{Error, ModelConfig};

/// A checkpoint's tensors on their device, by Hugging Face name.
#[derive(Debug, Default)]
pub struct TensorMap {
    tensors: HashMap<String, Stored>,
    keep_blocks: bool,
}

#[derive(Debug)]
enum Stored {
    Vector(Tensor<1>),
    Matrix(Tensor<2>),
    Quantized(Matrix),
}

impl TensorMap {
    /// An empty map; fill it with [`TensorMap::add_shard`]. All weights become floats, as training
    /// wants them.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty map that keeps matrices of 8-bit and 4-bit blocks as they are; the device must be one
    /// without gradients.
    pub fn keeping_blocks() -> Self {
        Self {
            keep_blocks: true,
            ..Self::default()
        }
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
            let (shape, values) = match view.dtype() {
                Dtype::I8 | Dtype::U8 => {
                    let blocks = blocks(name, &view, &shard)?;
                    if self.keep_blocks {
                        self.keep(name, &blocks, device);
                        continue;
                    }
                    (blocks.shape.to_vec(), blocks.dequantize())
                }
                dtype => (view.shape().to_vec(), floats(name, dtype, view.data())?),
            };
            if let Some(index) = values.iter().position(|v| !v.is_finite()) {
                return Err(Error::WeightNotFinite {
                    name: name.to_owned(),
                    index,
                });
            }
            self.insert(name, &shape, values, device)?;
        }
        Ok(())
    }

    /// How many matrices are blocks.
    #[cfg(test)]
    pub(crate) fn quantized(&self) -> usize {
        let all = self.tensors.values();
        all.filter(|stored| matches!(stored, Stored::Quantized(_)))
            .count()
    }

    /// Adds a matrix whose blocks are multiplied as they are.
    pub(crate) fn keep(&mut self, name: &str, blocks: &Blocks<'_>, device: &Device) {
        let matrix = Matrix::quantized(blocks, device);
        self.tensors
            .insert(name.to_owned(), Stored::Quantized(matrix));
    }

    /// Adds one tensor from its values in row-major order: a vector, a matrix, or the filters of a
    /// depthwise convolution, `[channels, 1, width]`.
    ///
    /// # Errors
    /// [`Error::Shape`] for any other shape, or when the number of values differs.
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
            // A depthwise convolution has one input channel per filter.
            [n, k] | [n, 1, k] => {
                Stored::Matrix(Tensor::from_data(TensorData::new(values, [n, k]), device))
            }
            _ => return Err(wrong()),
        };
        self.tensors.insert(name.to_owned(), stored);
        Ok(())
    }

    /// Adds one tensor, with its weights rounded as a pack of this storage has them: quantized where it
    /// quantizes this tensor. Nothing is rounded to 16 bits.
    ///
    /// # Errors
    /// As [`TensorMap::insert`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn insert_as(
        &mut self,
        storage: Storage,
        name: &str,
        shape: &[usize],
        values: Vec<f32>,
        device: &Device,
    ) -> Result<(), Error> {
        let Some(blocks) = Blocks::quantize(name, shape, &values, storage)? else {
            return self.insert(name, shape, values, device);
        };
        if self.keep_blocks {
            self.keep(name, &blocks, device);
            return Ok(());
        }
        self.insert(name, shape, blocks.dequantize(), device)
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

/// A quantized tensor with its scales.
fn blocks<'a>(
    name: &str,
    view: &TensorView<'a>,
    shard: &SafeTensors<'a>,
) -> Result<Blocks<'a>, Error> {
    let scale_name = format!("{name}{SCALE_SUFFIX}");
    let scales = shard
        .tensor(&scale_name)
        .map_err(|_| Error::TensorMissing(scale_name.clone()))?;
    let scales = floats(&scale_name, scales.dtype(), scales.data())?;
    Blocks::new(name, (view.dtype(), view.shape()), view.data(), &scales)
}

/// Little-endian floats of any width as f32.
pub(crate) fn floats(name: &str, dtype: Dtype, bytes: &[u8]) -> Result<Vec<f32>, Error> {
    let halves = |half: fn([u8; 2]) -> f32| {
        let pairs = bytes.chunks_exact(2).map(|b| half([b[0], b[1]]));
        pairs.collect()
    };
    match dtype {
        Dtype::F32 => Ok(bytes
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect()),
        Dtype::F16 => Ok(halves(|b| half::f16::from_le_bytes(b).to_f32())),
        Dtype::BF16 => Ok(halves(|b| half::bf16::from_le_bytes(b).to_f32())),
        other => Err(Error::Dtype {
            name: name.to_owned(),
            dtype: format!("{other:?}"),
        }),
    }
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
            Stored::Quantized(matrix) => Err(wrong_shape(name, &shape, &matrix.shape())),
        }
    }

    /// A matrix of floats, whatever it is stored as.
    pub(crate) fn floats(&mut self, name: &str, shape: [usize; 2]) -> Result<Tensor<2>, Error> {
        let name = self.full(name);
        match self.take(&name)? {
            Stored::Matrix(t) if t.dims() == shape => Ok(t),
            Stored::Matrix(t) => Err(wrong_shape(name, &shape, &t.dims())),
            Stored::Vector(t) => Err(wrong_shape(name, &shape, &t.dims())),
            Stored::Quantized(matrix) if matrix.shape() == shape => Ok(matrix.to_floats()),
            Stored::Quantized(matrix) => Err(wrong_shape(name, &shape, &matrix.shape())),
        }
    }

    /// A matrix that is only multiplied.
    pub(crate) fn matrix(&mut self, name: &str, shape: [usize; 2]) -> Result<Matrix, Error> {
        let [whole] = self.matrices(name, [shape[0]], shape[1])?;
        Ok(whole)
    }

    /// Matrices of one input that the checkpoint holds as the rows of one.
    pub(crate) fn matrices<const N: usize>(
        &mut self,
        name: &str,
        outs: [usize; N],
        input: usize,
    ) -> Result<[Matrix; N], Error> {
        let shape = [outs.iter().sum(), input];
        let mut start = 0;
        let mut next = |out: usize| {
            start += out;
            start - out..start
        };
        let name_here = self.full(name);
        if let Some(Stored::Quantized(matrix)) = self.map.tensors.get(&name_here)
            && matrix.shape() == shape
            // Whole tiles, or one matrix of all rows.
            && (N == 1 || outs.iter().all(|out| matrix.can_be_cut_at(*out)))
            && let Stored::Quantized(matrix) = self.take(&name_here)?
        {
            let mut whole = Some(matrix);
            let mut part = |out: usize| match N {
                1 => whole.take(),
                _ => whole.as_ref().map(|whole| whole.part(next(out))),
            };
            return Ok(outs.map(|out| part(out).expect("the one is taken once")));
        }
        let whole = self.floats(name, shape)?;
        Ok(outs.map(|out| {
            let rows = next(out);
            Matrix::floats(whole.clone().narrow(0, rows.start, rows.len()))
        }))
    }

    /// Matrices of one shape, such as those of all experts, as one tensor `[count, rows, columns]`.
    pub(crate) fn stacked(
        &mut self,
        count: usize,
        name: impl Fn(usize) -> String,
        shape: [usize; 2],
    ) -> Result<Param<Tensor<3>>, Error> {
        let each = (0..count).map(|i| self.floats(&name(i), shape).map(Tensor::unsqueeze));
        let each: Vec<Tensor<3>> = each.collect::<Result<_, _>>()?;
        Ok(Param::from_tensor(Tensor::cat(each, 0)))
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
