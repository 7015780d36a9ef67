//! Convolution states at earlier lengths.

use std::collections::VecDeque;

use crate::tensor::Tensor;

/// Convolution states at earlier lengths. A state can't be cut back like rows, but it is small: one
/// per prompt and the last few tokens cost less than a hundred positions of keys and values.
#[derive(Debug, Clone)]
pub(crate) struct Snapshots {
    /// States before the first position.
    empty: Vec<Tensor<3>>,
    /// Length and states after each of the last passes over several tokens.
    prompts: VecDeque<(usize, Vec<Tensor<3>>)>,
    /// The same after each of the last single tokens.
    tokens: VecDeque<(usize, Vec<Tensor<3>>)>,
}

const KEPT_PROMPTS: usize = 8;
const KEPT_TOKENS: usize = 8;

impl Snapshots {
    pub(crate) fn begin(states: &[Tensor<3>]) -> Self {
        Self {
            empty: states.to_vec(),
            prompts: VecDeque::new(),
            tokens: VecDeque::new(),
        }
    }

    pub(crate) fn take(&mut self, len: usize, prompt: bool, states: &[Tensor<3>]) {
        if self.empty.is_empty() {
            return;
        }
        let (kept, most) = match prompt {
            true => (&mut self.prompts, KEPT_PROMPTS),
            false => (&mut self.tokens, KEPT_TOKENS),
        };
        kept.push_back((len, states.to_vec()));
        if kept.len() > most {
            kept.pop_front();
        }
    }

    /// Brings back the longest known state of at most `len` positions; returns its length.
    pub(crate) fn restore(&mut self, len: usize, states: &mut [Tensor<3>]) -> usize {
        if self.empty.is_empty() {
            return len;
        }
        for kept in [&mut self.prompts, &mut self.tokens] {
            kept.retain(|(at, _)| *at <= len);
        }
        let known = self.prompts.iter().chain(&self.tokens);
        let best = known.max_by_key(|(at, _)| *at);
        let (at, best) = best.map_or((0, &self.empty), |(at, states)| (*at, states));
        states.clone_from_slice(best);
        at
    }
}
