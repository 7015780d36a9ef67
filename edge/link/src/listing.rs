//! What may be asked of a model's server: the pack's own files, from the beginning of one of their chunks on.

use std::ops::Range;

/// The pack's list of its files.
#[cfg(target_arch = "wasm32")]
pub(crate) const MANIFEST: &str = "sprat.json";

/// The files of a pack, as its manifest lists them.
///
/// A download needs nothing else. So the name of a file and the place in it carry nothing that the engine could have
/// put there, beyond which of the pack's chunks it lacks.
#[derive(Debug)]
pub struct Listing(Vec<Listed>);

/// A file of a pack.
#[derive(Debug)]
pub struct Listed {
    /// Its name.
    pub path: String,
    /// Its length in bytes.
    pub size: u64,
    /// Bytes of a chunk, but for the last.
    pub chunk_bytes: u64,
}

impl Listing {
    /// Of these files. Whether the manifest is a good one, the engine says.
    pub fn new(files: Vec<Listed>) -> Self {
        Self(files)
    }

    /// The chunk of `file` that begins at byte `from`, if there is one: nothing else may be asked for.
    pub fn chunk(&self, file: &str, from: u64) -> Option<Chunk> {
        let listed = self.0.iter().find(|listed| listed.path == file)?;
        let begins = from < listed.size && from.checked_rem(listed.chunk_bytes) == Some(0);
        let end = from.saturating_add(listed.chunk_bytes).min(listed.size);
        begins.then_some(Chunk {
            bytes: from..end,
            whole: from == 0 && end == listed.size,
        })
    }
}

/// The length of a file that this number of JavaScript's says, if it can be one: whole, and below 2^53.
#[cfg(any(test, target_arch = "wasm32"))]
pub(crate) fn length(number: f64) -> Option<u64> {
    let fits = (0.0..=9_007_199_254_740_991.0).contains(&number) && number.fract() == 0.0;
    // Exactly this number then.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fits.then_some(number as u64)
}

/// A part of a file that has a hash of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Where it is in the file; never empty.
    pub bytes: Range<u64>,
    /// It is all of the file.
    pub whole: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(path: &str, size: u64, chunk_bytes: u64) -> Listing {
        let path = path.to_owned();
        Listing::new(vec![Listed {
            path,
            size,
            chunk_bytes,
        }])
    }

    fn listing() -> Listing {
        of("a.bin", 25, 10)
    }

    #[test]
    fn only_chunks_of_listed_files_may_be_asked_for() {
        for (file, from, chunk) in [
            ("a.bin", 0, Some(0..10)),
            ("a.bin", 10, Some(10..20)),
            ("a.bin", 20, Some(20..25)),
            ("a.bin", 7, None),
            ("a.bin", 30, None),
            ("b.bin", 0, None),
            ("a.bin?what=was+said", 0, None),
            ("../a.bin", 0, None),
            ("", 0, None),
        ] {
            let found = listing().chunk(file, from).map(|chunk| chunk.bytes);
            assert_eq!(found, chunk, "{file} from {from}");
        }
    }

    #[test]
    fn a_file_of_one_chunk_is_asked_for_as_a_whole() {
        let whole = Some(Chunk {
            bytes: 0..9,
            whole: true,
        });
        assert_eq!(of("a", 9, 10).chunk("a", 0), whole);
        assert!(!listing().chunk("a.bin", 0).unwrap().whole);
    }

    #[test]
    fn lengths_are_whole_numbers() {
        for (number, whole) in [
            (0.0, Some(0)),
            (25.0, Some(25)),
            (9_007_199_254_740_991.0, Some((1 << 53) - 1)),
            (1.5, None),
            (-1.0, None),
            (f64::NAN, None),
            (f64::INFINITY, None),
            (1e300, None),
        ] {
            assert_eq!(length(number), whole, "{number}");
        }
    }

    #[test]
    fn chunks_of_no_length_are_none() {
        assert_eq!(of("a", 9, 0).chunk("a", 0), None);
    }

    proptest! {
        #[test]
        fn no_numbers_panic(size: u64, chunk_bytes: u64, file in ".*", from: u64) {
            if let Some(chunk) = of("a", size, chunk_bytes).chunk("a", from) {
                prop_assert!(chunk.bytes.start < chunk.bytes.end && chunk.bytes.end <= size);
            }
            prop_assert!(file == "a.bin" || listing().chunk(&file, from).is_none());
            prop_assert!(from == 0 || from == 10 || from == 20 || listing().chunk("a.bin", from).is_none());
        }
    }
}
