//! Damaged and hostile files: each is refused with its error, and none panics.

use std::io::{self, Cursor, Read, Seek, SeekFrom};

use proptest::prelude::*;

use super::writer::{ARRAY, STRING, U32, Writer, array, small, string};
use super::{open, read_all};
use crate::gguf::{Gguf, GgufError};

/// Fails with an error of this kind whose text has these parts.
macro_rules! refused {
    ($file:expr, $kind:ident, $($part:expr),+) => {{
        let error = read_all(&$file).unwrap_err();
        assert!(matches!(error, GgufError::$kind { .. }), "{error:?}");
        let text = error.to_string();
        $(assert!(text.contains($part), "no {:?} in: {text}", $part);)+
    }};
}

#[test]
fn claims_that_the_file_cannot_hold_are_refused() {
    let huge = 1u64 << 60;
    refused!(
        *b"GG",
        Truncated,
        "byte 0",
        "first bytes",
        "4 bytes must follow and 2 do"
    );
    refused!(
        Writer::new().head(huge, 0),
        Truncated,
        "byte 16",
        "first bytes"
    );
    refused!(Writer::new().head(0, huge), Truncated, "byte 24");
    refused!(Writer::new().head(u64::MAX, u64::MAX), Truncated, "byte 16");
    let name = [&huge.to_le_bytes()[..], &[0; 8]].concat();
    let head = Writer::new().head(0, 1);
    refused!(
        [head, name].concat(),
        Truncated,
        "byte 32",
        "the name of metadata key 0"
    );
    for kind in [0, 2, U32, STRING, ARRAY, 10] {
        let file = Writer::new()
            .key(b"list", ARRAY, &array(kind, huge, &[0; 99]))
            .build();
        refused!(file, Truncated, "\"list\"");
    }
    let nested = array(ARRAY, 1, &array(0, huge, &[]));
    refused!(
        Writer::new().key(b"k", ARRAY, &nested).build(),
        Truncated,
        "\"k\""
    );
}

#[test]
fn wrong_metadata_is_refused() {
    let key = |kind, value: &[u8]| Writer::new().key(b"k", kind, value).build();
    refused!(key(13, &[0; 8]), ValueType, "byte 33", "\"k\"", "13");
    refused!(key(ARRAY, &array(99, 1, &[0])), ValueType, "byte 37", "99");
    refused!(key(7, &[2]), Bool, "byte 37", "2");
    refused!(key(STRING, &string(b"ab\xff")), Utf8, "byte 47", "\"k\"");
    let writer = Writer::new().key(b"\xff\xfe", 0, &[1]);
    refused!(writer.build(), Utf8, "byte 32", "metadata key 0");
    let writer = Writer::new().key(b"k", 0, &[1]).key(b"k", 7, &[1]);
    refused!(writer.build(), DuplicateKey, "\"k\"", "twice");
    for alignment in [0, 3, 48] {
        refused!(
            Writer::new().aligned(alignment).build(),
            Alignment,
            &alignment.to_string()
        );
    }
    let name = b"general.alignment";
    let wide = Writer::new().key(name, 10, &(1u64 << 63).to_le_bytes());
    refused!(wide.build(), Alignment, "2^32");
    let text = Writer::new().key(name, STRING, &string(b"32"));
    refused!(text.build(), KeyType, "general.alignment", "string");
}

#[test]
fn limits_hold_whatever_the_files_size() {
    let deep = |depth| {
        let inner = (1..depth).fold(array(0, 0, &[]), |inner, _| array(ARRAY, 1, &inner));
        Writer::new().key(b"deep", ARRAY, &inner).build()
    };
    assert!(read_all(&deep(4)).is_ok());
    refused!(deep(5), Limit, "\"deep\"", "4 deep");
    let writer = Writer::new().key(&[b'a'; 65_536], 0, &[1]);
    refused!(writer.build(), Limit, "65535");
    // One too many, with the key that holds them.
    let items = vec![0; 4 << 20];
    let array = array(0, items.len() as u64, &items);
    refused!(
        Writer::new().key(b"k", ARRAY, &array).build(),
        Limit,
        "4194304 tensors, keys and array items"
    );

    // A file can claim terabytes and hold them, all zeros, on a few bytes of disk.
    let sparse = |head: Vec<u8>| Gguf::open(Sparse { head, at: 0 });
    let length = (1u64 << 40).to_le_bytes();
    let head = [&Writer::new().head(0, 1)[..], &length].concat();
    let error = sparse(head).unwrap_err();
    assert!(
        error.to_string().contains("headers of 134217728 bytes"),
        "{error}"
    );
    let mut file = sparse(Writer::new().info(b"t", &[1 << 59], 0, 0).build()).unwrap();
    let error = file.read_f32("t").unwrap_err();
    assert!(
        matches!(error, GgufError::Memory { values, .. } if values == 1 << 59),
        "{error}"
    );
}

/// 2^62 bytes: a beginning and zeros.
#[derive(Debug)]
struct Sparse {
    head: Vec<u8>,
    at: u64,
}

impl Read for Sparse {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        for byte in &mut *buffer {
            *byte = self.head.get(self.at as usize).copied().unwrap_or(0);
            self.at += 1;
        }
        Ok(buffer.len())
    }
}

