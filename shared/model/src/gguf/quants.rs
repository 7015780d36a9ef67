//! Block formats to f32: what each [`Kind`] looks like in a file, and the arithmetic back.
//!
//! A tensor is a run of blocks, each of a fixed number of consecutive values. Everything is
//! little-endian; scales are f16. Every product and sum below is rounded to f32 on its own, in the
//! order written: that makes the values equal, bit for bit, to those of `gguf.quants.dequantize`.
//! (Only a signaling NaN in F16 becomes a quiet one.)

use std::fmt;

/// How a tensor's values are stored.
///
/// | kind | value | scales of a block |
/// |---|---|---|
/// | F32, F16, BF16 | itself | none |
/// | Q4_0, Q5_0, Q8_0 | `d * (q - zero)`, q of 4, 5 or 8 bits | one |
/// | Q4_1, Q5_1 | `d * q + m` | a scale and a minimum |
/// | Q4_K, Q5_K | `d * scale * q - dmin * min` | for each 32 values a 6-bit scale and minimum |
/// | Q6_K | `d * scale * (q - 32)` | for each 16 values an 8-bit scale |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// 32-bit floats.
    F32,
    /// IEEE half-precision floats.
    F16,
    /// The upper halves of 32-bit floats.
    Bf16,
    /// 4 bits, scale.
    Q4_0,
    /// 4 bits, scale and minimum.
    Q4_1,
    /// 5 bits, scale.
    Q5_0,
    /// 5 bits, scale and minimum.
    Q5_1,
    /// 8 bits, scale.
    Q8_0,
    /// 4 bits in blocks of 256.
    Q4K,
    /// 5 bits in blocks of 256.
    Q5K,
    /// 6 bits in blocks of 256.
    Q6K,
}

/// What the format fixes about a kind: its number in a file, its name, values and bytes per block.
struct Layout(u32, &'static str, usize, usize);

impl Kind {
    /// Every kind this module reads.
    pub const ALL: [Self; 11] = [
        Self::F32,
        Self::F16,
        Self::Bf16,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q8_0,
        Self::Q4K,
        Self::Q5K,
        Self::Q6K,
    ];

    const fn layout(self) -> Layout {
        match self {
            Self::F32 => Layout(0, "F32", 1, 4),
            Self::F16 => Layout(1, "F16", 1, 2),
            Self::Bf16 => Layout(30, "BF16", 1, 2),
            Self::Q4_0 => Layout(2, "Q4_0", 32, 18),
            Self::Q4_1 => Layout(3, "Q4_1", 32, 20),
            Self::Q5_0 => Layout(6, "Q5_0", 32, 22),
            Self::Q5_1 => Layout(7, "Q5_1", 32, 24),
            Self::Q8_0 => Layout(8, "Q8_0", 32, 34),
            Self::Q4K => Layout(12, "Q4_K", 256, 144),
            Self::Q5K => Layout(13, "Q5_K", 256, 176),
            Self::Q6K => Layout(14, "Q6_K", 256, 210),
        }
    }

    /// The kind with this number in a file; `None` for those that are not read.
    pub fn from_id(id: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.id() == id)
    }

    /// The number that stands for it in a file (`ggml_type`).
    pub const fn id(self) -> u32 {
        self.layout().0
    }

    /// Its name, as in file names of quantized models.
    pub const fn name(self) -> &'static str {
        self.layout().1
    }

    /// Values in a block. Rows of a tensor are whole blocks.
    pub const fn block_len(self) -> usize {
        self.layout().2
    }

    /// Bytes of a block.
    pub const fn block_bytes(self) -> usize {
        self.layout().3
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The name of a type that exists in the format but is not read here, for the error.
pub(super) fn unread_name(id: u32) -> &'static str {
    match id {
        4 => "Q4_2",
        5 => "Q4_3",
        9 => "Q8_1",
        10 => "Q2_K",
        11 => "Q3_K",
        15 => "Q8_K",
        16 => "IQ2_XXS",
        17 => "IQ2_XS",
        18 => "IQ3_XXS",
        19 => "IQ1_S",
        20 => "IQ4_NL",
        21 => "IQ3_S",
        22 => "IQ2_S",
        23 => "IQ4_XS",
        24 => "I8",
        25 => "I16",
        26 => "I32",
        27 => "I64",
        28 => "F64",
        29 => "IQ1_M",
        31 => "Q4_0_4_4",
        32 => "Q4_0_4_8",
        33 => "Q4_0_8_8",
        34 => "TQ1_0",
        35 => "TQ2_0",
        36 => "IQ4_NL_4_4",
        37 => "IQ4_NL_4_8",
        38 => "IQ4_NL_8_8",
        39 => "MXFP4",
        40 => "NVFP4",
        41 => "Q1_0",
        _ => "an unknown type",
    }
}

