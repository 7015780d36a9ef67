//! Products of matrices.

use sprat_kernels::floats::{Rows, multiply, multiply_rows};

use crate::Tensor;
use crate::layout::{View, broadcast, count, for_each_row, packed, spread};

impl<const D: usize> Tensor<D> {
    /// `[.., m, k]` times `[.., k, n]`: `[.., m, n]`, with the dimensions before spread as elsewhere.
    pub fn matmul(self, other: Self) -> Self {
        let (mut batch, mut other_batch) = (self.shape, other.shape);
        let (m, k, n) = (self.shape[D - 2], self.shape[D - 1], other.shape[D - 1]);
        assert_eq!(k, other.shape[D - 2], "columns as the other has rows");
        for dims in [&mut batch, &mut other_batch] {
            dims[D - 2..].fill(1);
        }
        let batch = broadcast(batch, other_batch);
        let mut shape = batch;
        (shape[D - 2], shape[D - 1]) = (m, n);
        let mut out = vec![0.0; count(&shape)];
        // Rows of the left matrix are read one behind the other.
        let left = match self.strides[D - 1] {
            1 => self,
            _ => self.contiguous(),
        };
        let is_readable = |strides: &[usize; D]| strides[D - 1] == 1 || strides[D - 2] == 1;
        let right = match is_readable(&other.strides) {
            true => other,
            false => other.contiguous(),
        };
        let strides = [&left, &right].map(|x| spread(x.shape, x.strides));
        let places = packed(shape);
        let starts = [&strides[0], &strides[1], &places].map(|s| &s[..D - 2]);
        for_each_matrix(&batch[..D - 2], starts, |[a, b, at]| {
            let a = Rows {
                values: &left.data[left.offset + a..],
                stride: left.strides[D - 2],
                count: m,
            };
            multiply_one(a, matrix(&right, b), k, &mut out[at..at + m * n]);
        });
        Self::of(out, shape)
    }
}

/// A matrix of a tensor that begins so far behind its beginning.
fn matrix<const D: usize>(tensor: &Tensor<D>, at: usize) -> View<'_, f32> {
    View {
        data: &tensor.data,
        offset: tensor.offset + at,
        shape: &tensor.shape[D - 2..],
        strides: &tensor.strides[D - 2..],
    }
}

fn multiply_one(a: Rows<'_>, b: View<'_, f32>, k: usize, out: &mut [f32]) {
    let &[_, n] = b.shape else { return };
    let &[row, column] = b.strides else { return };
    let values = &b.data[b.offset..];
    match row == 1 {
        // What is summed over lies one behind the other in both.
        true => {
            let (stride, count) = (column, n);
            multiply_rows(
                a,
                Rows {
                    values,
                    stride,
                    count,
                },
                k,
                out,
            );
        }
        false => {
            let (stride, count) = (row, k);
            multiply(
                a,
                Rows {
                    values,
                    stride,
                    count,
                },
                n,
                out,
            );
        }
    }
}

/// Calls `each` with where every matrix of a batch begins.
fn for_each_matrix(batch: &[usize], starts: [&[usize]; 3], mut each: impl FnMut([usize; 3])) {
    for_each_row(batch, starts, |at, len, steps| {
        for i in 0..len {
            each(std::array::from_fn(|n| at[n] + i * steps[n]));
        }
    });
}
