//! Fetching a pack: every chunk's SHA-256 is checked before it is stored, what was stored is
//! checked before it is continued, and a broken connection costs one chunk at most.

use sprat_model::{Manifest, PackFile};

use crate::error::Error;
use crate::shelf::Shelf;

/// Where a pack comes from: a folder on a web server.
pub(crate) trait Origin {
    /// The bytes of one file, as they arrive.
    type Body: Body;
    /// Asks for `file` from byte `from` on. `fresh`: past every cache.
    async fn open(&self, file: &str, from: u64, fresh: bool) -> Result<Opened<Self::Body>, Fault>;
    /// Waits a little before try number `attempt` (1, 2, ...).
    async fn pause(&self, attempt: u32);
    /// The address of `file`, for messages.
    fn address(&self, file: &str) -> String;
}

/// A stream of bytes.
pub(crate) trait Body {
    /// The next bytes, `None` at the end.
    async fn next(&mut self) -> Option<Result<Vec<u8>, Fault>>;
}

/// An answer of an [`Origin`].
pub(crate) struct Opened<B> {
    /// Position in the file of the first byte that will come; 0 where ranges are not served.
    pub(crate) from: u64,
    pub(crate) body: B,
}

/// Why an [`Origin`] gave nothing.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fault {
    /// The server has no such file.
    Missing(String),
    /// It may work later: no connection, cut off, or a server in trouble.
    Broken(String),
}

/// Tries in a row that bring no new chunk, after which the download gives up.
const TRIES: u32 = 4;

/// Makes `shelf` hold all files of `manifest`, telling `progress` the bytes of the whole pack
/// that are there. Bytes already on the shelf are checked and kept.
///
/// Holds one chunk in memory at a time.
pub(crate) async fn fill<O: Origin, S: Shelf>(
    manifest: &Manifest,
    origin: &O,
    shelf: &mut S,
    progress: &mut dyn FnMut(u64),
) -> Result<(), Error> {
    let mut before = 0;
    for file in &manifest.files {
        let mut report = |done: u64| progress(before + done);
        let done = keep_verified(manifest, file, shelf, &mut report).await?;
        Download {
            manifest,
            file,
            origin,
            shelf: &mut *shelf,
            done,
            fresh: false,
        }
        .run(&mut report)
        .await?;
        before += file.size;
    }
    Ok(())
}

/// Checks the chunks of `file` that are stored and cuts off what is not right.
/// Returns how many bytes are good.
async fn keep_verified<S: Shelf>(
    manifest: &Manifest,
    file: &PackFile,
    shelf: &mut S,
    report: &mut dyn FnMut(u64),
) -> Result<u64, Error> {
    let stored = shelf.size(&file.path).await.map_err(refused)?;
    let mut good = 0;
    for index in 0..file.sha256.len() {
        let len = chunk_len(file, index);
        if good + len as u64 > stored {
            break;
        }
        let Ok(bytes) = shelf.read(&file.path, good, len).await else {
            break;
        };
        if manifest.verify_chunk(&file.path, index, &bytes).is_err() {
            break;
        }
        good += len as u64;
        report(good);
    }
    if stored > good {
        shelf.truncate(&file.path, good).await.map_err(refused)?;
    }
    Ok(good)
}

/// Bytes of chunk `index`.
fn chunk_len(file: &PackFile, index: usize) -> usize {
    let range = file.chunk_range(index);
    usize::try_from(range.end - range.start).unwrap_or(usize::MAX)
}

/// The memory shelf never refuses and stands behind every disk, so this is a fault of ours.
fn refused(refused: crate::shelf::Refused) -> Error {
    Error::Internal(refused.to_string())
}

/// One file on its way.
struct Download<'a, O, S> {
    manifest: &'a Manifest,
    file: &'a PackFile,
    origin: &'a O,
    shelf: &'a mut S,
    /// Bytes checked and stored; always a whole number of chunks.
    done: u64,
    /// Something wrong came once: ask past the caches.
    fresh: bool,
}

