//! Fetching a pack: several chunks side by side, each checked against its SHA-256 before it is stored, and stored in
//! their order. So a file on the shelf is a prefix of the truth whenever this is stopped; it is checked before it is
//! continued, and a broken connection costs the chunks that were on their way.

use std::cell::Cell;

use futures::StreamExt;
use futures::stream;
use sprat_model::{Manifest, PackFile};

use crate::error::Error;
use crate::shelf::Shelf;

/// Where a pack comes from: a folder on a web server.
pub(crate) trait Origin {
    /// The bytes of one file, as they arrive.
    type Body: Body;
    /// Asks for the chunk of `file` that begins at byte `from`. `fresh`: past every cache.
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
    /// It goes on to the end of the file: ranges are not served, or there is one chunk only.
    pub(crate) whole: bool,
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
/// Chunks on their way at once.
const LANES: u64 = 4;
/// Bytes that the chunks on their way may take together, as far as there are several.
const AHEAD: u64 = 32 << 20;

/// Makes `shelf` hold all files of `manifest`, telling `progress` the bytes of the whole pack
/// that are there. Bytes already on the shelf are checked and kept.
///
/// Holds [`LANES`] chunks in memory at most.
pub(crate) async fn fill<O: Origin, S: Shelf>(
    manifest: &Manifest,
    origin: &O,
    shelf: &mut S,
    progress: &dyn Fn(u64),
) -> Result<(), Error> {
    let mut before = 0;
    for file in &manifest.files {
        let report = |done: u64| progress(before + done);
        let done = keep_verified(manifest, file, shelf, &report).await?;
        let download = Download {
            manifest,
            file,
            origin,
            report: &report,
            done: Cell::new(done),
            ahead: Cell::new(0),
        };
        download.run(shelf).await?;
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
    report: &dyn Fn(u64),
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
struct Download<'a, O> {
    manifest: &'a Manifest,
    file: &'a PackFile,
    origin: &'a O,
    report: &'a dyn Fn(u64),
    /// Bytes checked and stored; always a whole number of chunks.
    done: Cell<u64>,
    /// Bytes of chunks that are on their way, or wait for one before them.
    ahead: Cell<u64>,
}

impl<O: Origin> Download<'_, O> {
    async fn run<S: Shelf>(&self, shelf: &mut S) -> Result<(), Error> {
        let mut patience = Patience::default();
        while self.done.get() < self.file.size {
            let before = self.done.get();
            self.ahead.set(0);
            let Err(setback) = self.attempt(patience.fresh, shelf).await else {
                continue;
            };
            if self.done.get() > before {
                patience.failures = 0;
            }
            patience.after(setback, self.origin).await?;
        }
        Ok(())
    }

    /// Goes on from `done` until the file is complete or something goes wrong. The first answer shows whether the server
    /// knows ranges.
    async fn attempt<S: Shelf>(&self, fresh: bool, shelf: &mut S) -> Result<(), Setback> {
        let opened = self.open(self.done.get(), fresh).await?;
        if opened.whole {
            self.read_on(opened, shelf).await
        } else {
            self.side_by_side(opened, shelf).await
        }
    }

    /// Several chunks at a time, of which `first` is the first one.
    async fn side_by_side<S: Shelf>(
        &self,
        first: Opened<O::Body>,
        shelf: &mut S,
    ) -> Result<(), Setback> {
        let mut first = Some(first);
        let rest = self.index()..self.file.sha256.len();
        let chunks = rest.map(|index| self.chunk(index, first.take()));
        let lanes = (AHEAD / self.file.chunk_bytes).clamp(1, LANES);
        let mut chunks = stream::iter(chunks).buffered(usize::try_from(lanes).unwrap_or(1));
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk?;
            self.ahead.set(self.ahead.get() - chunk.len() as u64);
            self.store(&chunk, shelf).await?;
        }
        Ok(())
    }

    /// One chunk, checked; tried until it is there or there is no hope.
    async fn chunk(
        &self,
        index: usize,
        mut opened: Option<Opened<O::Body>>,
    ) -> Result<Vec<u8>, Setback> {
        let mut patience = Patience::default();
        loop {
            let mut chunk = Vec::new();
            let collected = self.collect(index, opened.take(), patience.fresh, &mut chunk);
            match collected.await {
                Ok(()) => return Ok(chunk),
                Err(setback @ Setback::Whole(_)) => return Err(setback),
                Err(setback) => {
                    self.ahead.set(self.ahead.get() - chunk.len() as u64);
                    let given_up = patience.after(setback, self.origin).await;
                    given_up.map_err(Setback::Final)?;
                }
            }
        }
    }

    /// Reads one chunk and checks it. What comes behind it is not read.
    async fn collect(
        &self,
        index: usize,
        opened: Option<Opened<O::Body>>,
        fresh: bool,
        chunk: &mut Vec<u8>,
    ) -> Result<(), Setback> {
        let start = self.file.chunk_range(index).start;
        let mut opened = match opened {
            Some(opened) => opened,
            None => self.open(start, fresh).await?,
        };
        if opened.whole {
            return Err(Setback::Whole(self.broken("it serves no ranges any more")));
        }
        let mut skip = start - opened.from;
        let missing = chunk_len(self.file, index);
        while chunk.len() < missing {
            let bytes = self.next(&mut opened.body, start, chunk.len()).await?;
            let bytes = unseen(&bytes, &mut skip);
            let bytes = &bytes[..bytes.len().min(missing - chunk.len())];
            chunk.extend_from_slice(bytes);
            self.ahead.set(self.ahead.get() + bytes.len() as u64);
            (self.report)(self.done.get() + self.ahead.get());
        }
        self.check(index, chunk)
    }

