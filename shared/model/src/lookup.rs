//! Guessing the next tokens from the text so far (prompt lookup: transformers' `prompt_lookup_num_tokens`,
//! arXiv 2304.04487). What was said before is often said again: names, quotations, code. A guess costs a
//! search; whether it is right the model says in the pass that would make one token anyway.

/// The most tokens that are guessed at once.
pub(crate) const MOST: usize = 8;
/// How many last tokens must have stood before.
const LONGEST: usize = 4;
const SHORTEST: usize = 2;
/// Tokens without a guess after a wrong one, at first; twice as many after each further one.
const PAUSE: usize = 4;
const LONGEST_PAUSE: usize = 64;

/// Guesses, as many as have come true lately.
#[derive(Debug)]
pub(crate) struct Lookup {
    /// Tokens to guess next time.
    length: usize,
    /// Length of the text before which nothing is guessed.
    resume: usize,
    pause: usize,
}

impl Default for Lookup {
    fn default() -> Self {
        Self {
            length: 2,
            resume: 0,
            pause: PAUSE,
        }
    }
}

impl Lookup {
    /// At most `most` tokens that may follow `seen`: those that followed the latest place where its last
    /// tokens stood before.
    pub(crate) fn guess<'a>(&self, seen: &'a [u32], most: usize) -> &'a [u32] {
        let most = most.min(self.length);
        if most == 0 || seen.len() < self.resume {
            return &[];
        }
        for length in (SHORTEST..=LONGEST.min(seen.len().saturating_sub(1))).rev() {
            let end = &seen[seen.len() - length..];
            let before = &seen[..seen.len() - 1];
            if let Some(at) = before.windows(length).rposition(|window| window == end) {
                let next = &seen[at + length..];
                return &next[..most.min(next.len())];
            }
        }
        &[]
    }

    /// Says how many of `guessed` tokens were right, in a text that now has `length` tokens.
    pub(crate) fn learn(&mut self, guessed: usize, right: usize, length: usize) {
        if guessed == 0 {
            return;
        }
        if right == 0 {
            self.length = 2;
            self.resume = length + self.pause;
            self.pause = (2 * self.pause).min(LONGEST_PAUSE);
            return;
        }
        self.pause = PAUSE;
        self.length = match right == guessed {
            true => (2 * guessed).clamp(2, MOST),
            false => right.max(2),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_followed_the_latest_such_place_is_guessed() {
        let lookup = Lookup {
            length: 3,
            ..Lookup::default()
        };
        assert_eq!(
            lookup.guess(&[1, 2, 9, 8, 1, 2, 7, 6, 5, 1, 2], 8),
            [7, 6, 5]
        );
        // Four tokens say more than two.
        assert_eq!(
            lookup.guess(&[3, 4, 1, 2, 9, 0, 1, 2, 7, 3, 4, 1, 2], 1),
            [9]
        );
        assert_eq!(lookup.guess(&[1, 2, 3], 8), [0u32; 0]);
        assert_eq!(lookup.guess(&[5, 5, 5], 8), [5]);
        assert_eq!(lookup.guess(&[], 8), [0u32; 0]);
    }

    #[test]
    fn right_guesses_grow_and_wrong_ones_pause() {
        let mut lookup = Lookup::default();
        let text = [1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2];
        assert_eq!(lookup.guess(&text, 8).len(), 2);
        lookup.learn(2, 2, 11);
        assert_eq!(lookup.guess(&text, 8).len(), 4);
        lookup.learn(4, 4, 11);
        assert_eq!(lookup.guess(&text, 8).len(), 8);
        lookup.learn(8, 3, 11);
        assert_eq!(lookup.guess(&text, 8).len(), 3);
        lookup.learn(3, 0, 8);
        assert!(lookup.guess(&text, 8).is_empty());
        lookup.learn(2, 0, 3);
        assert_eq!(lookup.guess(&text, 8).len(), 2);
    }

    proptest! {
        #[test]
        fn guesses_stand_in_the_text(seen in proptest::collection::vec(0u32..4, 0..60), most in 0usize..10) {
            let lookup = Lookup { length: MOST, ..Lookup::default() };
            let guess = lookup.guess(&seen, most);
            prop_assert!(guess.len() <= most.min(MOST));
            if !guess.is_empty() {
                let mut continued = seen[seen.len() - SHORTEST..].to_vec();
                continued.extend(guess);
                prop_assert!(seen.windows(continued.len()).any(|window| window == continued));
            }
        }
    }
}
