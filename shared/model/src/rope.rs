//! Rotary position embedding in Hugging Face's rotate-half layout.

use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorData};

/// Cosines and sines for a range of positions, ready to be applied to heads.
pub(crate) struct Rope {
    /// `[1, 1, time, head_dim / 2]`
    pub(crate) cos: Tensor<4>,
    /// `[1, 1, time, head_dim / 2]`
    pub(crate) sin: Tensor<4>,
}

impl Rope {
    /// Angles `position * theta^(-2i / head_dim)`, in f32 as transformers computes them.
    pub(crate) fn new(
        head_dim: usize,
        theta: f64,
        positions: Range<usize>,
        device: &Device,
    ) -> Self {
        let half = head_dim / 2;
        let time = positions.len();
        let frequencies: Vec<f32> = (0..half)
            .map(|i| 1.0 / (theta as f32).powf((2 * i) as f32 / head_dim as f32))
            .collect();
        let (mut cos, mut sin) = (
            Vec::with_capacity(time * half),
            Vec::with_capacity(time * half),
        );
        for position in positions {
            for frequency in &frequencies {
                let (s, c) = (position as f32 * frequency).sin_cos();
                cos.push(c);
                sin.push(s);
            }
        }
        let upload = |v| Tensor::from_data(TensorData::new(v, [1, 1, time, half]), device);
        Self {
            cos: upload(cos),
            sin: upload(sin),
        }
    }

    /// Rotates `x` `[batch, heads, time, head_dim]`: element `i` turns with element
    /// `i + head_dim / 2`.
    pub(crate) fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        let half = x.dims()[3] / 2;
        let first = x.clone().narrow(3, 0, half);
        let second = x.narrow(3, half, half);
        let (cos, sin) = (self.cos.clone(), self.sin.clone());
        let turned_first = first.clone() * cos.clone() - second.clone() * sin.clone();
        let turned_second = second * cos + first * sin;
        Tensor::cat(vec![turned_first, turned_second], 3)
    }
}
