//! Four numbers in a vector of SIMD128.

use std::arch::wasm32::*;

use half::f16;

use super::{Lanes, Load, Plain};

impl Lanes for v128 {
    const COUNT: usize = 4;
    const HEADS: usize = 2;

    #[inline(always)]
    unsafe fn splat(number: f32) -> Self {
        f32x4_splat(number)
    }

    #[inline(always)]
    unsafe fn add_product(self, a: Self, b: Self) -> Self {
        // Relaxed SIMD has a fused product: a seventh faster, and other last bits from one processor to the next.
        f32x4_add(self, f32x4_mul(a, b))
    }

    #[inline(always)]
    unsafe fn store(self, place: *mut f32) {
        // SAFETY: by the caller.
        unsafe { v128_store(place.cast(), self) };
    }

    #[inline(always)]
    unsafe fn totals([a, b, c, d]: [Self; 4]) -> Plain {
        let pairs = |a, b| {
            let (low, high) = (
                i32x4_shuffle::<0, 1, 4, 5>(a, b),
                i32x4_shuffle::<2, 3, 6, 7>(a, b),
            );
            f32x4_add(low, high)
        };
        let (ab, cd) = (pairs(a, b), pairs(c, d));
        let even = i32x4_shuffle::<0, 2, 4, 6>(ab, cd);
        let odd = i32x4_shuffle::<1, 3, 5, 7>(ab, cd);
        let mut totals = [0f32; 4];
        // SAFETY: there is room for four.
        unsafe { v128_store(totals.as_mut_ptr().cast(), f32x4_add(even, odd)) };
        Plain(totals)
    }
}

impl Load<v128> for f32 {
    #[inline(always)]
    unsafe fn load(at: *const Self) -> v128 {
        // SAFETY: by the caller.
        unsafe { v128_load(at.cast()) }
    }
}

impl Load<v128> for f16 {
    /// No page keeps halves.
    #[inline(always)]
    unsafe fn load(at: *const Self) -> v128 {
        // SAFETY: by the caller.
        let Plain([a, b, c, d]) = unsafe { Load::<Plain>::load(at) };
        f32x4(a, b, c, d)
    }
}