/// Appends the values of whole blocks of `kind` to `out`.
pub(super) fn decode(kind: Kind, bytes: &[u8], out: &mut Vec<f32>) {
    match kind {
        Kind::F32 => each(bytes, out, |b, out| out.push(f32::from_le_bytes(*b))),
        Kind::F16 => each(bytes, out, |b: &[u8; 2], out| out.push(f16_at(b, 0))),
        Kind::Bf16 => each(bytes, out, |b, out| {
            // By hand: half would make signaling NaNs quiet.
            out.push(f32::from_bits(u32::from(u16::from_le_bytes(*b)) << 16));
        }),
        Kind::Q4_0 => each(bytes, out, q4_0),
        Kind::Q4_1 => each(bytes, out, q4_1),
        Kind::Q5_0 => each(bytes, out, q5_0),
        Kind::Q5_1 => each(bytes, out, q5_1),
        Kind::Q8_0 => each(bytes, out, q8_0),
        Kind::Q4K => each(bytes, out, q4_k),
        Kind::Q5K => each(bytes, out, q5_k),
        Kind::Q6K => each(bytes, out, q6_k),
    }
}

fn each<const N: usize>(
    bytes: &[u8],
    out: &mut Vec<f32>,
    decode: impl Fn(&[u8; N], &mut Vec<f32>),
) {
    let (blocks, rest) = bytes.as_chunks();
    debug_assert!(rest.is_empty(), "callers pass whole blocks");
    for block in blocks {
        decode(block, out);
    }
}

