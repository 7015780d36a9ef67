//! Four numbers in a register of NEON.

use std::arch::aarch64::*;
use std::arch::asm;

use half::f16;

use super::{Lanes, Load, Plain};

impl Lanes for float32x4_t {
    const COUNT: usize = 4;
    const HEADS: usize = 4;

    #[inline(always)]
    unsafe fn splat(number: f32) -> Self {
        // SAFETY: every 64-bit ARM has NEON.
        unsafe { vdupq_n_f32(number) }
    }

    #[inline(always)]
    unsafe fn add_product(self, a: Self, b: Self) -> Self {
        // SAFETY: as above.
        unsafe { vfmaq_f32(self, a, b) }
    }

    #[inline(always)]
    unsafe fn store(self, place: *mut f32) {
        // SAFETY: by the caller.
        unsafe { vst1q_f32(place, self) };
    }

    #[inline(always)]
    unsafe fn totals([a, b, c, d]: [Self; 4]) -> Plain {
        let mut totals = [0f32; 4];
        // SAFETY: there is room for four.
        unsafe {
            let all = vpaddq_f32(vpaddq_f32(a, b), vpaddq_f32(c, d));
            vst1q_f32(totals.as_mut_ptr(), all);
        }
        Plain(totals)
    }
}

impl Load<float32x4_t> for f32 {
    #[inline(always)]
    unsafe fn load(at: *const Self) -> float32x4_t {
        // SAFETY: by the caller.
        unsafe { vld1q_f32(at) }
    }
}

impl Load<float32x4_t> for f16 {
    /// Each 64-bit ARM has this instruction, for which `std` has no stable function.
    #[inline(always)]
    unsafe fn load(at: *const Self) -> float32x4_t {
        let wide;
        // SAFETY: the numbers are there, by the caller.
        unsafe {
            let halves = vld1_u16(at.cast());
            asm!(
                "fcvtl {wide:v}.4s, {halves:v}.4h",
                wide = lateout(vreg) wide,
                halves = in(vreg) halves,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        wide
    }
}
