//! Kernels against the definition, and against each other.

use half::f16;
use proptest::prelude::*;

use super::*;

/// A random matrix and activations: odd numbers of rows, zero scales, extreme values.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) bits: Bits,
    quants: Vec<i8>,
    scales: Vec<f16>,
    pub(crate) x: Vec<f32>,
    words: Vec<u32>,
    tiled: Vec<u16>,
}

impl Case {
    pub(crate) fn any() -> impl Strategy<Value = Self> {
        let shape = (1usize..40, 1usize..6, 1usize..11, any::<bool>());
        shape.prop_flat_map(|(rows, blocks, tokens, eight)| {
            let columns = blocks * BLOCK;
            let bits = if eight { Bits::Eight } else { Bits::Four };
            let most = if eight { 127i8 } else { 7 };
            let least = if eight { -127 } else { -8 };
            let scale =
                prop_oneof![8 => -0.1f32..0.1, 1 => Just(0.0), 1 => Just(6e-8), 1 => Just(1e3)];
            let value =
                prop_oneof![12 => -4f32..4.0, 2 => Just(0.0), 1 => -1e4f32..1e4, 1 => Just(1e-30)];
            (
                proptest::collection::vec(least..=most, rows * columns),
                proptest::collection::vec(scale.prop_map(f16::from_f32), rows * blocks),
                proptest::collection::vec(value, tokens * columns),
            )
                .prop_map(move |(quants, scales, x)| Self::new(rows, bits, quants, scales, x))
        })
    }

    pub(crate) fn new(
        rows: usize,
        bits: Bits,
        quants: Vec<i8>,
        scales: Vec<f16>,
        x: Vec<f32>,
    ) -> Self {
        let columns = quants.len() / rows;
        let file = packed(bits, &quants);
        let (words, tiled) = file_rows(bits, &file, &scales, [rows, columns]).tiled();
        Self {
            rows,
            columns,
            bits,
            quants,
            scales,
            x,
            words: words.to_vec(),
            tiled: tiled.to_vec(),
        }
    }

    /// The weights as a file has them.
    pub(crate) fn file(&self) -> Vec<u8> {
        packed(self.bits, &self.quants)
    }

    /// As [`Case::file`] has them.
    pub(crate) fn in_rows<'a>(&'a self, file: &'a [u8]) -> Rows<'a> {
        file_rows(self.bits, file, &self.scales, [self.rows, self.columns])
    }

    pub(crate) fn quantized(&self) -> Quantized<'_> {
        Quantized::new(
            &self.words,
            &self.tiled,
            [self.rows, self.columns],
            self.bits,
        )
    }

    pub(crate) fn activations(&self) -> Activations {
        Activations::new(&self.x, self.columns)
    }

    /// The product with the activations in 8 bits.
    fn integer_product(&self) -> Vec<(f64, f64)> {
        let x = self.activations();
        self.product(|token, column| {
            let at = token * self.columns + column;
            f64::from(x.integers(at / BLOCK)[at % BLOCK]) * f64::from(x.scales[at / BLOCK])
        })
    }

    /// Checks a tile's sums for the first tokens.
    pub(crate) fn check_tile(&self, tile: usize, sums: &[Sums]) {
        let expected = self.integer_product();
        for (token, sums) in sums.iter().enumerate() {
            let rows = tile * TILE..self.rows.min((tile + 1) * TILE);
            let expected = &expected[token * self.rows..][rows.clone()];
            check(&sums[..rows.len()], expected);
            assert!(sums[rows.len()..].iter().all(|sum| *sum == 0.0), "{sums:?}");
        }
    }

    fn weight(&self, row: usize, column: usize) -> f64 {
        let at = row * self.columns + column;
        f64::from(self.quants[at]) * f64::from(self.scales[at / BLOCK].to_f32())
    }

    /// The product by its definition, with what `x` gives for a token and a column; and the sum of
    /// the terms' sizes, which bounds rounding.
    fn product(&self, x: impl Fn(usize, usize) -> f64) -> Vec<(f64, f64)> {
        let tokens = self.x.len() / self.columns;
        let places = (0..tokens).flat_map(|token| (0..self.rows).map(move |row| (token, row)));
        let sum = |(token, row)| {
            let terms = (0..self.columns).map(|column| self.weight(row, column) * x(token, column));
            terms.fold((0.0, 0.0), |(sum, size), term| {
                (sum + term, size + term.abs())
            })
        };
        places.map(sum).collect()
    }
}

