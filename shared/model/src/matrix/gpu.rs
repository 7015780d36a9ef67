//! Quantized matrices on a GPU: one kernel source for WGSL and CUDA. The layout is that of
//! `sprat-kernels`, whose products are what these are tested against: 16 neighbouring units read 16
//! neighbouring words, and every unit sums one row of its own.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::{DType, Device, Int, Shape, Tensor, TensorData};
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;
use sprat_kernels::{BLOCK, Bits, TILE};

use crate::storage::Blocks;

/// Words `[tiles, blocks, bits.words(), TILE]` and scales `[tiles, blocks, TILE]`.
#[derive(Debug, Clone)]
pub(super) struct Quantized {
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
/// Rows that a workgroup of the kernel without barriers has.
const ROWS: usize = 64;

static SOFTWARE: AtomicBool = AtomicBool::new(false);

/// Says that the GPU is a program that plays one (SwiftShader, llvmpipe): kernels without barriers are
/// then several times faster. Results are the same but for the order of additions.
pub fn gpu_is_software(yes: bool) {
    SOFTWARE.store(yes, Ordering::Relaxed);
}

impl Quantized {
    pub(super) fn new(blocks: &Blocks<'_>, device: &Device) -> Self {
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

    pub(super) fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// Whole tiles of rows.
    pub(super) fn part(&self, rows: Range<usize>) -> Self {
        let blocks = self.shape[1] / BLOCK;
        let words = blocks * self.bits.words();
        let cut = |each: usize| (rows.start * each, rows.len() * each);
        let ((first, count), (first_scale, scales)) = (cut(words), cut(blocks));
        Self {
            words: self.words.clone().narrow(0, first, count),
            scales: self.scales.clone().narrow(0, first_scale, scales),
            shape: [rows.len(), self.shape[1]],
            bits: self.bits,
        }
    }

    pub(super) fn project<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let [rows, columns] = self.shape;
        let mut shape = x.dims();
        let tokens: usize = shape[..D - 1].iter().product();
        shape[D - 1] = rows;
        let x = lower(x);
        let out = empty(&x, [tokens, rows]);
        let (words, scales) = (int(&self.words), lower(self.scales.clone()));
        let at_once = tokens.min(TOKENS);
        let slices = if SOFTWARE.load(Ordering::Relaxed) {
            1
        } else {
            SLICES
        };
        let tiles = rows.div_ceil(TILE);
        let tiles_in_group = if slices == 1 { ROWS / TILE } else { 1 };
        // SAFETY: the words and scales are as many as the shape says; rows and tokens past the end are
        // not written, and their inputs not read.
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
                words.into_buffer_arg(),
                scales.into_buffer_arg(),
                out.clone().into_buffer_arg(),
                rows as u32,
                (columns / BLOCK) as u32,
                tokens as u32,
                self.bits.words(),
                at_once,
                slices,
            );
        }
        raise(out).reshape(shape)
    }

    pub(super) fn rows(&self, numbers: Tensor<1, Int>) -> Tensor<2> {
        let columns = self.shape[1];
        let count = numbers.dims()[0];
        let scales = lower(self.scales.clone());
        let out = empty(&scales, [count, columns]);
        let units = count * columns / BLOCK * self.bits.words();
        let numbers = into_contiguous(primitive(numbers.cast(DType::U32)));
        // SAFETY: numbers are of rows that there are, as callers' token ids are.
        #[allow(unsafe_code)]
        unsafe {
            gather::launch_unchecked(
                &out.client.clone(),
                CubeCount::Static(units.div_ceil(ROWS) as u32, 1, 1),
                CubeDim::new_1d(ROWS as u32),
                numbers.into_buffer_arg(),
                int(&self.words).into_buffer_arg(),
                scales.into_buffer_arg(),
                out.clone().into_buffer_arg(),
                units as u32,
                (columns / BLOCK) as u32,
                self.bits.words(),
            );
        }
        raise(out)
    }

    pub(super) fn to_floats(&self) -> Tensor<2> {
        let rows = self.shape[0] as i64;
        self.rows(Tensor::arange(0..rows, &self.words.device()))
    }
}

