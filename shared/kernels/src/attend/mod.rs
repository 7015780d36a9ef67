//! Attention of one position over keys and values in `f32` or `f16`.

pub(crate) mod heads;
pub(crate) mod lanes;
#[cfg(test)]
mod tests;

use std::ops::Range;

use half::f16;

use lanes::{Best, Load, Plain};
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{__m256, __m512};

/// What keys and values are kept as.
pub trait Number: Loads + Send + Sync + 'static {
    /// The number as `f32`.
    fn value(self) -> f32;

    /// As [`heads::attend`], with the best instructions that there are.
    ///
    /// Not generic, so that it is compiled with this crate: one that is compiled for size would take it into its own code.
    #[doc(hidden)]
    fn attend(input: &Input<'_, Self>, queries: &[f32], scores: &mut [f32], out: &mut [f32]);
}

/// Into which registers numbers can be loaded.
#[cfg(target_arch = "x86_64")]
#[doc(hidden)]
pub trait Loads: Load<Plain> + Load<__m256> + Load<__m512> {}
#[cfg(target_arch = "x86_64")]
impl<N: Load<Plain> + Load<__m256> + Load<__m512>> Loads for N {}

/// Into which registers numbers can be loaded.
#[cfg(not(target_arch = "x86_64"))]
#[doc(hidden)]
pub trait Loads: Load<Plain> + Load<Best> {}
#[cfg(not(target_arch = "x86_64"))]
impl<N: Load<Plain> + Load<Best>> Loads for N {}

impl Number for f32 {
    #[inline(always)]
    fn value(self) -> f32 {
        self
    }

    #[inline(never)]
    fn attend(input: &Input<'_, f32>, queries: &[f32], scores: &mut [f32], out: &mut [f32]) {
        attend_with_best(input, queries, scores, out);
    }
}

impl Number for f16 {
    /// In plain steps, which vectorize everywhere: the bits as those of an `f32` are the number over 2^112.
    #[inline(always)]
    fn value(self) -> f32 {
        let bits = u32::from(self.to_bits());
        let size = f32::from_bits((bits & 0x7fff) << 13) * f32::from_bits((127 + 112) << 23);
        // Infinity and NaN have the largest exponent there too.
        let special = if bits & 0x7c00 == 0x7c00 {
            0x7f80_0000
        } else {
            0
        };
        f32::from_bits(size.to_bits() | special | (bits & 0x8000) << 16)
    }

    #[inline(never)]
    fn attend(input: &Input<'_, f16>, queries: &[f32], scores: &mut [f32], out: &mut [f32]) {
        attend_with_best(input, queries, scores, out);
    }
}

/// What a position's queries attend to.
#[doc(hidden)]
#[derive(Debug)]
pub struct Input<'a, N> {
    /// Keys and values, rows of `width` numbers.
    pub(crate) rows: [&'a [N]; 2],
    /// Which rows, in their order. All of them are there.
    pub(crate) runs: &'a [Range<usize>],
    pub(crate) width: usize,
    /// How many rows these are together.
    pub(crate) positions: usize,
    pub(crate) scale: f32,
}

/// Attention of the query heads that share one key head, for one position: softmax of `scale *
/// query · key`, then the values' mean by it. `queries` and `out` are `[heads, width]`, `rows` keys and values
/// `[all, width]`, of which the positions are those of `runs`, in their order; `scores` is room for
/// `heads * positions` numbers.
///
/// A head's outcome is the same to the last bit, whatever runs its positions come in and whichever heads are beside it.
///
/// # Panics
/// When the lengths do not fit each other.
pub fn attend<N: Number>(
    queries: &[f32],
    rows: [&[N]; 2],
    runs: &[Range<usize>],
    width: usize,
    scale: f32,
    scores: &mut [f32],
    out: &mut [f32],
) {
    let input = Input {
        rows,
        runs,
        width,
        positions: runs.iter().map(ExactSizeIterator::len).sum(),
        scale,
    };
    let end = runs.iter().map(|run| run.end).max().unwrap_or(0);
    assert!(
        rows.iter().all(|rows| rows.len() >= end * width),
        "all rows are there"
    );
    assert!(
        queries.len() == out.len() && queries.len().is_multiple_of(width),
        "an outcome is of the queries' size"
    );
    let scores = &mut scores[..queries.len() / width * input.positions];
    N::attend(&input, queries, scores, out);
}

#[inline(always)]
fn attend_with_best<N: Number>(
    input: &Input<'_, N>,
    queries: &[f32],
    scores: &mut [f32],
    out: &mut [f32],
) {
    #[cfg(target_arch = "x86_64")]
    {
        use crate::x86;
        if x86::has_vnni() && input.width.is_multiple_of(16) {
            // SAFETY: the features were detected, and `attend` checked the lengths.
            #[allow(unsafe_code)]
            return unsafe { x86::attend::attend_512(input, queries, scores, out) };
        }
        if x86::has_avx2() {
            // SAFETY: as above.
            #[allow(unsafe_code)]
            return unsafe { x86::attend::attend_256(input, queries, scores, out) };
        }
    }
    // SAFETY: `attend` checked the lengths.
    #[allow(unsafe_code)]
    unsafe {
        heads::attend::<Best, N>(input, queries, scores, out);
    }
}
