//! Everything beside burn, of which it is a part: the same shapes and numbers, whatever views they go through.

use burn::tensor::{Int as BurnInt, Tensor as Burn, TensorData as BurnData};
use proptest::prelude::*;

use crate::activation::{sigmoid, silu, softmax};
use crate::{Device, Int, Tensor, TensorData};

/// The same tensor twice, of numbers that follow from `seed`.
fn both<const D: usize>(shape: [usize; D], seed: u32) -> (Tensor<D>, Burn<D>) {
    let mut state = seed.wrapping_mul(747_796_405).wrapping_add(1);
    let number = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // Quarters: sums are exact in any order, and some numbers are equal.
        (state >> 24) as f32 / 4.0 - 32.0
    };
    let values: Vec<f32> = (0..shape.iter().product()).map(number).collect();
    (
        Tensor::from_data(TensorData::new(values.clone(), shape), &Device),
        Burn::from_data(BurnData::new(values, shape), &burn::tensor::Device::flex()),
    )
}

fn indices<const D: usize>(
    values: Vec<i32>,
    shape: [usize; D],
) -> (Tensor<D, Int>, Burn<D, BurnInt>) {
    (
        Tensor::from_data(TensorData::new(values.clone(), shape), &Device),
        Burn::from_data(BurnData::new(values, shape), &burn::tensor::Device::flex()),
    )
}

fn near<const D: usize>((ours, burns): (Tensor<D>, Burn<D>)) {
    assert_eq!(ours.dims(), burns.dims());
    let ours: Vec<f32> = ours.into_data().try_to_vec().unwrap();
    let burns: Vec<f32> = burns.into_data().try_to_vec().unwrap();
    for (i, (a, b)) in ours.iter().zip(&burns).enumerate() {
        let close = (a - b).abs() <= 1e-5 * b.abs().max(1.0);
        assert!(
            close || (a.is_nan() && b.is_nan()) || a == b,
            "{i}: {a} is not {b}"
        );
    }
}

fn same<const D: usize>((ours, burns): (Tensor<D, Int>, Burn<D, BurnInt>)) {
    assert_eq!(ours.dims(), burns.dims());
    let ours: Vec<i32> = ours.into_data().try_to_vec().unwrap();
    let burns = burns.into_data().convert::<i32>();
    assert_eq!(ours, burns.try_to_vec::<i32>().unwrap());
}

/// One expression of both.
macro_rules! alike {
    ($check:ident, $($ours:ident / $burns:ident),+; $expression:expr) => {
        $check((
            { $(let $ours = $ours.clone();)+ $expression },
            { $(let $ours = $burns.clone();)+ $expression },
        ))
    };
}

type Shape3 = (usize, usize, usize);

fn shape3() -> impl Strategy<Value = Shape3> {
    (1usize..5, 1usize..6, 1usize..40)
}

