//! Model folders as people have them: Hugging Face's files, with or without a `sprat.json`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use sprat_merge::ModelFolder;
use sprat_model::{
    Checkpoint, Decoder, LoadProgress, MANIFEST, Model, ModelConfig, RandomModel, Storage,
    open_checkpoint,
};

use crate::device::DeviceName;
use crate::hub::{self, HubId};
use crate::quant::Quant;

/// Loads a pack, a Hugging Face folder, a GGUF file, or a model of the hub, as it is.
pub(crate) fn load_model(path: &Path, quant: Quant, device: DeviceName) -> Result<Model> {
    let bar = progress_bar("Loading")?;
    let mut progress = |progress: LoadProgress| {
        bar.set_length(progress.total);
        bar.set_position(progress.done);
    };
    let (storage, device) = (quant.into(), device.open()?);
    let model = match random(path) {
        Some(shape) => {
            let mut source = RandomModel::new(shape)?;
            Model::from_checkpoint(&mut source, storage, &device, &mut progress)
        }
        None => {
            let path = resolve(path)?;
            pollster::block_on(Model::open(&path, storage, &device, &mut progress))
        }
    };
    bar.finish_and_clear();
    model.with_context(|| format!("cannot load the model {}", path.display()))
}

/// The config and decoder of the same; a folder needs no tokenizer for it.
pub(crate) fn load_decoder(path: &Path, device: DeviceName) -> Result<(ModelConfig, Decoder)> {
    if path.join(MANIFEST).exists() {
        let model = load_model(path, Quant::F32, device)?;
        return Ok((model.config().clone(), model.decoder().clone()));
    }
    let load = || {
        let mut source = open(path)?;
        let config = source.config().clone();
        let mut tensors = source.load_tensors(Storage::F32, &device.open()?, &mut |_| {})?;
        let decoder = Decoder::from_tensors(&config, &mut tensors)?;
        anyhow::Ok((config, decoder))
    };
    load().with_context(|| format!("cannot load the model {}", path.display()))
}

/// Opens what is no pack: a folder, a file, a model of the hub, or random weights.
pub(crate) fn open(path: &Path) -> Result<Box<dyn Checkpoint>> {
    match random(path) {
        Some(shape) => Ok(Box::new(RandomModel::new(shape)?)),
        None => Ok(open_checkpoint(&resolve(path)?)?),
    }
}

/// The shape in `random:SHAPE`.
fn random(path: &Path) -> Option<&str> {
    path.to_str()?.strip_prefix("random:")
}

/// A bar of bytes that shows up when work takes longer than a moment.
pub(crate) fn progress_bar(what: &'static str) -> Result<ProgressBar> {
    let style = "{prefix} {bar:30} {bytes} of {total_bytes}, {eta} left";
    let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template(style)?);
    Ok(bar.with_prefix(what))
}

/// What a person's word for a model stands for: a folder or a file as it is, the newest checkpoint
/// of a training run, or a model of the hub, which is fetched.
pub(crate) fn resolve(path: &Path) -> Result<PathBuf> {
    if path.is_file()
        || ["config.json", MANIFEST]
            .iter()
            .any(|file| path.join(file).exists())
    {
        return Ok(path.to_owned());
    }
    if path.is_dir() {
        let latest = sprat_lab::train::latest(path)?;
        return latest.with_context(|| {
            format!(
                "{} has neither a config.json nor a checkpoint",
                path.display()
            )
        });
    }
    match path.to_str().and_then(HubId::parse) {
        Some(id) => hub::fetch(&id),
        None => bail!("{} is not there", path.display()),
    }
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
