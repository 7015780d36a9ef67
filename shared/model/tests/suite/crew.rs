//! A model whose matrices are dealt out, as among a page's threads.

use std::cell::Cell;
use std::rc::Rc;

use pollster::block_on;
use sprat_model::crew::{Crew, InPlace, deal_to};
use sprat_model::{Device, Message, Model, Options, Storage};

/// A crew that counts its jobs.
struct Counted {
    crew: InPlace,
    jobs: Cell<usize>,
}

impl Crew for Counted {
    fn members(&self) -> usize {
        self.crew.members()
    }

    fn job_words(&self) -> usize {
        self.crew.job_words()
    }

    fn answer_floats(&self) -> usize {
        self.crew.answer_floats()
    }

    fn start(&self, job: &[u32]) {
        self.jobs.set(self.jobs.get() + 1);
        self.crew.start(job);
    }

    fn finish(&self, member: usize, answer: &mut [f32]) {
        self.crew.finish(member, answer);
    }
}

/// Tokens of an answer, and their log-probabilities to the last bit.
fn answer(model: &Model) -> Vec<(u32, u32)> {
    let question = Message {
        role: "user".to_owned(),
        content: "Tell me about your day. ".repeat(12),
    };
    let prompt = model.prompt(&[question]).unwrap();
    let options = Options {
        max_tokens: 40,
        ..Options::default()
    };
    let mut session = model.session();
    let mut generation = session.generate(model, &prompt, options).unwrap();
    let mut tokens = Vec::new();
    while let Some(token) = block_on(generation.next()) {
        let token = token.unwrap();
        tokens.push((token.id, token.logprob.to_bits()));
    }
    tokens
}

/// Prompt and tokens, embedding table and head: the same answer to the last bit, with jobs of many tokens and of few.
#[test]
fn a_crew_answers_as_one_does() {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../../web/models/sprat-tiny");
    let open = || {
        let mut quiet = |_| {};
        let device = Device::flex();
        block_on(Model::open(
            shipped.as_ref(),
            Storage::Q8,
            &device,
            &mut quiet,
        ))
        .unwrap()
    };
    let alone = answer(&open());
    assert!(alone.len() > 5);
    for (members, job_words) in [(2, 1 << 18), (4, 2400)] {
        let crew = Rc::new(Counted {
            crew: InPlace::new(members, job_words, 1 << 20),
            jobs: Cell::new(0),
        });
        deal_to(Some(crew.clone()));
        let model = open();
        let loaded = crew.jobs.replace(0);
        assert!(loaded > 20, "matrices were dealt out");
        assert_eq!(answer(&model), alone, "{members} members");
        assert!(crew.jobs.get() > alone.len(), "and multiplied there");
        drop(model);
        deal_to(None);
    }
}
