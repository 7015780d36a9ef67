//! What a run leaves on disk so that it can go on, and so that others can use the model.
//!
//! A checkpoint is a folder in Hugging Face's form (`config.json`, `tokenizer.json` with its config,
//! chat template, `model.safetensors`) plus `optimizer.safetensors` and `state.json`. It is written under another
//! name and renamed when it is whole, so a folder called `checkpoint-*` is never half a checkpoint.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use sprat_model::{Decoder, ModelConfig, TensorMap};

use super::optim::Moments;
use super::schedule::Plan;
use crate::dataset::write_whole;
use crate::{Error, Result};

/// How many checkpoints of a run are kept.
const KEEP: usize = 2;
const OPTIMIZER: &str = "optimizer.safetensors";

/// Where a run stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    /// Finished optimizer steps; also the position in the data.
    pub(crate) step: usize,
    /// Seconds of training so far, over all resumes.
    pub(crate) seconds: f64,
    /// Tokens read so far, padding included.
    pub(crate) tokens: u64,
    /// Hash of the data set.
    pub(crate) data: String,
    /// The schedule's plans.
    pub(crate) plans: Vec<Plan>,
    /// Loss of every step.
    pub(crate) losses: Vec<f32>,
    /// Validation losses by step.
    pub(crate) validations: Vec<(usize, f32)>,
}

/// A model folder's model: a checkpoint, a Hugging Face folder or a pack.
///
/// # Errors
/// [`Error::Io`] and [`Error::Model`].
pub fn load_model(folder: &Path, device: &Device) -> Result<(ModelConfig, Decoder)> {
    let path = folder.join("config.json");
    let json = fs::read(&path).map_err(Error::io("read", &path))?;
    let config = ModelConfig::from_json(&json).map_err(Error::model("read the model's config"))?;
    let mut shards: Vec<PathBuf> = fs::read_dir(folder)
        .map_err(Error::io("list", folder))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension().is_some_and(|e| e == "safetensors") && !path.ends_with(OPTIMIZER)
        })
        .collect();
    shards.sort();
    if shards.is_empty() {
        return Err(Error::format(folder, "there is no .safetensors file in it"));
    }
    let mut tensors = TensorMap::new();
    for shard in shards {
        let bytes = fs::read(&shard).map_err(Error::io("read", &shard))?;
        let name = shard.display().to_string();
        tensors
            .add_shard(&name, &bytes, device)
            .map_err(Error::model("read the weights"))?;
    }
    let decoder = Decoder::from_tensors(&config, &mut tensors)
        .map_err(Error::model("make the model of its weights"))?;
    Ok((config, decoder))
}

/// Writes `<run>/checkpoint-<step>` and removes all but the newest ones.
pub(crate) fn save(
    run: &Path,
    config: &ModelConfig,
    decoder: &Decoder,
    moments: &BTreeMap<String, Moments>,
    state: &State,
) -> Result<PathBuf> {
    let folder = run.join(format!("checkpoint-{:07}", state.step));
    let draft = run.join(format!(".checkpoint-{:07}.part", state.step));
    for stale in [&draft, &folder] {
        if stale.exists() {
            fs::remove_dir_all(stale).map_err(Error::io("remove the old", stale))?;
        }
    }
    fs::create_dir_all(&draft).map_err(Error::io("create", &draft))?;
    write_model(&draft, config, decoder)?;
    write_moments(&draft.join(OPTIMIZER), moments)?;
    let json = serde_json::to_vec(state).map_err(|e| Error::format(&folder, e.to_string()))?;
    write_whole(&draft.join("state.json"), &json)?;
    let tokenizer = run.join("tokenizer.json");
    let copy = draft.join("tokenizer.json");
    fs::copy(&tokenizer, copy).map_err(Error::io("copy", &tokenizer))?;
    for (file, content) in crate::tokenizer::chat_files() {
        write_whole(&draft.join(file), content.as_bytes())?;
    }
    fs::rename(&draft, &folder).map_err(Error::io("finish the checkpoint", &folder))?;
    let all = list(run)?;
    for old in &all[..all.len().saturating_sub(KEEP)] {
        fs::remove_dir_all(old).map_err(Error::io("remove the old", old))?;
    }
    Ok(folder)
}

