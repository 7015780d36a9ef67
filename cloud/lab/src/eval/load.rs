//! Models to measure, and what a table says of them.

use std::fs;
use std::path::Path;

use sprat_model::{Device, MANIFEST, Manifest, Model, ModelConfig, Storage};

use crate::{Error, Result};

/// What a table says about a model besides its answers.
pub(super) struct Card {
    pub(super) name: String,
    pub(super) parameters: u64,
    pub(super) bytes: u64,
}

/// Loads a pack, verified, or a checkpoint of a run, with its matrices as `storage` has them.
pub(crate) fn model(folder: &Path, storage: Storage, device: &Device) -> Result<Model> {
    let mut ignore = |_| {};
    let model = Model::open(folder, storage, device, &mut ignore);
    pollster::block_on(model).map_err(Error::model(format!("load {}", folder.display())))
}

pub(super) fn card(folder: &Path) -> Result<Card> {
    let path = folder.join(MANIFEST);
    if path.exists() {
        let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
        let manifest = Manifest::from_json(&bytes).map_err(Error::model("read the manifest"))?;
        let bytes = manifest.total_bytes();
        return Ok(Card {
            name: manifest.name,
            parameters: manifest.parameters,
            bytes,
        });
    }
    let weights = folder.join("model.safetensors");
    let bytes = fs::metadata(&weights)
        .map_err(Error::io("read", &weights))?
        .len();
    let config = config(folder)?;
    // checkpoint-0001000 says little without its run.
    let parts: Vec<_> = folder
        .iter()
        .rev()
        .take(2)
        .map(|part| part.to_string_lossy())
        .collect();
    let name = parts
        .iter()
        .rev()
        .map(AsRef::as_ref)
        .collect::<Vec<&str>>()
        .join("/");
    Ok(Card {
        name,
        parameters: config.parameters(),
        bytes,
    })
}

fn config(folder: &Path) -> Result<ModelConfig> {
    let path = folder.join("config.json");
    let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
    ModelConfig::from_json(&bytes).map_err(Error::model("read the model's config"))
}
