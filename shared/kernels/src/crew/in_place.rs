//! A crew without threads.

use std::cell::RefCell;

use super::{Crew, Member};

/// All other members in the caller's own thread: to test with, and to see what dealing out costs by itself.
pub struct InPlace {
    others: RefCell<Vec<Member>>,
    answers: RefCell<Vec<Vec<f32>>>,
    job_words: usize,
    answer_floats: usize,
}

impl InPlace {
    /// So many members, and the longest job and answer.
    ///
    /// # Panics
    /// When there are fewer than two.
    pub fn new(members: usize, job_words: usize, answer_floats: usize) -> Self {
        assert!(members >= 2, "a crew has others");
        let others = (1..members).map(|number| Member::new(number, members));
        Self {
            others: RefCell::new(others.collect()),
            answers: RefCell::new(vec![Vec::new(); members]),
            job_words,
            answer_floats,
        }
    }
}

#[cfg(test)]
impl InPlace {
    /// Matrices that the others have, counted at each.
    pub(crate) fn held(&self) -> usize {
        self.others.borrow().iter().map(Member::held_count).sum()
    }
}

impl Crew for InPlace {
    fn members(&self) -> usize {
        self.answers.borrow().len()
    }

    fn job_words(&self) -> usize {
        self.job_words
    }

    fn answer_floats(&self) -> usize {
        self.answer_floats
    }

    fn start(&self, job: &[u32]) {
        assert!(job.len() <= self.job_words, "a job that fits");
        let answers = &mut self.answers.borrow_mut()[1..];
        for (member, answer) in self.others.borrow_mut().iter_mut().zip(answers) {
            member.work(job, answer);
            assert!(answer.len() <= self.answer_floats, "an answer that fits");
        }
    }

    fn finish(&self, member: usize, answer: &mut [f32]) {
        answer.copy_from_slice(&self.answers.borrow()[member]);
    }
}