/// `config.json` and `model.safetensors` in f32.
fn write_model(folder: &Path, config: &ModelConfig, decoder: &Decoder) -> Result<()> {
    let json = serde_json::to_vec_pretty(&config.to_json())
        .map_err(|e| Error::format(folder, e.to_string()))?;
    write_whole(&folder.join("config.json"), &json)?;
    let path = folder.join("model.safetensors");
    let weights = decoder.named_weights();
    let views = weights.iter().map(|(name, data)| {
        let view = TensorView::new(Dtype::F32, data.shape().to_vec(), data.as_bytes());
        view.map(|view| (name, view))
            .map_err(|e| Error::format(&path, e.to_string()))
    });
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    write_tensors(&path, views.collect::<Result<Vec<_>>>()?, metadata)
}

fn write_moments(path: &Path, moments: &BTreeMap<String, Moments>) -> Result<()> {
    let mut views = Vec::new();
    let mut times = HashMap::new();
    for (
        name,
        Moments {
            first,
            second,
            time,
        },
    ) in moments
    {
        times.insert(name.clone(), time.to_string());
        for (which, values) in [("first", first), ("second", second)] {
            let bytes = bytemuck::cast_slice(values);
            let view = TensorView::new(Dtype::F32, vec![values.len()], bytes)
                .map_err(|e| Error::format(path, e.to_string()))?;
            views.push((format!("{name}.{which}"), view));
        }
    }
    write_tensors(path, views, times)
}

fn write_tensors<N: AsRef<str> + Ord + std::fmt::Display>(
    path: &Path,
    views: Vec<(N, TensorView<'_>)>,
    metadata: HashMap<String, String>,
) -> Result<()> {
    let bytes = safetensors::serialize(views, Some(metadata))
        .map_err(|e| Error::format(path, e.to_string()))?;
    write_whole(path, &bytes)
}

/// The optimizer's state of a checkpoint.
pub(crate) fn read_moments(folder: &Path) -> Result<BTreeMap<String, Moments>> {
    let path = folder.join(OPTIMIZER);
    let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
    let bad = |problem: String| Error::format(&path, problem);
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| bad(e.to_string()))?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|e| bad(e.to_string()))?;
    let values = |name: String| -> Result<Vec<f32>> {
        let view = tensors.tensor(&name).map_err(|e| bad(e.to_string()))?;
        if view.dtype() != Dtype::F32 {
            return Err(bad(format!("{name} is not stored as 32-bit floats")));
        }
        let read = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        Ok(view.data().chunks_exact(4).map(read).collect())
    };
    let mut moments = BTreeMap::new();
    for (name, time) in header.metadata().iter().flatten() {
        let time = time
            .parse()
            .map_err(|_| bad(format!("{name} has no step count")))?;
        let first = values(format!("{name}.first"))?;
        let second = values(format!("{name}.second"))?;
        if first.len() != second.len() {
            return Err(bad(format!("{name}'s two moments differ in length")));
        }
        moments.insert(
            name.clone(),
            Moments {
                first,
                second,
                time,
            },
        );
    }
    Ok(moments)
}

/// `state.json` of a checkpoint.
pub(crate) fn read_state(folder: &Path) -> Result<State> {
    let path = folder.join("state.json");
    let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
    serde_json::from_slice(&bytes).map_err(|e| Error::format(&path, e.to_string()))
}

/// A run's checkpoints, oldest first.
pub(crate) fn list(run: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(run) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io("list", run)(e)),
    };
    let step = |path: &PathBuf| -> Option<usize> {
        path.file_name()?
            .to_str()?
            .strip_prefix("checkpoint-")?
            .parse()
            .ok()
    };
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    found.retain(|path| step(path).is_some());
    found.sort_by_key(step);
    Ok(found)
}

/// The newest checkpoint of a run, if there is one.
///
/// # Errors
/// [`Error::Io`] when the folder cannot be listed.
pub fn latest(run: &Path) -> Result<Option<PathBuf>> {
    Ok(list(run)?.pop())
}
