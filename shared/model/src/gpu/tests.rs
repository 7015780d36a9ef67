//! Each kernel against what the CPU computes, with barriers and without, and slips that must be seen.

use burn::tensor::{DType, Device, DeviceKind, Int, Tensor, TensorData};
use std::sync::Mutex;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::product::{Around, Quantized, Spread};
use super::sample::{PICK, Picks};
use super::{Angles, LISTED, Place, gpu_is_software, matmul, rms_norm, shortlists};
use crate::Storage;
use crate::attention::Heads;
use crate::cache::{KvType, PAGE, Rows, Seat, Table};
use crate::config::Activation;
use crate::rope::{Rope, RopeConfig};
use crate::sampler::confidence;
use crate::shortlist::Shortlist;
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

/// Attention of the new positions of texts over what a cache holds of them, on a device.
struct Attention {
    heads: Heads,
    normed: bool,
    texts: Vec<Text>,
    kept: KvType,
    /// Positions that workgroups are launched for although there are none.
    to_spare: usize,
}

#[derive(Clone)]
struct Text {
    start: usize,
    time: usize,
    /// Its pages, on a CPU and on the GPU.
    pages: [Vec<u32>; 2],
}

impl Text {
    fn new(start: usize, time: usize, pages: impl IntoIterator<Item = u32>) -> Self {
        let pages: Vec<u32> = pages.into_iter().collect();
        Self {
            start,
            time,
            pages: [pages.clone(), pages],
        }
    }
}

impl Attention {
    fn rope() -> RopeConfig {
        RopeConfig {
            frequencies: vec![1.0, 0.3, 0.05, 0.01],
            beyond: None,
            attention_factor: 1.0,
            interleaved: false,
        }
    }

    fn time(&self) -> usize {
        self.texts.iter().map(|text| text.time).sum()
    }

    /// Positions that there is memory for.
    fn capacity(&self) -> usize {
        let pages = self
            .texts
            .iter()
            .flat_map(|text| text.pages.iter().flatten());
        pages.max().map_or(0, |page| (*page as usize + 1) * PAGE)
    }

    /// Queries, keys and values of the new positions, `[1, time, width]`, the norms, and the cache.
    fn inputs(&self, device: &Device) -> (Tensor<3>, [Tensor<1>; 2], Rows) {
        let Heads {
            heads,
            kv_heads,
            width,
            ..
        } = self.heads;
        let (all, capacity) = ((heads + 2 * kv_heads) * width, self.capacity());
        let qkv = tensor(&noise(self.time() * all, 11), [1, self.time(), all], device);
        let norms = [14, 15].map(|seed| tensor(&noise(width, seed), [width], device));
        let mut rows = Rows::new(kv_heads, capacity, [width; 2], self.kept, device);
        let (keys, values) = rows.tensors_mut();
        let dtype = keys.dtype();
        let held = |seed| {
            let numbers = noise(kv_heads * capacity * width, seed);
            tensor::<4>(&numbers, [1, kv_heads, capacity, width], device).cast(dtype)
        };
        (*keys, *values) = (held(12), held(13));
        (qkv, norms, rows)
    }

    fn outputs(context: Tensor<3>, mut rows: Rows) -> [Vec<f32>; 3] {
        let (keys, held) = rows.tensors_mut();
        let floats = |kept: &Tensor<4>| values(kept.clone().cast(DType::F32));
        [values(context), floats(keys), floats(held)]
    }

    /// The GPU's context, keys and values, with these heads, at positions `slip` too early.
    fn on_gpu(&self, heads: &Heads, slip: usize, rope: &RopeConfig) -> [Vec<f32>; 3] {
        let (qkv, norms, mut rows) = self.inputs(&gpu());
        let angles = vec![Angles::new(rope, self.capacity(), self.capacity(), &gpu())];
        let texts: Vec<_> = self
            .texts
            .iter()
            .map(|text| (text.start - slip, text.time, &*text.pages[1]))
            .collect();
        let mut place = match &*texts {
            [(start, time, pages)] => {
                let mut table = Table::default();
                table.extend(pages);
                let pages = TensorData::new(pages.to_vec(), [pages.len()]);
                let table =
                    (!table.is_plain()).then(|| Tensor::from_data(pages, (&gpu(), DType::U32)));
                Place::new(angles, *start, *time, table, &gpu())
            }
            several => Place::of_several(angles, several, &gpu()),
        };
        place.spare(self.to_spare);
        let norm = self.normed.then(|| (Tensor::cat(norms.into(), 0), 1e-6));
        let context = super::attention(qkv, heads, norm, Some(0), &place, &mut rows);
        Self::outputs(context, rows)
    }