proptest! {
    #[test]
    fn views_and_copies((a, b, c) in shape3(), seed in any::<u32>(), cut in any::<prop::sample::Index>()) {
        let (x, y) = both([a, b, c], seed);
        let start = cut.index(c);
        alike!(near, x / y; x.swap_dims(0, 2));
        alike!(near, x / y; x.transpose().reshape([a * c, b]));
        alike!(near, x / y; x.swap_dims(0, 1).narrow(2, start, c - start).reshape([b * a * (c - start)]));
        alike!(near, x / y; x.slice([0..a, 0..b, start..c]).swap_dims(1, 2));
        alike!(near, x / y; x.unsqueeze::<5>());
        alike!(near, x / y; x.transpose().unsqueeze_dim::<4>(1).repeat_dim(1, 3));
        alike!(near, x / y; x.repeat_dim(1, 2));
        alike!(near, x / y; Tensor2::cat2(x));
        let (x, y) = both([a, b, c], seed ^ 1);
        let parts = x.clone().split(2, 1);
        let burns = y.clone().split(2, 1);
        prop_assert_eq!(parts.len(), burns.len());
        parts.into_iter().zip(burns).for_each(near);
        let (new, burns_new) = both([a, b, c - start], seed ^ 2);
        near((
            x.clone().slice_assign([0..a, 0..b, start..c], new.clone()),
            y.slice_assign([0..a, 0..b, start..c], burns_new),
        ));
        // What others have is not written to, nor what is behind a view.
        let before = x.clone();
        let mut view = x.narrow(2, start, c - start);
        view.inplace(|old| old.slice_assign([0..a, 0..b, 0..c - start], new));
        near((before, both([a, b, c], seed ^ 1).1));
    }

    #[test]
    fn arithmetic((a, b, c) in shape3(), seed in any::<u32>(), spread in 0usize..8) {
        let one = |bit: usize, size: usize| if spread >> bit & 1 == 1 { 1 } else { size };
        let (x, y) = both([a, b, c], seed);
        let (v, w) = both([one(0, a), one(1, b), one(2, c)], seed ^ 7);
        alike!(near, x / y, v / w; x + v);
        alike!(near, x / y, v / w; v - x);
        alike!(near, x / y, v / w; x.transpose() * v.transpose());
        alike!(near, x / y, v / w; x / (v.square() + 1.0));
        alike!(near, x / y; (x.mul_scalar(0.5f32) - 3.0) / 7.0);
        alike!(near, x / y; x.powi_scalar(3));
        alike!(near, x / y; x.square().sqrt());
        alike!(near, x / y; (x.square() + 0.5).recip());
        for dim in 0..3 {
            alike!(near, x / y; x.sum_dim(dim));
            alike!(near, x / y; x.transpose().mean_dim(dim));
            alike!(near, x / y; x.max_dim(dim));
        }
        near((sigmoid(x.clone()), burn::tensor::activation::sigmoid(y.clone())));
        near((silu(x.clone()), burn::tensor::activation::silu(y.clone())));
        near((
            softmax(x.clone().transpose(), 2),
            burn::tensor::activation::softmax(y.transpose(), 2),
        ));
        // A number that others have stays as it is.
        let kept = x.clone();
        let _ = x + 1.0;
        near((kept, both([a, b, c], seed).1));
    }

    #[test]
    fn products((a, m, k) in shape3(), n in 1usize..9, seed in any::<u32>(), spread in 0usize..4) {
        let (x, y) = both([if spread & 1 == 1 { 1 } else { a }, m, k], seed);
        let (v, w) = both([if spread & 2 == 2 { 1 } else { a }, k, n], seed ^ 3);
        alike!(near, x / y, v / w; x.matmul(v));
        let (v, w) = both([a, n, k], seed ^ 4);
        alike!(near, x / y, v / w; x.matmul(v.transpose()));
        // Views of larger ones, and of both turned around.
        let (u, t) = both([a, k + 3, m + 2], seed ^ 5);
        alike!(near, u / t, v / w; v.matmul(u.narrow(1, 2, k).narrow(2, 1, m)));
        alike!(near, u / t, v / w; u.narrow(1, 1, k).narrow(2, 2, m).transpose().matmul(v.transpose()));
    }

    #[test]
    fn choices((a, b, c) in shape3(), seed in any::<u32>(), picks in proptest::collection::vec(any::<prop::sample::Index>(), 1..6)) {
        let (x, y) = both([a, b, c], seed);
        for dim in 0..3 {
            let of = [a, b, c][dim];
            let own: Vec<i32> = picks.iter().map(|pick| pick.index(of) as i32).collect();
            let count = own.len();
            let (i, j) = indices(own, [count]);
            alike!(near, x / y, i / j; x.transpose().transpose().select(dim, i));
        }
        let own: Vec<i32> = (0..a * b * 2).map(|i| picks[i % picks.len()].index(c) as i32).collect();
        let (i, j) = indices(own, [a, b, 2]);
        alike!(near, x / y, i / j; x.gather(2, i));
        alike!(same, x / y; x.argmax(2));
        alike!(near, x / y; x.equal_elem(2.25).float());
        alike!(near, x / y; x.transpose().greater_elem(1.0).float());
        alike!(near, x / y; { let mask = x.clone().greater_elem(0.0); x.mask_fill(mask, -9.5) });
        let (v, w) = both([a, b, c], seed ^ 9);
        alike!(near, x / y, v / w; x.equal(v).float());
    }
}

/// `cat` of two views, by either type's name.
trait Tensor2: Sized {
    fn cat2(self) -> Self;
}

impl Tensor2 for Tensor<3> {
    fn cat2(self) -> Self {
        Tensor::cat(vec![self.clone().transpose(), self.transpose()], 1)
    }
}

impl Tensor2 for Burn<3> {
    fn cat2(self) -> Self {
        Burn::cat(vec![self.clone().transpose(), self.transpose()], 1)
    }
}

#[test]
fn numbers_come_back_as_they_went_in() {
    let data = TensorData::new(vec![1.5f32, -2.0, 0.0], [3]);
    assert_eq!(data.as_bytes().len(), 12);
    assert!(data.try_to_vec::<i32>().is_err());
    let tensor = Tensor::<1>::from_data(data, &Device).narrow(0, 1, 2);
    assert_eq!(tensor.into_data().try_to_vec::<f32>().unwrap(), [-2.0, 0.0]);
    assert_eq!(
        Tensor::<2>::ones([1, 2], &Device).contiguous().as_slice(),
        [1.0; 2]
    );
    assert_eq!(
        format!("{:?}", Tensor::<2>::zeros([1, 2], &Device)),
        "Tensor[1, 2]"
    );
}

#[test]
#[should_panic(expected = "values of shape")]
fn too_few_values_are_no_tensor() {
    TensorData::new(vec![0f32; 3], [2, 2]);
}
