//! Products of matrices of floats, for pages: burn's, with all the ways that it chooses among, are a sixth of the module that
//! a page would download. They multiply what is not quantized, and what rarer mechanisms do beside their weights.

use burn::tensor::Tensor;
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::{count, empty, is_software, raise};

/// Units of a workgroup.
const UNITS: usize = 128;
/// Units that share a sum where what is summed over lies side by side in the right matrix: they read it in a row.
const SLOTS: usize = 16;
/// Rows of the left matrix at once: the right one is read once for all of them.
const AT_ONCE: usize = 8;

/// `[.., m, k]` times `[.., k, n]`: `[.., m, n]`, of two to four dimensions, of which those of one are spread. Both are read
/// where they are, whatever their strides.
pub(crate) fn matmul<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
    const { assert!(D >= 2 && D <= 4) };
    let (a_shape, b_shape) = (a.dims(), b.dims());
    let [rows, depth] = [a_shape[D - 2], a_shape[D - 1]];
    let columns = b_shape[D - 1];
    assert_eq!(depth, b_shape[D - 2], "{a_shape:?} times {b_shape:?}");
    let mut shape: [usize; D] = std::array::from_fn(|dim| a_shape[dim].max(b_shape[dim]));
    [shape[D - 2], shape[D - 1]] = [rows, columns];
    let (a, b) = (primitive(a), primitive(b));
    let [a_steps, b_steps] = [(&a, a_shape), (&b, b_shape)].map(|(x, shape)| Steps::of(x, shape));
    let out = empty(&a, shape);
    let batch: usize = shape[..D - 2].iter().product();
    let inner = if D > 2 { shape[D.saturating_sub(3)] } else { 1 };
    let at_once = rows.min(AT_ONCE);
    let slots = match b_steps.row == 1 && b_steps.column != 1 && !is_software() {
        true => SLOTS,
        false => 1,
    };
    count();
    // SAFETY: strides are those of the tensors, and rows and columns past the end are not written, and their inputs not read.
    #[allow(unsafe_code)]
    unsafe {
        products::launch_unchecked(
            &out.client.clone(),
            CubeCount::Static(
                columns.div_ceil(UNITS / slots) as u32,
                rows.div_ceil(at_once) as u32,
                batch as u32,
            ),
            CubeDim::new_1d(UNITS as u32),
            a.into_tensor_arg().into_buffer_arg(),
            b.into_tensor_arg().into_buffer_arg(),
            out.clone().into_buffer_arg(),
            rows as u32,
            depth as u32,
            columns as u32,
            inner as u32,
            a_steps.outer,
            a_steps.inner,
            a_steps.row,
            a_steps.column,
            b_steps.outer,
            b_steps.inner,
            b_steps.row,
            b_steps.column,
            at_once,
            slots,
        );
    }
    raise(out)
}

fn primitive<const D: usize>(x: Tensor<D>) -> CubeTensor {
    let x = x.try_into_primitive::<CubeBackend>();
    x.expect("callers ask `usable` first")
}

/// How far a matrix's neighbours are apart: in the two dimensions before it, 0 where they have a size of one, and in its own.
struct Steps {
    outer: u32,
    inner: u32,
    row: u32,
    column: u32,
}

impl Steps {
    fn of<const D: usize>(x: &CubeTensor, shape: [usize; D]) -> Self {
        let strides = x.meta.strides();
        // Counted from the last dimension.
        let step = |back: usize| match D.checked_sub(back) {
            Some(dim) if shape[dim] > 1 => strides[dim] as u32,
            _ => 0,
        };
        Self {
            outer: step(4),
            inner: step(3),
            row: strides[D - 2] as u32,
            column: strides[D - 1] as u32,
        }
    }
}

/// A unit sums one column for `at_once` rows, over every `slots`-th of the numbers that are summed over. Every matrix of the
/// batch, `inner` of which have their own step, has its workgroups in the third direction.
#[cube(launch_unchecked)]
#[allow(clippy::too_many_arguments)]
fn products(
    a: &[f32],
    b: &[f32],
    out: &mut [f32],
    rows: u32,
    depth: u32,
    columns: u32,
    inner: u32,
    a_outer: u32,
    a_inner: u32,
    a_row: u32,
    a_column: u32,
    b_outer: u32,
    b_inner: u32,
    b_row: u32,
    b_column: u32,
    #[comptime] at_once: usize,
    #[comptime] slots: usize,
) {
    let unit = UNIT_POS as usize;
    let slot = unit % slots;
    let column = CUBE_POS_X as usize * comptime!(UNITS / slots) + unit / slots;
    let first = CUBE_POS_Y as usize * at_once;
    let matrix = CUBE_POS_Z;
    let from_a = ((matrix / inner) * a_outer + (matrix % inner) * a_inner) as usize;
    let from_b = ((matrix / inner) * b_outer + (matrix % inner) * b_inner) as usize;
    let rows = rows as usize;
    let columns = columns as usize;
    let mut sums = Array::<f32>::new(at_once);
    #[unroll]
    for t in 0..at_once {
        sums[t] = 0.0;
    }
    if column < columns {
        for i in range_stepped(slot, depth as usize, slots) {
            let right = b[from_b + i * b_row as usize + column * b_column as usize];
            #[unroll]
            for t in 0..at_once {
                // A row past the last one reads the last one again.
                let row = select(first + t < rows, first + t, rows - 1);
                sums[t] += a[from_a + row * a_row as usize + i * a_column as usize] * right;
            }
        }
    }
    let to = matrix as usize * rows;
    if comptime!(slots == 1) {
        #[unroll]
        for t in 0..at_once {
            if column < columns && first + t < rows {
                out[(to + first + t) * columns + column] = sums[t];
            }
        }
    } else {
        let mut found = Shared::new_slice(comptime!(UNITS * at_once));
        #[unroll]
        for t in 0..at_once {
            found[unit * at_once + t] = sums[t];
        }
        sync_cube();
        let own = comptime!(UNITS / slots);
        for i in range_stepped(unit, comptime!(UNITS / slots * at_once), UNITS) {
            let t = i % at_once;
            let column = CUBE_POS_X as usize * own + i / at_once;
            if column < columns && first + t < rows {
                let mut sum = 0.0f32;
                #[unroll]
                for s in 0..slots {
                    sum += found[(i / at_once * slots + s) * at_once + t];
                }
                out[(to + first + t) * columns + column] = sum;
            }
        }
    }
}
