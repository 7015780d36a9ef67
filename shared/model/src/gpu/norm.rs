//! RMSNorm in one dispatch.

use burn::tensor::Tensor;
use cubecl::prelude::*;

use super::{UNITS, count, empty, is_software, lower, raise};

/// `x / sqrt(mean(x²) + eps) * weight` over the last dimension.
pub(crate) fn rms_norm<const D: usize>(x: Tensor<D>, weight: Tensor<1>, eps: f32) -> Tensor<D> {
    let shape = x.dims();
    let width = shape[D - 1];
    let rows: usize = shape[..D - 1].iter().product();
    let (x, weight) = (lower(x), lower(weight));
    let out = empty(&x, shape);
    let units = if is_software() { 1 } else { UNITS };
    count();
    // SAFETY: a workgroup has one of the rows, and every access lies within its width.
    #[allow(unsafe_code)]
    unsafe {
        norm_rows::launch_unchecked(
            &out.client.clone(),
            CubeCount::Static(rows as u32, 1, 1),
            CubeDim::new_1d(units as u32),
            x.into_buffer_arg(),
            weight.into_buffer_arg(),
            out.clone().into_buffer_arg(),
            width as u32,
            eps,
            units,
        );
    }
    raise(out)
}

/// Each workgroup norms one row of `width` numbers.
#[cube(launch_unchecked)]
fn norm_rows(
    x: &[f32],
    weight: &[f32],
    out: &mut [f32],
    width: u32,
    eps: f32,
    #[comptime] units: usize,
) {
    let width = width as usize;
    let unit = UNIT_POS as usize;
    let row = CUBE_POS_X as usize * width;
    let mut squares = 0.0f32;
    for i in range_stepped(unit, width, units) {
        squares += x[row + i] * x[row + i];
    }
    if comptime!(units > 1) {
        let mut shared = Shared::new_slice(units);
        shared[unit] = squares;
        sync_cube();
        squares = 0.0;
        for i in 0..units {
            squares += shared[i];
        }
    }
    let factor = (squares / width as f32 + eps).inverse_sqrt();
    for i in range_stepped(unit, width, units) {
        out[row + i] = x[row + i] * factor * weight[i];
    }
}
