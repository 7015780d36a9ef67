//! Vectors of `f32` of one processor or another, for one kernel that is written for all of them.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "aarch64")]
mod neon;
mod plain;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm;

pub(crate) use plain::Plain;

/// Those of this processor, where nothing better was detected when run.
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub(crate) type Best = std::arch::wasm32::v128;
/// Those of this processor, where nothing better was detected when run.
#[cfg(target_arch = "aarch64")]
pub(crate) type Best = std::arch::aarch64::float32x4_t;
/// Those of this processor, where nothing better was detected when run.
#[cfg(not(any(
    all(target_arch = "wasm32", target_feature = "simd128"),
    target_arch = "aarch64"
)))]
pub(crate) type Best = Plain;

/// A vector of `f32`.
///
/// # Safety
/// Methods of one that needs instructions which not every processor has are called only where these were detected.
pub(crate) trait Lanes: Copy {
    /// Numbers in a vector.
    const COUNT: usize;
    /// Query heads that are computed at once: with four keys or four vectors of values they are as many sums as there
    /// are registers for.
    const HEADS: usize;

    /// The same number everywhere.
    unsafe fn splat(number: f32) -> Self;

    /// `self + a * b`.
    unsafe fn add_product(self, a: Self, b: Self) -> Self;

    /// Writes the numbers from `place` on, where there is room.
    unsafe fn store(self, place: *mut f32);

    /// The sum of each of four vectors' numbers.
    unsafe fn totals(four: [Self; 4]) -> Plain;
}

/// Numbers that can be loaded into vectors.
pub trait Load<V>: Copy {
    /// As many as a vector has, from `at` on.
    ///
    /// # Safety
    /// They must be there, and the processor must have such vectors.
    unsafe fn load(at: *const Self) -> V;
}
