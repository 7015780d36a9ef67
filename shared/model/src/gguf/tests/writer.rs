//! A writer of valid files, and of any others.

use crate::gguf::Kind;

// Numbers of value types.
pub(super) const U32: u32 = 4;
pub(super) const STRING: u32 = 8;
pub(super) const ARRAY: u32 = 9;

/// Writes files piece by piece, whatever the pieces say.
pub(super) struct Writer {
    pub(super) version: u32,
    alignment: usize,
    keys: Vec<Vec<u8>>,
    infos: Vec<Vec<u8>>,
    data: Vec<u8>,
}

impl Writer {
    pub(super) fn new() -> Self {
        Self {
            version: 3,
            alignment: 32,
            keys: Vec::new(),
            infos: Vec::new(),
            data: Vec::new(),
        }
    }

    pub(super) fn key(mut self, name: &[u8], kind: u32, value: &[u8]) -> Self {
        self.keys
            .push([&string(name), &kind.to_le_bytes()[..], value].concat());
        self
    }

    pub(super) fn aligned(mut self, alignment: u32) -> Self {
        self.alignment = alignment as usize;
        self.key(b"general.alignment", U32, &alignment.to_le_bytes())
    }

    /// An entry without data; `dims` in the file's order.
    pub(super) fn info(mut self, name: &[u8], dims: &[u64], kind: u32, offset: u64) -> Self {
        let dims_bytes: Vec<u8> = dims.iter().flat_map(|n| n.to_le_bytes()).collect();
        let rank = dims.len() as u32;
        self.infos.push(
            [
                &string(name),
                &rank.to_le_bytes()[..],
                &dims_bytes,
                &kind.to_le_bytes(),
                &offset.to_le_bytes(),
            ]
            .concat(),
        );
        self
    }

    pub(super) fn tensor(mut self, name: &str, dims: &[u64], kind: Kind, data: &[u8]) -> Self {
        self.data
            .resize(self.data.len().next_multiple_of(self.alignment), 0);
        let offset = self.data.len() as u64;
        self.data.extend(data);
        self.info(name.as_bytes(), dims, kind.id(), offset)
    }

    pub(super) fn build(&self) -> Vec<u8> {
        let counts = [self.infos.len() as u64, self.keys.len() as u64];
        let mut file = self.head(counts[0], counts[1]);
        file.extend(self.infos.concat());
        if !self.data.is_empty() {
            file.resize(file.len().next_multiple_of(self.alignment), 0);
            file.extend(&self.data);
        }
        file
    }

    /// Everything before the tensors' entries, with any counts.
    pub(super) fn head(&self, tensors: u64, keys: u64) -> Vec<u8> {
        let mut file = b"GGUF".to_vec();
        file.extend(self.version.to_le_bytes());
        file.extend(tensors.to_le_bytes());
        file.extend(keys.to_le_bytes());
        file.extend(self.keys.concat());
        file
    }
}

pub(super) fn string(text: &[u8]) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text].concat()
}

pub(super) fn array(kind: u32, count: u64, items: &[u8]) -> Vec<u8> {
    [&kind.to_le_bytes()[..], &count.to_le_bytes(), items].concat()
}

/// A small file with strings, nested arrays and tensors; no byte of it is padding at the end.
pub(super) fn small() -> Vec<u8> {
    let strings = [string(b"a"), string("ß".as_bytes())].concat();
    let nested = [array(U32, 1, &[7, 0, 0, 0]), array(0, 3, &[1, 2, 3])].concat();
    Writer::new()
        .aligned(32)
        .key(b"name", STRING, &string(b"tiny"))
        .key(b"flag", 7, &[1])
        .key(b"strings", ARRAY, &array(STRING, 2, &strings))
        .key(b"nested", ARRAY, &array(ARRAY, 2, &nested))
        .tensor("norm", &[3], Kind::F32, &[1; 12])
        .tensor("blocks", &[32, 2], Kind::Q8_0, &[2; 68])
        .build()
}
