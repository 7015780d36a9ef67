//! Eight numbers in a register of AVX2.

use std::arch::x86_64::*;

use half::f16;

use super::{Lanes, Load, Plain};

impl Lanes for __m256 {
    const COUNT: usize = 8;
    const HEADS: usize = 2;

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn splat(number: f32) -> Self {
        _mm256_set1_ps(number)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn add_product(self, a: Self, b: Self) -> Self {
        _mm256_fmadd_ps(a, b, self)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn store(self, place: *mut f32) {
        // SAFETY: by the caller.
        unsafe { _mm256_storeu_ps(place, self) };
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn totals([a, b, c, d]: [Self; 4]) -> Plain {
        let halves = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
        let upper = _mm256_extractf128_ps::<1>(halves);
        let all = _mm_add_ps(_mm256_castps256_ps128(halves), upper);
        let mut totals = [0f32; 4];
        // SAFETY: there is room for four.
        unsafe { _mm_storeu_ps(totals.as_mut_ptr(), all) };
        Plain(totals)
    }
}

impl Load<__m256> for f32 {
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn load(at: *const Self) -> __m256 {
        // SAFETY: by the caller.
        unsafe { _mm256_loadu_ps(at) }
    }
}

impl Load<__m256> for f16 {
    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn load(at: *const Self) -> __m256 {
        // SAFETY: by the caller.
        _mm256_cvtph_ps(unsafe { _mm_loadu_si128(at.cast()) })
    }
}