fn f16_at(block: &[u8], at: usize) -> f32 {
    half::f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// 4-bit numbers: first the lower halves of all bytes, then the upper halves.
fn nibbles(bytes: &[u8]) -> impl Iterator<Item = u8> {
    let lower = bytes.iter().map(|byte| byte & 15);
    lower.chain(bytes.iter().map(|byte| byte >> 4))
}

/// 5-bit numbers: nibbles, and from `high` (little-endian) one bit each, the lowest first.
fn five_bits(high: &[u8], low: &[u8]) -> impl Iterator<Item = u8> {
    let fifth = high
        .iter()
        .flat_map(|byte| (0..8).map(move |i| byte >> i & 1));
    nibbles(low).zip(fifth).map(|(low, bit)| low | bit << 4)
}

/// `d`, 16 bytes of nibbles; 8 means zero.
fn q4_0(block: &[u8; 18], out: &mut Vec<f32>) {
    let d = f16_at(block, 0);
    out.extend(nibbles(&block[2..]).map(|q| d * (f32::from(q) - 8.0)));
}

/// `d`, `m`, 16 bytes of nibbles.
fn q4_1(block: &[u8; 20], out: &mut Vec<f32>) {
    let (d, m) = (f16_at(block, 0), f16_at(block, 2));
    out.extend(nibbles(&block[4..]).map(|q| d * f32::from(q) + m));
}

/// `d`, 4 bytes of fifth bits, 16 bytes of nibbles; 16 means zero.
fn q5_0(block: &[u8; 22], out: &mut Vec<f32>) {
    let d = f16_at(block, 0);
    let quants = five_bits(&block[2..6], &block[6..]);
    out.extend(quants.map(|q| d * (f32::from(q) - 16.0)));
}

/// `d`, `m`, 4 bytes of fifth bits, 16 bytes of nibbles.
fn q5_1(block: &[u8; 24], out: &mut Vec<f32>) {
    let (d, m) = (f16_at(block, 0), f16_at(block, 2));
    let quants = five_bits(&block[4..8], &block[8..]);
    out.extend(quants.map(|q| d * f32::from(q) + m));
}

/// `d`, 32 signed bytes.
fn q8_0(block: &[u8; 34], out: &mut Vec<f32>) {
    let d = f16_at(block, 0);
    out.extend(block[2..].iter().map(|q| d * f32::from(q.cast_signed())));
}

/// What the 8 groups of 32 values in a Q4_K or Q5_K block share: `(d * scale, dmin * min)`.
///
/// The block starts with `d`, `dmin` and 12 bytes of 6-bit numbers. Bytes 0 to 3 hold the scales of
/// groups 0 to 3, bytes 4 to 7 their minima. Groups 4 to 7 have their lower four bits in bytes 8 to
/// 11 (scale below, minimum above) and their upper two on top of bytes 0 to 3 and 4 to 7.
fn k_groups(block: &[u8]) -> [(f32, f32); 8] {
    let (d, dmin) = (f16_at(block, 0), f16_at(block, 2));
    let packed = &block[4..16];
    std::array::from_fn(|group| {
        let (scale, min) = if group < 4 {
            (packed[group] & 63, packed[group + 4] & 63)
        } else {
            let lower = packed[group + 4];
            (
                lower & 15 | packed[group - 4] >> 6 << 4,
                lower >> 4 | packed[group] >> 6 << 4,
            )
        };
        (d * f32::from(scale), dmin * f32::from(min))
    })
}

/// Scales, 128 bytes of nibbles: 32 bytes hold a group in their lower and the next in their upper
/// halves.
fn q4_k(block: &[u8; 144], out: &mut Vec<f32>) {
    for (group, (scale, min)) in k_groups(block).into_iter().enumerate() {
        let low = &block[16 + group / 2 * 32..][..32];
        let shift = group % 2 * 4;
        let quants = low.iter().map(|low| low >> shift & 15);
        out.extend(quants.map(|q| scale * f32::from(q) - min));
    }
}

/// Scales, 32 bytes of fifth bits (bit g of byte i belongs to value i of group g), and nibbles as
/// in Q4_K.
fn q5_k(block: &[u8; 176], out: &mut Vec<f32>) {
    let high = &block[16..48];
    for (group, (scale, min)) in k_groups(block).into_iter().enumerate() {
        let low = &block[48 + group / 2 * 32..][..32];
        let shift = group % 2 * 4;
        let quants = low.iter().zip(high);
        let quants = quants.map(|(low, high)| low >> shift & 15 | (high >> group & 1) << 4);
        out.extend(quants.map(|q| scale * f32::from(q) - min));
    }
}

/// 128 bytes of lower four bits, 64 bytes of upper two, 16 signed scales, `d`; 32 means zero.
///
/// A half of the block is 128 values in four runs of 32. Runs 0 and 1 have their lower bits in the
/// lower halves of 64 bytes, runs 2 and 3 in the upper halves of the same; run r has its upper bits
/// in bits 2r and 2r + 1 of 32 bytes.
fn q6_k(block: &[u8; 210], out: &mut Vec<f32>) {
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    let d = f16_at(block, 208);
    for (sixteen, scale) in scales.iter().enumerate() {
        let (half, run, start) = (sixteen / 8, sixteen / 2 % 4, sixteen % 2 * 16);
        let low = &low[half * 64 + run % 2 * 32 + start..][..16];
        let high = &high[half * 32 + start..][..16];
        let scale = d * f32::from(scale.cast_signed());
        let quants = low.iter().zip(high);
        let quants = quants.map(|(l, h)| l >> (run / 2 * 4) & 15 | (h >> (run * 2) & 3) << 4);
        out.extend(quants.map(|q| scale * (f32::from(q) - 32.0)));
    }
}
