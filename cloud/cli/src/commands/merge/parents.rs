//! The models of a recipe: folders beside it or of the hub, with adapters on them, in one vocabulary.

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result};
use sprat_merge::{Merge, Recipe, TensorReader, Tokenizer, WithLora, unify};
use sprat_model::folder_tokenizer;

use crate::folder;

/// A model of a recipe, `NAME` or `NAME+ADAPTER`, on this machine.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) model: PathBuf,
    adapter: Option<PathBuf>,
}

impl Place {
    /// Looks it up: beside the recipe, or on the hub.
    pub(super) fn of(root: &Path, name: &str) -> Result<Self> {
        let beside = |name: &str| {
            let beside = root.join(name);
            if beside.exists() {
                beside
            } else {
                PathBuf::from(name)
            }
        };
        let (model, adapter) = match name.rsplit_once('+') {
            Some((model, adapter)) if !beside(name).exists() => (model, Some(adapter)),
            _ => (name, None),
        };
        let adapter = adapter.map(|adapter| {
            let folder = beside(adapter);
            let there = folder.join("adapter_config.json").is_file();
            let missing = || format!("no adapter_config.json in {}", folder.display());
            there.then(|| folder.clone()).with_context(missing)
        });
        Ok(Self {
            model: folder::resolve(&beside(model))?,
            adapter: adapter.transpose()?,
        })
    }

    fn open(&self) -> Result<Box<dyn TensorReader>> {
        let model: Box<dyn TensorReader> = Box::new(folder::open_weights(&self.model)?);
        match &self.adapter {
            Some(folder) => Ok(Box::new(WithLora::open(model, folder)?)),
            None => Ok(model),
        }
    }

    /// Its files with their sizes and times, so that another run can tell whether they are the same.
    pub(super) fn stamp(&self) -> Result<Vec<String>> {
        let mut stamps = Vec::new();
        for folder in [Some(&self.model), self.adapter.as_ref()]
            .into_iter()
            .flatten()
        {
            let mut files = vec![folder.clone()];
            if folder.is_dir() {
                let entries = std::fs::read_dir(folder)?.collect::<std::io::Result<Vec<_>>>()?;
                files = entries.iter().map(std::fs::DirEntry::path).collect();
                files.sort();
            }
            for file in files {
                let about = std::fs::metadata(&file)?;
                let time = about
                    .modified()?
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or_default();
                stamps.push(format!(
                    "{} {} {}",
                    file.display(),
                    about.len(),
                    time.as_nanos()
                ));
            }
        }
        Ok(stamps)
    }
}

/// A merge with its models open.
pub(super) struct Opened {
    pub(super) merge: Merge,
    /// Of each model, in the order of [`Recipe::inputs`].
    pub(super) places: Vec<Place>,
    /// The result's tokenizer, and the rows of its matrices that have one a token; none where it is simply the reference's.
    pub(super) tokenizer: Option<(Tokenizer, usize)>,
}

/// Opens the models of a recipe that lies in `root`, and plans the merge.
pub(super) fn open(recipe: &Recipe, root: &Path) -> Result<Opened> {
    let inputs = recipe.inputs();
    // Every path is looked up before any tensor is read.
    let places = inputs.iter().map(|name| Place::of(root, name));
    let places = places.collect::<Result<Vec<Place>>>()?;
    let mut readers = Vec::new();
    for (name, place) in inputs.iter().zip(&places) {
        readers.push(
            place
                .open()
                .with_context(|| format!("cannot open {name}"))?,
        );
    }
    let mut tokenizer = None;
    if let Some(setting) = &recipe.tokenizer {
        let mut models = Vec::new();
        for ((name, place), reader) in inputs.iter().zip(&places).zip(readers) {
            models.push((read_tokenizer(name, place)?, reader));
        }
        let unified = unify(recipe, setting, models)?;
        readers = unified.readers;
        tokenizer = Some((unified.tokenizer, unified.rows));
    }
    let mut readers = readers.into_iter();
    let merge = Merge::open(recipe, |name: &str| {
        readers.next().ok_or_else(|| sprat_merge::Error::Format {
            what: name.to_owned(),
            problem: "it was not opened".to_owned(),
        })
    })?;
    Ok(Opened {
        merge,
        places,
        tokenizer,
    })
}

/// A model's tokenizer.
pub(super) fn read_tokenizer(name: &str, place: &Place) -> Result<Tokenizer> {
    let bytes = folder_tokenizer(&place.model);
    let bytes = bytes.with_context(|| format!("cannot read the tokenizer of {name}"))?;
    Ok(Tokenizer::parse(name, &bytes)?)
}
