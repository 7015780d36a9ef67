//! How weights are stored in a pack: floats, or integers in blocks of 32 with a scale each.

use std::borrow::Cow;

use half::f16;
use safetensors::tensor::Dtype;
use serde::{Deserialize, Serialize};
use sprat_kernels::Bits;

use crate::Error;

/// Weights per scale in 8-bit and 4-bit storage: neighbours in one row.
pub use sprat_kernels::BLOCK;

/// The end of the name of a quantized tensor's scales.
pub(crate) const SCALE_SUFFIX: &str = ".scale";

/// How a pack stores its matrices. Vectors (norms, biases) and the filters of convolutions are
/// always f32, and routers of experts f16: an expert chosen wrongly costs more than a router's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// 8-bit integers in blocks of [`BLOCK`] along a row, with one f16 scale each.
    Q8,
    /// 4-bit integers in blocks of [`BLOCK`] along a row, with one f16 scale each.
    Q4,
    /// 4 bits, but 8 for the embedding table and the head, where an error reaches every token.
    Mixed,
}

/// A quantized matrix as it lies in a pack, row by row.
#[derive(Debug, Clone)]
pub(crate) struct Blocks<'a> {
    pub(crate) bits: Bits,
    /// Rows and columns, in weights.
    pub(crate) shape: [usize; 2],
    quants: Cow<'a, [u8]>,
    /// One per block.
    scales: Vec<f16>,
}

impl<'a> Blocks<'a> {
    /// Checks that bytes and scales are as many as `rows` of whole blocks have, and that no scale is
    /// NaN or infinite. `dtype` is I8 for 8 bits, U8 for 4.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Dtype`], [`Error::WeightNotFinite`].
    pub(crate) fn new(
        name: &str,
        (dtype, shape): (Dtype, &[usize]),
        quants: impl Into<Cow<'a, [u8]>>,
        scales: &[f32],
    ) -> Result<Self, Error> {
        let quants = quants.into();
        let (bits, per_byte) = match dtype {
            Dtype::I8 => (Bits::Eight, 1),
            _ => (Bits::Four, 2),
        };
        let wrong = |expected: usize| Error::Shape {
            name: format!("{name}{SCALE_SUFFIX}"),
            expected: vec![expected],
            actual: vec![scales.len()],
        };
        let &[rows, columns] = shape else {
            return Err(wrong(0));
        };
        let columns = columns * per_byte;
        let blocks = rows * columns / BLOCK;
        if !columns.is_multiple_of(BLOCK)
            || scales.len() != blocks
            || quants.len() * per_byte != rows * columns
        {
            return Err(wrong(blocks));
        }
        if let Some(index) = scales.iter().position(|scale| !scale.is_finite()) {
            return Err(Error::WeightNotFinite {
                name: format!("{name}{SCALE_SUFFIX}"),
                index,
            });
        }
        Ok(Self {
            bits,
            shape: [rows, columns],
            quants,
            scales: scales.iter().map(|scale| f16::from_f32(*scale)).collect(),
        })
    }

    /// The blocks of a tensor in a pack of this storage; none where it stays floats.
    ///
    /// # Errors
    /// [`Error::WeightNotFinite`] when a weight is too large for a scale of 16 bits.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn quantize(
        name: &str,
        shape: &[usize],
        values: &[f32],
        storage: Storage,
    ) -> Result<Option<Self>, Error> {
        let parts = parts(name, shape, storage);
        if parts.len() < 2 || shape.iter().product::<usize>() != values.len() {
            return Ok(None);
        }
        let mut bytes = encode(name, shape, values, storage);
        let scales = crate::weights::floats(name, Dtype::F16, &bytes[1])?;
        let quants = bytes.swap_remove(0);
        Self::new(name, (parts[0].dtype, &parts[0].shape), quants, &scales).map(Some)
    }

    /// The weights, row by row.
    pub(crate) fn dequantize(&self) -> Vec<f32> {
        let mut values = Vec::with_capacity(self.scales.len() * BLOCK);
        let blocks = self.quants.chunks_exact(self.block_bytes());
        for (block, scale) in blocks.zip(&self.scales) {
            let scale = scale.to_f32();
            let four = |half: u8| (f32::from(half) - 8.0) * scale;
            match self.bits {
                Bits::Eight => values.extend(block.iter().map(|&q| f32::from(q as i8) * scale)),
                Bits::Four => {
                    values.extend(block.iter().map(|q| four(q & 15)));
                    values.extend(block.iter().map(|q| four(q >> 4)));
                }
            }
        }
        values
    }

    fn block_bytes(&self) -> usize {
        match self.bits {
            Bits::Eight => BLOCK,
            Bits::Four => BLOCK / 2,
        }
    }

    /// As kernels take them.
    pub(crate) fn rows(&self) -> sprat_kernels::Rows<'_> {
        let shape = self.shape;
        match self.bits {
            Bits::Eight => {
                let quants = bytemuck::cast_slice(&self.quants);
                sprat_kernels::Rows::q8(quants, &self.scales, shape)
            }
            Bits::Four => sprat_kernels::Rows::q4(&self.quants, &self.scales, shape),
        }
    }
}