    /// Chunk after chunk of an answer that goes on to the end of the file.
    async fn read_on<S: Shelf>(
        &self,
        mut opened: Opened<O::Body>,
        shelf: &mut S,
    ) -> Result<(), Setback> {
        let mut skip = self.done.get() - opened.from;
        let mut chunk: Vec<u8> = Vec::new();
        while self.done.get() < self.file.size {
            let start = self.done.get();
            let bytes = self.next(&mut opened.body, start, chunk.len()).await?;
            let mut bytes = unseen(&bytes, &mut skip);
            while !bytes.is_empty() && self.done.get() < self.file.size {
                let index = self.index();
                let missing = chunk_len(self.file, index) - chunk.len();
                let (now, later) = bytes.split_at(missing.min(bytes.len()));
                chunk.extend_from_slice(now);
                bytes = later;
                if now.len() == missing {
                    self.check(index, &chunk)?;
                    self.store(&chunk, shelf).await?;
                    chunk.clear();
                }
            }
            (self.report)(self.done.get() + chunk.len() as u64);
        }
        Ok(())
    }

    /// Asks for the chunk at `start`.
    async fn open(&self, start: u64, fresh: bool) -> Result<Opened<O::Body>, Setback> {
        let opened = self.origin.open(&self.file.path, start, fresh).await;
        let opened = opened.map_err(|fault| self.fault(fault))?;
        if opened.from > start {
            let got = format!("asked from byte {start}, got from {}", opened.from);
            return Err(Setback::Broken(self.broken(&got)));
        }
        Ok(opened)
    }

    /// The next bytes of a body, which has given `got` bytes of the chunk at `start`.
    async fn next(&self, body: &mut O::Body, start: u64, got: usize) -> Result<Vec<u8>, Setback> {
        match body.next().await {
            Some(bytes) => bytes.map_err(|fault| self.fault(fault)),
            None => Err(self.too_short(start + got as u64)),
        }
    }

    fn check(&self, index: usize, chunk: &[u8]) -> Result<(), Setback> {
        let checked = self.manifest.verify_chunk(&self.file.path, index, chunk);
        checked.map_err(|e| Setback::Wrong(Error::ModelCorrupt(e.to_string())))
    }

    /// Stores a checked chunk, which is the next one.
    async fn store<S: Shelf>(&self, chunk: &[u8], shelf: &mut S) -> Result<(), Setback> {
        let stored = shelf.append(&self.file.path, self.done.get(), chunk).await;
        stored.map_err(|e| Setback::Final(refused(e)))?;
        self.done.set(self.done.get() + chunk.len() as u64);
        (self.report)(self.done.get() + self.ahead.get());
        Ok(())
    }

    /// The chunk that is to be stored next.
    fn index(&self) -> usize {
        usize::try_from(self.done.get() / self.file.chunk_bytes).unwrap_or(usize::MAX)
    }

    /// The body ended in good order and too early: the server's file is shorter than promised.
    fn too_short(&self, actual: u64) -> Setback {
        let error = sprat_model::Error::Size {
            file: self.file.path.clone(),
            expected: self.file.size,
            actual,
        };
        Setback::Wrong(Error::ModelCorrupt(error.to_string()))
    }

    fn fault(&self, fault: Fault) -> Setback {
        match fault {
            Fault::Missing(reason) => Setback::Final(Error::ModelMissing {
                url: self.origin.address(&self.file.path),
                reason,
            }),
            Fault::Broken(reason) => Setback::Broken(self.broken(&reason)),
        }
    }

    fn broken(&self, reason: &str) -> Error {
        Error::Network {
            url: self.origin.address(&self.file.path),
            reason: reason.to_owned(),
        }
    }
}

/// `bytes` without the first `skip` bytes of the answer that they belong to.
fn unseen<'a>(bytes: &'a [u8], skip: &mut u64) -> &'a [u8] {
    let seen = usize::try_from(*skip)
        .unwrap_or(usize::MAX)
        .min(bytes.len());
    *skip -= seen as u64;
    &bytes[seen..]
}

/// What stopped one attempt.
enum Setback {
    /// Worth another try.
    Broken(Error),
    /// One chunk was asked for, and the whole file came.
    Whole(Error),
    /// Bytes that are not what the manifest promised.
    Wrong(Error),
    /// Nothing to try again.
    Final(Error),
}

/// How often a download has been set back since it last went on.
#[derive(Default)]
struct Patience {
    failures: u32,
    /// Something wrong came: ask past the caches.
    fresh: bool,
}

impl Patience {
    /// Returns when it is time for another try, if there is to be one.
    async fn after(&mut self, setback: Setback, origin: &impl Origin) -> Result<(), Error> {
        self.failures += 1;
        match setback {
            Setback::Final(error) => return Err(error),
            // Wrong bytes from a cache are right when asked again; wrong twice is wrong.
            Setback::Wrong(error) if self.fresh => return Err(error),
            Setback::Wrong(_) => self.fresh = true,
            Setback::Broken(error) | Setback::Whole(error) if self.failures >= TRIES => {
                return Err(error);
            }
            Setback::Broken(_) | Setback::Whole(_) => origin.pause(self.failures).await,
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "fill_tests.rs"]
mod tests;