fn packed(bits: Bits, quants: &[i8]) -> Vec<u8> {
    match bits {
        Bits::Eight => bytemuck::cast_slice(quants).to_vec(),
        Bits::Four => {
            let packed = quants.chunks_exact(BLOCK).flat_map(|block| {
                let half = |i: usize| (block[i] + 8) as u8;
                (0..BLOCK / 2).map(move |i| half(i) | half(i + BLOCK / 2) << 4)
            });
            packed.collect()
        }
    }
}

fn file_rows<'a>(bits: Bits, file: &'a [u8], scales: &'a [f16], shape: [usize; 2]) -> Rows<'a> {
    match bits {
        Bits::Eight => Rows::q8(bytemuck::cast_slice(file), scales, shape),
        Bits::Four => Rows::q4(file, scales, shape),
    }
}

/// A sum that is not what it should be.
fn wrong(actual: &[f32], expected: &[(f64, f64)]) -> Option<(f32, f64)> {
    assert_eq!(actual.len(), expected.len());
    let off = |(a, (sum, size)): (&f32, &(f64, f64))| {
        let close = (f64::from(*a) - sum).abs() <= 1e-5 * size + 1e-12;
        (!close).then_some((*a, *sum))
    };
    actual.iter().zip(expected).find_map(off)
}

fn check(actual: &[f32], expected: &[(f64, f64)]) {
    assert_eq!(wrong(actual, expected), None);
}

proptest! {
    #[test]
    fn products_are_what_they_are_defined_to_be(case in Case::any()) {
        let tokens = case.x.len() / case.columns;
        let mut out = vec![f32::NAN; tokens * case.rows];
        matmul_f32(&case.quantized(), &case.x, &mut out);
        check(&out, &case.product(|token, column| f64::from(case.x[token * case.columns + column])));

        let x = case.activations();
        let mut out = vec![f32::NAN; tokens * case.rows];
        matmul(&case.quantized(), &x, &mut out);
        check(&out, &case.integer_product());
    }

    /// Several products at once are the single ones.
    #[test]
    fn products_together_are_products_alone(case in Case::any()) {
        let (w, x) = (case.quantized(), case.activations());
        let tokens = x.tokens();
        let mut alone = vec![0.0; tokens * case.rows];
        matmul(&w, &x, &mut alone);
        let [mut a, mut b] = [(); 2].map(|()| vec![f32::NAN; tokens * case.rows]);
        matmul_all([(w, &mut a), (w, &mut b)], &x);
        prop_assert_eq!(&a, &alone);
        prop_assert_eq!(&b, &alone);
    }

    /// What runs on this processor, and the twin.
    #[test]
    fn kernels_and_their_twins_agree(case in Case::any()) {
        let (w, x) = (case.quantized(), case.activations());
        for tile in 0..case.rows.div_ceil(TILE) {
            let count = x.tokens().min(TOKENS);
            for kernel in [integer_tile, plain::integer_tile] {
                let mut sums = [[f32::NAN; TILE]; TOKENS];
                kernel(&w, tile, &x, 0, count, &mut sums);
                case.check_tile(tile, &sums[..count]);
            }
        }
    }

    #[test]
    fn rows_are_found_again(case in Case::any()) {
        let mut out = vec![0.0; case.columns];
        for at in 0..case.rows {
            row(&case.quantized(), at, &mut out);
            for (column, value) in out.iter().enumerate() {
                prop_assert_eq!(f64::from(*value), case.weight(at, column));
            }
        }
    }

    /// Half a step of the largest value in a block, at most.
    #[test]
    fn activations_are_rounded_to_nearest(x in proptest::collection::vec(-1e3f32..1e3, BLOCK)) {
        let quantized = Activations::new(&x, BLOCK);
        let step = quantized.scales[0];
        let integers = quantized.integers(0);
        for (value, quant) in x.iter().zip(integers) {
            prop_assert!((value - f32::from(quant) * step).abs() <= 0.5001 * step);
        }
        let sum: i32 = integers.into_iter().map(i32::from).sum();
        prop_assert_eq!(quantized.sums[0], sum);
    }
}