/// Bytes of weights that a token reads, of a model stored so: all but the embedding table, of which it
/// reads a row (unless the table is the head), and the experts that it isn't sent to.
#[cfg(not(target_arch = "wasm32"))]
pub fn bytes_per_token(config: &crate::ModelConfig, storage: Storage) -> u64 {
    let experts = |name: &str| {
        let layer = name.strip_prefix("model.layers.")?.split_once('.')?.0;
        let layer = config.layers.get(layer.parse::<usize>().ok()?)?;
        match layer.feed_forward {
            crate::FeedForwardConfig::Experts(e) if name.contains(".experts.") => {
                Some((e.per_token as f64, e.experts as f64))
            }
            _ => None,
        }
    };
    let read = |(name, shape): (String, Vec<usize>)| {
        let parts = parts(&name, &shape, storage);
        let bytes = parts.iter().map(Part::bytes).sum::<usize>() as f64;
        match experts(&name) {
            _ if name.contains("embed_tokens") && !config.tie_word_embeddings => 0.0,
            Some((chosen, all)) => bytes * chosen / all,
            None => bytes,
        }
    };
    config.tensors().into_iter().map(read).sum::<f64>() as u64
}

/// Bytes that the weights of a model stored so take in memory: blocks as they are stored, everything else as f32, and so what
/// is used in other ways than as a matrix (experts, an expansion of latents).
#[cfg(not(target_arch = "wasm32"))]
pub fn weight_bytes(config: &crate::ModelConfig, storage: Storage) -> u64 {
    let bytes = |(name, shape): (String, Vec<usize>)| {
        let parts = parts(&name, &shape, storage);
        let unpacked = name.contains(".mlp.experts.") || name.contains(".kv_b_proj.");
        let bytes = match &*parts {
            [quants, scales] if !unpacked => quants.bytes() + scales.bytes(),
            _ => shape.iter().product::<usize>() * size_of::<f32>(),
        };
        bytes as u64
    };
    config.tensors().into_iter().map(bytes).sum()
}

/// Bytes of the largest buffer that a GPU holds of a model stored so: of one tensor, or of those that it
/// multiplies as one. What is not quantized is f32 there.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn largest_buffer(config: &crate::ModelConfig, storage: Storage) -> u64 {
    const TOGETHER: [(&str, &str); 3] = [
        (".k_proj.", ".q_proj."),
        (".v_proj.", ".q_proj."),
        (".up_proj.", ".gate_proj."),
    ];
    let mut buffers = std::collections::HashMap::new();
    for (name, shape) in config.tensors() {
        let bytes = match &*parts(&name, &shape, storage) {
            [quants, _scales] => quants.bytes(),
            _ => shape.iter().product::<usize>() * size_of::<f32>(),
        };
        let one = |name: String, (part, whole): (&str, &str)| name.replace(part, whole);
        let name = TOGETHER.into_iter().fold(name, one);
        *buffers.entry(name).or_insert(0) += bytes as u64;
    }
    buffers.into_values().max().unwrap_or(0)
}

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use encode::{Part, encode, parts};

#[cfg(not(target_arch = "wasm32"))]
mod encode {
    use super::*;

    /// One tensor of a safetensors file.
    #[derive(Debug, Clone, PartialEq)]
    pub(crate) struct Part {
        pub(crate) name: String,
        pub(crate) dtype: Dtype,
        pub(crate) shape: Vec<usize>,
    }

    impl Part {
        pub(crate) fn bytes(&self) -> usize {
            let bits: usize = match self.dtype {
                Dtype::F32 => 32,
                Dtype::F16 => 16,
                _ => 8,
            };
            self.shape.iter().product::<usize>() * bits / 8
        }
    }

    /// The tensors that a weight called `name` becomes: itself, and its scales.
    pub(crate) fn parts(name: &str, shape: &[usize], storage: Storage) -> Vec<Part> {
        let format = format(name, shape, storage);
        let part = |dtype, shape| Part {
            name: name.to_owned(),
            dtype,
            shape,
        };
        let (rows, columns) = match *shape {
            [rows, columns] => (rows, columns),
            _ => return vec![part(Dtype::F32, shape.to_vec())],
        };
        let scales = Part {
            name: format!("{name}{SCALE_SUFFIX}"),
            dtype: Dtype::F16,
            shape: vec![rows, columns / BLOCK],
        };
        match format {
            Storage::Q8 => vec![part(Dtype::I8, vec![rows, columns]), scales],
            Storage::Q4 => vec![part(Dtype::U8, vec![rows, columns / 2]), scales],
            Storage::F16 => vec![part(Dtype::F16, vec![rows, columns])],
            _ => vec![part(Dtype::F32, vec![rows, columns])],
        }
    }

