//! Quantized matrices on a GPU. The layout is that of `sprat-kernels`, whose products are what these are
//! tested against: 16 neighbouring units read 16 neighbouring words, and every unit sums one row of its own.

use std::ops::Range;

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use cubecl::prelude::*;
use sprat_kernels::{BLOCK, Bits, TILE};

use super::{UNITS, count, empty, is_software, lower, lower_int, raise};
use crate::config::Activation;
use crate::storage::Blocks;

/// Words `[tiles, blocks, bits.words(), TILE]` and scales `[tiles, blocks, TILE]`.
#[derive(Debug, Clone)]
pub(crate) struct Quantized {
    words: Tensor<1, Int>,
    /// As f32: without the f16 that few browsers' adapters have, and exact.
    scales: Tensor<1>,
    shape: [usize; 2],
    bits: Bits,
}

/// Tokens that a unit sums at once: a word is decoded once for all of them.
const TOKENS: usize = 8;
/// Units that share a row, each with every n-th block. Barriers are ruinous on software adapters,
/// which get the kernel without them.
const SLICES: usize = 8;

/// What happens to a product's input and output in the same dispatch.
pub(crate) struct Around<const D: usize> {
    /// RMSNorm of the input: weight and eps.
    pub(crate) norm: Option<(Tensor<1>, f32)>,
    /// Added to each token's output.
    pub(crate) bias: Option<Tensor<1>>,
    /// Added to the output.
    pub(crate) residual: Option<Tensor<D>>,
    /// The rows are those of a gate and as many of what it gates: the output is `act(gate) * up`, without a
    /// residual.
    pub(crate) gate: Option<Activation>,
}

impl<const D: usize> Default for Around<D> {
    fn default() -> Self {
        Self {
            norm: None,
            bias: None,
            residual: None,
            gate: None,
        }
    }
}

impl Quantized {
    pub(crate) fn new(blocks: &Blocks<'_>, device: &Device) -> Self {
        let (words, scales) = blocks.tiled();
        let scales: Vec<f32> = scales
            .iter()
            .map(|s| half::f16::from_bits(*s).to_f32())
            .collect();
        let (words_len, scales_len) = (words.len(), scales.len());
        Self {
            words: Tensor::from_data(
                TensorData::new(words.to_vec(), [words_len]),
                (device, DType::U32),
            ),
            scales: Tensor::from_data(TensorData::new(scales, [scales_len]), device),
            shape: blocks.shape,
            bits: blocks.bits,
        }
    }

    pub(crate) fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// Whole tiles of rows.
    pub(crate) fn part(&self, rows: Range<usize>) -> Self {
        let blocks = self.shape[1] / BLOCK;
        let words = blocks * self.bits.words();
        let cut = |each: usize| (rows.start * each, rows.len() * each);
        let ((first, words), (first_scale, scales)) = (cut(words), cut(blocks));
        Self {
            words: self.words.clone().narrow(0, first, words),
            scales: self.scales.clone().narrow(0, first_scale, scales),
            shape: [rows.len(), self.shape[1]],
            bits: self.bits,
        }
    }

    /// One matrix of the rows of several, in their order; None if they are of several kinds or not cut
    /// at tiles.
    pub(crate) fn stack(parts: &[&Self]) -> Option<Self> {
        let first = *parts.first()?;
        let fits = |part: &&Self| {
            part.bits == first.bits
                && part.shape[1] == first.shape[1]
                && part.shape[0].is_multiple_of(TILE)
        };
        if !parts.iter().all(fits) {
            return None;
        }
        let words = parts.iter().map(|part| part.words.clone()).collect();
        let scales = parts.iter().map(|part| part.scales.clone()).collect();
        Some(Self {
            words: Tensor::cat(words, 0),
            scales: Tensor::cat(scales, 0),
            shape: [parts.iter().map(|part| part.shape[0]).sum(), first.shape[1]],
            bits: first.bits,
        })
    }

