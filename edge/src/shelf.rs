//! Where a pack's bytes lie: the browser's store, or memory where it refuses.

use std::collections::{BTreeMap, BTreeSet};

use futures::FutureExt;

/// The storage would not take or give bytes.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum Refused {
    /// There is no room for more.
    #[error("the browser's storage is full: {0}")]
    Full(String),
    /// Forbidden, or broken.
    #[error("the browser's storage refused: {0}")]
    Broken(String),
}

/// Who else fills the same store where there is no room left, and nothing that nobody uses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Rivals {
    /// Nobody.
    None,
    /// Somebody who has less there, and so gives way soon.
    Smaller,
    /// All others have more there.
    Larger,
}

/// How often it is tried again while a smaller rival has not given way: five seconds of [`Shelf::wait`].
const TRIES: usize = 25;

/// One pack's files. Files grow at their end only, so that a download killed at any moment
/// leaves a prefix of the truth, which is checked again before it is continued.
pub(crate) trait Shelf {
    /// Bytes of `file` that are here; 0 when there are none.
    async fn size(&mut self, file: &str) -> Result<u64, Refused>;
    /// `len` bytes of `file` from byte `from`.
    async fn read(&mut self, file: &str, from: u64, len: usize) -> Result<Vec<u8>, Refused>;
    /// Adds `bytes` at `at`, which is the end of `file`; they survive a kill after this returns.
    async fn append(&mut self, file: &str, at: u64, bytes: &[u8]) -> Result<(), Refused>;
    /// Cuts `file` down to `size` bytes.
    async fn truncate(&mut self, file: &str, size: u64) -> Result<(), Refused>;
    /// Removes what nobody uses from where this is, so that `bytes` more fit. Returns whether anything was removed.
    async fn make_room(&mut self, _bytes: u64) -> bool {
        false
    }
    /// Who else fills where this is.
    async fn rivals(&mut self) -> Rivals {
        Rivals::None
    }
    /// Lets 0.2 seconds go by.
    async fn wait(&self) {}
    /// Takes all files out of where this is, so that there is room for others.
    async fn give_way(&mut self) -> Result<Vec<(String, Vec<u8>)>, Refused> {
        Ok(Vec::new())
    }
    /// Lets other tabs write again.
    fn close(&mut self) {}
}

/// Files in memory.
#[derive(Debug, Default)]
pub(crate) struct MemoryShelf {
    files: BTreeMap<String, Vec<u8>>,
}

#[cfg(test)]
impl MemoryShelf {
    pub(crate) fn bytes(&self) -> u64 {
        self.files.values().map(|bytes| bytes.len() as u64).sum()
    }
}

impl Shelf for MemoryShelf {
    async fn size(&mut self, file: &str) -> Result<u64, Refused> {
        Ok(self.files.get(file).map_or(0, |bytes| bytes.len() as u64))
    }

    async fn read(&mut self, file: &str, from: u64, len: usize) -> Result<Vec<u8>, Refused> {
        let bytes = self.files.get(file).map_or(&[][..], Vec::as_slice);
        let from = usize::try_from(from).map_err(|e| Refused::Broken(e.to_string()))?;
        from.checked_add(len)
            .and_then(|end| bytes.get(from..end))
            .map(<[u8]>::to_vec)
            .ok_or_else(|| Refused::Broken(format!("{file} ends at byte {}", bytes.len())))
    }

    async fn append(&mut self, file: &str, at: u64, bytes: &[u8]) -> Result<(), Refused> {
        let stored = self.files.entry(file.to_owned()).or_default();
        stored.truncate(usize::try_from(at).unwrap_or(usize::MAX));
        stored.extend_from_slice(bytes);
        Ok(())
    }

    async fn truncate(&mut self, file: &str, size: u64) -> Result<(), Refused> {
        if let Some(stored) = self.files.get_mut(file) {
            stored.truncate(usize::try_from(size).unwrap_or(usize::MAX));
        }
        Ok(())
    }
}

/// A disk, and memory behind it: what the disk refuses to take goes on in memory.
///
/// What the disk already holds stays there and is read from there.
#[derive(Debug)]
pub(crate) struct Fallback<S> {
    disk: Option<S>,
    memory: MemoryShelf,
    /// Files that live in memory.
    spilled: BTreeSet<String>,
    refused: Option<Refused>,
}

