//! What is picked by number or by comparison.

use crate::arithmetic::{Scalar, zip};
use crate::layout::{count, for_each_row};
use crate::{Bool, Float, Int, Kind, Tensor};

impl<const D: usize, K: Kind> Tensor<D, K> {
    /// The indices `[n]` of a dimension, in that order.
    pub fn select(self, dim: usize, indices: Tensor<1, Int>) -> Self {
        let indices = indices.contiguous();
        let own = |&index: &i32| self.clone().narrow(dim, index as usize, 1);
        Self::cat(indices.as_slice().iter().map(own).collect(), dim)
    }

    /// Whether elements are equal.
    pub fn equal(self, other: Self) -> Tensor<D, Bool> {
        zip::<D, K, Bool>(&self, &other, |a, b| a == b)
    }
}

impl<const D: usize> Tensor<D> {
    /// The elements at `indices` of a dimension, which must be the last.
    pub fn gather(self, dim: usize, indices: Tensor<D, Int>) -> Self {
        assert_eq!(dim, D - 1, "only along rows here");
        let (own, indices) = (self.contiguous(), indices.contiguous());
        let (width, wanted) = (own.shape[dim].max(1), indices.shape[dim].max(1));
        let rows = own.as_slice().chunks_exact(width);
        let picked = rows.zip(indices.as_slice().chunks_exact(wanted));
        let picked = picked.flat_map(|(row, indices)| indices.iter().map(|&i| row[i as usize]));
        Self::of(picked.collect(), indices.shape)
    }

    /// The index of the largest over a dimension, which must be the last; the first of equal ones.
    pub fn argmax(self, dim: usize) -> Tensor<D, Int> {
        assert_eq!(dim, D - 1, "only along rows here");
        let mut shape = self.shape;
        shape[dim] = 1;
        let mut out = Vec::with_capacity(count(&shape));
        let from = self.view();
        for_each_row(&self.shape, [&self.strides], |[at], len, [step]| {
            let value = |i: usize| from.data[from.offset + at + i * step];
            let best = (1..len).fold(0, |best, i| if value(i) > value(best) { i } else { best });
            out.push(best as i32);
        });
        Tensor::of(out, shape)
    }

    /// Whether elements are equal to a number.
    pub fn equal_elem(self, number: impl Scalar) -> Tensor<D, Bool> {
        self.equal(Tensor::of(vec![number.value()], [1; D]))
    }

    /// Whether elements are larger than a number.
    pub fn greater_elem(self, number: impl Scalar) -> Tensor<D, Bool> {
        let number = Tensor::of(vec![number.value()], [1; D]);
        zip::<D, Float, Bool>(&self, &number, |a, b| a > b)
    }

    /// `number` where the mask has a yes.
    pub fn mask_fill(self, mask: Tensor<D, Bool>, number: impl Scalar) -> Self {
        assert_eq!(self.shape, mask.shape, "a mask of the same shape");
        let mut own = self.contiguous();
        let mask = mask.contiguous();
        for (value, &yes) in own.as_mut_slice().iter_mut().zip(mask.as_slice()) {
            if yes {
                *value = number.value();
            }
        }
        own
    }
}

impl<const D: usize> Tensor<D, Bool> {
    /// 1 for yes, 0 for no.
    pub fn float(self) -> Tensor<D> {
        let own = self.contiguous();
        let floats = own.as_slice().iter().map(|&yes| f32::from(yes));
        Tensor::of(floats.collect(), own.shape)
    }
}