impl Seek for Sparse {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match to {
            SeekFrom::Start(at) => self.at = at,
            SeekFrom::End(_) => self.at = 1 << 62,
            SeekFrom::Current(_) => unreachable!(),
        }
        Ok(self.at)
    }
}

#[test]
fn wrong_tensors_are_refused() {
    let info = |dims: &[u64], kind, offset| {
        let mut file = Writer::new().info(b"t", dims, kind, offset).build();
        file.resize(file.len().next_multiple_of(32) + 64, 0);
        file
    };
    assert!(read_all(&info(&[16], 0, 0)).is_ok());
    assert!(read_all(&info(&[], 0, 0)).is_ok());
    refused!(
        info(&[17], 0, 0),
        Outside,
        "\"t\"",
        "68 bytes from byte 64",
        "128"
    );
    refused!(info(&[1], 0, 64), Outside, "from byte 128");
    refused!(info(&[1], 0, u64::MAX - 31), Outside, "\"t\"");
    refused!(info(&[1], 0, 4), Misaligned, "\"t\"", "byte 4", "32");
    refused!(info(&[1; 5], 0, 0), Limit, "\"t\"", "4 dimensions", "5");
    refused!(info(&[4, 0], 0, 0), Shape, "\"t\"", "[0, 4]", "no values");
    refused!(
        info(&[1 << 32, 1 << 32], 0, 0),
        Shape,
        "[4294967296, 4294967296]",
        "count"
    );
    refused!(info(&[u64::MAX], 0, 0), Shape, "count");
    refused!(info(&[31], 2, 0), Shape, "\"t\"", "31", "Q4_0", "32");
    // As many values as whole blocks, but blocks would cross rows.
    refused!(info(&[16, 2], 2, 0), Shape, "[2, 16]", "rows of 16");
    refused!(info(&[1], 10, 0), Kind, "\"t\"", "Q2_K", "type 10", "Q4_K");
    refused!(info(&[1], 77, 0), Kind, "unknown", "type 77");

    let two = |first: &[u8], second: &[u8], offset| {
        let writer = Writer::new()
            .info(first, &[9], 0, offset)
            .info(second, &[1], 0, 32);
        let mut file = writer.build();
        file.resize(file.len() + 200, 0);
        file
    };
    assert!(read_all(&two(b"a", b"b", 64)).is_ok());
    refused!(two(b"a", b"b", 0), Overlap, "\"a\"", "\"b\"");
    refused!(two(b"a", b"b", 32), Overlap, "\"a\"", "\"b\"");
    refused!(two(b"a", b"a", 64), DuplicateTensor, "\"a\"");
    refused!(
        Writer::new().info(b"\x80", &[1], 0, 0).build(),
        Utf8,
        "the name of tensor 0"
    );

    let small = small();
    let mut file = open(&small).unwrap();
    let missing = file.read_f32("other").unwrap_err();
    assert!(missing.to_string().contains("\"other\" is not in the file"));
}

#[test]
fn a_reader_that_fails_says_where() {
    #[derive(Debug)]
    struct Failing(Cursor<Vec<u8>>, u64);
    impl Read for Failing {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.position() >= self.1 {
                return Err(io::Error::other("the cable came off"));
            }
            let few = buffer.len().min((self.1 - self.0.position()) as usize);
            self.0.read(&mut buffer[..few])
        }
    }
    impl Seek for Failing {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.0.seek(to)
        }
    }
    let bytes = small();
    let norm = open(&bytes).unwrap().tensor("norm").unwrap().clone();
    let failing = |limit| Failing(Cursor::new(bytes.clone()), limit);
    let header = Gguf::open(failing(40)).unwrap_err();
    assert!(
        header.to_string().contains("the cable came off"),
        "{header}"
    );
    let error = Gguf::open(failing(norm.offset))
        .unwrap()
        .read_f32("norm")
        .unwrap_err();
    let GgufError::Io { place, offset, .. } = error else {
        panic!("{error}")
    };
    assert_eq!((place.as_str(), offset), ("tensor \"norm\"", norm.offset));
}

#[test]
fn no_file_cut_off_anywhere_is_accepted() {
    let file = small();
    read_all(&file).unwrap();
    for length in 0..file.len() {
        let error = read_all(&file[..length]).unwrap_err();
        let (GgufError::Truncated { .. } | GgufError::Outside { .. }) = error else {
            panic!("{length} of {} bytes: {error}", file.len())
        };
    }
}

#[test]
fn no_change_of_one_byte_panics() {
    let mut file = small();
    for at in 0..file.len() {
        let original = file[at];
        for value in 0..=u8::MAX {
            file[at] = value;
            let _ = read_all(&file);
        }
        file[at] = original;
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let _ = read_all(&bytes);
    }

    /// Past the magic, with small numbers, so that much of it is understood.
    #[test]
    fn arbitrary_headers_never_panic(
        tensors in 0u64..4,
        keys in 0u64..4,
        words in prop::collection::vec(prop_oneof![0u32..16, any::<u32>()], 0..200),
    ) {
        let words = words.iter().flat_map(|word| word.to_le_bytes());
        let mut file = Writer::new().head(tensors, keys);
        file.extend(words);
        let _ = read_all(&file);
    }

    #[test]
    fn several_changes_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut file = small();
        for (at, value) in changes {
            let at = at.index(file.len());
            file[at] = value;
        }
        let _ = read_all(&file);
    }
}
