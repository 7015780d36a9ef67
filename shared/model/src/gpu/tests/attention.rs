//! Attention over one text and over several, beside a CPU's.

use std::sync::Mutex;

use burn::tensor::{DType, Device, Tensor, TensorData};

use super::super::attention::MADE;
use super::super::{Angles, Place, attention};
use super::{CLOSE, both, gpu, noise, off, tensor, values};
use crate::attention::Heads;
use crate::cache::{KvCache, KvPool, KvType, PAGE, Rows, Seat, Table};
use crate::rope::{Beyond, BeyondRule, Rope, RopeConfig};
use crate::{Checkpoint, RandomModel};

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
        let context = attention(qkv, heads, norm, Some(0), &place, &mut rows);
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

/// Texts within a model's trained length and beyond it take turns in a pool, and the angles of neither are made anew.
#[test]
fn angles_of_long_texts_and_of_short_ones_are_kept() {
    let config = RandomModel::new("llama-15m").unwrap().config().clone();
    let pool = KvPool::new(&config, 64, KvType::F32, &gpu());
    let cache = KvCache::in_pool(&pool, 0, &config, &gpu());
    let beyond = Beyond {
        positions: 32,
        rule: BeyondRule::Fixed(vec![0.5, 0.2, 0.02, 0.001]),
    };
    let ropes = [RopeConfig {
        beyond: Some(beyond),
        ..Attention::rope()
    }];
    let before = MADE.get();
    for length in [20, 60, 30, 50, 32, 33] {
        let angles = cache.angles(&ropes, length, &gpu());
        assert!(angles[0].fit(&ropes[0], 64, length));
    }
    assert_eq!(MADE.get() - before, 2);
}
