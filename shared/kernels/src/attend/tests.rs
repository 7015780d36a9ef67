use super::*;
use proptest::prelude::*;

type Kernel<N> = fn(&Input<'_, N>, &[f32], &mut [f32], &mut [f32]);

/// Those that are not chosen here, too.
#[allow(unsafe_code)]
fn kernels<N: Number>() -> Vec<Kernel<N>> {
    // SAFETY: tests give them what they need.
    let plain: Kernel<N> = |input, queries, scores, out| unsafe {
        heads::attend::<Plain, N>(input, queries, scores, out);
    };
    #[cfg(target_arch = "x86_64")]
    if crate::x86::has_avx2() {
        // SAFETY: as above, and the features were detected.
        let avx2: Kernel<N> = |input, queries, scores, out| unsafe {
            crate::x86::attend::attend_256(input, queries, scores, out);
        };
        return vec![plain, avx2];
    }
    vec![plain]
}

/// Heads, of which some share keys, and what they see, in whole pieces of the same rows.
#[derive(Debug, Clone)]
struct Case {
    width: usize,
    heads: usize,
    positions: usize,
    queries: Vec<f32>,
    keys: Vec<f32>,
    values: Vec<f32>,
    cuts: [usize; 2],
}

impl Case {
    fn any() -> impl Strategy<Value = Self> {
        let widths = prop_oneof![1usize..40, (1usize..9).prop_map(|n| 16 * n)];
        (widths, 1usize..10, 1usize..50).prop_flat_map(|(width, heads, positions)| {
            let numbers = |count| proptest::collection::vec(-4f32..4.0, count);
            let cut = || 0..=positions;
            let (rows, queries) = (positions * width, heads * width);
            (numbers(queries), numbers(rows), numbers(rows), cut(), cut()).prop_map(
                move |(queries, keys, values, a, b)| Self {
                    width,
                    heads,
                    positions,
                    queries,
                    keys,
                    values,
                    cuts: [a.min(b), a.max(b)],
                },
            )
        })
    }

    fn attend<N: Number>(&self, rows: [&[N]; 2], runs: &[Range<usize>]) -> Vec<f32> {
        let mut scores = vec![f32::NAN; self.heads * self.positions];
        let mut out = vec![f32::NAN; self.heads * self.width];
        attend(
            &self.queries,
            rows,
            runs,
            self.width,
            0.3,
            &mut scores,
            &mut out,
        );
        out
    }

    fn check(&self, out: &[f32], tolerance: f64) -> Result<(), TestCaseError> {
        let width = self.width;
        for (query, out) in self.queries.chunks(width).zip(out.chunks(width)) {
            let score = |key: &[f32]| {
                let dot = key
                    .iter()
                    .zip(query)
                    .map(|(k, q)| f64::from(k * q))
                    .sum::<f64>();
                0.3 * dot
            };
            let scores: Vec<f64> = self.keys.chunks(width).map(score).collect();
            let top = scores.iter().copied().fold(f64::MIN, f64::max);
            let weights: Vec<f64> = scores.iter().map(|score| (score - top).exp()).collect();
            let total: f64 = weights.iter().sum();
            for (i, out) in out.iter().enumerate() {
                let column = self.values.chunks(width).map(|value| f64::from(value[i]));
                let mean = column.zip(&weights).map(|(v, w)| v * w).sum::<f64>() / total;
                prop_assert!((f64::from(*out) - mean).abs() < tolerance, "{out} {mean}");
            }
        }
        Ok(())
    }

    /// All kernels that there are, in one run and in several, which must be equal to the last bit.
    fn check_all<N: Number>(&self, rows: [&[N]; 2], tolerance: f64) -> Result<(), TestCaseError> {
        let [a, b] = self.cuts;
        let pieces = [0..a, a..b, b..self.positions];
        let whole = [0..self.positions, 0..0];
        let out = self.attend(rows, &whole);
        self.check(&out, tolerance)?;
        prop_assert_eq!(&out, &self.attend(rows, &pieces));
        for kernel in kernels::<N>() {
            let alone = |runs: &[Range<usize>]| {
                let mut scores = vec![f32::NAN; self.heads * self.positions];
                let mut out = vec![f32::NAN; self.heads * self.width];
                let input = Input {
                    rows,
                    runs,
                    width: self.width,
                    positions: self.positions,
                    scale: 0.3,
                };
                kernel(&input, &self.queries, &mut scores, &mut out);
                out
            };
            let out = alone(&whole);
            self.check(&out, tolerance)?;
            prop_assert_eq!(out, alone(&pieces));
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn it_is_a_weighted_mean(case in Case::any()) {
        case.check_all([&case.keys, &case.values], 1e-3)?;
    }

    /// Of the numbers that halves are, not of those that they were made from.
    #[test]
    fn halves_are_numbers_too(case in Case::any()) {
        let halved = |numbers: &[f32]| -> Vec<f16> {
            numbers.iter().map(|number| f16::from_f32(*number)).collect()
        };
        let rows = [halved(&case.keys), halved(&case.values)];
        let [keys, values] = rows.each_ref().map(|rows| {
            rows.iter().map(|number| number.to_f32()).collect::<Vec<_>>()
        });
        let exact = Case { keys, values, ..case };
        exact.check_all([&rows[0], &rows[1]], 1e-3)?;
    }
}

#[test]
fn every_half_is_its_number() {
    for bits in 0..=u16::MAX {
        let half = f16::from_bits(bits);
        let (ours, theirs) = (half.value(), half.to_f32());
        assert!(
            ours == theirs || ours.is_nan() && theirs.is_nan(),
            "{bits:#x}: {ours} {theirs}"
        );
    }
}

#[test]
fn what_is_not_a_number_stays_so() {
    for width in [1, 16] {
        let mut keys = vec![1.0; 2 * width];
        keys[0] = f32::NAN;
        let (mut scores, mut out) = ([0.0; 2], vec![0.0; width]);
        let values = vec![1.0; 2 * width];
        let rows = [&*keys, &*values];
        attend(
            &vec![1.0; width],
            rows,
            &[0..1, 1..2],
            width,
            1.0,
            &mut scores,
            &mut out,
        );
        assert!(out.iter().all(|number| number.is_nan()));
    }
}
