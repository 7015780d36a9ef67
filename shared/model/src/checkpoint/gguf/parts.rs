//! One model in one GGUF file, or in several as llama.cpp's `gguf-split` cuts them.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::super::missing;
use crate::Error;
use crate::gguf::{Gguf, GgufError, Metadata, TensorInfo};

/// The files of a model: the first has the metadata, each has some of the tensors.
#[derive(Debug)]
pub(super) struct Parts {
    files: Vec<Gguf<File>>,
}

/// More parts than any model has; a larger number is not worth looking for files.
const MAX_PARTS: u64 = 4096;

impl Parts {
    /// Opens the file at `path`, and those that it was cut into, whichever of them is named.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let paths = match gguf_parts(path) {
            None => vec![path.to_owned()],
            Some((stem, count)) => (1..=count)
                .map(|part| path.with_file_name(format!("{stem}-{part:05}-of-{count:05}.gguf")))
                .collect(),
        };
        let files = paths.iter().map(|path| open(path));
        let parts = Self {
            files: files.collect::<Result<_, _>>()?,
        };
        parts.check()?;
        Ok(parts)
    }

    /// That no part is missing, and no tensor there twice.
    fn check(&self) -> Result<(), GgufError> {
        let key = "split.count";
        let count = self.metadata().optional(key, Metadata::u64)?;
        let count = count.unwrap_or(1).max(1);
        if count != self.files.len() as u64 {
            return Err(GgufError::Parts {
                expected: count,
                found: self.files.len(),
            });
        }
        for (index, file) in self.files.iter().enumerate() {
            let before = &self.files[..index];
            let twice =
                |tensor: &&TensorInfo| before.iter().any(|f| f.tensor(&tensor.name).is_some());
            if let Some(tensor) = file.tensors().iter().find(twice) {
                return Err(GgufError::DuplicateTensor {
                    name: tensor.name.clone(),
                });
            }
        }
        Ok(())
    }

    pub(super) fn metadata(&self) -> &Metadata {
        self.files[0].metadata()
    }

    pub(super) fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.files.iter().find_map(|file| file.tensor(name))
    }

    /// As [`Gguf::read_f32`].
    pub(super) fn read_f32(&mut self, name: &str) -> Result<Vec<f32>, GgufError> {
        self.with(name).read_f32(name)
    }

    /// As [`Gguf::read_slice_f32`].
    pub(super) fn read_slice_f32(
        &mut self,
        name: &str,
        slice: usize,
    ) -> Result<Vec<f32>, GgufError> {
        self.with(name).read_slice_f32(name, slice)
    }

    /// As [`Gguf::read_bytes`].
    pub(super) fn read_bytes(
        &mut self,
        name: &str,
        slice: Option<usize>,
    ) -> Result<Vec<u8>, GgufError> {
        self.with(name).read_bytes(name, slice)
    }

    /// The file with this tensor; the first, which then says that it has none, for an unknown one.
    fn with(&mut self, name: &str) -> &mut Gguf<File> {
        let index = self
            .files
            .iter()
            .position(|file| file.tensor(name).is_some());
        &mut self.files[index.unwrap_or(0)]
    }
}

fn open(path: &Path) -> Result<Gguf<File>, Error> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(Gguf::open(File::open(path).map_err(missing(&name))?)?)
}

/// Name and number of parts of a model in several files, by the name of one of them,
/// `NAME-00001-of-00003.gguf`.
pub fn gguf_parts(path: &Path) -> Option<(String, u64)> {
    let name = path.file_stem()?.to_str()?;
    let (rest, count) = name.rsplit_once("-of-")?;
    let (stem, part) = rest.rsplit_once('-')?;
    let number = |digits: &str| match digits.len() {
        5 => digits.parse::<u64>().ok(),
        _ => None,
    };
    let (part, count) = (number(part)?, number(count)?);
    (1..=count.min(MAX_PARTS))
        .contains(&part)
        .then(|| (stem.to_owned(), count))
}

/// The model's name: that of its file, without the number of a part.
pub(super) fn name(path: &Path) -> String {
    match gguf_parts(path) {
        Some((stem, _)) => stem,
        None => PathBuf::from(path.file_stem().unwrap_or_default())
            .to_string_lossy()
            .into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_by_their_names() {
        let split = |name: &str| gguf_parts(Path::new(name));
        assert_eq!(split("a/b-00002-of-00003.gguf"), Some(("b".into(), 3)));
        assert_eq!(
            split("c-of-d-00001-of-00001.gguf"),
            Some(("c-of-d".into(), 1))
        );
        for whole in [
            "b.gguf",
            "b-1-of-3.gguf",
            "b-00004-of-00003.gguf",
            "-of-.gguf",
            "b-00000-of-00001.gguf",
        ] {
            assert_eq!(split(whole), None, "{whole}");
        }
        assert_eq!(name(Path::new("a/b-00002-of-00003.gguf")), "b");
        assert_eq!(name(Path::new("a/b.q8.gguf")), "b.q8");
    }
}
