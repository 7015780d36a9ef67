//! Getting a pack: from the store where it is whole, from its server where it is not.

use futures::lock::Mutex;
use serde::Serialize;
use sprat_model::{Manifest, PackFile, PackSource};

use crate::error::Error;
use crate::fill::{Fault, fill};
use crate::net::{Folder, Line};
use crate::opfs::{About, Library, Opfs, key};
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
    url: String,
    line: Line,
    pub(crate) manifest: Manifest,
    /// Bytes of all its files.
    pub(crate) bytes: u64,
    manifest_bytes: Vec<u8>,
    shelf: Mutex<Fallback<Opfs>>,
}

impl Pack {
    /// Finds out what the pack at `url` is and fetches what is not stored yet, unless `wanted` says no to its manifest.
    pub(crate) async fn get(
        url: &str,
        line: &Line,
        wanted: impl Fn(&Manifest) -> Result<(), Error>,
        tell: Tell<'_>,
    ) -> Result<Self, Error> {
        let library = Library::open().await;
        let manifest_bytes = manifest(url, line, library.as_ref().ok()).await?;
        let manifest =
            Manifest::from_json(&manifest_bytes).map_err(|e| Error::from_model(e, false))?;
        wanted(&manifest)?;
        let bytes = manifest.total_bytes();
        let about = About {
            name: manifest.name.clone(),
            bytes,
            urls: vec![url.to_owned()],
        };
        let disk = match library {
            Ok(library) => open(&library, &manifest, &manifest_bytes, &about).await,
            Err(refused) => Err(refused),
        };
        let mut shelf = Fallback::new(disk);
        shelf.put(sprat_model::MANIFEST, manifest_bytes.clone());
        let shelf = Mutex::new(shelf);
        let pack = Self {
            url: url.to_owned(),
            line: line.clone(),
            manifest,
            bytes,
            manifest_bytes,
            shelf,
        };
        let whole = match pack.shelf.lock().await.disk() {
            Some(disk) => disk.is_published().await,
            None => false,
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
        fill(&self.manifest, &origin, &mut *shelf, &|loaded| {
            tell(progress(loaded))
        })
        .await?;
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
        } else if let Ok(library) = Library::open().await {
            // The versions before this one; failing to tidy up harms nobody.
            let _ = library
                .remove(&self.url, Some(&key(&self.manifest_bytes)))
                .await;
        }
        Ok(())
    }

    /// The files of its weights, checked.
    pub(crate) async fn shards(&self) -> Result<Vec<Vec<u8>>, Error> {
        let mut shards = Vec::new();
        for file in self.manifest.shards() {
            let read = self.read(&file.path).await;
            let bytes = read.map_err(|error| Error::from_model(error, false))?;
            let checked = self.manifest.verify(&file.path, &bytes);
            checked.map_err(|error| Error::from_model(error, false))?;
            shards.push(bytes);
        }
        Ok(shards)
    }

    /// This pack with other weights, in memory. What was measured of the old ones, its gate and its known value, is not
    /// true of these.
    pub(crate) async fn with_weights(
        &self,
        name: String,
        shards: Vec<Vec<u8>>,
    ) -> Result<Self, Error> {
        let mut manifest = self.manifest.clone();
        let mut shelf = Fallback::new(Err(Refused("what was mixed is not stored".to_owned())));
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
        let manifest_bytes = manifest.to_json();
        shelf.put(sprat_model::MANIFEST, manifest_bytes.clone());
        Ok(Self {
            url: self.url.clone(),
            line: self.line.clone(),
            bytes: manifest.total_bytes(),
            manifest,
            manifest_bytes,
            shelf: Mutex::new(shelf),
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
async fn manifest(url: &str, line: &Line, library: Option<&Library>) -> Result<Vec<u8>, Error> {
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

/// The folder for a pack, if there is room for it.
async fn open(
    library: &Library,
    manifest: &Manifest,
    manifest_bytes: &[u8],
    about: &About,
) -> Result<Opfs, Refused> {
    let mut pack = library.pack(manifest_bytes, about).await?;
    let mut needed = about.bytes;
    for file in &manifest.files {
        needed = needed.saturating_sub(pack.size(&file.path).await?);
    }
    match Library::room().await {
        Some(room) if room < needed => Err(Refused(format!(
            "it has room for {room} bytes and {needed} are needed"
        ))),
        _ => Ok(pack),
    }
}
