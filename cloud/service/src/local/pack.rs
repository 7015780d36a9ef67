//! A model on the disk: what can be known of it before it is loaded, and what requests see of it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};
use sprat_model::{
    Device as ModelDevice, Error, KvCache, KvType, MANIFEST, Manifest, ModelConfig, PAGE,
    PASS_TOKENS, Storage, open_checkpoint, weight_bytes,
};
use sprat_wire::ModelStatus;

use super::binder::WayBack;
use super::figures::Figures;
use super::judge;
use crate::{CallFormat, Device, EngineInfo, EngineState, ModelSource, ServiceError, Weights};

/// How weights are kept that a pack does not say it of.
pub(super) const STORAGE: Storage = Storage::F32;

/// Texts of full length at once that there is memory for at most.
const TEXTS: usize = 32;

/// A model that can be loaded.
pub(super) struct Pack {
    pub(super) path: PathBuf,
    device: Device,
    pub(super) way_back: WayBack,
    /// Bytes that it takes in memory, or is going to.
    pub(super) bytes: u64,
    pub(super) shared: Arc<Shared>,
}

/// What requests see of a model, written by its thread.
pub(super) struct Shared {
    seen: RwLock<Seen>,
    pub(super) figures: Figures,
}

struct Seen {
    info: EngineInfo,
    status: ModelStatus,
    calls: Option<CallFormat>,
    judges: bool,
}

/// What files say without their weights.
struct Outline {
    name: String,
    /// In seconds since 1970.
    created: u64,
    fingerprint: Option<String>,
    text_id: Option<String>,
    context: usize,
    calls: Option<CallFormat>,
    judges: bool,
    weight_bytes: u64,
    position_bytes: usize,
}

impl Pack {
    /// Reads what the model says of itself.
    ///
    /// # Errors
    /// [`ServiceError::Model`] if that cannot be read.
    pub(super) fn open(
        source: &ModelSource,
        device: Device,
        cache_bytes: u64,
        way_back: WayBack,
    ) -> Result<Self, ServiceError> {
        let outline =
            Outline::read(&source.path, device).map_err(|reason| ServiceError::Model {
                path: source.path.clone(),
                reason,
            })?;
        let info = EngineInfo {
            id: source.id.clone().unwrap_or_else(|| outline.name.clone()),
            device: device.to_string(),
            context: Some(outline.context),
            created: outline.created,
            fingerprint: outline.fingerprint.clone(),
            text_id: outline.text_id.clone(),
            state: EngineState::Loading,
        };
        Ok(Self {
            path: source.path.clone(),
            device,
            way_back,
            bytes: outline.bytes(cache_bytes),
            shared: Arc::new(Shared {
                seen: RwLock::new(Seen {
                    info,
                    status: ModelStatus::Loading,
                    calls: outline.calls,
                    judges: outline.judges,
                }),
                figures: Figures::default(),
            }),
        })
    }

    /// Reads it again: the files may be others by now. The id stays.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(super) fn refresh(&mut self, cache_bytes: u64) -> Result<(), String> {
        let outline = Outline::read(&self.path, self.device)?;
        self.bytes = outline.bytes(cache_bytes);
        self.shared.change(|seen| {
            seen.info.context = Some(outline.context);
            seen.info.created = outline.created;
            seen.info.fingerprint = outline.fingerprint;
            seen.info.text_id = outline.text_id;
            seen.calls = outline.calls;
            seen.judges = outline.judges;
        });
        Ok(())
    }
}

impl Shared {
    pub(super) fn info(&self) -> EngineInfo {
        self.look(|seen| seen.info.clone())
    }

    pub(super) fn calls(&self) -> Option<CallFormat> {
        self.look(|seen| seen.calls)
    }

    pub(super) fn judges(&self) -> bool {
        self.look(|seen| seen.judges)
    }

    /// Whether it does not compute any more.
    pub(super) fn is_failed(&self) -> bool {
        self.look(|seen| matches!(seen.info.state, EngineState::Failed(_)))
    }

    pub(super) fn weights(&self) -> Weights {
        let (bytes, loads, unloads) = self.figures.memory();
        Weights {
            status: self.look(|seen| seen.status),
            bytes,
            loads,
            unloads,
        }
    }

    /// It can be asked, and its weights are there or not.
    pub(super) fn is(&self, status: ModelStatus) {
        self.change(|seen| {
            seen.info.state = EngineState::Ready;
            seen.status = status;
        });
    }