impl<S: Shelf> Fallback<S> {
    /// Over `disk`; or over nothing but memory when opening it was refused.
    pub(crate) fn new(disk: Result<S, Refused>) -> Self {
        let (disk, refused) = match disk {
            Ok(disk) => (Some(disk), None),
            Err(refused) => (None, Some(refused)),
        };
        Self {
            disk,
            memory: MemoryShelf::default(),
            spilled: BTreeSet::new(),
            refused,
        }
    }

    /// What the disk refused, if it did: from then on, nothing new was stored for next time.
    pub(crate) fn refused(&self) -> Option<&Refused> {
        self.refused.as_ref()
    }

    /// The disk, unless it has refused something.
    pub(crate) fn disk(&mut self) -> Option<&mut S> {
        self.disk.as_mut().filter(|_| self.refused.is_none())
    }

    /// The disk, whatever it has refused.
    pub(crate) fn opened(&mut self) -> Option<&mut S> {
        self.disk.as_mut()
    }

    /// Puts the whole of `bytes` into memory as `file`.
    pub(crate) fn put(&mut self, file: &str, bytes: Vec<u8>) {
        self.spilled.insert(file.to_owned());
        self.memory.files.insert(file.to_owned(), bytes);
    }

    /// The whole of `file`.
    pub(crate) async fn read_all(&mut self, file: &str) -> Result<Vec<u8>, Refused> {
        let len = self.size(file).await?;
        let len = usize::try_from(len).map_err(|e| Refused::Broken(e.to_string()))?;
        self.read(file, 0, len).await
    }

    fn on_disk(&mut self, file: &str) -> Option<&mut S> {
        self.disk.as_mut().filter(|_| !self.spilled.contains(file))
    }

    /// Adds bytes to what the disk has of `file`, for which other things may have to go.
    async fn append_on_disk(&mut self, file: &str, at: u64, bytes: &[u8]) -> Result<(), Refused> {
        let mut tries = 0;
        while let Some(disk) = self.on_disk(file) {
            let why = match disk.append(file, at, bytes).await {
                Err(why @ Refused::Full(_)) => why,
                result => return result,
            };
            // Boxed, it is in the module once and not once for each caller.
            let settled = self.settle(bytes.len() as u64, &mut tries).boxed_local();
            if !settled.await? {
                return Err(why);
            }
        }
        Ok(())
    }

    /// Finds out what becomes of a full disk's files; whether to try again. Of several tabs that fill the disk together the one
    /// that has most there stays: else all would have a part there, and none a whole.
    async fn settle(&mut self, bytes: u64, tries: &mut usize) -> Result<bool, Refused> {
        let Some(disk) = &mut self.disk else {
            return Ok(false);
        };
        if disk.make_room(bytes).await {
            return Ok(true);
        }
        match disk.rivals().await {
            Rivals::Smaller if *tries < TRIES => {
                *tries += 1;
                disk.wait().await;
                Ok(true)
            }
            // Whoever filled it too may have given way since these bytes were refused.
            Rivals::None if *tries == 0 => {
                *tries += 1;
                Ok(true)
            }
            Rivals::Larger => {
                for (file, bytes) in disk.give_way().await? {
                    self.put(&file, bytes);
                }
                Ok(false)
            }
            _ => Ok(false),
        }
    }

    /// Moves the first `len` bytes of `file` into memory, where it lives from now on.
    async fn spill(&mut self, file: &str, len: u64, why: Refused) -> Result<(), Refused> {
        self.refused.get_or_insert(why);
        if self.spilled.contains(file) {
            return Ok(());
        }
        let mut bytes = Vec::new();
        if len > 0
            && let Some(disk) = self.on_disk(file)
        {
            let len = usize::try_from(len).map_err(|e| Refused::Broken(e.to_string()))?;
            bytes = disk.read(file, 0, len).await?;
        }
        self.put(file, bytes);
        Ok(())
    }
}

impl<S: Shelf> Shelf for Fallback<S> {
    async fn size(&mut self, file: &str) -> Result<u64, Refused> {
        if let Some(disk) = self.on_disk(file) {
            match disk.size(file).await {
                Ok(size) => return Ok(size),
                Err(why) => self.spill(file, 0, why).await?,
            }
        }
        self.memory.size(file).await
    }

    async fn read(&mut self, file: &str, from: u64, len: usize) -> Result<Vec<u8>, Refused> {
        match self.on_disk(file) {
            Some(disk) => disk.read(file, from, len).await,
            None => self.memory.read(file, from, len).await,
        }
    }