    /// The bytes of those tensors, in the same order.
    pub(crate) fn encode(
        name: &str,
        shape: &[usize],
        values: &[f32],
        storage: Storage,
    ) -> Vec<Vec<u8>> {
        let halves = |values: &mut dyn Iterator<Item = f32>| {
            let bytes = values.flat_map(|v| f16::from_f32(v).to_le_bytes());
            bytes.collect::<Vec<u8>>()
        };
        let quantized = |(scales, quants): (Vec<f16>, Vec<u8>)| {
            let scales = scales.iter().flat_map(|scale| scale.to_le_bytes());
            vec![quants, scales.collect()]
        };
        match format(name, shape, storage) {
            Storage::Q8 => quantized(sprat_kernels::quantize_q8(values)),
            Storage::Q4 => quantized(sprat_kernels::quantize_q4(values)),
            Storage::F16 => vec![halves(&mut values.iter().copied())],
            _ => vec![values.iter().flat_map(|v| v.to_le_bytes()).collect()],
        }
    }

    /// How this one tensor is stored: f32, f16, q8 or q4.
    fn format(name: &str, shape: &[usize], storage: Storage) -> Storage {
        let &[_, columns] = shape else {
            return Storage::F32;
        };
        let router = name.ends_with(".mlp.gate.weight");
        let table = name.contains("embed_tokens") || name.starts_with("lm_head");
        match storage {
            Storage::F32 | Storage::F16 => storage,
            _ if router || !columns.is_multiple_of(BLOCK) => Storage::F16,
            Storage::Mixed if table => Storage::Q8,
            Storage::Mixed => Storage::Q4,
            other => other,
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use proptest::prelude::*;

        #[test]
        fn a_gpus_largest_buffer_is_a_table_or_what_is_multiplied_as_one() {
            use crate::Checkpoint;
            let config = |shape| crate::RandomModel::new(shape).unwrap().config().clone();
            let (table, gates) = (49152 * 576, 2 * 1536 * 576);
            assert!(table > gates);
            assert_eq!(largest_buffer(&config("smollm2-135m"), Storage::Q8), table);
            assert_eq!(
                largest_buffer(&config("smollm2-135m"), Storage::Q4),
                table / 2
            );
            assert_eq!(
                largest_buffer(&config("smollm2-135m"), Storage::F16),
                table * 4
            );
            let mut narrow = config("smollm2-135m");
            narrow.vocab_size = 100;
            assert_eq!(largest_buffer(&narrow, Storage::Q8), gates);
        }

        #[test]
        fn weights_in_memory_are_blocks_as_they_are_and_floats() {
            use crate::Checkpoint;
            let config = crate::RandomModel::new("smollm2-135m").unwrap();
            let config = config.config();
            let floats = 4 * config.parameters();
            assert_eq!(weight_bytes(config, Storage::F32), floats);
            assert_eq!(weight_bytes(config, Storage::F16), floats);
            // All matrices have whole blocks of 32 weights, of 8 or 4 bits and 16 for their scale.
            let vectors: usize = config
                .tensors()
                .iter()
                .filter(|(_, shape)| shape.len() == 1)
                .map(|(_, shape)| shape[0])
                .sum();
            let blocks = config.parameters() / 32 - vectors as u64 / 32;
            let rest = 4 * vectors as u64;
            assert_eq!(weight_bytes(config, Storage::Q8), 34 * blocks + rest);
            assert_eq!(weight_bytes(config, Storage::Q4), 18 * blocks + rest);
        }

        proptest! {
            #[test]
            fn parts_and_bytes_agree(rows in 1usize..5, columns in 1usize..100) {
                let values = vec![0.5; rows * columns];
                for storage in [Storage::F32, Storage::F16, Storage::Q8, Storage::Q4, Storage::Mixed] {
                    for name in ["lm_head.weight", "model.layers.0.mlp.gate.weight", "x"] {
                        let shape = [rows, columns];
                        let parts = parts(name, &shape, storage);
                        let bytes = encode(name, &shape, &values, storage);
                        prop_assert_eq!(parts.len(), bytes.len());
                        for (part, bytes) in parts.iter().zip(&bytes) {
                            prop_assert_eq!(part.bytes(), bytes.len());
                        }
                    }
                }
            }
        }
    }
}