fn lower<const D: usize>(x: Tensor<D>) -> CubeTensor {
    let x = x.try_into_primitive::<CubeBackend>();
    into_contiguous(x.expect("matrices are made for the device that they are used on"))
}

fn primitive(x: Tensor<1, Int>) -> CubeTensor {
    let x = x.try_into_primitive::<CubeBackend>();
    x.expect("matrices are made for the device that they are used on")
}

fn int(x: &Tensor<1, Int>) -> CubeTensor {
    into_contiguous(primitive(x.clone()))
}

fn raise(x: CubeTensor) -> Tensor<2> {
    Tensor::from_primitive::<CubeBackend>(x)
}

fn empty(like: &CubeTensor, shape: [usize; 2]) -> CubeTensor {
    let (client, device) = (like.client.clone(), like.device.clone());
    empty_device_contiguous_dtype(client, device, Shape::new(shape), DType::F32)
}

/// `out [tokens, rows] = x [tokens, blocks * 32] · wᵀ`. A workgroup has whole tiles; a unit sums one row
/// for `at_once` tokens over every `slices`-th block.
#[cube(launch_unchecked)]
fn product<N: Size>(
    x: &[Vector<f32, N>],
    words: &[u32],
    scales: &[f32],
    out: &mut [f32],
    rows: u32,
    blocks: u32,
    tokens: u32,
    #[comptime] per_block: usize,
    #[comptime] at_once: usize,
    #[comptime] slices: usize,
) {
    let rows = rows as usize;
    let blocks = blocks as usize;
    let tokens = tokens as usize;
    let unit = UNIT_POS as usize;
    let lane = unit % 16;
    let slice = (unit / 16) % slices;
    let tiles_in_group = CUBE_DIM as usize / (16 * slices);
    let tile = CUBE_POS_X as usize * tiles_in_group + unit / (16 * slices);
    let row = tile * 16 + lane;
    let first = CUBE_POS_Y as usize * at_once;

    let mut sums = Array::<f32>::new(at_once);
    #[unroll]
    for t in 0..at_once {
        sums[t] = 0.0;
    }
    if row < rows {
        for block in range_stepped(slice, blocks, slices) {
            let place = tile * blocks + block;
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
                    if comptime!(per_block == 8) {
                        let four = x[base + w];
                        #[unroll]
                        for i in 0..4usize {
                            dots[t] += four.extract(i) * byte(word, i);
                        }
                    } else {
                        let low = x[base + w];
                        let high = x[base + w + 4];
                        #[unroll]
                        for i in 0..4usize {
                            dots[t] += low.extract(i) * nibble(word, comptime!(2 * i));
                            dots[t] += high.extract(i) * nibble(word, comptime!(2 * i + 1));
                        }
                    }
                }
            }
            #[unroll]
            for t in 0..at_once {
                sums[t] += dots[t] * scale;
            }
        }
    }
    if comptime!(slices > 1) {
        // One unit a row adds up what the others of its row found.
        let mut shared = Shared::new_slice(comptime!(16 * slices * at_once));
        #[unroll]
        for t in 0..at_once {
            shared[t * 16 * slices + unit] = sums[t];
        }
        sync_cube();
        if slice == 0 {
            #[unroll]
            for t in 0..at_once {
                let mut sum = sums[t];
                #[unroll]
                for s in 1..slices {
                    sum += shared[t * 16 * slices + s * 16 + lane];
                }
                sums[t] = sum;
            }
        }
    }
    if slice == 0 && row < rows {
        #[unroll]
        for t in 0..at_once {
            if first + t < tokens {
                out[(first + t) * rows + row] = sums[t];
            }
        }
    }
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