    async fn append(&mut self, file: &str, at: u64, bytes: &[u8]) -> Result<(), Refused> {
        // Once the disk has refused, new files are not even tried: a half-stored pack helps nobody.
        let tried = match (self.refused.clone(), self.on_disk(file)) {
            (None, Some(_)) => self.append_on_disk(file, at, bytes).await,
            (Some(why), Some(_)) => Err(why),
            (_, None) => Ok(()),
        };
        if let Err(why) = tried {
            self.spill(file, at, why).await?;
        }
        if self.spilled.contains(file) || self.disk.is_none() {
            self.memory.append(file, at, bytes).await?;
        }
        Ok(())
    }

    async fn truncate(&mut self, file: &str, size: u64) -> Result<(), Refused> {
        if let Some(disk) = self.on_disk(file) {
            match disk.truncate(file, size).await {
                Ok(()) => return Ok(()),
                Err(why) => self.spill(file, size, why).await?,
            }
        }
        self.memory.truncate(file, size).await
    }

    fn close(&mut self) {
        if let Some(disk) = &mut self.disk {
            disk.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pollster::block_on;

    /// A disk with room for a few bytes, and for a few more once it has refused some.
    #[derive(Default)]
    struct Small(MemoryShelf, u64, u64);

    impl Shelf for Small {
        async fn size(&mut self, file: &str) -> Result<u64, Refused> {
            self.0.size(file).await
        }
        async fn read(&mut self, file: &str, from: u64, len: usize) -> Result<Vec<u8>, Refused> {
            self.0.read(file, from, len).await
        }
        async fn append(&mut self, file: &str, at: u64, bytes: &[u8]) -> Result<(), Refused> {
            let used: usize = self.0.files.values().map(Vec::len).sum();
            if used + bytes.len() > usize::try_from(self.1).unwrap() {
                self.1 += std::mem::take(&mut self.2);
                return Err(Refused::Full("full".into()));
            }
            self.0.append(file, at, bytes).await
        }
        async fn truncate(&mut self, file: &str, size: u64) -> Result<(), Refused> {
            self.0.truncate(file, size).await
        }
    }

    #[test]
    fn a_full_disk_spills_into_memory_and_loses_nothing() {
        let mut shelf = Fallback::new(Ok(Small(MemoryShelf::default(), 5, 0)));
        block_on(async {
            shelf.append("a", 0, b"123").await.unwrap();
            assert!(shelf.refused().is_none());
            shelf.append("a", 3, b"456").await.unwrap();
            assert_eq!(shelf.refused(), Some(&Refused::Full("full".into())));
            assert!(shelf.disk().is_none());
            shelf.append("b", 0, b"7").await.unwrap();
            assert_eq!(shelf.read_all("a").await.unwrap(), b"123456");
            assert_eq!(shelf.read_all("b").await.unwrap(), b"7");
        });
    }

    #[test]
    fn what_was_refused_just_before_another_gave_way_is_stored() {
        let mut shelf = Fallback::new(Ok(Small(MemoryShelf::default(), 5, 1)));
        block_on(async {
            shelf.append("a", 0, b"123").await.unwrap();
            shelf.append("a", 3, b"456").await.unwrap();
            assert!(shelf.refused().is_none());
            assert_eq!(shelf.disk().unwrap().0.bytes(), 6);
        });
    }

    #[test]
    fn no_disk_at_all_is_memory() {
        let mut shelf = Fallback::<MemoryShelf>::new(Err(Refused::Broken("private window".into())));
        block_on(async {
            shelf.append("a", 0, b"12").await.unwrap();
            shelf.truncate("a", 1).await.unwrap();
            shelf.append("a", 1, b"3").await.unwrap();
            assert_eq!(shelf.read_all("a").await.unwrap(), b"13");
            assert_eq!(shelf.size("none").await.unwrap(), 0);
            assert!(shelf.read("a", 1, 2).await.is_err());
        });
    }

    #[test]
    fn what_the_disk_holds_is_read_from_it_after_it_refused() {
        let mut shelf = Fallback::new(Ok(Small(MemoryShelf::default(), 3, 0)));
        block_on(async {
            shelf.append("a", 0, b"123").await.unwrap();
            shelf.append("b", 0, b"4").await.unwrap();
            assert_eq!(shelf.read_all("a").await.unwrap(), b"123");
            assert_eq!(shelf.read_all("b").await.unwrap(), b"4");
        });
    }
}
