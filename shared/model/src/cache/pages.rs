//! Who holds which pages of a pool, and what is in those that nobody holds: bookkeeping without a tensor.
//!
//! A page that is full and whose tokens are known is published. A new text that begins with the same tokens takes it
//! over; tokens are compared, not their hashes, so that no text ever gets another's keys. A page that nobody holds any
//! more keeps what it has until it is needed, the one unused for longest first.

use std::collections::{BTreeSet, HashMap};

use crate::tensor::Tensor;

/// Positions of a page of a [`crate::KvPool`].
pub const PAGE: usize = 16;

/// A published page's number; no two ever have the same.
pub(crate) type Serial = u64;

/// Texts that may share pages: those of one scope, whose keys are turned alike in long texts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Kin {
    pub(crate) scope: u64,
    pub(crate) beyond: Vec<bool>,
}

/// The pages of a pool.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    pages: Vec<Page>,
    /// Pages that nobody holds, by when they were left; those with nothing worth keeping were left at 0.
    free: BTreeSet<(u64, u32)>,
    /// Where published pages are: by the page before, or the beginning, and their tokens.
    known: HashMap<(Serial, Tokens), u32>,
    beginnings: HashMap<Kin, Serial>,
    last_serial: Serial,
    clock: u64,
}

type Tokens = [u32; PAGE];

#[derive(Debug, Default)]
struct Page {
    holders: u32,
    left: u64,
    published: Option<Published>,
}

#[derive(Debug)]
struct Published {
    serial: Serial,
    key: (Serial, Tokens),
    /// Of convolutions behind the page's last position, where the model has some and they were at hand.
    states: Option<Vec<Tensor<3>>>,
}

/// What a new text takes over.
#[derive(Debug, Default)]
pub(crate) struct Adopted {
    pub(crate) pages: Vec<u32>,
    pub(crate) serials: Vec<Serial>,
    /// Behind the last page.
    pub(crate) states: Option<Vec<Tensor<3>>>,
}

impl Pages {
    /// Adds pages that nobody holds.
    #[cfg(any(test, not(target_arch = "wasm32")))]
    pub(crate) fn add(&mut self, count: usize) {
        let first = self.pages.len() as u32;
        self.free
            .extend((first..first + count as u32).map(|page| (0, page)));
        self.pages
            .extend(std::iter::repeat_with(Page::default).take(count));
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.pages.len()
    }

    /// Pages that nobody holds, whether or not something is in them.
    pub(crate) fn free(&self) -> usize {
        self.free.len()
    }

    /// Pages to write to, held once; none if there are not as many.
    pub(crate) fn take(&mut self, count: usize) -> Option<Vec<u32>> {
        if count > self.free.len() {
            return None;
        }
        let pages: Vec<u32> = self
            .free
            .iter()
            .take(count)
            .map(|(_, page)| *page)
            .collect();
        for &page in &pages {
            let entry = &mut self.pages[page as usize];
            self.free.remove(&(entry.left, page));
            entry.left = 0;
            entry.holders = 1;
            if let Some(published) = entry.published.take() {
                self.known.remove(&published.key);
            }
        }
        Some(pages)
    }

    /// Leaves pages of a text, which are in its order: its end is the first to go.
    pub(crate) fn leave(&mut self, pages: &[u32]) {
        for &page in pages.iter().rev() {
            let entry = &mut self.pages[page as usize];
            entry.holders -= 1;
            if entry.holders > 0 {
                continue;
            }
            if entry.published.is_some() {
                self.clock += 1;
                entry.left = self.clock;
            }
            self.free.insert((entry.left, page));
        }
    }

    /// What all texts of a kin begin with.
    pub(crate) fn beginning(&mut self, kin: &Kin) -> Serial {
        if let Some(serial) = self.beginnings.get(kin) {
            return *serial;
        }
        self.last_serial += 1;
        self.beginnings.insert(kin.clone(), self.last_serial);
        self.last_serial
    }

    /// Says which tokens are in a page and what comes before it. Another page with the same stays the known one; either
    /// way the serial is that of what comes before the next page.
    pub(crate) fn publish(
        &mut self,
        page: u32,
        before: Serial,
        tokens: &[u32],
        states: Option<Vec<Tensor<3>>>,
    ) -> Option<Serial> {
        let key = (before, Tokens::try_from(tokens).ok()?);
        if let Some(known) = self.known.get(&key) {
            return Some(self.pages[*known as usize].published.as_ref()?.serial);
        }
        self.last_serial += 1;
        let serial = self.last_serial;
        self.known.insert(key, page);
        self.pages[page as usize].published = Some(Published {
            serial,
            key,
            states,
        });
        Some(serial)
    }

    /// Lets nobody take over what is in the pages now.
    pub(crate) fn forget(&mut self) {
        self.known.clear();
        self.pages.iter_mut().for_each(|page| page.published = None);
    }