/// A matrix that is large enough for threads: the same sums as tile by tile.
#[test]
fn threads_change_nothing() {
    let (rows, columns, tokens) = (1003, 512, 3);
    let quants: Vec<i8> = (0..rows * columns)
        .map(|i| (i * 7919 % 251) as i8)
        .collect();
    let scales = vec![f16::from_f32(0.01); rows * columns / BLOCK];
    let x: Vec<f32> = (0..tokens * columns)
        .map(|i| (i % 97) as f32 - 48.0)
        .collect();
    let case = Case::new(rows, Bits::Eight, quants, scales, x);
    let (w, x) = (case.quantized(), case.activations());
    let mut out = vec![f32::NAN; tokens * rows];
    for _ in 0..200 {
        out.fill(f32::NAN);
        matmul(&w, &x, &mut out);
        for tile in 0..rows.div_ceil(TILE) {
            let mut sums = [[0.0; TILE]; TOKENS];
            integer_tile(&w, tile, &x, 0, tokens, &mut sums);
            for (token, sums) in sums[..tokens].iter().enumerate() {
                let row = tile * TILE;
                let count = TILE.min(rows - row);
                assert_eq!(out[token * rows + row..][..count], sums[..count]);
            }
        }
    }
}

#[test]
fn every_chunk_is_visited_once() {
    for shared in [true, false] {
        for length in [0, 1, 7, 64, 1000] {
            let mut out = vec![0.0; length];
            for_each_chunk(&mut out, 7, shared, |index, chunk| {
                chunk
                    .iter_mut()
                    .for_each(|value| *value += index as f32 + 1.0);
            });
            let expected = (0..length).map(|i| (i / 7) as f32 + 1.0);
            assert_eq!(out, expected.collect::<Vec<_>>());
        }
    }
}

/// A number that is none must not become a plausible one.
#[test]
fn nan_and_infinity_reach_the_product() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut x = vec![1.0; 2 * BLOCK];
        x[BLOCK + 3] = bad;
        let quants = vec![1i8; 2 * BLOCK];
        let case = Case::new(1, Bits::Eight, quants, vec![f16::ONE; 2], x);
        let mut out = [0.0];
        matmul(&case.quantized(), &case.activations(), &mut out);
        assert!(!out[0].is_finite(), "{bad} became {}", out[0]);
    }
}

/// The classic slips of such kernels, put in on purpose: the comparison must see each of them.
#[test]
fn slips_are_seen() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let case = loop {
        let case = Case::any().new_tree(&mut runner).unwrap().current();
        if case.rows > TILE && !case.rows.is_multiple_of(TILE) && case.columns > BLOCK {
            break case;
        }
    };
    let right = |case: &Case| {
        let mut out = vec![0.0; case.x.len() / case.columns * case.rows];
        matmul_f32(&case.quantized(), &case.x, &mut out);
        out
    };
    let expected = case.product(|token, column| f64::from(case.x[token * case.columns + column]));
    let wrong = |out: Vec<f32>| wrong(&out, &expected).is_some();
    assert!(!wrong(right(&case)));

    let mut swapped = case.clone();
    swapped.tiled.swap(0, TILE);
    assert!(wrong(right(&swapped)), "the scales of two blocks swapped");
    let mut shifted = case.clone();
    shifted.words.rotate_right(1);
    assert!(wrong(right(&shifted)), "every word in its neighbour's lane");
    let mut halves = case.clone();
    for word in &mut halves.words {
        *word = word.rotate_left(16);
    }
    assert!(
        wrong(right(&halves)),
        "two weights of a group swapped with two others"
    );
    let mut tail = right(&case);
    let last = tail.len() - 1;
    tail[last] = tail[last - 1];
    assert!(wrong(tail), "the last row a copy of the one before");
}

use proptest::strategy::ValueTree;
