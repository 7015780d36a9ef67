//! Tokens and their ids: all texts in one, and two ways to find them.

use crate::Error;
use crate::error::malformed;

/// No entry in this place.
const FREE: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct Entry {
    start: u32,
    end: u32,
    id: u32,
}

/// The tokens of a model. A vocabulary has some hundred thousand: a text for each would take more memory than the texts.
#[derive(Debug, Default)]
pub(crate) struct Vocab {
    text: String,
    entries: Vec<Entry>,
    /// Places of entries by the hash of their text, the next free one where several have the same.
    places: Vec<u32>,
    /// Places of entries in the order of their ids.
    by_id: Vec<u32>,
}

impl Vocab {
    /// A place for the text of the next token, which [`Vocab::push`] makes one.
    pub(crate) fn text(&mut self) -> &mut String {
        &mut self.text
    }

    /// Adds what has been written since the last one as a token.
    ///
    /// # Errors
    /// [`Error::Malformed`] for more than 4 GB.
    pub(crate) fn push(&mut self, id: u32) -> Result<(), Error> {
        let start = self.entries.last().map_or(0, |entry| entry.end);
        let end = u32::try_from(self.text.len()).map_err(malformed)?;
        self.entries.push(Entry { start, end, id });
        Ok(())
    }

    /// Makes them ready to be found. Of several with the same text, the last one counts, as in JSON.
    pub(crate) fn finish(&mut self) {
        let size = (self.entries.len() * 2).next_power_of_two().max(2);
        self.places = vec![FREE; size];
        let mut kept: Vec<Entry> = Vec::with_capacity(self.entries.len());
        for entry in std::mem::take(&mut self.entries) {
            let text = &self.text[entry.start as usize..entry.end as usize];
            let place = self.place(&kept, text);
            match self.places[place] {
                FREE => {
                    self.places[place] = kept.len() as u32;
                    kept.push(entry);
                }
                before => kept[before as usize].id = entry.id,
            }
        }
        self.entries = kept;
        self.by_id = (0..self.entries.len() as u32).collect();
        self.by_id
            .sort_by_key(|index| self.entries[*index as usize].id);
    }

    /// Where the entry of a text is, or would be.
    fn place(&self, entries: &[Entry], text: &str) -> usize {
        let mask = self.places.len() - 1;
        let mut place = hash(text.as_bytes()) & mask;
        while let Some(entry) = entries.get(self.places[place] as usize) {
            if &self.text[entry.start as usize..entry.end as usize] == text {
                break;
            }
            place = (place + 1) & mask;
        }
        place
    }

    /// How many tokens there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The id of a token.
    pub(crate) fn id(&self, token: &str) -> Option<u32> {
        let place = self.place(&self.entries, token);
        let entry = self.entries.get(self.places[place] as usize)?;
        Some(entry.id)
    }

    /// The token of an id.
    pub(crate) fn token(&self, id: u32) -> Option<&str> {
        let of = |place: usize| self.entries.get(*self.by_id.get(place)? as usize);
        // Nearly always there are no gaps between ids.
        let entry = of(id as usize).filter(|entry| entry.id == id).or_else(|| {
            let ids = self
                .by_id
                .partition_point(|index| self.entries[*index as usize].id < id);
            of(ids).filter(|entry| entry.id == id)
        })?;
        self.text.get(entry.start as usize..entry.end as usize)
    }
}

/// A number from bytes, different where they are different, nearly always.
fn hash(bytes: &[u8]) -> usize {
    let mut hash = bytes.len() as u64;
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = mix(hash ^ u64::from_le_bytes(word));
    }
    hash as usize
}

/// Spreads a number's bits over all others.
pub(crate) fn mix(value: u64) -> u64 {
    let value = (value ^ value >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    value ^ value >> 29
}