impl<O: Origin, S: Shelf> Download<'_, O, S> {
    async fn run(mut self, report: &mut dyn FnMut(u64)) -> Result<(), Error> {
        let mut failures = 0;
        while self.done < self.file.size {
            let before = self.done;
            let Err(setback) = self.attempt(report).await else {
                continue;
            };
            failures = if self.done > before { 1 } else { failures + 1 };
            match setback {
                Setback::Final(error) => return Err(error),
                // Wrong bytes from a cache are right when asked again; wrong twice is wrong.
                Setback::Wrong(error) if self.fresh => return Err(error),
                Setback::Wrong(_) => self.fresh = true,
                Setback::Broken(error) if failures >= TRIES => return Err(error),
                Setback::Broken(_) => self.origin.pause(failures).await,
            }
        }
        Ok(())
    }

    /// Reads from `done` until the file is complete or something goes wrong.
    async fn attempt(&mut self, report: &mut dyn FnMut(u64)) -> Result<(), Setback> {
        let address = self.origin.address(&self.file.path);
        let opened = self
            .origin
            .open(&self.file.path, self.done, self.fresh)
            .await;
        let mut opened = opened.map_err(|fault| setback(fault, &address))?;
        if opened.from > self.done {
            let reason = format!("asked from byte {}, got from {}", self.done, opened.from);
            return Err(Setback::Broken(Error::Network {
                url: address,
                reason,
            }));
        }
        let mut skip = self.done - opened.from;
        let mut chunk: Vec<u8> = Vec::new();
        while self.done < self.file.size {
            let Some(bytes) = opened.body.next().await else {
                return Err(self.too_short(chunk.len()));
            };
            let bytes = bytes.map_err(|fault| setback(fault, &address))?;
            let unseen = usize::try_from(skip).unwrap_or(usize::MAX).min(bytes.len());
            skip -= unseen as u64;
            self.take(&bytes[unseen..], &mut chunk, report).await?;
        }
        Ok(())
    }

    /// Adds bytes to the chunk that is being collected; checks and stores each that is full.
    async fn take(
        &mut self,
        mut bytes: &[u8],
        chunk: &mut Vec<u8>,
        report: &mut dyn FnMut(u64),
    ) -> Result<(), Setback> {
        while !bytes.is_empty() && self.done < self.file.size {
            let index = self.index();
            let missing = chunk_len(self.file, index) - chunk.len();
            let (now, later) = bytes.split_at(missing.min(bytes.len()));
            chunk.extend_from_slice(now);
            bytes = later;
            if now.len() < missing {
                report(self.done + chunk.len() as u64);
                return Ok(());
            }
            self.manifest
                .verify_chunk(&self.file.path, index, chunk)
                .map_err(|e| Setback::Wrong(Error::ModelCorrupt(e.to_string())))?;
            self.shelf
                .append(&self.file.path, self.done, chunk)
                .await
                .map_err(|e| Setback::Final(refused(e)))?;
            self.done += chunk.len() as u64;
            chunk.clear();
            report(self.done);
        }
        Ok(())
    }

    fn index(&self) -> usize {
        usize::try_from(self.done / self.file.chunk_bytes).unwrap_or(usize::MAX)
    }

    /// The body ended in good order and too early: the server's file is shorter than promised.
    fn too_short(&self, in_chunk: usize) -> Setback {
        let actual = self.done + in_chunk as u64;
        let error = sprat_model::Error::Size {
            file: self.file.path.clone(),
            expected: self.file.size,
            actual,
        };
        Setback::Wrong(Error::ModelCorrupt(error.to_string()))
    }
}

/// What stopped one attempt.
enum Setback {
    /// Worth another try.
    Broken(Error),
    /// Bytes that are not what the manifest promised.
    Wrong(Error),
    /// Nothing to try again.
    Final(Error),
}

fn setback(fault: Fault, address: &str) -> Setback {
    let url = address.to_owned();
    match fault {
        Fault::Missing(reason) => Setback::Final(Error::ModelMissing { url, reason }),
        Fault::Broken(reason) => Setback::Broken(Error::Network { url, reason }),
    }
}

#[cfg(test)]
#[path = "fill_tests.rs"]
mod tests;