    fn on_cpu(&self) -> [Vec<f32>; 3] {
        let (qkv, norms, rows) = self.inputs(&Device::flex());
        let rows = Mutex::new(rows);
        let Heads {
            heads,
            kv_heads,
            width,
            ..
        } = self.heads;
        let (q, kv) = (heads * width, kv_heads * width);
        let parts = [(0, q), (q, kv), (q + kv, kv)]
            .map(|(start, width)| qkv.clone().narrow(2, start, width));
        let tables = self.texts.iter().map(|text| {
            let mut table = Table::default();
            table.extend(&text.pages[0]);
            let positions = text.start..text.start + text.time;
            let rope = Rope::new(&Self::rope(), positions, self.capacity(), &Device::flex());
            (table, rope)
        });
        let tables: Vec<_> = tables.collect();
        let texts = self.texts.iter().zip(&tables);
        let texts: Vec<_> = texts
            .map(|(text, (table, rope))| crate::cpu::Text {
                start: text.start,
                time: text.time,
                rope: Some(rope),
                seat: Seat::new(&rows, table),
            })
            .collect();
        let norms = norms.map(|norm| self.normed.then_some((norm, 1e-6)));
        let context = crate::cpu::attention(parts, &self.heads, norms, &texts);
        Self::outputs(context, rows.into_inner().unwrap())
    }

    /// The largest difference of a GPU with these settings from the CPU with the right ones.
    fn off(&self, heads: &Heads, slip: usize, rope: &RopeConfig) -> f32 {
        let (got, expected) = (self.on_gpu(heads, slip, rope), self.on_cpu());
        let each = got.iter().zip(&expected).map(|(a, b)| off(a, b));
        each.fold(0.0, f32::max)
    }
}

fn heads(heads: usize, kv_heads: usize, window: Option<usize>) -> Heads {
    Heads {
        heads,
        kv_heads,
        width: 8,
        scale: 0.4,
        window,
    }
}

#[test]
fn attention_is_that_of_the_cpu() {
    both(|| {
        for (heads_of, start, time, window) in [
            ([1, 1], 0, 1, None),
            ([9, 3], 0, 5, None),
            ([4, 4], 17, 1, Some(4)),
            ([6, 2], 3, 9, Some(5)),
            // Longer than a workgroup's share of keys.
            ([2, 1], 255, 1, None),
            ([2, 1], 256, 1, None),
            ([3, 1], 600, 3, None),
            ([2, 2], 600, 2, Some(300)),
        ] {
            for (normed, scattered) in [(false, false), (true, false), (true, true)] {
                let count = usize::div_ceil(start + time + 3, PAGE) as u32;
                let mut pages: Vec<u32> = (0..count).collect();
                if scattered {
                    pages.extend([count, count + 1]);
                    pages.reverse();
                    pages.swap(0, 1);
                }
                let case = Attention {
                    heads: heads(heads_of[0], heads_of[1], window),
                    normed,
                    texts: vec![Text::new(start, time, pages)],
                    kept: KvType::F32,
                    to_spare: if normed { 0 } else { 300 },
                };
                let off = case.off(&case.heads, 0, &Attention::rope());
                let what = format!("{heads_of:?} {start} {time} {window:?} {scattered}");
                assert!(off < CLOSE, "{what}: {off}");
            }
        }
    });
}

/// Texts of all lengths at once, whose pages lie among each other's, with one new position each and with more.
#[test]
fn attention_of_several_texts_is_that_of_the_cpu() {
    both(|| {
        for (normed, window, to_spare) in [(true, None, 0), (false, Some(20), 300)] {
            for times in [[1, 1, 1], [1, 5, 2]] {
                let case = Attention {
                    heads: heads(6, 2, window),
                    normed,
                    texts: vec![
                        Text::new(0, times[0], [21]),
                        Text::new(38, times[1], [19, 3, 0]),
                        Text::new(260, times[2], (4..19).chain([1, 2, 20]).rev()),
                    ],
                    kept: KvType::F32,
                    to_spare,
                };
                let off = case.off(&case.heads, 0, &Attention::rope());
                assert!(off < CLOSE, "{normed} {window:?} {times:?}: {off}");
            }
        }
    });
}

