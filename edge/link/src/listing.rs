//! What may be asked of a model's server: the pack's own files, from the beginning of one of their chunks on.

use serde::Deserialize;

/// The pack's list of its files.
#[cfg(target_arch = "wasm32")]
pub(crate) const MANIFEST: &str = "sprat.json";

/// The files of a pack, as its manifest lists them.
///
/// A download needs nothing else. So the name of a file and the place in it carry nothing that the engine could have
/// put there, beyond which of the pack's chunks it lacks.
#[derive(Debug, Deserialize)]
pub struct Listing {
    files: Vec<Listed>,
}

#[derive(Debug, Deserialize)]
struct Listed {
    path: String,
    size: u64,
    chunk_bytes: u64,
}

impl Listing {
    /// Reads `sprat.json`; `None` if it is none. Whether it is a good one, the engine says.
    pub fn read(manifest: &[u8]) -> Option<Self> {
        serde_json::from_slice(manifest).ok()
    }

    /// Whether `file` may be asked for from byte `from` on.
    pub fn allows(&self, file: &str, from: u64) -> bool {
        self.files.iter().any(|listed| {
            listed.path == file && from < listed.size && from.is_multiple_of(listed.chunk_bytes)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn listing() -> Listing {
        Listing::read(br#"{"format":1,"name":"m","files":[{"path":"a.bin","size":25,"chunk_bytes":10,"sha256":[]}]}"#)
            .unwrap()
    }

    #[test]
    fn only_chunks_of_listed_files_may_be_asked_for() {
        for (file, from, allowed) in [
            ("a.bin", 0, true),
            ("a.bin", 10, true),
            ("a.bin", 20, true),
            ("a.bin", 7, false),
            ("a.bin", 30, false),
            ("b.bin", 0, false),
            ("a.bin?what=was+said", 0, false),
            ("../a.bin", 0, false),
            ("", 0, false),
        ] {
            assert_eq!(listing().allows(file, from), allowed, "{file} from {from}");
        }
    }

    #[test]
    fn chunks_of_no_length_are_none() {
        let odd = Listing::read(br#"{"files":[{"path":"a","size":9,"chunk_bytes":0}]}"#).unwrap();
        assert!(odd.allows("a", 0));
        assert!(!odd.allows("a", 1));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), file in ".*", from: u64) {
            if let Some(listing) = Listing::read(&bytes) {
                let _ = listing.allows(&file, from);
            }
            prop_assert!(from == 0 || from == 10 || from == 20 || !listing().allows("a.bin", from));
        }
    }
}
