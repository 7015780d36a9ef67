//! Greetings, thanks, and questions about the assistant, in our own words.
//!
//! Any answer of the same intent counts. A way of asking is made of a core and what people put
//! around it ("hey, who are you?", "so who are you"), so that a held-out question is close to
//! ones that were trained on.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{Example, Role, pick, vary};
use crate::skills::Skill;

mod intents;

use intents::{Frame::Question, Frame::Remark, INTENTS};

const BEFORE_QUESTION: &[&str] = &[
    "", "", "", "hey, ", "hi, ", "so, ", "Sprat, ", "okay, ", "well, ", "hello, ", "please, ",
    "now ",
];
const AFTER_QUESTION: &[&str] = &[
    "",
    "",
    "",
    "",
    " then",
    " please",
    " Sprat",
    " today",
    " now",
    " my friend",
];
const BEFORE_REMARK: &[&str] = &["", "", "", "oh, ", "well, ", "okay, ", "so, ", "Sprat, "];
const AFTER_REMARK: &[&str] = &[
    "",
    "",
    "",
    " Sprat",
    " my friend",
    " again",
    " now",
    " everyone",
];

/// One remark or question with the answer of its intent.
pub fn draw(rng: &mut ChaCha8Rng) -> Example {
    let (frame, cores, answers) = *pick(rng, INTENTS);
    let core = *pick(rng, cores);
    let (before, after) = match frame {
        Question => (*pick(rng, BEFORE_QUESTION), *pick(rng, AFTER_QUESTION)),
        Remark => (*pick(rng, BEFORE_REMARK), *pick(rng, AFTER_REMARK)),
    };
    let core = contracted(rng, core);
    let asks = frame == Question && !is_request(&core);
    let mark = if asks {
        "?"
    } else {
        *pick(rng, &[".", "!", "."])
    };
    let mut text = vary(rng, &format!("{before}{core}{after}{mark}"));
    if text.ends_with('!') && rng.random_bool(0.3) {
        text.pop();
    }
    Example {
        skill: Skill::SmallTalk,
        messages: vec![(Role::User, text.clone())],
        answers: answers.iter().map(|&answer| answer.to_owned()).collect(),
        difficulty: 1,
        key: text,
    }
}

/// Requests in the list of questions end with a point, not a question mark.
fn is_request(core: &str) -> bool {
    [
        "tell",
        "say",
        "make",
        "sing",
        "introduce",
        "help",
        "talk",
        "let",
        "I ",
        "one",
        "another",
    ]
    .iter()
    .any(|start| core.starts_with(start))
}

/// Often "I'm" for "I am" and so on, as people type.
fn contracted(rng: &mut impl Rng, core: &str) -> String {
    if rng.random_bool(0.5) {
        return core.to_owned();
    }
    core.replace("I am ", "I'm ")
        .replace("you are ", "you're ")
        .replace("what is ", "what's ")
        .replace("that is ", "that's ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::split::normalise;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use std::collections::HashMap;

    #[test]
    fn no_way_of_asking_has_two_intents() {
        let mut intents = HashMap::new();
        for (i, (_, cores, answers)) in INTENTS.iter().enumerate() {
            assert!(!answers.is_empty());
            for core in *cores {
                assert_eq!(intents.insert(normalise(core), i), None, "{core}");
            }
        }
    }

    proptest! {
        #[test]
        fn the_answer_belongs_to_the_core_that_was_asked(seed in any::<u64>()) {
            let example = draw(&mut ChaCha8Rng::seed_from_u64(seed));
            let spelled = example.question().to_lowercase()
                .replace("i'm ", "i am ").replace("you're ", "you are ")
                .replace("what's ", "what is ").replace("that's ", "that is ");
            let asked = normalise(&spelled);
            let right = INTENTS.iter().any(|(_, cores, answers)| {
                cores.iter().any(|core| asked.contains(&normalise(core)))
                    && example.answers.iter().eq(answers.iter())
            });
            prop_assert!(right, "{:?}", example);
        }
    }
}