/// Keys and values in half the bits are rounded as a CPU rounds them.
#[test]
fn attention_over_half_the_bits_is_that_of_the_cpu() {
    both(|| {
        for (time, pages) in [(1, [0, 1, 2]), (4, [2, 0, 1])] {
            let case = Attention {
                heads: heads(4, 2, None),
                normed: true,
                texts: vec![Text::new(30, time, pages)],
                kept: KvType::F16,
                to_spare: 0,
            };
            let off = case.off(&case.heads, 0, &Attention::rope());
            // Half a unit in the last of eleven bits.
            assert!(off < 1.0 / 2048.0, "{time}: {off}");
        }
    });
}

/// Slips that give fluent wrong text are far larger than what is allowed.
#[test]
fn slips_of_attention_are_seen() {
    let case = Attention {
        heads: heads(4, 2, Some(6)),
        normed: true,
        texts: vec![Text::new(20, 2, [0, 1])],
        kept: KvType::F32,
        to_spare: 0,
    };
    let seen = |on_gpu: &Heads, slip, rope: &RopeConfig| {
        assert!(case.off(on_gpu, slip, rope) > 100.0 * CLOSE);
    };
    let rope = Attention::rope();
    // One key too few and too many, another position, the other half's turn, neighbours for halves, a scale forgotten,
    // pages mixed up, another text's pages.
    seen(&heads(4, 2, Some(5)), 0, &rope);
    seen(&heads(4, 2, Some(7)), 0, &rope);
    seen(&case.heads, 1, &rope);
    let mut other = rope.clone();
    other.frequencies.iter_mut().for_each(|f| *f = -*f);
    seen(&case.heads, 0, &other);
    other.frequencies = rope.frequencies.iter().rev().copied().collect();
    seen(&case.heads, 0, &other);
    let scale = 0.41;
    seen(
        &Heads {
            scale,
            ..heads(4, 2, Some(6))
        },
        0,
        &rope,
    );
    let context_is_off = |texts: Vec<Text>| {
        let heads = heads(4, 2, Some(6));
        let case = Attention {
            heads,
            normed: true,
            texts,
            kept: KvType::F32,
            to_spare: 0,
        };
        let (got, expected) = (case.on_gpu(&case.heads, 0, &rope), case.on_cpu());
        assert!(off(&got[0], &expected[0]) > 100.0 * CLOSE);
    };
    let mixed_up = Text {
        pages: [vec![0, 1], vec![1, 0]],
        ..Text::new(20, 2, [])
    };
    context_is_off(vec![mixed_up]);
    let others = [[0, 1], [2, 3]].map(|own| Text {
        pages: [
            own.to_vec(),
            own.iter().map(|page| (page + 2) % 4).collect(),
        ],
        ..Text::new(20, 1, [])
    });
    context_is_off(others.into());
}

fn picks_of(logits: &[f32]) -> Vec<f32> {
    let device = gpu();
    let mut picks = Picks::new(7, &device);
    picks.pick(tensor(&[1.0, 0.0], [1, 2], &device));
    // What is asked for is what was picked by then.
    let mut first = picks.read();
    picks.pick(tensor(logits, [1, logits.len()], &device));
    let ints = |tensor: Tensor<1, Int>| tensor.into_data().iter::<i64>().collect::<Vec<_>>();
    let token = ints(picks.token().reshape([1]));
    assert_eq!(ints(picks.position()), [8, 2]);
    let first = pollster::block_on(first.rows()).unwrap();
    assert_eq!((first[0], first[PICK]), (0.0, 0.0));
    let all = pollster::block_on(picks.read().rows()).unwrap();
    assert_eq!(all[0], 0.0);
    assert_eq!(token, [all[PICK] as i64]);
    all[PICK..2 * PICK].to_vec()
}

