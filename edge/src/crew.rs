//! Threads of the page: the engine's end, and a thread's. What carries words between them is `board.js`.

use std::rc::Rc;

use sprat_model::crew;
use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen]
extern "C" {
    /// `board.js`'s, of the engine. What its methods throw ends this instance.
    pub type Board;
    #[wasm_bindgen(method, getter)]
    fn members(this: &Board) -> usize;
    #[wasm_bindgen(method, getter, js_name = jobWords)]
    fn job_words(this: &Board) -> usize;
    #[wasm_bindgen(method, getter, js_name = answerFloats)]
    fn answer_floats(this: &Board) -> usize;
    #[wasm_bindgen(method)]
    fn start(this: &Board, job: &[u32]);
    #[wasm_bindgen(method)]
    fn finish(this: &Board, member: usize, answer: &mut [f32]);

    /// The part of a board where a thread answers: a `Float32Array`.
    pub type Answer;
    #[wasm_bindgen(method)]
    fn set(this: &Answer, values: &[f32]);
}

/// A board, and what of it never changes.
struct Crew {
    board: Board,
    members: usize,
    job_words: usize,
    answer_floats: usize,
}

impl crew::Crew for Crew {
    fn members(&self) -> usize {
        self.members
    }

    fn job_words(&self) -> usize {
        self.job_words
    }

    fn answer_floats(&self) -> usize {
        self.answer_floats
    }

    fn start(&self, job: &[u32]) {
        self.board.start(job);
    }

    fn finish(&self, member: usize, answer: &mut [f32]) {
        self.board.finish(member, answer);
    }
}

/// Matrices that are loaded from now on are dealt out among the threads at this board.
#[wasm_bindgen(js_name = dealTo)]
pub fn deal_to(board: Board) {
    let crew = Crew {
        members: board.members(),
        job_words: board.job_words(),
        answer_floats: board.answer_floats(),
        board,
    };
    crew::deal_to(Some(Rc::new(crew)));
}

/// A thread: what it was dealt, and what it has answered last.
#[wasm_bindgen]
pub struct Thread {
    member: crew::Member,
    answer: Vec<f32>,
}

#[wasm_bindgen]
impl Thread {
    /// The one of `members` whose number is `number`; 0 is the engine's.
    #[wasm_bindgen(constructor)]
    pub fn new(number: usize, members: usize) -> Self {
        Self {
            member: crew::Member::new(number, members),
            answer: Vec::new(),
        }
    }

    /// Does a job.
    pub fn work(&mut self, job: &[u32], answer: &Answer) {
        self.member.work(job, &mut self.answer);
        answer.set(&self.answer);
    }
}
