//! Each kernel against what the CPU computes, with barriers and without, and slips that must be seen.

mod attention;
mod sample;

use burn::tensor::{Device, DeviceKind, Tensor, TensorData};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::product::{Around, Quantized, Spread};
use super::{gpu_is_software, matmul, rms_norm};
use crate::Storage;
use crate::config::Activation;
use crate::storage::Blocks;

/// A software adapter, so that the tests need no GPU; `SPRAT_TEST_GPU=1` takes the machine's own, and
/// `SPRAT_TEST_GPU=cuda` an NVIDIA card where CUDA is compiled in.
fn gpu() -> Device {
    match std::env::var("SPRAT_TEST_GPU") {
        #[cfg(feature = "cuda")]
        Ok(name) if name == "cuda" => Device::cuda(0),
        Ok(_) => Device::wgpu(DeviceKind::DefaultDevice),
        Err(_) => Device::wgpu(DeviceKind::Cpu),
    }
}

/// Numbers of about one.
fn noise(len: usize, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..len).map(|_| rng.random_range(-1.5f32..1.5)).collect()
}

fn tensor<const D: usize>(values: &[f32], shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

/// The largest difference, of all numbers' largest.
fn off(got: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(got.len(), expected.len());
    let largest = expected.iter().fold(1e-6f32, |m, v| m.max(v.abs()));
    let difference = |(a, b): (&f32, &f32)| match (a - b).abs() {
        d if d.is_nan() => f32::INFINITY,
        d => d,
    };
    got.iter().zip(expected).map(difference).fold(0.0, f32::max) / largest
}

const CLOSE: f32 = 2e-5;

/// Both kinds of kernels; another test may choose a kind at the same time, whose results are as right.
fn both(test: impl Fn()) {
    for software in [false, true] {
        gpu_is_software(software);
        test();
    }
}

/// Any sizes, any strides, and batches of which one side is spread.
#[test]
fn products_of_floats_are_those_of_the_cpu() {
    both(|| {
        for ([a0, a1], [b0, b1], m, k, n) in [
            ([1, 1], [1, 1], 1, 1, 1),
            ([1, 1], [1, 1], 1, 64, 300),
            ([1, 3], [1, 3], 9, 33, 17),
            ([2, 1], [2, 4], 8, 40, 5),
            ([1, 4], [1, 1], 17, 7, 130),
        ] {
            let (a, b) = (noise(a0 * a1 * m * k, 1), noise(b0 * b1 * k * n, 2));
            let on = |device: &Device, product: fn(Tensor<4>, Tensor<4>) -> Tensor<4>| {
                let a = || tensor(&a, [a0, a1, m, k], device);
                let (row, column) = (
                    tensor(&b, [b0, b1, k, n], device),
                    tensor(&b, [b0, b1, n, k], device).transpose(),
                );
                let swapped = tensor(&b, [b1, b0, k, n], device).swap_dims(0, 1);
                let part = a().narrow(3, 0, k.div_ceil(2));
                let rest = row.clone().narrow(2, k / 2, k.div_ceil(2));
                [
                    product(a(), row.clone()),
                    product(a(), column),
                    product(a(), swapped),
                    product(part, rest),
                ]
                .map(values)
            };
            let got = on(&gpu(), matmul);
            let expected = on(&Device::flex(), Tensor::matmul);
            for (got, expected) in got.iter().zip(&expected) {
                assert!(off(got, expected) < CLOSE, "{m} {k} {n}");
            }
        }
    });
}

#[test]
fn norms_are_those_of_the_cpu() {
    both(|| {
        for [rows, width] in [[1, 1], [1, 64], [3, 65], [130, 7], [2, 2050]] {
            let (x, weight) = (noise(rows * width, 1), noise(width, 2));
            let norm = |device: &Device| {
                let (x, weight) = (
                    tensor(&x, [rows, width], device),
                    tensor(&weight, [width], device),
                );
                (x, weight)
            };
            let (x_gpu, weight_gpu) = norm(&gpu());
            let (x_cpu, weight_cpu) = norm(&Device::flex());
            let got = values(rms_norm(x_gpu, weight_gpu, 1e-5));
            let expected = values(crate::cpu::rms_norm(x_cpu, weight_cpu, 1e-5));
            assert!(off(&got, &expected) < CLOSE, "{rows} x {width}");
        }
    });
}

/// What a product should be, by the numbers alone.
struct Case {
    tokens: usize,
    outputs: usize,
    columns: usize,
    norm: bool,
    bias: bool,
    residual: bool,
    gate: Option<Activation>,
}

impl Case {
    fn rows(&self) -> usize {
        self.outputs * if self.gate.is_some() { 2 } else { 1 }
    }

    fn inputs(&self) -> [Vec<f32>; 5] {
        let weights = noise(self.rows() * self.columns, 3);
        [
            noise(self.tokens * self.columns, 4),
            weights,
            noise(self.columns, 5),
            noise(self.rows(), 6),
            noise(self.tokens * self.outputs, 7),
        ]
    }

    fn expected(&self, weights: &[f32]) -> Vec<f32> {
        let [x, _, norm, bias, residual] = self.inputs();
        let mut out = Vec::new();
        for (token, x) in x.chunks(self.columns).enumerate() {
            let mean = x.iter().map(|x| x * x).sum::<f32>() / self.columns as f32;
            let scale = 1.0 / (mean + 1e-5).sqrt();
            let x: Vec<f32> = match self.norm {
                true => x.iter().zip(&norm).map(|(x, n)| x * scale * n).collect(),
                false => x.to_vec(),
            };
            let sum = |row: usize| {
                let products = weights[row * self.columns..][..self.columns].iter().zip(&x);
                let sum = products.map(|(w, x)| f64::from(w * x)).sum::<f64>() as f32;
                sum + if self.bias { bias[row] } else { 0.0 }
            };
            for row in 0..self.outputs {
                let y = match self.gate {
                    None => sum(row),
                    Some(activation) => {
                        let gate = Tensor::<1>::from_floats([sum(row)], &Device::flex());
                        values(activation.apply(gate))[0] * sum(self.outputs + row)
                    }
                };
                let place = token * self.outputs + row;
                out.push(y + if self.residual { residual[place] } else { 0.0 });
            }
        }
        out
    }

    fn got(&self, blocks: &Blocks<'_>) -> Vec<f32> {
        self.got_spread(blocks, None)
    }

    fn got_spread(&self, blocks: &Blocks<'_>, spread: Option<Spread>) -> Vec<f32> {
        let device = gpu();
        let [x, _, norm, bias, residual] = self.inputs();
        let around = Around {
            norm: self
                .norm
                .then(|| (tensor(&norm, [self.columns], &device), 1e-5)),
            bias: self.bias.then(|| tensor(&bias, [self.rows()], &device)),
            residual: self
                .residual
                .then(|| tensor(&residual, [self.tokens, self.outputs], &device)),
            gate: self.gate,
        };
        let matrix = Quantized::new(blocks, &device);
        let x = tensor(&x, [self.tokens, self.columns], &device);
        values(match spread {
            Some(spread) => matrix.project_spread(x, around, spread),
            None => matrix.project_around(x, around),
        })
    }
}

#[test]
fn products_are_those_of_the_numbers_with_all_that_is_around() {
    both(|| {
        for storage in [Storage::Q8, Storage::Q4] {
            for (i, [tokens, outputs, columns]) in [
                [1, 16, 32],
                [1, 33, 96],
                [2, 48, 64],
                [3, 32, 64],
                [9, 17, 64],
                [1, 208, 320],
            ]
            .into_iter()
            .enumerate()
            {
                for bits in 0..12 {
                    let gate = [None, Some(Activation::Silu), Some(Activation::GeluTanh)][bits / 4];
                    // The rows of a gate are whole tiles.
                    if gate.is_some() && outputs % 16 != 0 {
                        continue;
                    }
                    let case = Case {
                        tokens,
                        outputs,
                        columns,
                        norm: bits & 1 != 0,
                        bias: bits & 2 != 0 || i == 2,
                        residual: gate.is_none() && i % 2 == 0,
                        gate,
                    };
                    let [_, weights, ..] = case.inputs();
                    let shape = [case.rows(), columns];
                    let blocks = Blocks::quantize("w", &shape, &weights, storage);
                    let blocks = blocks.unwrap().unwrap();
                    let got = case.got(&blocks);
                    let expected = case.expected(&blocks.dequantize());
                    let off = off(&got, &expected);
                    assert!(off < CLOSE, "{storage:?} {tokens} {shape:?} {bits}: {off}");
                }
            }
        }
    });
}

/// However units are spread, also where some of them have nothing to do.
#[test]
fn products_are_the_same_however_they_are_spread() {
    for storage in [Storage::Q8, Storage::Q4] {
        for (tokens, columns) in [(1, 32), (1, 96), (1, 2048), (5, 352)] {
            let case = Case {
                tokens,
                outputs: 48,
                columns,
                norm: true,
                bias: true,
                residual: false,
                gate: Some(Activation::Silu),
            };
            let [_, weights, ..] = case.inputs();
            let blocks = Blocks::quantize("w", &[96, columns], &weights, storage);
            let blocks = blocks.unwrap().unwrap();
            let expected = case.expected(&blocks.dequantize());
            for (slots, depth) in [
                (1, 1),
                (4, 4),
                (8, 1),
                (8, 2),
                (16, 4),
                (64, 1),
                (64, 4),
                (128, 2),
            ] {
                // Their sums would not fit into a workgroup's memory.
                if tokens * slots > 128 {
                    continue;
                }
                let got = case.got_spread(&blocks, Some(Spread { slots, depth }));
                let off = off(&got, &expected);
                assert!(
                    off < CLOSE,
                    "{storage:?} {tokens} {columns} {slots} {depth}: {off}"
                );
            }
        }
    }
}
