//! Threads of the page: the engine's end, and a thread's. What carries words between them is `board.js`.

use std::cell::RefCell;
use std::rc::Rc;

use sprat_model::crew;
use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen]
extern "C" {
    /// `board.js`'s, of the engine. What its methods throw ends this instance.
    pub type Board;
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

/// Gives the engine so many threads at a board, on which there is so much room; none takes them away.
#[wasm_bindgen(js_name = dealTo)]
pub fn deal_to(board: Option<Board>, members: usize, job_words: usize, answer_floats: usize) {
    crew::deal_to(board.map(|board| -> Rc<dyn crew::Crew> {
        Rc::new(Crew {
            board,
            members,
            job_words,
            answer_floats,
        })
    }));
}

/// Whether matrices that are loaded from now on are dealt out.
#[wasm_bindgen]
pub fn deal(wanted: bool) {
    crew::deal(wanted);
}

/// How many matrices are with the threads.
#[wasm_bindgen]
pub fn dealt() -> usize {
    crew::dealt()
}

thread_local! {
    /// What this thread of an engine was dealt, and what it has answered last.
    static THREAD: RefCell<Option<(crew::Member, Vec<f32>)>> = const { RefCell::new(None) };
}

/// Makes of this instance the thread of an engine whose number is `number`; 0 is the engine's own.
#[wasm_bindgen(js_name = beThread)]
pub fn be_thread(number: usize, members: usize) {
    THREAD.set(Some((crew::Member::new(number, members), Vec::new())));
}

/// Does a job, as a thread.
#[wasm_bindgen]
pub fn work(job: &[u32], answer: &Answer) {
    THREAD.with_borrow_mut(|thread| {
        if let Some((member, sums)) = thread {
            member.work(job, sums);
            answer.set(sums);
        }
    });
}