    /// `[.., in]` to `[.., out]`.
    pub(crate) fn project<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        self.project_around(x, Around::default())
    }

    /// `[.., in]` to `[.., out]`, half of it with a gate, with what is around it.
    pub(crate) fn project_around<const D: usize>(
        &self,
        x: Tensor<D>,
        around: Around<D>,
    ) -> Tensor<D> {
        let [rows, columns] = self.shape;
        let outputs = rows / if around.gate.is_some() { 2 } else { 1 };
        let mut shape = x.dims();
        let tokens: usize = shape[..D - 1].iter().product();
        shape[D - 1] = outputs;
        let (x, norm) = match around.norm {
            // Many tokens are normed once, not once more for every row.
            Some((weight, eps)) if tokens > 1 => (super::rms_norm(x, weight, eps), None),
            norm => (x, norm),
        };
        let (added, left) = match (around.residual, around.bias) {
            (Some(residual), bias) => (Added::Residual, Some((lower(residual), bias))),
            (None, Some(bias)) => (Added::Bias, Some((lower(bias), None))),
            (None, None) => (Added::Nothing, None),
        };
        let (addend, left) = left.unzip();
        let x = lower(x);
        let eps = norm.as_ref().map_or(0.0, |(_, eps)| *eps);
        let norm = norm.map(|(weight, _)| lower(weight));
        let out = empty(&x, [tokens, outputs]);
        let at_once = tokens.min(TOKENS);
        let slices = if is_software() { 1 } else { SLICES };
        let tiles = outputs.div_ceil(TILE);
        let tiles_in_group = if slices == 1 { UNITS / TILE } else { 1 };
        let normed = norm.is_some();
        // What is not used is bound to something that is there.
        let norm = norm.unwrap_or_else(|| x.clone());
        let scales = lower(self.scales.clone());
        let addend = addend.unwrap_or_else(|| scales.clone());
        count();
        // SAFETY: the words and scales are as many as the shape says, norms and addends as callers say;
        // rows and tokens past the end are not written, and their inputs not read.
        #[allow(unsafe_code)]
        unsafe {
            product::launch_unchecked(
                &out.client.clone(),
                CubeCount::Static(
                    tiles.div_ceil(tiles_in_group) as u32,
                    tokens.div_ceil(at_once) as u32,
                    1,
                ),
                CubeDim::new_1d((tiles_in_group * TILE * slices) as u32),
                4,
                x.into_buffer_arg(),
                norm.into_buffer_arg(),
                lower_int(self.words.clone()).into_buffer_arg(),
                scales.into_buffer_arg(),
                addend.into_buffer_arg(),
                out.clone().into_buffer_arg(),
                outputs as u32,
                (columns / BLOCK) as u32,
                tokens as u32,
                eps,
                self.bits.words(),
                at_once,
                slices,
                normed,
                added,
                around.gate,
            );
        }
        let out = raise::<2>(out).reshape(shape);
        match left.flatten() {
            Some(bias) => out + bias.unsqueeze(),
            None => out,
        }
    }

    pub(crate) fn rows(&self, numbers: Tensor<1, Int>) -> Tensor<2> {
        let columns = self.shape[1];
        let wanted = numbers.dims()[0];
        let scales = lower(self.scales.clone());
        let out = empty(&scales, [wanted, columns]);
        let units = wanted * columns / BLOCK * self.bits.words();
        let numbers = lower_int(numbers.cast(DType::U32));
        count();
        // SAFETY: numbers are of rows that there are, as callers' token ids are.
        #[allow(unsafe_code)]
        unsafe {
            gather::launch_unchecked(
                &out.client.clone(),
                CubeCount::Static(units.div_ceil(UNITS) as u32, 1, 1),
                CubeDim::new_1d(UNITS as u32),
                numbers.into_buffer_arg(),
                lower_int(self.words.clone()).into_buffer_arg(),
                scales.into_buffer_arg(),
                out.clone().into_buffer_arg(),
                units as u32,
                (columns / BLOCK) as u32,
                self.bits.words(),
            );
        }
        raise(out)
    }

    pub(crate) fn to_floats(&self) -> Tensor<2> {
        let rows = self.shape[0] as i64;
        self.rows(Tensor::arange(0..rows, &self.words.device()))
    }
}

/// What is added to a product in its dispatch.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
enum Added {
    Nothing,
    /// One number a row.
    Bias,
    /// One number a row and token.
    Residual,
}

