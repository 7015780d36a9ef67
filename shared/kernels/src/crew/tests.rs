//! What is dealt out is computed as if it were not.

use std::rc::Rc;

use half::f16;
use proptest::prelude::*;

use super::*;
use crate::tests::Case;
use crate::{Matrix, matmul_all};

/// Runs `work` with a crew.
fn with_crew<T>(crew: InPlace, work: impl FnOnce() -> T) -> T {
    deal_to(Some(Rc::new(crew)));
    let result = work();
    deal_to(None);
    result
}

/// A matrix that is worth dealing, the same one here, and activations.
fn case() -> impl Strategy<Value = Case> {
    let shape = (
        150usize..400,
        2usize..5,
        1usize..20,
        any::<bool>(),
        any::<u32>(),
    );
    shape.prop_map(|(rows, blocks, tokens, eight, seed)| {
        Case::pseudorandom([rows, blocks * 64], tokens, eight, seed)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Jobs and answers that hold much, and that hold barely anything.
    #[test]
    fn a_crew_changes_nothing(case in case(), members in 2usize..6, tight in any::<bool>(), cut in 1usize..9) {
        let (file, x) = (case.file(), case.activations());
        let [rows, tokens] = [case.rows, x.tokens()];
        let alone = Matrix::new(&case.in_rows(&file));
        let (jobs, answers) = match tight {
            // One tile, which is as long as 7 or 13 tokens.
            true => {
                let words = if case.bits == Bits::Eight { 17 } else { 9 };
                (17 + case.columns * words / 4, rows.next_multiple_of(TILE) * 4)
            }
            false => (1 << 20, 1 << 20),
        };
        let crew = InPlace::new(members, jobs, answers);
        with_crew(crew, || {
            let dealt = Matrix::new(&case.in_rows(&file));
            prop_assert!(dealt.view().away.is_some());
            let cut = cut * TILE;
            for part in [0..rows, 0..cut, cut..rows] {
                let [alone, dealt] = [&alone, &dealt].map(|matrix| matrix.part(part.clone()));
                // As part of a part, which counts from another tile.
                let again = dealt.part(0..part.len());
                let [mut a, mut b, mut c, mut d] =
                    [(); 4].map(|()| vec![f32::NAN; tokens * part.len()]);
                matmul_all([(alone.view(), &mut a)], &x);
                // One that was dealt out together with one that was not.
                matmul_all([(dealt.view(), &mut b), (alone.view(), &mut c), (again.view(), &mut d)], &x);
                prop_assert!(a == b && a == c && a == d);

                let numbers: Vec<usize> = (0..part.len()).rev().step_by(3).chain([0, 0]).collect();
                let [mut a, mut b] = [(); 2].map(|()| vec![f32::NAN; numbers.len() * case.columns]);
                alone.rows(&numbers, &mut a);
                dealt.rows(&numbers, &mut b);
                prop_assert!(a == b);
            }
            Ok(())
        })?;
    }
}

/// Small ones stay where they are, and so does what fits into no job or no answer.
#[test]
fn what_is_not_worth_it_or_does_not_fit_stays() {
    let is_dealt = |shape, jobs, answers| {
        let case = Case::pseudorandom(shape, 1, true, 1);
        let file = case.file();
        let crew = InPlace::new(2, jobs, answers);
        with_crew(crew, || {
            Matrix::new(&case.in_rows(&file)).view().away.is_some()
        })
    };
    assert!(is_dealt([256, 64], 1 << 12, 1 << 10));
    assert!(!is_dealt([255, 64], 1 << 12, 1 << 10), "too small");
    assert!(!is_dealt([16, 2048], 1 << 20, 1 << 20), "one tile");
    assert!(!is_dealt([256, 64], 200, 1 << 10), "no tile fits");
    assert!(!is_dealt([256, 64], 1 << 12, 511), "no answers fit");
    deal(false);
    assert!(!is_dealt([256, 64], 1 << 12, 1 << 10), "not wanted");
    deal(true);
}

/// A matrix that is dropped is forgotten everywhere, but not before the last of its parts.
#[test]
fn what_is_dropped_is_forgotten() {
    let case = Case::pseudorandom([256, 64], 1, true, 1);
    let file = case.file();
    let crew = Rc::new(InPlace::new(3, 1 << 20, 1 << 20));
    deal_to(Some(crew.clone()));
    let whole = Matrix::new(&case.in_rows(&file));
    let part = whole.part(0..32);
    assert_eq!((crew.held(), dealt()), (2, 1));
    drop(whole);
    assert_eq!((crew.held(), dealt()), (2, 1));
    drop(part);
    assert_eq!((crew.held(), dealt()), (0, 0));
    deal_to(None);
}

/// Sums in another member's places, or a tile off, would be seen.
#[test]
fn slips_are_seen() {
    let case = Case::pseudorandom([400, 128], 3, true, 9);
    let (file, x) = (case.file(), case.activations());
    let alone = Matrix::new(&case.in_rows(&file));
    let mut expected = vec![0.0; 3 * 400];
    matmul_all([(alone.view(), &mut expected)], &x);
    let with = |member: usize| {
        let crew = Misled(InPlace::new(3, 1 << 20, 1 << 20), member);
        deal_to(Some(Rc::new(crew)));
        let dealt = Matrix::new(&case.in_rows(&file));
        let mut out = vec![f32::NAN; 3 * 400];
        matmul_all([(dealt.view(), &mut out)], &x);
        drop(dealt);
        deal_to(None);
        out
    };
    assert_eq!(with(0), expected);
    assert_ne!(with(1), expected);
}

/// One of whose members answers what another should.
struct Misled(InPlace, usize);

impl Crew for Misled {
    fn members(&self) -> usize {
        self.0.members()
    }
    fn job_words(&self) -> usize {
        self.0.job_words()
    }
    fn answer_floats(&self) -> usize {
        self.0.answer_floats()
    }
    fn start(&self, job: &[u32]) {
        self.0.start(job);
    }
    fn finish(&self, member: usize, answer: &mut [f32]) {
        self.0.finish(member, answer);
        if member == self.1 && !answer.is_empty() {
            answer.rotate_right(TILE);
        }
    }
}

impl Case {
    /// Values without a pattern that tiles share.
    fn pseudorandom([rows, columns]: [usize; 2], tokens: usize, eight: bool, seed: u32) -> Self {
        let mut state = seed | 1;
        let mut next = move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 8
        };
        let (bits, range) = match eight {
            true => (Bits::Eight, 255),
            false => (Bits::Four, 16),
        };
        let weights = (0..rows * columns).map(|_| (next() % range) as i32 - range as i32 / 2);
        let weights: Vec<i8> = weights.map(|weight| weight as i8).collect();
        let scales = (0..rows * columns / BLOCK).map(|_| f16::from_f32(next() as f32 / 1e9));
        let scales = scales.collect();
        let x = (0..tokens * columns)
            .map(|_| next() as f32 / 1e6 - 8.0)
            .collect();
        Self::new(rows, bits, weights, scales, x)
    }
}

use crate::{BLOCK, Bits};
