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

/// How many tokens to guess: as many as have come true lately.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Tokens to guess next time.
    length: usize,
    /// Length of the text before which nothing is guessed.
    resume: usize,
    pause: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            length: 2,
            resume: 0,
            pause: PAUSE,
        }
    }
}

impl Pace {
    /// Tokens to guess behind a text of `length` tokens.
    pub(crate) fn most(&self, length: usize) -> usize {
        if length < self.resume { 0 } else { self.length }
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

/// At most `most` tokens that may follow `seen`: those that followed the latest place where its last tokens
/// stood before.
pub(crate) fn look_up<'a>(seen: &'a [u32], pace: &Pace, most: usize) -> &'a [u32] {
    let most = most.min(pace.most(seen.len()));
    if most == 0 {
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_followed_the_latest_such_place_is_guessed() {
        let pace = Pace {
            length: 3,
            ..Pace::default()
        };
        assert_eq!(
            look_up(&[1, 2, 9, 8, 1, 2, 7, 6, 5, 1, 2], &pace, 8),
            [7, 6, 5]
        );
        // Four tokens say more than two.
        assert_eq!(
            look_up(&[3, 4, 1, 2, 9, 0, 1, 2, 7, 3, 4, 1, 2], &pace, 1),
            [9]
        );
        assert_eq!(look_up(&[1, 2, 3], &pace, 8), [0u32; 0]);
        assert_eq!(look_up(&[5, 5, 5], &pace, 8), [5]);
        assert_eq!(look_up(&[], &pace, 8), [0u32; 0]);
    }

    #[test]
    fn right_guesses_grow_and_wrong_ones_pause() {
        let mut pace = Pace::default();
        let text = [1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2];
        assert_eq!(look_up(&text, &pace, 8).len(), 2);
        pace.learn(2, 2, 11);
        assert_eq!(look_up(&text, &pace, 8).len(), 4);
        pace.learn(4, 4, 11);
        assert_eq!(look_up(&text, &pace, 8).len(), 8);
        pace.learn(8, 3, 11);
        assert_eq!(look_up(&text, &pace, 8).len(), 3);
        pace.learn(3, 0, 8);
        assert!(look_up(&text, &pace, 8).is_empty());
        pace.learn(2, 0, 3);
        assert_eq!(look_up(&text, &pace, 8).len(), 2);
    }

    proptest! {
        #[test]
        fn guesses_stand_in_the_text(seen in proptest::collection::vec(0u32..4, 0..60), most in 0usize..10) {
            let pace = Pace { length: MOST, ..Pace::default() };
            let guess = look_up(&seen, &pace, most);
            prop_assert!(guess.len() <= most.min(MOST));
            if !guess.is_empty() {
                let mut continued = seen[seen.len() - SHORTEST..].to_vec();
                continued.extend(guess);
                prop_assert!(seen.windows(continued.len()).any(|window| window == continued));
            }
        }
    }
}
