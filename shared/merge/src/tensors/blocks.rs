//! Weights of Sprat's packs: integers in blocks of 32 along a row, with a scale each.

use safetensors::Dtype;

/// Weights of a block.
pub(super) const BLOCK: usize = 32;
/// What comes behind the name of a tensor in blocks in that of its scales.
pub const SCALE_SUFFIX: &str = ".scale";

/// Weights in a byte of blocks that are stored so; none for types that are no blocks.
pub(super) fn per_byte(dtype: Dtype) -> Option<usize> {
    match dtype {
        Dtype::I8 => Some(1),
        Dtype::U8 => Some(2),
        _ => None,
    }
}

/// The weights, or none if there is not a scale for each block. Of 4 bits, less 8, a block's first half is in the low halves of its
/// bytes.
pub(super) fn dequantize(bytes: &[u8], scales: &[f32], dtype: Dtype) -> Option<Vec<f32>> {
    let per_byte = per_byte(dtype)?;
    let block = BLOCK / per_byte;
    if bytes.len() != scales.len() * block {
        return None;
    }
    let mut values = Vec::with_capacity(bytes.len() * per_byte);
    for (block, scale) in bytes.chunks_exact(block).zip(scales) {
        let four = |half: u8| (f32::from(half) - 8.0) * scale;
        if per_byte == 1 {
            values.extend(block.iter().map(|&q| f32::from(q as i8) * scale));
        } else {
            values.extend(block.iter().map(|q| four(q & 15)));
            values.extend(block.iter().map(|q| four(q >> 4)));
        }
    }
    Some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_their_integers_times_their_scale() {
        let bytes: Vec<u8> = (0..32).map(|i| (i as i8 - 16) as u8).collect();
        let values = dequantize(&bytes, &[0.5], Dtype::I8).unwrap();
        assert_eq!((values[0], values[31]), (-8.0, 7.5));
        let bytes: Vec<u8> = (0..16).map(|i| i | (15 - i) << 4).collect();
        let values = dequantize(&bytes, &[2.0], Dtype::U8).unwrap();
        assert_eq!(
            (values[0], values[15], values[16], values[31]),
            (-16.0, 14.0, 14.0, -16.0)
        );
        assert_eq!(dequantize(&bytes, &[2.0, 1.0], Dtype::U8), None);
        assert_eq!(dequantize(&bytes, &[2.0], Dtype::F32), None);
    }
}
