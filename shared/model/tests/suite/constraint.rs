//! Answers that are bound to a constraint: alone, together with free ones, and where nothing may come.

use pollster::block_on;
use sprat_model::{
    Constraint, Device, Error, Finish, Generation, Model, Options, Sampling, Token, step_together,
};

use crate::common::{devices, golden_pack};

/// Multiples of a number, rising; complete with the last one.
struct Multiples {
    of: u32,
    next: u32,
    last: u32,
}

impl Constraint for Multiples {
    fn forbid(&mut self, logits: &mut [f32]) -> Result<(), Error> {
        if self.next > self.last {
            return Err(Error::Constraint("nothing is left".to_owned()));
        }
        for (id, logit) in (0..).zip(logits) {
            if !self.may(id) {
                *logit = f32::NEG_INFINITY;
            }
        }
        Ok(())
    }

    fn accept(&mut self, token: u32) -> Result<bool, Error> {
        if !self.may(token) {
            return Err(Error::Constraint("it may not come".to_owned()));
        }
        self.next = token + self.of;
        Ok(self.next > self.last)
    }
}

impl Multiples {
    fn may(&self, id: u32) -> bool {
        id.is_multiple_of(self.of) && (self.next..=self.last).contains(&id)
    }
}

fn model(device: &Device) -> Model {
    block_on(Model::load(
        &golden_pack("llama-gqa-tied"),
        device,
        &mut |_| {},
    ))
    .unwrap()
}

/// Answer number `i`: bound if it is even.
fn begin(model: &Model, i: u32) -> Generation<'_> {
    let options = Options {
        max_tokens: 40,
        sampling: Sampling {
            temperature: if i % 4 < 2 { 0.0 } else { 1.0 },
            seed: u64::from(i),
            ..Sampling::default()
        },
        ..Options::default()
    };
    let prompt = [5 + i, 6, 7];
    let session = model.session();
    let mut answer = session.into_generation(model, &prompt, options).unwrap();
    if i.is_multiple_of(2) {
        answer.constrain(Box::new(Multiples {
            of: 5 + i,
            next: 5 + i,
            last: 200,
        }));
    }
    answer
}

/// Ids and texts, and why there are no more.
type Written = (Vec<(u32, String)>, Option<Finish>);

fn add(written: &mut Written, token: Token) {
    written.0.push((token.id, token.text));
}

/// Greedy ones among them, which a CPU guesses and a GPU picks by itself where they are free.
#[test]
fn bound_answers_are_the_same_alone_and_together() {
    for (backend, device) in devices() {
        let model = model(&device);
        let alone = (0..8).map(|i| {
            let mut answer = begin(&model, i);
            let mut written = Written::default();
            while let Some(token) = block_on(answer.next()) {
                add(&mut written, token.unwrap());
            }
            written.1 = answer.finish();
            written
        });
        let alone: Vec<Written> = alone.collect();
        for (i, (tokens, finish)) in (0..).zip(&alone).step_by(2) {
            assert_eq!(*finish, Some(Finish::Stop), "{backend}, {i}");
            let ids = tokens.iter().map(|(id, _)| *id);
            assert!(ids.clone().all(|id| id % (5 + i) == 0), "{backend}, {i}");
            assert!(ids.is_sorted() && tokens.len() > 1 || i > 0);
        }
        let mut answers: Vec<Generation<'_>> = (0..8).map(|i| begin(&model, i)).collect();
        let mut together = vec![Written::default(); 8];
        while answers.iter().any(|answer| answer.finish().is_none()) {
            let mut all: Vec<_> = answers.iter_mut().collect();
            let tokens = block_on(step_together(model.decoder(), &mut all));
            for (written, token) in together.iter_mut().zip(tokens) {
                if let Some(token) = token {
                    add(written, token.unwrap());
                }
            }
        }
        for (i, answer) in answers.iter().enumerate() {
            together[i].1 = answer.finish();
            assert_eq!(together[i], alone[i], "{backend}, {i}");
        }
    }
}

/// What is reported is the model's own: a token that only the constraint made certain is not likely.
#[test]
fn probabilities_are_the_models_own() {
    let model = model(&Device::flex());
    let options = Options {
        top_logprobs: 2,
        ..Options::default()
    };
    let first = |bound: bool| {
        let mut session = model.session();
        let generation = session.generate(&model, &[9, 8], options.clone());
        let mut generation = generation.unwrap();
        if bound {
            let (of, next, last) = (77, 77, 77);
            generation.constrain(Box::new(Multiples { of, next, last }));
        }
        (
            block_on(generation.next()).unwrap().unwrap(),
            generation.finish(),
        )
    };
    let ((free, _), (bound, finish)) = (first(false), first(true));
    assert_eq!((bound.id, finish), (77, Some(Finish::Stop)));
    assert_eq!((&bound.top, bound.entropy), (&free.top, free.entropy));
    assert!(bound.logprob < free.logprob && !bound.end);
}

#[test]
fn where_nothing_may_come_the_answer_fails() {
    let model = model(&Device::flex());
    let mut session = model.session();
    let generation = session.generate(&model, &[9, 8], Options::default());
    let mut generation = generation.unwrap();
    let (of, next, last) = (5, 10, 5);
    generation.constrain(Box::new(Multiples { of, next, last }));
    let error = block_on(generation.next()).unwrap().unwrap_err();
    assert!(matches!(error, Error::Constraint(_)), "{error}");
    assert!(generation.finish().is_some() && block_on(generation.next()).is_none());
}
