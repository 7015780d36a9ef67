//! Model folders as people have them: Hugging Face's files, with or without a `sprat.json`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sprat_merge::{ModelFolder, TensorReader};
use sprat_model::{DirSource, MANIFEST, Model, ModelConfig};

use crate::device::DeviceName;

/// Loads a pack.
pub(crate) fn load_pack(folder: &Path, device: DeviceName) -> Result<Model> {
    if !folder.join(MANIFEST).exists() {
        bail!(
            "{} is not a pack: it has no {MANIFEST}. Make one of a model folder with `sprat pack`",
            folder.display()
        );
    }
    let source = DirSource(folder.to_owned());
    pollster::block_on(Model::load(&source, &device.open()?, &mut |_| {}))
        .with_context(|| format!("cannot load the pack {}", folder.display()))
}

/// The newest checkpoint when `folder` is a training run, else `folder` itself.
pub(crate) fn resolve(folder: &Path) -> Result<PathBuf> {
    if folder.join("config.json").exists() {
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

/// Name, shape and values of one tensor.
pub(crate) type Tensor = (String, Vec<usize>, Vec<f32>);

/// A folder's config and tensors: the config's tensors, in the config's order.
pub(crate) fn read_weights(folder: &Path) -> Result<(ModelConfig, Vec<Tensor>)> {
    let config = ModelConfig::from_json(&read(folder, "config.json")?)
        .with_context(|| format!("{}", folder.display()))?;
    let mut reader = open_weights(folder)?;
    let mut tensors = Vec::new();
    for (name, shape) in config.tensors() {
        let actual = reader.shape(&name);
        if actual.as_ref() != Some(&shape) {
            bail!(
                "{}: tensor {name} is {actual:?}, config.json implies {shape:?}",
                folder.display()
            );
        }
        let values = reader.read(&name)?;
        tensors.push((name, shape, values));
    }
    Ok((config, tensors))
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