    /// Holds the published pages that a text begins with, as far as its tokens fill them. With `stateful` only up to one
    /// that has states.
    pub(crate) fn adopt(&mut self, beginning: Serial, tokens: &[u32], stateful: bool) -> Adopted {
        let mut found: Vec<(u32, Serial)> = Vec::new();
        let (mut before, mut good) = (beginning, 0);
        for tokens in tokens.chunks_exact(PAGE) {
            let Ok(tokens) = Tokens::try_from(tokens) else {
                break;
            };
            let Some(&page) = self.known.get(&(before, tokens)) else {
                break;
            };
            let Some(published) = &self.pages[page as usize].published else {
                break;
            };
            before = published.serial;
            found.push((page, before));
            if !stateful || published.states.is_some() {
                good = found.len();
            }
        }
        found.truncate(good);
        for (page, _) in &found {
            let entry = &mut self.pages[*page as usize];
            if entry.holders == 0 {
                self.free.remove(&(entry.left, *page));
            }
            entry.holders += 1;
        }
        let last = found.last().map(|(page, _)| &self.pages[*page as usize]);
        let states = last.and_then(|page| page.published.as_ref()?.states.clone());
        let (pages, serials) = found.into_iter().unzip();
        Adopted {
            pages,
            serials,
            states,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kin(scope: u64) -> Kin {
        Kin {
            scope,
            beyond: vec![],
        }
    }

    /// A text that holds pages, and the tokens that are in them.
    #[derive(Default)]
    struct Text {
        pages: Vec<u32>,
        serials: Vec<Serial>,
        tokens: Vec<u32>,
    }

    /// Random texts of few tokens come and go; a page never holds what it should not.
    fn play(steps: Vec<(u8, u8, usize)>) -> Result<(), TestCaseError> {
        let mut pages = Pages::default();
        pages.add(12);
        // What was last written to each page, as if it were keys: all tokens from the beginning on.
        let mut written: Vec<Vec<u32>> = vec![vec![]; 12];
        let mut texts: Vec<Text> = Vec::new();
        for (kind, seed, length) in steps {
            if kind % 3 == 0 && !texts.is_empty() {
                let text = texts.swap_remove(usize::from(seed) % texts.len());
                pages.leave(&text.pages);
                continue;
            }
            // Page by page one of two fillings: many beginnings are alike.
            let filling = |i: usize| u32::from(seed >> (i % 8) & 1);
            let tokens: Vec<u32> = (0..length * PAGE).map(|i| filling(i / PAGE)).collect();
            let beginning = pages.beginning(&kin(u64::from(seed % 2)));
            let adopted = pages.adopt(beginning, &tokens, false);
            for (i, page) in adopted.pages.iter().enumerate() {
                prop_assert_eq!(&written[*page as usize], &tokens[..(i + 1) * PAGE]);
            }
            let mut text = Text {
                pages: adopted.pages,
                serials: adopted.serials,
                tokens,
            };
            let missing = length - text.pages.len();
            let free = pages.free();
            let Some(new) = pages.take(missing) else {
                prop_assert!(free < missing);
                pages.leave(&text.pages);
                continue;
            };
            for page in new {
                let i = text.pages.len();
                prop_assert!(texts.iter().all(|other| !other.pages.contains(&page)));
                written[page as usize] = text.tokens[..(i + 1) * PAGE].to_vec();
                text.pages.push(page);
                let before = text.serials.last().copied().unwrap_or(beginning);
                let filled = &text.tokens[i * PAGE..(i + 1) * PAGE];
                let serial = pages.publish(page, before, filled, None);
                text.serials.push(serial.unwrap());
            }
            texts.push(text);
        }
        texts.iter().for_each(|text| pages.leave(&text.pages));
        prop_assert_eq!(pages.free(), 12);
        Ok(())
    }

    proptest! {
        #[test]
        fn pages_are_shared_by_those_alone_whose_tokens_are_alike(
            steps in proptest::collection::vec((any::<u8>(), any::<u8>(), 0usize..6), 0..60)
        ) {
            play(steps)?;
        }
    }

    #[test]
    fn the_longest_unused_page_goes_first_and_a_texts_end_before_its_beginning() {
        let mut pages = Pages::default();
        pages.add(4);
        let root = pages.beginning(&kin(0));
        let fill = |pages: &mut Pages, token: u32, count: usize| {
            let taken = pages.take(count).unwrap();
            let mut before = root;
            for page in &taken {
                before = pages.publish(*page, before, &[token; PAGE], None).unwrap();
            }
            pages.leave(&taken);
        };
        let held = |pages: &mut Pages, token: u32| {
            let adopted = pages.adopt(root, &[token; 4 * PAGE], false).pages;
            pages.leave(&adopted);
            adopted.len()
        };
        fill(&mut pages, 1, 2);
        fill(&mut pages, 2, 2);
        assert_eq!((held(&mut pages, 1), held(&mut pages, 2)), (2, 2));
        // Looked at last, the second text stays; the first one's end goes.
        fill(&mut pages, 3, 1);
        assert_eq!((held(&mut pages, 1), held(&mut pages, 2)), (1, 2));
        // Of another scope nothing is seen.
        let other = pages.beginning(&kin(1));
        assert!(pages.adopt(other, &[2; PAGE], false).pages.is_empty());
        // Pages that are held are not taken.
        let all = pages.take(4).unwrap();
        assert_eq!(pages.take(1), None);
        pages.leave(&all);
        assert_eq!((pages.free(), pages.len()), (4, 4));
    }

    #[test]
    fn texts_with_states_go_on_where_there_are_some() {
        let mut pages = Pages::default();
        pages.add(3);
        let root = pages.beginning(&kin(0));
        let taken = pages.take(3).unwrap();
        let mut before = root;
        for (i, page) in taken.iter().enumerate() {
            let states = (i == 1).then(Vec::new);
            before = pages.publish(*page, before, &[7; PAGE], states).unwrap();
        }
        assert_eq!(pages.adopt(root, &[7; 3 * PAGE], true).pages, taken[..2]);
        assert!(pages.adopt(root, &[7; PAGE], true).pages.is_empty());
        assert_eq!(pages.adopt(root, &[7; 3 * PAGE + 5], false).pages, taken);
    }
}
