//! What is picked on a device and drawn from its shortlists, beside the host.

use std::task::{Context, Poll, Waker};

use burn::tensor::{Int, Tensor};

use super::super::sample::{PICK, Picks};
use super::super::{LISTED, shortlists};
use super::{both, gpu, noise, tensor, values};
use crate::row::hesitate;
use crate::sampler::confidence;
use crate::shortlist::Shortlist;
use crate::{Model, Options, RandomModel, Sampling, Storage, step_together};

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

/// What a future gives, if it gives it when it is asked so many times; then it is dropped.
fn within<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..polls {
        if let Poll::Ready(given) = future.as_mut().poll(&mut context) {
            return Some(given);
        }
    }
    None
}

/// Whoever stops waiting for a step, alone or of several answers, and asks again loses no token and gets the same ones.
#[test]
fn steps_that_are_dropped_lose_no_token() {
    let mut source = RandomModel::new("llama-15m").unwrap();
    let storage = Storage::Q8;
    let model = Model::from_checkpoint(&mut source, storage, &gpu(), &mut |_| {}).unwrap();
    let pool = model.pool(1000);
    let begin = |seed: u64| {
        let prompt: Vec<u32> = (300..320 + seed as u32).collect();
        let sampling = Sampling {
            // Many a draw falls beyond its shortlist.
            temperature: 1.2,
            seed,
            ..Sampling::default()
        };
        let options = Options {
            sampling,
            max_tokens: 8,
            ..Options::default()
        };
        let session = model.session_in(&pool, 0);
        session.into_generation(&model, &prompt, options).unwrap()
    };
    let write = |patience: &mut dyn FnMut() -> usize| {
        let mut answers: Vec<_> = (0..3).map(begin).collect();
        let mut written = vec![Vec::new(); answers.len()];
        let mut dropped = 0;
        while written.iter().any(|written| written.len() < 8) {
            let mut all: Vec<_> = answers.iter_mut().collect();
            all.iter_mut()
                .for_each(|answer| answer.make_room().unwrap());
            let step = step_together(model.decoder(), &mut all);
            let Some(tokens) = within(patience(), step) else {
                dropped += 1;
                continue;
            };
            for (written, token) in written.iter_mut().zip(tokens) {
                written.extend(token.transpose().unwrap().map(|token| token.id));
            }
        }
        let mut one = begin(9);
        let mut alone = Vec::new();
        while alone.len() < 8 {
            match within(patience(), one.next()) {
                Some(token) => alone.push(token.unwrap().unwrap().id),
                None => dropped += 1,
            }
        }
        written.push(alone);
        (written, dropped)
    };
    let (expected, _) = write(&mut || usize::MAX);
    hesitate(true);
    let mut calls = 0;
    let (got, dropped) = write(&mut || {
        calls += 1;
        [1, 2, usize::MAX, 1, 2][calls % 5]
    });
    hesitate(false);
    assert!(dropped > 5, "{dropped}");
    assert_eq!(got, expected);
}
