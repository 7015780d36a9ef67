//! `--quant`: how matrices are stored.

use clap::ValueEnum;
use sprat_model::Storage;

/// How matrices are stored, in a pack or in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Quant {
    /// 32-bit floats
    F32,
    /// 16-bit floats
    F16,
    /// 8-bit integers in blocks of 32
    Q8,
    /// 4-bit integers in blocks of 32
    Q4,
    /// 4 bits, but 8 for the embedding table and the head
    Mixed,
}

impl From<Quant> for Storage {
    fn from(quant: Quant) -> Self {
        match quant {
            Quant::F32 => Self::F32,
            Quant::F16 => Self::F16,
            Quant::Q8 => Self::Q8,
            Quant::Q4 => Self::Q4,
            Quant::Mixed => Self::Mixed,
        }
    }
}
