//! A model folder as a pack: read as it is, or given the manifest it lacks.

use std::fs;
use std::path::Path;

use sprat_model::{
    Device, DirSource, FORMAT, MANIFEST, Manifest, MemorySource, Model, ModelConfig, PackFile,
    Storage,
};

use crate::tokenizer::CHAT_TEMPLATE;
use crate::{Error, Result};

/// What a table says about a model besides its answers.
pub(super) struct Card {
    pub(super) name: String,
    pub(super) parameters: u64,
    pub(super) bytes: u64,
}

/// Loads a pack, verified, or a checkpoint of a run.
pub(super) fn model(folder: &Path, device: &Device) -> Result<Model> {
    let failed = Error::model("load the model");
    let mut ignore = |_| {};
    if folder.join(MANIFEST).exists() {
        let source = DirSource(folder.to_path_buf());
        return pollster::block_on(Model::load(&source, device, &mut ignore)).map_err(failed);
    }
    let source = checkpoint(folder)?;
    pollster::block_on(Model::load(&source, device, &mut ignore)).map_err(failed)
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

/// A checkpoint in memory with our own template and a manifest made of what is there.
fn checkpoint(folder: &Path) -> Result<MemorySource> {
    let config = config(folder)?;
    let mut source = MemorySource::default();
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        let path = folder.join(name);
        let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
        source.0.insert(name.to_owned(), bytes);
    }
    source.0.insert(
        "chat_template.jinja".to_owned(),
        CHAT_TEMPLATE.as_bytes().to_vec(),
    );
    let manifest = Manifest {
        format: FORMAT,
        name: "checkpoint".to_owned(),
        description: String::new(),
        license: String::new(),
        context: config.max_position_embeddings,
        parameters: config.parameters(),
        storage: Storage::F32,
        bos_token: "<|start|>".to_owned(),
        eos_token: "<|end|>".to_owned(),
        examples: Vec::new(),
        files: source
            .0
            .iter()
            .map(|(path, bytes)| PackFile::of(path, bytes))
            .collect(),
        calibration: None,
        check: None,
    };
    source.0.insert(MANIFEST.to_owned(), manifest.to_json());
    Ok(source)
}
