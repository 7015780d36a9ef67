use burn::tensor::activation::{silu, softmax};
use burn::tensor::{Device, Int, Tensor, TensorData};

/// Numbers in -1..1 that differ everywhere.
fn values(count: usize, salt: usize) -> Vec<f32> {
    (0..count)
        .map(|i| ((i * 7919 + salt * 104_729) % 2003) as f32 / 1001.5 - 1.0)
        .collect()
}

fn leaf<const D: usize>(shape: [usize; D], salt: usize) -> Tensor<D> {
    let data = TensorData::new(values(shape.iter().product(), salt), shape);
    Tensor::<D>::from_data(data, &Device::flex().autodiff()).require_grad()
}

fn close<const D: usize>(what: &str, a: Tensor<D>, b: Tensor<D>) {
    assert_eq!(a.dims(), b.dims(), "{what}");
    let (a, b) = (a.into_data(), b.into_data());
    let worst = a
        .iter::<f32>()
        .zip(b.iter::<f32>())
        .map(|(a, b)| (a - b).abs());
    let worst = worst.fold(0.0, |m, d| if d > m || d.is_nan() { d } else { m });
    assert!(worst < 2e-5, "{what} differs by {worst}");
}

/// Both ways from the same leaf: the same values, and the same gradient of a weighted sum.
fn same<const D: usize, const E: usize>(
    leaf: &Tensor<D>,
    fused: impl Fn(Tensor<D>) -> Tensor<E>,
    plain: impl Fn(Tensor<D>) -> Tensor<E>,
) {
    assert!(super::usable(leaf));
    let run = |f: &dyn Fn(Tensor<D>) -> Tensor<E>| {
        let out = f(leaf.clone());
        let shape = out.dims();
        let data = TensorData::new(values(shape.iter().product(), 99), shape);
        let weights = Tensor::<E>::from_data(data, &leaf.device());
        let gradients = (out.clone() * weights).sum().backward();
        (out, leaf.grad(&gradients).unwrap())
    };
    let ((a, by_a), (b, by_b)) = (run(&fused), run(&plain));
    close("the value", a, b);
    close("the gradient", by_a, by_b);
}

#[test]
fn causal_softmax_is_softmax_of_what_may_be_seen() {
    let (groups, time) = (2, 19);
    let plain = |scores: Tensor<4>| {
        let mask: Vec<f32> = (0..groups * time * time)
            .map(|i| {
                if i % time > (i / time) % time {
                    -1e9
                } else {
                    0.0
                }
            })
            .collect();
        let mask = TensorData::new(mask, [1, 1, groups * time, time]);
        softmax(
            scores.mul_scalar(0.3) + Tensor::from_data(mask, &Device::flex().autodiff()),
            3,
        )
    };
    let scores = leaf([2, 3, groups * time, time], 1);
    same(&scores, |x| super::causal_softmax(x, 0.3), plain);
    // A transposed view is not contiguous and must not be written to.
    same(
        &scores.clone(),
        |x| super::causal_softmax(x * 1.0, 0.3),
        plain,
    );
}

#[test]
fn swiglu_is_silu_times_up_by_both_inputs() {
    let (gate, up) = (leaf([3, 5, 20], 2), leaf([3, 5, 20], 3));
    same(
        &gate,
        |x| super::swiglu(x, up.clone()),
        |x| silu(x) * up.clone(),
    );
    same(
        &up,
        |x| super::swiglu(gate.clone(), x),
        |x| silu(gate.clone()) * x,
    );
}

#[test]
fn rms_norm_is_rms_norm_by_input_and_weight() {
    let (x, weight) = (leaf([2, 7, 37], 4), leaf([37], 5));
    let plain = |x: Tensor<3>, weight: Tensor<1>| {
        let scale = (x.clone().square().mean_dim(2) + 1e-5).sqrt().recip();
        x * scale * weight.unsqueeze()
    };
    let fused = |x, weight| super::rms_norm::<3>(x, weight, 1e-5);
    same(
        &x,
        |x| fused(x, weight.clone()),
        |x| plain(x, weight.clone()),
    );
    same(
        &weight,
        |weight| fused(x.clone(), weight),
        |weight| plain(x.clone(), weight),
    );
}

#[test]
fn heads_turn_as_rope_turns_them() {
    let device = Device::flex().autodiff();
    let x = leaf([2, 5, 3, 8], 6);
    let config = crate::RopeConfig {
        frequencies: vec![1.0, 0.1, 0.01, 0.001],
        beyond: None,
        attention_factor: 1.0,
        interleaved: false,
    };
    let rope = crate::rope::Rope::new(&config, 0..5, 5, &device);
    let fused = |x| {
        let [cos, sin] = rope.tensors();
        super::rotate_heads(x, cos, sin)
    };
    same(&x, fused, |x| rope.apply(x.swap_dims(1, 2)));
}

#[test]
fn cross_entropy_is_log_softmax_at_the_targets() {
    let device = Device::flex().autodiff();
    let logits = leaf([6, 50], 7);
    let ids = TensorData::new(vec![0i32, 49, 7, 7, 20, 3], [6, 1]);
    let targets = Tensor::<2, Int>::from_data(ids, &device);
    let fused = |x: Tensor<2>| super::cross_entropy(x * 5.0, targets.clone());
    let plain = |x: Tensor<2>| {
        let logs = burn::tensor::activation::log_softmax(x * 5.0, 1);
        logs.gather(1, targets.clone()).sum().neg()
    };
    same(&logits, fused, plain);
}

#[test]
fn inference_and_other_devices_keep_the_plain_operations() {
    let plain = Tensor::<1>::from_floats([1.0], &Device::flex());
    assert!(!super::usable(&plain));
}
