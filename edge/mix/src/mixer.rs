//! Parents in memory, and what a recipe makes of them.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::rc::Rc;

use sprat_merge::{
    Error, Merge, Progress, Recipe, Result, SafetensorsReader, Shards, TensorReader,
};

use crate::like::Like;

/// Models that can be mixed, by the names that recipes give them.
///
/// Holds each as it is stored, and while it mixes one tensor of each as floats.
#[derive(Default)]
pub struct Mixer {
    models: BTreeMap<String, Vec<Rc<[u8]>>>,
}

/// The weights of a mix.
pub struct Mixed {
    /// Safetensors, as many and of the same form as those of the recipe's base, or of its first model without one.
    pub shards: Vec<Vec<u8>>,
    /// What in the recipe had no effect.
    pub warnings: Vec<String>,
}

impl Mixer {
    /// Adds a model: all its safetensors, whole. One of that name is replaced.
    pub fn add(&mut self, name: impl Into<String>, shards: Vec<Vec<u8>>) {
        let shards = shards.into_iter().map(Rc::from).collect();
        self.models.insert(name.into(), shards);
    }

    /// Whether a model of that name was added.
    pub fn has(&self, name: &str) -> bool {
        self.models.contains_key(name)
    }

    /// Drops all models but those that `keep` says yes to.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.models.retain(|name, _| keep(name));
    }

    /// Runs a recipe, written as mergekit's YAML or as JSON, which is YAML too. What is stored in blocks of integers
    /// becomes blocks of integers again; a recipe's `dtype` has no say in that.
    ///
    /// # Errors
    /// Those of parsing, planning and running a recipe; [`Error::Models`] for one that names a model that was not
    /// added, or that changes the model's layers, of which the config would have to tell.
    pub fn mix(&self, recipe: &str, progress: impl FnMut(Progress<'_>)) -> Result<Mixed> {
        let recipe = Recipe::parse(recipe)?;
        let refused = |problem: String| Error::Models {
            method: recipe.method.name(),
            problem,
        };
        if recipe.tokenizer.is_some() {
            return Err(refused(
                "a mix keeps its models' tokenizer; `sprat merge` makes others".to_owned(),
            ));
        }
        let shards = |name: &str| {
            let missing = || refused(format!("`{name}` was not added to the mixer"));
            self.models.get(name).ok_or_else(missing)
        };
        let mut merge = Merge::open(&recipe, |name| open(name, shards(name)?))?;
        if !merge.plan().layers.is_empty() {
            return Err(refused(
                "slices change a model's layers; `sprat merge` makes such models".to_owned(),
            ));
        }
        let reference = recipe.reference();
        let mut like = Like::new(reference, shards(reference)?)?;
        let report = merge.run(|name, _, values| like.write(name, &values), progress)?;
        Ok(Mixed {
            shards: like.finish()?,
            warnings: report.warnings,
        })
    }
}

fn open(name: &str, shards: &[Rc<[u8]>]) -> Result<Box<dyn TensorReader>> {
    let readers = shards.iter().map(|bytes| {
        let bytes = Cursor::new(bytes.clone());
        SafetensorsReader::new(bytes, format!("model `{name}`"))
    });
    Ok(Box::new(Shards::new(readers.collect::<Result<_>>()?)?))
}

#[cfg(test)]
#[path = "mixer_tests.rs"]
mod tests;
