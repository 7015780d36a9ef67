//! Model folders as people have them: Hugging Face's files, with or without a `sprat.json`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sprat_merge::ModelFolder;
use sprat_model::{Decoder, DirSource, MANIFEST, Model, ModelConfig, open_checkpoint};

use crate::device::DeviceName;

/// Loads a pack, or a Hugging Face folder as it is.
pub(crate) fn load_model(folder: &Path, device: DeviceName) -> Result<Model> {
    let device = device.open()?;
    let model = if folder.join(MANIFEST).exists() {
        let source = DirSource(folder.to_owned());
        pollster::block_on(Model::load(&source, &device, &mut |_| {}))
    } else {
        open_checkpoint(folder).and_then(|mut source| {
            let source = source.as_mut();
            Model::from_checkpoint(source, &device)
        })
    };
    model.with_context(|| format!("cannot load the model {}", folder.display()))
}

/// The config and decoder of a pack or a Hugging Face folder; the latter needs no tokenizer.
pub(crate) fn load_decoder(folder: &Path, device: DeviceName) -> Result<(ModelConfig, Decoder)> {
    if folder.join(MANIFEST).exists() {
        let model = load_model(folder, device)?;
        return Ok((model.config().clone(), model.decoder().clone()));
    }
    let load = || {
        let mut source = open_checkpoint(folder)?;
        let config = source.config().clone();
        let mut tensors = source.load_tensors(&device.open()?)?;
        let decoder = Decoder::from_tensors(&config, &mut tensors)?;
        anyhow::Ok((config, decoder))
    };
    load().with_context(|| format!("cannot load the model {}", folder.display()))
}

/// The newest checkpoint when `folder` is a training run, else `folder` (or the file) itself.
pub(crate) fn resolve(folder: &Path) -> Result<PathBuf> {
    if folder.is_file() || folder.join("config.json").exists() {
        return Ok(folder.to_owned());
    }
    let latest = sprat_lab::train::latest(folder)?;
    latest.with_context(|| {
        format!(
            "{} has neither a config.json nor a checkpoint",
            folder.display()
        )
    })
}

/// Reads a file of a model folder.
pub(crate) fn read(folder: &Path, file: &str) -> Result<Vec<u8>> {
    let path = folder.join(file);
    std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// The weights of a folder, leaving out an optimizer's state.
pub(crate) fn open_weights(folder: &Path) -> Result<ModelFolder> {
    let single = folder.join("model.safetensors");
    let path = if single.is_file() {
        single
    } else {
        folder.to_owned()
    };
    Ok(ModelFolder::open(&path)?)
}
