//! Loading a model a piece at a time, while others answer.
//!
//! Tensors must be made on the thread that computes. So loading is a future of that thread, which the thread goes on with
//! once between any two passes: a pack's file by file. A Hugging Face folder or a GGUF file is one piece.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use sprat_model::{Device, DirSource, Error, LoadProgress, LoadStage, MANIFEST, Model, PackSource};

use super::pack::STORAGE;

/// A model on its way into memory. Dropping it gives up.
pub(super) struct Loading {
    pub(super) index: usize,
    began: Instant,
    future: Pin<Box<dyn Future<Output = Result<Model, Error>>>>,
}

/// A pack's folder that is read a file per poll.
struct Paced(DirSource);

impl PackSource for Paced {
    async fn read(&self, file: &str) -> Result<Vec<u8>, Error> {
        futures::pending!();
        self.0.read(file).await
    }
}

impl Loading {
    /// Begins to load the model at `path`; nothing is read before the first [`Loading::proceed`].
    pub(super) fn new(index: usize, path: &Path, device: &Device) -> Self {
        Self {
            index,
            began: Instant::now(),
            future: Box::pin(open(path.to_owned(), device.clone())),
        }
    }

    /// Goes on with it. Nothing while there is more to do; else the model, or what is wrong with it. Must not be called
    /// again then.
    pub(super) fn proceed(&mut self) -> Option<Result<Model, String>> {
        // Whoever waits here polls again in any case.
        let mut context = Context::from_waker(Waker::noop());
        let poll = || self.future.as_mut().poll(&mut context);
        match catch_unwind(AssertUnwindSafe(poll)) {
            Ok(Poll::Pending) => None,
            Ok(Poll::Ready(loaded)) => Some(loaded.map_err(|error| error.to_string())),
            Err(_) => Some(Err("loading it panicked; please report this".to_owned())),
        }
    }

    /// How long it takes so far.
    pub(super) fn took(&self) -> Duration {
        self.began.elapsed()
    }
}

async fn open(path: PathBuf, device: Device) -> Result<Model, Error> {
    let mut progress = |progress: LoadProgress| match progress.stage {
        LoadStage::Weights => {
            let (done, total) = (progress.done, progress.total);
            tracing::debug!(pack = %path.display(), done, total, "loading");
        }
        LoadStage::WarmUp => tracing::debug!(pack = %path.display(), "warming up"),
    };
    if path.join(MANIFEST).is_file() {
        let source = Paced(DirSource(path.clone()));
        return Model::load(&source, &device, &mut progress).await;
    }
    Model::open(&path, STORAGE, &device, &mut progress).await
}

#[cfg(test)]
mod tests {
    use sprat_model::Manifest;

    use super::*;

    /// Between any two files others get their turn.
    #[test]
    fn a_pack_comes_file_by_file() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web/models/sprat-tiny");
        let manifest = Manifest::from_json(&std::fs::read(path.join(MANIFEST)).unwrap()).unwrap();
        let mut loading = Loading::new(0, &path, &Device::flex());
        let mut pieces = 0;
        let model = loop {
            match loading.proceed() {
                None => pieces += 1,
                Some(model) => break model,
            }
        };
        assert_eq!(pieces, 1 + manifest.files.len());
        let model = model.unwrap();
        assert_eq!(model.weight_bytes(), manifest.weight_bytes(model.config()));
    }

    #[test]
    fn what_is_not_there_is_an_error_with_a_reason() {
        let folder = tempfile::tempdir().unwrap();
        let mut loading = Loading::new(0, folder.path(), &Device::flex());
        let outcome = std::iter::from_fn(|| Some(loading.proceed())).find_map(|piece| piece);
        let error = outcome.unwrap().map(drop).unwrap_err();
        assert!(error.contains("config.json"), "{error}");
    }
}
