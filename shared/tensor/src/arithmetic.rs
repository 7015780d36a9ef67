//! Element by element, and sums of rows.

use std::ops::{Add, Div, Mul, Sub};

use crate::layout::{View, broadcast, count, for_each_row, packed, spread};
use crate::{Kind, Tensor};

/// A number that all elements are combined with.
pub trait Scalar: Copy {
    #[doc(hidden)]
    fn value(self) -> f32;
}

impl Scalar for f32 {
    fn value(self) -> f32 {
        self
    }
}

impl Scalar for f64 {
    fn value(self) -> f32 {
        self as f32
    }
}

/// `f` of each element, in place if nothing else has the memory.
pub(crate) fn map<const D: usize>(x: Tensor<D>, f: impl Fn(f32) -> f32) -> Tensor<D> {
    let mut x = x.contiguous();
    for value in x.as_mut_slice() {
        *value = f(*value);
    }
    x
}

/// `f` of the elements of both, of which each is spread where it has a size of one.
pub(crate) fn zip<const D: usize, K: Kind, L: Kind>(
    a: &Tensor<D, K>,
    b: &Tensor<D, K>,
    f: impl Fn(K::Element, K::Element) -> L::Element,
) -> Tensor<D, L> {
    let shape = broadcast(a.shape, b.shape);
    if let ([a_all, b_all], true) = ([a, b].map(|x| x.view().as_packed()), a.shape == b.shape)
        && let (Some(a), Some(b)) = (a_all, b_all)
    {
        return Tensor::of(a.iter().zip(b).map(|(a, b)| f(*a, *b)).collect(), shape);
    }
    let strides = [a, b].map(|x| spread(x.shape, x.strides));
    let [a, b] = [a, b].map(Tensor::view);
    let mut out = Vec::with_capacity(count(&shape));
    let strides = strides.each_ref().map(<[usize; D]>::as_slice);
    for_each_row(&shape, strides, |[i, j], len, [a_step, b_step]| {
        let (i, j) = (a.offset + i, b.offset + j);
        out.extend((0..len).map(|n| f(a.data[i + n * a_step], b.data[j + n * b_step])));
    });
    Tensor::of(out, shape)
}

/// The four that there are signs for.
#[derive(Clone, Copy)]
enum Sign {
    Plus,
    Minus,
    Times,
    By,
}

/// `a ∘ b`, in the memory of `a` if it is as large as the result and nothing else has it.
fn combine<const D: usize>(sign: Sign, a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
    let shape = broadcast(a.shape, b.shape);
    let strides = spread(a.shape, a.strides);
    let mut a = Tensor {
        shape,
        strides,
        ..a
    }
    .contiguous();
    let strides = spread(b.shape, b.strides);
    let b = View {
        strides: &strides,
        ..b.view()
    };
    onto(sign, a.as_mut_slice(), &shape, b);
    a
}

/// Combines the elements `a` of this shape with those of `b`.
// Neither generic nor inlined: compiled for speed, as this crate is, and once.
#[inline(never)]
fn onto(sign: Sign, a: &mut [f32], shape: &[usize], b: View<'_, f32>) {
    let mut rows = a;
    for_each_row(shape, [b.strides], |[at], len, [step]| {
        let row = rows.split_off_mut(..len).expect("a row for each");
        let b = &b.data[b.offset + at..];
        match step {
            1 => row_onto(sign, row, b[..len].iter().copied()),
            0 => row_onto(sign, row, std::iter::repeat_n(b[0], len)),
            _ => row_onto(sign, row, b.iter().copied().step_by(step)),
        }
    });
}

fn row_onto(sign: Sign, row: &mut [f32], b: impl Iterator<Item = f32>) {
    let pairs = row.iter_mut().zip(b);
    match sign {
        Sign::Plus => pairs.for_each(|(a, b)| *a += b),
        Sign::Minus => pairs.for_each(|(a, b)| *a -= b),
        Sign::Times => pairs.for_each(|(a, b)| *a *= b),
        Sign::By => pairs.for_each(|(a, b)| *a /= b),
    }
}

macro_rules! sign {
    ($trait:ident, $method:ident, $sign:ident) => {
        impl<const D: usize> $trait for Tensor<D> {
            type Output = Self;

            fn $method(self, other: Self) -> Self {
                combine(Sign::$sign, self, other)
            }
        }

        impl<const D: usize, S: Scalar> $trait<S> for Tensor<D> {
            type Output = Self;

            fn $method(self, other: S) -> Self {
                combine(Sign::$sign, self, Tensor::of(vec![other.value()], [1; D]))
            }
        }
    };
}

sign!(Add, add, Plus);
sign!(Sub, sub, Minus);
sign!(Mul, mul, Times);
sign!(Div, div, By);

impl<const D: usize> Tensor<D> {
    /// `x * scalar`.
    pub fn mul_scalar(self, scalar: impl Scalar) -> Self {
        self * scalar
    }

    /// `x²`.
    pub fn square(self) -> Self {
        map(self, |x| x * x)
    }

    /// `xⁿ`.
    pub fn powi_scalar(self, n: i32) -> Self {
        map(self, |x| x.powi(n))
    }

    /// `√x`.
    pub fn sqrt(self) -> Self {
        map(self, f32::sqrt)
    }

    /// `1 / x`.
    pub fn recip(self) -> Self {
        map(self, f32::recip)
    }

    /// The sum over a dimension, which has a size of one then.
    pub fn sum_dim(self, dim: usize) -> Self {
        self.reduce(dim, 0.0, |sum, x| sum + x)
    }

    /// The mean over a dimension, which has a size of one then.
    pub fn mean_dim(self, dim: usize) -> Self {
        let size = self.shape[dim] as f32;
        self.sum_dim(dim) / size
    }

    /// The largest over a dimension, which has a size of one then.
    pub fn max_dim(self, dim: usize) -> Self {
        self.reduce(dim, f32::NEG_INFINITY, f32::max)
    }

    fn reduce(self, dim: usize, first: f32, step: impl Fn(f32, f32) -> f32) -> Self {
        let mut shape = self.shape;
        shape[dim] = 1;
        let mut out = vec![first; count(&shape)];
        // Where an element's result is.
        let to = spread(shape, packed(shape));
        let from = self.view();
        for_each_row(
            &self.shape,
            [&self.strides, &to],
            |[at, to], len, [get, put]| {
                for i in 0..len {
                    let out = &mut out[to + i * put];
                    *out = step(*out, from.data[from.offset + at + i * get]);
                }
            },
        );
        Self::of(out, shape)
    }
}
