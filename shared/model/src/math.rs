//! Functions of angles, and powers.

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use native::*;
#[cfg(target_arch = "wasm32")]
pub(crate) use page::*;

#[cfg(not(target_arch = "wasm32"))]
mod native {
    pub(crate) fn sin_cos(angle: f32) -> (f32, f32) {
        angle.sin_cos()
    }

    pub(crate) fn power(base: f32, exponent: f32) -> f32 {
        base.powf(exponent)
    }
}

/// The browser's: Rust's own would be a hundredth of a page's module, most of it for angles that no text has.
#[cfg(target_arch = "wasm32")]
mod page {
    use js_sys::Math;

    pub(crate) fn sin_cos(angle: f32) -> (f32, f32) {
        let angle = f64::from(angle);
        (Math::sin(angle) as f32, Math::cos(angle) as f32)
    }

    pub(crate) fn power(base: f32, exponent: f32) -> f32 {
        Math::pow(f64::from(base), f64::from(exponent)) as f32
    }
}
