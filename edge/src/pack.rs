//! Getting a pack: from the store where it is whole, from its server where it is not.

use std::rc::Rc;

use futures::lock::Mutex;
use serde::Serialize;
use sprat_model::{ADAPTER_CONFIG, ADAPTER_WEIGHTS, Adapter, Manifest, PackFile, PackSource};

use crate::disk::{self, Disk, Hold};
use crate::error::Error;
use crate::fill::{Fault, fill};
use crate::library::{Kept, Library, Plan};
use crate::net::{Folder, Line};
use crate::shelf::{Fallback, Refused, Shelf};

/// Longest `sprat.json` read, in bytes.
const MAX_MANIFEST: usize = 4 << 20;

/// What loading tells the page.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum Notice {
    Progress {
        stage: &'static str,
        loaded: u64,
        total: u64,
        message: String,
    },
    Warning {
        code: &'static str,
        message: String,
    },
}

pub(crate) type Tell<'a> = &'a dyn Fn(Notice);

/// A pack whose files are at hand.
pub(crate) struct Pack {
    pub(crate) url: String,
    line: Line,
    pub(crate) manifest: Manifest,
    /// Bytes of all its files.
    pub(crate) bytes: u64,
    shelf: Mutex<Fallback<Kept<Disk>>>,
    /// Keeps it stored while it is used.
    hold: Option<Rc<Hold>>,
}

impl Pack {
    /// Finds out what the pack at `url` is and fetches what is not stored yet, unless `wanted` says no to its manifest.
    // Not generic: it would be in the module once for each caller.
    pub(crate) async fn get(
        url: &str,
        line: &Line,
        wanted: &dyn Fn(&Manifest) -> Result<(), Error>,
        tell: Tell<'_>,
    ) -> Result<Self, Error> {
        let library = disk::open().await;
        let manifest_bytes = manifest(url, line, library.as_ref().ok()).await?;
        let manifest =
            Manifest::from_json(&manifest_bytes).map_err(|e| Error::from_model(e, false))?;
        wanted(&manifest)?;
        let disk = match library {
            Ok(library) => library.pack(&manifest, &manifest_bytes, url).await,
            Err(refused) => Err(refused),
        };
        let hold = disk.as_ref().ok().map(Kept::hold);
        let mut shelf = Fallback::new(disk);
        shelf.put(sprat_model::MANIFEST, manifest_bytes);
        tell_evicted(&mut shelf, tell);
        let whole = match shelf.disk() {
            Some(disk) => disk.is_published().await,
            None => false,
        };
        let pack = Self {
            url: url.to_owned(),
            line: line.clone(),
            bytes: manifest.total_bytes(),
            manifest,
            shelf: Mutex::new(shelf),
            hold,
        };
        if !whole {
            pack.fetch(tell).await?;
        }
        Ok(pack)
    }

    /// Fetches what is missing or damaged; everything that is stored is checked.
    pub(crate) async fn fetch(&self, tell: Tell<'_>) -> Result<(), Error> {
        let (stage, total) = ("download", self.bytes);
        let progress = |loaded| Notice::Progress {
            stage,
            loaded,
            total,
            message: self.manifest.name.clone(),
        };
        tell(progress(0));
        let mut shelf = self.shelf.lock().await;
        let origin = Folder::new(&self.url, &self.line);
        let report = |loaded| tell(progress(loaded));
        let filled = fill(&self.manifest, &origin, &mut *shelf, &report).await;
        // What is refused stays open otherwise, for as long as the pack is used.
        shelf.close();
        tell_evicted(&mut shelf, tell);
        filled?;
        let published = match shelf.disk() {
            Some(disk) => disk.publish().await,
            None => Ok(()),
        };
        let refused = published.err().or_else(|| shelf.refused().cloned());
        if let Some(refused) = refused {
            tell(Notice::Warning {
                code: "storage_refused",
                message: format!(
                    "The model is kept in memory and will be fetched again: {refused}."
                ),
            });
        } else if let Some(disk) = shelf.disk() {
            // Failing to tidy up harms nobody.
            let _ = disk.tidy(&self.url).await;
        }
        Ok(())
    }

    /// What keeps it stored, for as long as it lives. A part of it that was stored is of no use beyond this.
    pub(crate) fn hold(&self) -> Option<Rc<Hold>> {
        let shelf = self.shelf.try_lock()?;
        self.hold.clone().filter(|_| shelf.refused().is_none())
    }

    /// The files of its weights, checked.
    pub(crate) async fn shards(&self) -> Result<Vec<Vec<u8>>, Error> {
        let mut shards = Vec::new();
        for file in self.manifest.shards() {
            let checked = self.checked(&file.path).await;
            shards.push(checked.map_err(|error| Error::from_model(error, false))?);
        }
        Ok(shards)
    }

    /// A file, checked.
    async fn checked(&self, file: &str) -> Result<Vec<u8>, sprat_model::Error> {
        let bytes = self.read(file).await?;
        self.manifest.verify(file, &bytes)?;
        Ok(bytes)
    }

    /// The adapter that it is the pack of; damaged files are fetched again, once.
    pub(crate) async fn adapter(&self, tell: Tell<'_>) -> Result<Adapter, Error> {
        let mut read = self.read_adapter().await;
        if read.as_ref().is_err_and(is_damage) {
            self.fetch(tell).await?;
            read = self.read_adapter().await;
        }
        read.map_err(|error| Error::from_model(error, false))
    }

    async fn read_adapter(&self) -> Result<Adapter, sprat_model::Error> {
        let config = self.checked(ADAPTER_CONFIG).await?;
        Adapter::from_peft(&config, &self.checked(ADAPTER_WEIGHTS).await?)
    }

