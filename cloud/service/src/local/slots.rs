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

/// A conversation's cache, while nobody goes on with it.
struct Slot {
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

impl Conversation {
    /// The answer has one more token.
    pub(super) fn push(&mut self, token: u32) {
        self.tokens.push(token);
    }
}

impl Slots {
    /// The cache that fits `prompt` best: the one whose conversation it continues or repeats, else a new one.
    pub(super) fn take(&mut self, model: &Model, prompt: &[u32]) -> (Session, Conversation) {
        self.clock += 1;
        let conversation = Conversation {
            tokens: prompt.to_vec(),
            prompt: prompt.len(),
            used: self.clock,
        };
        let conversations = self.slots.iter().map(|slot| &slot.conversation);
        let session = match choose(conversations, prompt) {
            Some(index) => self.slots.swap_remove(index).session,
            None => model.session(),
        };
        (session, conversation)
    }

    /// Keeps a cache for the conversation's next turn, in the place of the one that was idle longest if there are many.
    pub(super) fn give(&mut self, session: Session, conversation: Conversation) {
        if self.slots.len() >= SLOTS {
            let used = |index: &usize| self.slots[*index].conversation.used;
            if let Some(idlest) = (0..self.slots.len()).min_by_key(used) {
                self.slots.swap_remove(idlest);
            }
        }
        self.slots.push(Slot {
            session,
            conversation,
        });
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
) -> Option<usize> {
    let shared = |one: &Conversation| {
        let pairs = one.tokens.iter().zip(prompt);
        pairs.take_while(|(a, b)| a == b).count()
    };
    let continued = conversations.enumerate().filter_map(|(index, one)| {
        let shared = shared(one);
        (shared > 0 && 2 * shared >= one.prompt).then_some((shared, index))
    });
    let best = continued.max_by_key(|(shared, _)| *shared);
    best.map(|(_, index)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Conversations as prompt and answer.
    fn pick(slots: &[(&[u32], &[u32])], prompt: &[u32]) -> Option<usize> {
        let conversations: Vec<Conversation> = slots
            .iter()
            .map(|&(asked, answered)| Conversation {
                tokens: [asked, answered].concat(),
                prompt: asked.len(),
                used: 0,
            })
            .collect();
        choose(conversations.iter(), prompt)
    }

    #[test]
    fn a_conversation_goes_on_where_it_was() {
        let slots: [(&[u32], &[u32]); 2] = [(&[1, 2], &[3, 4]), (&[1, 2], &[9])];
        assert_eq!(pick(&slots, &[1, 2, 3, 4, 5]), Some(0));
        assert_eq!(pick(&slots, &[1, 2, 9, 5]), Some(1));
        // The answer was tokenized otherwise the second time.
        assert_eq!(pick(&slots, &[1, 2, 3, 7, 7, 5]), Some(0));
    }

    #[test]
    fn a_question_asked_again_finds_its_cache() {
        let long = [7; 100];
        assert_eq!(pick(&[(&[1, 2, 3], &long)], &[1, 2, 3]), Some(0));
        assert_eq!(pick(&[(&[1, 2, 3], &long)], &[1, 2, 4]), Some(0));
    }

    #[test]
    fn a_common_beginning_is_not_the_same_conversation() {
        assert_eq!(pick(&[(&[1, 2, 3, 4, 5], &[])], &[1, 2, 8, 9]), None);
        assert_eq!(pick(&[], &[1]), None);
    }
}
