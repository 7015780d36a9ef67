//! Four numbers in an array: for processors without kernels of their own, and as the twin of the others.

use half::f16;

use super::{Lanes, Load};
use crate::attend::Number;

/// Four numbers.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Plain(pub(crate) [f32; 4]);

impl Lanes for Plain {
    const COUNT: usize = 4;
    const HEADS: usize = 2;

    #[inline(always)]
    unsafe fn splat(number: f32) -> Self {
        Self([number; 4])
    }

    #[inline(always)]
    unsafe fn add_product(self, a: Self, b: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] + a.0[i] * b.0[i]))
    }

    #[inline(always)]
    unsafe fn store(self, place: *mut f32) {
        // SAFETY: by the caller.
        unsafe { place.cast::<[f32; 4]>().write(self.0) };
    }

    #[inline(always)]
    unsafe fn totals(four: [Self; 4]) -> Self {
        Self(four.map(|Self([a, b, c, d])| (a + c) + (b + d)))
    }
}

impl Load<Plain> for f32 {
    #[inline(always)]
    unsafe fn load(at: *const Self) -> Plain {
        // SAFETY: by the caller.
        Plain(unsafe { at.cast::<[f32; 4]>().read() })
    }
}

impl Load<Plain> for f16 {
    #[inline(always)]
    unsafe fn load(at: *const Self) -> Plain {
        // SAFETY: by the caller.
        Plain(unsafe { at.cast::<[f16; 4]>().read() }.map(Number::value))
    }
}
