//! Weights to blocks of 8 and 4 bits.

use half::f16;

use crate::{BLOCK, multiversion};

/// Weights of one piece of work, when work is shared out among threads.
#[cfg(feature = "threads")]
const PIECE: usize = 1 << 16;

/// Blocks of 8 bits, symmetric: scales of `max|w| / 127`, and a byte a weight, two's complement.
///
/// # Panics
/// When `values` are not whole blocks.
pub fn quantize_q8(values: &[f32]) -> (Vec<f16>, Vec<u8>) {
    quantize(values, BLOCK, eight)
}

/// Blocks of 4 bits: scales of least squared error, and half a byte a weight, 8 more than it is, in the
/// order of [`crate::Rows::q4`].
///
/// 16 levels are few, so where they lie matters. The largest weight is put at -8, which gives its side
/// one level more, or a little inside or outside of it; the best of these is then fitted to its own
/// rounding by least squares.
///
/// # Panics
/// When `values` are not whole blocks.
pub fn quantize_q4(values: &[f32]) -> (Vec<f16>, Vec<u8>) {
    quantize(values, BLOCK / 2, four)
}

fn quantize(
    values: &[f32],
    block_bytes: usize,
    piece: fn(&[f32], &mut [f16], &mut [u8]),
) -> (Vec<f16>, Vec<u8>) {
    assert!(values.len().is_multiple_of(BLOCK), "whole blocks");
    let blocks = values.len() / BLOCK;
    let mut scales = vec![f16::ZERO; blocks];
    let mut quants = vec![0; blocks * block_bytes];
    #[cfg(feature = "threads")]
    {
        use rayon::prelude::*;
        let each = PIECE / BLOCK;
        let pieces = values.par_chunks(PIECE).zip(scales.par_chunks_mut(each));
        let pieces = pieces.zip(quants.par_chunks_mut(each * block_bytes));
        pieces.for_each(|((values, scales), quants)| piece(values, scales, quants));
    }
    #[cfg(not(feature = "threads"))]
    piece(values, &mut scales, &mut quants);
    (scales, quants)
}

type Block = [f32; BLOCK];

/// Rounded to f16 before it divides, so that what is stored is what was used.
#[inline(always)]
fn rounded(scale: f32) -> f32 {
    f16::from_f32(scale).to_f32()
}

#[inline(always)]
fn inverse(scale: f32) -> f32 {
    if scale == 0.0 { 0.0 } else { 1.0 / scale }
}

/// To the nearest whole number, in f32 itself: loops over it vectorize. For numbers below 2^22.
#[inline(always)]
fn round(value: f32) -> f32 {
    const SHIFT: f32 = 12_582_912.0;
    (value + SHIFT) - SHIFT
}

multiversion! {
    fn eight(values: &[f32], scales: &mut [f16], quants: &mut [u8]) {
        let blocks = values.as_chunks::<BLOCK>().0.iter().zip(scales);
        for ((block, scale), quants) in blocks.zip(quants.as_chunks_mut::<BLOCK>().0) {
            let largest = block.iter().fold(0f32, |m, v| if v.abs() > m { v.abs() } else { m });
            *scale = f16::from_f32(largest / 127.0);
            let inverse = inverse(scale.to_f32());
            for (quant, value) in quants.iter_mut().zip(block) {
                *quant = round((value * inverse).clamp(-127.0, 127.0)) as i8 as u8;
            }
        }
    }
}

multiversion! {
    fn four(values: &[f32], scales: &mut [f16], quants: &mut [u8]) {
        const HALF: usize = BLOCK / 2;
        let blocks = values.as_chunks::<BLOCK>().0.iter().zip(scales);
        for ((block, scale), quants) in blocks.zip(quants.as_chunks_mut::<HALF>().0) {
            let best = scale4(block);
            *scale = f16::from_f32(best);
            let inverse = inverse(best);
            for (i, quant) in quants.iter_mut().enumerate() {
                let half = |value: f32| (quant4(value, inverse) + 8.0) as u8;
                *quant = half(block[i]) | half(block[i + HALF]) << 4;
            }
        }
    }
}

/// A 4-bit number: -8 to 7.
#[inline(always)]
fn quant4(value: f32, inverse: f32) -> f32 {
    round((value * inverse).clamp(-8.0, 7.0))
}

#[inline(always)]
fn error4(block: &Block, scale: f32) -> f32 {
    let inverse = inverse(scale);
    let mut squares = [0f32; 8];
    for eight in block.as_chunks::<8>().0 {
        for (square, value) in squares.iter_mut().zip(eight) {
            let error = value - quant4(*value, inverse) * scale;
            *square += error * error;
        }
    }
    squares.iter().sum()
}

#[inline(always)]
fn scale4(block: &Block) -> f32 {
    let largest = block
        .iter()
        .fold(0f32, |m, v| if v.abs() > m.abs() { *v } else { m });
    let mut best = rounded(largest / -8.0);
    let mut least = error4(block, best);
    let mut consider = |scale: f32| {
        let scale = rounded(scale);
        let error = error4(block, scale);
        if error < least {
            (best, least) = (scale, error);
        }
        best
    };
    for step in 0..=12 {
        consider(largest / -(6.8 + 0.2 * step as f32));
    }
    let found = consider(0.0);
    let inverse = inverse(found);
    let (mut along, mut square) = (0.0, 0.0);
    for value in block {
        let quant = quant4(*value, inverse);
        along += value * quant;
        square += quant * quant;
    }
    match square > 0.0 {
        true => consider(along / square),
        false => found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bits, Matrix, Rows};
    use proptest::prelude::*;

    fn read_back(values: &[f32], bits: Bits) -> Vec<f32> {
        let (scales, file) = match bits {
            Bits::Eight => quantize_q8(values),
            Bits::Four => quantize_q4(values),
        };
        let shape = [1, values.len()];
        let matrix = match bits {
            Bits::Eight => Matrix::new(&Rows::q8(bytemuck::cast_slice(&file), &scales, shape)),
            Bits::Four => Matrix::new(&Rows::q4(&file, &scales, shape)),
        };
        let mut out = vec![0.0; values.len()];
        matrix.rows(&[0], &mut out);
        out
    }

    proptest! {
        /// 8 bits are off by at most half a step, 4 bits by less than the plain way.
        #[test]
        fn quantized_weights_stay_near(values in proptest::collection::vec(-2f32..2.0, BLOCK * 3)) {
            let (eight, four) = (read_back(&values, Bits::Eight), read_back(&values, Bits::Four));
            let blocks = values.as_chunks::<BLOCK>().0.iter();
            for ((block, eight), four) in blocks.zip(eight.chunks(BLOCK)).zip(four.chunks(BLOCK)) {
                let largest = block.iter().fold(0f32, |m, v| m.max(v.abs()));
                for (a, b) in block.iter().zip(eight) {
                    prop_assert!((a - b).abs() <= largest / 127.0 * 0.52);
                }
                let error: f32 = block.iter().zip(four).map(|(a, b)| (a - b).powi(2)).sum();
                let plain = error4(block, rounded(largest / 7.0));
                prop_assert!(error <= plain * 1.001 + 1e-6, "{error} {plain}");
            }
        }
    }

    #[test]
    fn blocks_of_zeros_stay_zero() {
        for bits in [Bits::Eight, Bits::Four] {
            assert!(read_back(&[0.0; BLOCK], bits).iter().all(|v| *v == 0.0));
        }
    }
}