/// `out [tokens, rows] = x [tokens, blocks * 32] · wᵀ`, with what is around it. A workgroup has whole
/// tiles; a unit sums one row for `at_once` tokens over every `slices`-th block. A normed product is
/// `Σ w x n / rms(x)`: the squares of `x` are summed along with it. With a gate a unit sums two rows, its
/// gate's and that `rows` further on.
#[cube(launch_unchecked)]
#[allow(clippy::too_many_arguments)]
fn product<N: Size>(
    x: &[Vector<f32, N>],
    norm: &[Vector<f32, N>],
    words: &[u32],
    scales: &[f32],
    addend: &[f32],
    out: &mut [f32],
    rows: u32,
    blocks: u32,
    tokens: u32,
    eps: f32,
    #[comptime] per_block: usize,
    #[comptime] at_once: usize,
    #[comptime] slices: usize,
    #[comptime] normed: bool,
    #[comptime] added: Added,
    #[comptime] gate: Option<Activation>,
) {
    let rows = rows as usize;
    let blocks = blocks as usize;
    let tokens = tokens as usize;
    let parts = comptime!(if gate.is_some() { 2usize } else { 1usize });
    // Sums of each part's row, and of squares.
    let kinds = comptime!(parts + if normed { 1usize } else { 0usize });
    let unit = UNIT_POS as usize;
    let lane = unit % 16;
    let slice = (unit / 16) % slices;
    let tiles_in_group = CUBE_DIM as usize / (16 * slices);
    let tile = CUBE_POS_X as usize * tiles_in_group + unit / (16 * slices);
    let row = tile * 16 + lane;
    let first = CUBE_POS_Y as usize * at_once;

    let mut sums = Array::<f32>::new(comptime!(kinds * at_once));
    #[unroll]
    for i in 0..comptime!(kinds * at_once) {
        sums[i] = 0.0;
    }
    if row < rows {
        for block in range_stepped(slice, blocks, slices) {
            #[unroll]
            for part in 0..parts {
                let place = (tile + part * (rows / 16)) * blocks + block;
                let scale = scales[place * 16 + lane];
                let mut dots = Array::<f32>::new(at_once);
                #[unroll]
                for t in 0..at_once {
                    dots[t] = 0.0;
                }
                #[unroll]
                for w in 0..per_block {
                    let word = words[(place * per_block + w) * 16 + lane];
                    #[unroll]
                    for t in 0..at_once {
                        // A token past the last one reads the last one again.
                        let token = select(first + t < tokens, first + t, tokens - 1);
                        let base = (token * blocks + block) * 8;
                        #[unroll]
                        for half in 0..comptime!(8 / per_block) {
                            let at = comptime!(w + 4 * half);
                            let four = x[base + at];
                            #[unroll]
                            for i in 0..4usize {
                                let mut value = four.extract(i);
                                if comptime!(normed) {
                                    if comptime!(part == 0) {
                                        sums[comptime!(parts * at_once + t)] += value * value;
                                    }
                                    value *= norm[block * 8 + at].extract(i);
                                }
                                if comptime!(per_block == 8) {
                                    dots[t] += value * byte(word, i);
                                } else {
                                    dots[t] += value * nibble(word, comptime!(2 * i + half));
                                }
                            }
                        }
                    }
                }
                #[unroll]
                for t in 0..at_once {
                    sums[comptime!(part * at_once + t)] += dots[t] * scale;
                }
            }
        }
    }
    if comptime!(slices > 1) {
        // One unit a row adds up what the others of its row found.
        let mut shared = Shared::new_slice(comptime!(16 * slices * kinds * at_once));
        #[unroll]
        for i in 0..comptime!(kinds * at_once) {
            shared[i * 16 * slices + unit] = sums[i];
        }
        sync_cube();
        if slice == 0 {
            #[unroll]
            for i in 0..comptime!(kinds * at_once) {
                let mut sum = sums[i];
                #[unroll]
                for s in 1..slices {
                    sum += shared[i * 16 * slices + s * 16 + lane];
                }
                sums[i] = sum;
            }
        }
    }
    if slice == 0 && row < rows {
        #[unroll]
        for t in 0..at_once {
            if first + t < tokens {
                let place = (first + t) * rows + row;
                let mut factor = 1.0f32;
                if comptime!(normed) {
                    let mean = sums[comptime!(parts * at_once + t)] / (blocks * 32) as f32;
                    factor = (mean + eps).inverse_sqrt();
                }
                let mut value = sums[t] * factor;
                if comptime!(added == Added::Bias) {
                    value += addend[row];
                }
                if comptime!(gate.is_some()) {
                    let mut up = sums[comptime!(parts * at_once - at_once + t)] * factor;
                    if comptime!(added == Added::Bias) {
                        up += addend[rows + row];
                    }
                    value = activated(value, gate) * up;
                }
                if comptime!(added == Added::Residual) {
                    value += addend[place];
                }
                out[place] = value;
            }
        }
    }
}

/// The function of a gate. GELU's tanh is written as a sigmoid, whose exponential overflows to a limit.
#[cube]
fn activated(x: f32, #[comptime] gate: Option<Activation>) -> f32 {
    let mut inner = x;
    if comptime!(gate == Some(Activation::GeluTanh)) {
        inner = 1.595_769f32 * (x + 0.044_715f32 * x * x * x);
    }
    x / (1.0 + (-inner).exp())
}

/// Byte `i` of a word as a signed number.
#[cube]
fn byte(word: u32, #[comptime] i: usize) -> f32 {
    let up = comptime!(24 - 8 * i as i32);
    f32::cast_from((i32::cast_from(word) << up) >> 24)
}

/// Half byte `i` of a word, less 8.
#[cube]
fn nibble(word: u32, #[comptime] i: usize) -> f32 {
    let down = comptime!(4 * i as u32);
    f32::cast_from(i32::cast_from((word >> down) & 15u32) - 8)
}

/// Rows of the matrix as floats; a unit decodes one word.
#[cube(launch_unchecked)]
fn gather(
    numbers: &[u32],
    words: &[u32],
    scales: &[f32],
    out: &mut [f32],
    units: u32,
    blocks: u32,
    #[comptime] per_block: usize,
) {
    let unit = ABSOLUTE_POS;
    if unit < units as usize {
        let blocks = blocks as usize;
        let w = unit % per_block;
        let block = (unit / per_block) % blocks;
        let index = unit / (per_block * blocks);
        let row = numbers[index] as usize;
        let place = (row / 16) * blocks + block;
        let lane = row % 16;
        let scale = scales[place * 16 + lane];
        let word = words[(place * per_block + w) * 16 + lane];
        let to = (index * blocks + block) * 32 + 4 * w;
        #[unroll]
        for i in 0..4usize {
            if comptime!(per_block == 8) {
                out[to + i] = byte(word, i) * scale;
            } else {
                out[to + i] = nibble(word, comptime!(2 * i)) * scale;
                out[to + i + 16] = nibble(word, comptime!(2 * i + 1)) * scale;
            }
        }
    }
}
