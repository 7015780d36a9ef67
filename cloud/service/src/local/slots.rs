//! Which conversation's cache to go on with.

use sprat_model::{Model, Session};

/// Conversations whose caches are kept. More would cost memory for conversations that are over.
const SLOTS: usize = 8;

/// The caches of one model.
#[derive(Default)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    clock: u64,
}

/// A conversation's cache.
pub(super) struct Slot {
    session: Session,
    conversation: Conversation,
}

/// What a slot's cache is of.
#[derive(Clone, Debug, Default)]
pub(super) struct Conversation {
    /// Prompt and answer.
    tokens: Vec<u32>,
    /// How many of them are the prompt.
    prompt: usize,
    /// When it last went on.
    used: u64,
}

impl Slot {
    /// The cache, and the record of what is in it.
    pub(super) fn parts(&mut self) -> (&mut Session, &mut Conversation) {
        (&mut self.session, &mut self.conversation)
    }
}

impl Conversation {
    /// The answer has one more token.
    pub(super) fn push(&mut self, token: u32) {
        self.tokens.push(token);
    }
}

impl Slots {
    /// The cache that fits `prompt` best: the one whose conversation it continues or repeats,
    /// else a new one, else the one that was idle longest.
    pub(super) fn pick(&mut self, model: &Model, prompt: &[u32]) -> &mut Slot {
        self.clock += 1;
        let conversations = self.slots.iter().map(|slot| &slot.conversation);
        let index = choose(conversations, prompt, self.slots.len() < SLOTS);
        let index = index.unwrap_or_else(|| {
            let (session, conversation) = (model.session(), Conversation::default());
            self.slots.push(Slot {
                session,
                conversation,
            });
            self.slots.len() - 1
        });
        let slot = &mut self.slots[index];
        slot.conversation = Conversation {
            tokens: prompt.to_vec(),
            prompt: prompt.len(),
            used: self.clock,
        };
        slot
    }

    /// Forgets all conversations, because something may have damaged them.
    pub(super) fn clear(&mut self) {
        self.slots.clear();
    }
}

/// The index of the conversation to go on with, or `None` for a new one. A conversation that
/// shares less than half of its prompt is another one: going on with it would throw away more
/// than it saves. The answer does not count, so that asking again finds the cache, too.
fn choose<'a>(
    conversations: impl Iterator<Item = &'a Conversation>,
    prompt: &[u32],
    room: bool,
) -> Option<usize> {
    let shared = |tokens: &[u32]| {
        tokens
            .iter()
            .zip(prompt)
            .take_while(|(a, b)| a == b)
            .count()
    };
    let candidates: Vec<(usize, &Conversation)> = conversations
        .map(|one| (shared(&one.tokens), one))
        .collect();
    let continued = (0..candidates.len())
        .filter(|&i| candidates[i].0 > 0 && 2 * candidates[i].0 >= candidates[i].1.prompt)
        .max_by_key(|&i| candidates[i].0);
    let idle = || (0..candidates.len()).min_by_key(|&i| candidates[i].1.used);
    continued.or_else(|| if room { None } else { idle() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Conversations as prompt, answer and when they last went on.
    fn pick(slots: &[(&[u32], &[u32], u64)], prompt: &[u32], room: bool) -> Option<usize> {
        let conversations: Vec<Conversation> = slots
            .iter()
            .map(|&(asked, answered, used)| Conversation {
                tokens: [asked, answered].concat(),
                prompt: asked.len(),
                used,
            })
            .collect();
        choose(conversations.iter(), prompt, room)
    }

    #[test]
    fn a_conversation_goes_on_where_it_was() {
        let slots: [(&[u32], &[u32], u64); 2] = [(&[1, 2], &[3, 4], 1), (&[1, 2], &[9], 2)];
        assert_eq!(pick(&slots, &[1, 2, 3, 4, 5], true), Some(0));
        assert_eq!(pick(&slots, &[1, 2, 9, 5], true), Some(1));
        // The answer was tokenized otherwise the second time.
        assert_eq!(pick(&slots, &[1, 2, 3, 7, 7, 5], true), Some(0));
    }

    #[test]
    fn a_question_asked_again_finds_its_cache() {
        let long = [7; 100];
        assert_eq!(pick(&[(&[1, 2, 3], &long, 1)], &[1, 2, 3], true), Some(0));
        assert_eq!(pick(&[(&[1, 2, 3], &long, 1)], &[1, 2, 4], true), Some(0));
    }

    #[test]
    fn a_common_beginning_is_not_the_same_conversation() {
        assert_eq!(
            pick(&[(&[1, 2, 3, 4, 5], &[], 1)], &[1, 2, 8, 9], true),
            None
        );
        assert_eq!(pick(&[], &[1], true), None);
    }

    #[test]
    fn a_full_house_gives_up_the_idlest() {
        let slots: [(&[u32], &[u32], u64); 3] = [
            (&[1, 1, 1], &[], 5),
            (&[2, 2, 2], &[], 3),
            (&[3, 3, 3], &[], 4),
        ];
        assert_eq!(pick(&slots, &[4, 4], false), Some(1));
    }
}
