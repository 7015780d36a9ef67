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
    pub(super) session: Session,
    /// The conversation so far: prompt and answer.
    pub(super) tokens: Vec<u32>,
    used: u64,
}

impl Slots {
    /// The cache that fits `prompt` best: the one whose conversation it continues, else a new
    /// one, else the one that was idle longest.
    pub(super) fn pick(&mut self, model: &Model, prompt: &[u32]) -> &mut Slot {
        self.clock += 1;
        let lengths = self
            .slots
            .iter()
            .map(|slot| (slot.tokens.as_slice(), slot.used));
        let index = choose(lengths, prompt, self.slots.len() < SLOTS);
        let index = index.unwrap_or_else(|| {
            self.slots.push(Slot {
                session: model.session(),
                tokens: vec![],
                used: 0,
            });
            self.slots.len() - 1
        });
        let slot = &mut self.slots[index];
        slot.used = self.clock;
        slot
    }

    /// Forgets all conversations, because something may have damaged them.
    pub(super) fn clear(&mut self) {
        self.slots.clear();
    }
}

/// The index of the conversation to go on with, or `None` for a new one. A conversation that
/// shares less than half of its own tokens with the prompt is another one: going on with it
/// would throw away more than it saves.
fn choose<'a>(
    slots: impl Iterator<Item = (&'a [u32], u64)>,
    prompt: &[u32],
    room: bool,
) -> Option<usize> {
    let slots: Vec<(usize, usize, u64)> = slots
        .map(|(tokens, used)| {
            let shared = tokens
                .iter()
                .zip(prompt)
                .take_while(|(a, b)| a == b)
                .count();
            (shared, tokens.len(), used)
        })
        .collect();
    let continued = (0..slots.len())
        .filter(|&i| slots[i].0 > 0 && 2 * slots[i].0 >= slots[i].1)
        .max_by_key(|&i| slots[i].0);
    let idle = || (0..slots.len()).min_by_key(|&i| slots[i].2);
    continued.or_else(|| if room { None } else { idle() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pick(slots: &[(&[u32], u64)], prompt: &[u32], room: bool) -> Option<usize> {
        choose(slots.iter().copied(), prompt, room)
    }

    #[test]
    fn a_conversation_goes_on_where_it_was() {
        let slots: [(&[u32], u64); 2] = [(&[1, 2, 3, 4], 1), (&[1, 2, 9], 2)];
        assert_eq!(pick(&slots, &[1, 2, 3, 4, 5], true), Some(0));
        assert_eq!(pick(&slots, &[1, 2, 9, 5], true), Some(1));
        // The answer was tokenized otherwise the second time.
        assert_eq!(pick(&slots, &[1, 2, 3, 7, 7, 5], true), Some(0));
    }

    #[test]
    fn a_common_beginning_is_not_the_same_conversation() {
        let slots: [(&[u32], u64); 1] = [(&[1, 2, 3, 4, 5], 1)];
        assert_eq!(pick(&slots, &[1, 2, 8, 9], true), None);
        assert_eq!(pick(&[], &[1], true), None);
    }

    #[test]
    fn a_full_house_gives_up_the_idlest() {
        let slots: [(&[u32], u64); 3] = [(&[1, 1, 1], 5), (&[2, 2, 2], 3), (&[3, 3, 3], 4)];
        assert_eq!(pick(&slots, &[4, 4], false), Some(1));
    }
}