    /// Its weights are being loaded. Whether it can be asked meanwhile is as before.
    pub(super) fn is_loading(&self) {
        self.change(|seen| seen.status = ModelStatus::Loading);
    }

    /// It does not compute any more, and why.
    pub(super) fn is_broken(&self, reason: String) {
        self.change(|seen| {
            seen.info.state = EngineState::Failed(reason);
            seen.status = ModelStatus::Failed;
        });
    }

    pub(super) fn runs_on(&self, words: &str) {
        self.change(|seen| words.clone_into(&mut seen.info.device));
    }

    fn look<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.seen.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen.write().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Outline {
    fn read(path: &Path, device: Device) -> Result<Self, String> {
        let manifest = path.join(MANIFEST);
        let is_pack = manifest.exists();
        let dated = if is_pack { &manifest } else { path };
        let modified = std::fs::metadata(dated).and_then(|file| file.modified());
        let created = modified.map(|time| time.duration_since(UNIX_EPOCH).unwrap_or_default());
        let created = created.unwrap_or_default().as_secs();
        match is_pack {
            true => Self::of_pack(path, created, device),
            // Nothing there holds the hash of the weights.
            false => Self::of_checkpoint(path, created, device).map_err(|error| error.to_string()),
        }
    }

    fn of_pack(path: &Path, created: u64, device: Device) -> Result<Self, String> {
        let read = |file: &str| {
            let bytes = std::fs::read(path.join(file));
            bytes.map_err(|error| format!("{file} cannot be read: {error}"))
        };
        let bytes = read(MANIFEST)?;
        let manifest = Manifest::from_json(&bytes).map_err(|error| error.to_string())?;
        let config = ModelConfig::from_json(&read("config.json")?);
        let config = config.map_err(|error| error.to_string())?;
        // Without it the model is not going to load, and that says so better.
        let template = read("chat_template.jinja").unwrap_or_default();
        Ok(Self {
            weight_bytes: manifest.weight_bytes(&config),
            context: manifest.context.min(config.context()),
            position_bytes: position_bytes(&config, manifest.storage, device),
            text_id: Some(manifest.text_id()),
            judges: judge::has_gate(&manifest),
            name: manifest.name,
            created,
            fingerprint: Some(fingerprint(&bytes)),
            calls: CallFormat::of_template(&String::from_utf8_lossy(&template)),
        })
    }

    fn of_checkpoint(path: &Path, created: u64, device: Device) -> Result<Self, Error> {
        let mut opened = open_checkpoint(path)?;
        let storage = opened.stored_as();
        let template = opened.chat()?.template;
        let config = opened.config();
        Ok(Self {
            weight_bytes: weight_bytes(config, storage),
            context: config.context(),
            position_bytes: position_bytes(config, storage, device),
            name: opened.name(),
            created,
            fingerprint: None,
            text_id: None,
            judges: false,
            calls: template.and_then(|template| CallFormat::of_template(&template)),
        })
    }

    /// Bytes in memory, of weights and of a cache of at most `cache_bytes`.
    fn bytes(&self, cache_bytes: u64) -> u64 {
        let positions = positions(cache_bytes, self.position_bytes, self.context);
        let cache = positions.next_multiple_of(PAGE) * self.position_bytes;
        self.weight_bytes + cache as u64
    }
}

/// Bytes of one token's keys and values; on a card by way of wgpu, which may not have numbers of 16 bits, at most.
fn position_bytes(config: &ModelConfig, weights: Storage, device: Device) -> usize {
    let kept = match device {
        Device::Cpu | Device::Cuda => KvType::beside(weights),
        Device::Wgpu => KvType::F32,
    };
    KvCache::of_type(config, kept, &ModelDevice::flex()).bytes_per_token()
}

/// Positions that a cache has room for. A model of short texts does not need all the memory that there is.
pub(super) fn positions(cache_bytes: u64, position_bytes: usize, context: usize) -> usize {
    let most = usize::try_from(cache_bytes).unwrap_or(usize::MAX) / position_bytes.max(1);
    most.min(TEXTS * context).max(PASS_TOKENS)
}

/// Names the weights: the manifest holds the hashes of all files.
fn fingerprint(manifest: &[u8]) -> String {
    let hash = Sha256::digest(manifest);
    let hex: String = hash
        .iter()
        .take(5)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("fp_{hex}")
}