#[test]
fn picks_are_those_of_the_host() {
    both(|| {
        for len in [1, 2, 63, 1000, 1024, 5003] {
            let mut logits: Vec<f32> = noise(len, len as u64).iter().map(|l| l * 9.0).collect();
            if len == 1000 {
                // Of equals the first is taken.
                logits[900] = 20.0;
                logits[37] = 20.0;
            }
            let picks = picks_of(&logits);
            let best = (0..len)
                .rev()
                .max_by(|a, b| logits[*a].total_cmp(&logits[*b]));
            let id = best.unwrap() as u32;
            let (_, expected) = confidence(&logits, id);
            assert_eq!((picks[0], picks[4]), (id as f32, 1.0), "{len}");
            for (got, expected) in
                picks[1..4]
                    .iter()
                    .zip([expected.logprob, expected.margin, expected.entropy])
            {
                assert!((got - expected).abs() < 1e-4, "{len}: {got} for {expected}");
            }
        }
    });
}

#[test]
fn logits_that_are_no_numbers_are_told() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for at in [0, 1, 1499] {
            let mut logits = noise(1500, 1);
            logits[at] = bad;
            assert_eq!(picks_of(&logits)[4], 0.0, "{bad} at {at}");
        }
    }
}

/// Rows of logits, and of each its temperature.
fn rows_of_logits(vocab: usize) -> (Vec<Vec<f32>>, Vec<f32>) {
    let row = |seed, by: f32| noise(vocab, seed).iter().map(|l| l * by).collect();
    let mut rows: Vec<Vec<f32>> = vec![row(1, 9.0), row(2, 0.3), row(3, 4.0), row(4, 1.0)];
    // Neighbours in the vocabulary are likely together, all of one unit's are, and many are alike.
    rows[0]
        .iter_mut()
        .take(100)
        .for_each(|logit| *logit += 14.0);
    rows[2]
        .iter_mut()
        .step_by(256)
        .for_each(|logit| *logit += 10.0);
    rows[3].iter_mut().step_by(3).for_each(|logit| *logit = 2.0);
    (rows, vec![1.0, 0.7, 2.5, 0.01])
}

#[test]
fn shortlists_are_those_of_the_host() {
    for vocab in [1, 40, 64, 257, 5000, 33_000] {
        let (rows, temperatures) = rows_of_logits(vocab);
        let logits = tensor(&rows.concat(), [rows.len(), vocab], &gpu());
        let lists = Shortlist::all(&values(shortlists(logits, &temperatures)));
        assert_eq!(lists.len(), rows.len());
        for ((got, row), &temperature) in lists.iter().zip(&rows).zip(&temperatures) {
            let expected = Shortlist::of(row, got.floor, temperature);
            let count = expected.tokens.len();
            let what = format!("{vocab}, {temperature}: {count} from {} on", got.floor);
            assert!(count >= LISTED.min(vocab), "{what}");
            match count > 256 {
                true => assert!(got.tokens.is_empty(), "{what}"),
                false => assert_eq!(got.tokens, expected.tokens, "{what}"),
            }
            assert_eq!(
                (got.likeliest, got.finite),
                (expected.likeliest, true),
                "{what}"
            );
            assert_eq!(got.largest, expected.largest, "{what}");
            assert!((got.sum / expected.sum - 1.0).abs() < 1e-5, "{what}");
            for (got, expected) in [
                (got.stats.logprob, expected.stats.logprob),
                (got.stats.margin, expected.stats.margin),
                (got.stats.entropy, expected.stats.entropy),
            ] {
                assert!(
                    (got - expected).abs() < 1e-4,
                    "{what}: {got} for {expected}"
                );
            }
        }
        // Few more than are asked for, where likely ones are anywhere.
        let usual = lists[1].tokens.len();
        assert!(vocab < 5000 || (LISTED..120).contains(&usual), "{usual}");
    }
}

#[test]
fn a_shortlist_tells_logits_that_are_no_numbers() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut rows = [noise(1500, 1), noise(1500, 2)];
        rows[1][700] = bad;
        let logits = tensor(&rows.concat(), [2, 1500], &gpu());
        let lists = Shortlist::all(&values(shortlists(logits, &[1.0; 2])));
        assert_eq!((lists[0].finite, lists[1].finite), (true, false), "{bad}");
    }
}