    /// This pack with other weights, in memory. What was measured of the old ones, its gate and its known value, is not
    /// true of these.
    pub(crate) async fn with_weights(
        &self,
        name: String,
        shards: Vec<Vec<u8>>,
    ) -> Result<Self, Error> {
        let mut manifest = self.manifest.clone();
        let mut shelf = Fallback::new(Err(Refused::Broken(
            "what was mixed is not stored".to_owned(),
        )));
        let weights: Vec<String> = manifest.shards().map(|file| file.path.clone()).collect();
        if weights.len() != shards.len() {
            return Err(Error::Internal(format!(
                "{} files of weights in the place of {}",
                shards.len(),
                weights.len()
            )));
        }
        for file in &self.manifest.files {
            if !weights.contains(&file.path) {
                let bytes = self.read(&file.path).await;
                shelf.put(&file.path, bytes.map_err(|e| Error::from_model(e, false))?);
            }
        }
        for (path, bytes) in weights.iter().zip(shards) {
            for file in manifest.files.iter_mut().filter(|file| file.path == *path) {
                *file = PackFile::of(path, &bytes);
            }
            shelf.put(path, bytes);
        }
        manifest.name = name;
        manifest.description = "A mix of other models, made in this page.".to_owned();
        manifest.calibration = None;
        manifest.check = None;
        shelf.put(sprat_model::MANIFEST, manifest.to_json());
        Ok(Self {
            url: self.url.clone(),
            line: self.line.clone(),
            bytes: manifest.total_bytes(),
            manifest,
            shelf: Mutex::new(shelf),
            hold: self.hold(),
        })
    }

    /// Whether the pack will be there at the next visit.
    pub(crate) async fn is_stored(&self) -> bool {
        match self.shelf.lock().await.disk() {
            Some(disk) => disk.is_published().await,
            None => false,
        }
    }
}

impl PackSource for Pack {
    async fn read(&self, file: &str) -> Result<Vec<u8>, sprat_model::Error> {
        let missing = |reason| sprat_model::Error::Missing {
            file: file.to_owned(),
            reason,
        };
        self.shelf
            .lock()
            .await
            .read_all(file)
            .await
            .map_err(|e| missing(e.to_string()))
    }
}

/// Whether stored bytes turned out to be damaged, and can be fetched again.
pub(crate) fn is_damage(error: &sprat_model::Error) -> bool {
    use sprat_model::Error::{Hash, Missing, Size};
    matches!(error, Hash { .. } | Size { .. } | Missing { .. })
}

/// Whether a GPU that takes buffers of `most` bytes can hold the pack's weights.
// Both are far below 2^53.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn check_fits(manifest: &Manifest, most: Option<f64>) -> Result<(), Error> {
    match (manifest.largest_buffer, most) {
        (Some(needed), Some(most)) if needed as f64 > most => {
            Err(Error::WebgpuUnavailable(format!(
                "this GPU takes {:.0} MB in one piece, and {} needs {:.0} MB",
                most / 1e6,
                manifest.name,
                needed as f64 / 1e6
            )))
        }
        _ => Ok(()),
    }
}

/// Whether two packs' weights can be merged by their places alone: the same tokens, the same shape of model.
pub(crate) fn check_kin(base: &Manifest, other: &Manifest) -> Result<(), Error> {
    for file in ["tokenizer.json", "config.json"] {
        let of = |manifest: &Manifest| manifest.file(file).map(|file| file.sha256.clone());
        let missing = |error| Error::from_model(error, false);
        if of(base).map_err(missing)? != of(other).map_err(missing)? {
            return Err(Error::BadRequest(format!(
                "{} and {} can't be mixed: their {file} differs",
                other.name, base.name
            )));
        }
    }
    Ok(())
}

/// The manifest as it is on the server now, or as it was at the last visit if there is no network.
async fn manifest(
    url: &str,
    line: &Line,
    library: Option<&Library<Disk>>,
) -> Result<Vec<u8>, Error> {
    let folder = Folder::new(url, line);
    let fault = match folder.read_small(sprat_model::MANIFEST, MAX_MANIFEST).await {
        Ok(bytes) => return Ok(bytes),
        Err(fault) => fault,
    };
    match fault {
        Fault::Missing(reason) => Err(Error::ModelMissing {
            url: url.to_owned(),
            reason,
        }),
        Fault::Broken(reason) => {
            let stored = match library {
                Some(library) => library.manifest_of(url).await,
                None => None,
            };
            stored.ok_or_else(|| Error::Network {
                url: url.to_owned(),
                reason,
            })
        }
    }
}

/// What it takes to have the pack at `url` on this device.
pub(crate) async fn plan(url: &str, line: &Line) -> Result<Plan, Error> {
    let library = disk::open().await.ok();
    let bytes = manifest(url, line, library.as_ref()).await?;
    let manifest = Manifest::from_json(&bytes).map_err(|e| Error::from_model(e, false))?;
    if let Some(library) = library
        && let Ok(plan) = library.plan(&manifest, &bytes).await
    {
        return Ok(plan);
    }
    Ok(Plan {
        bytes: manifest.total_bytes(),
        name: manifest.name,
        stored: 0,
        room: None,
        evictable: 0,
        store: "memory",
    })
}

fn tell_evicted(shelf: &mut Fallback<Kept<Disk>>, tell: Tell<'_>) {
    let Some(disk) = shelf.opened() else { return };
    for gone in disk.take_evicted() {
        // The rest of a download that was given up has no name, and nobody misses it.
        if !gone.name.is_empty() {
            tell(Notice::Warning {
                code: "evicted",
                message: format!("{} was removed from this device to make room.", gone.name),
            });
        }
    }
}
