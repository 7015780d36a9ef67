//! Models put together from stretches of layers.

use std::ops::Range;

use super::{Parameters, Recipe, Rule, Setting, Source};
use crate::{Error, Result};

/// So many layers of the result, one after the other, each made of one layer of every source.
#[derive(Debug, Clone, PartialEq)]
pub struct Slice {
    /// Where its layers come from; all stretches are of one length.
    pub sources: Vec<SliceSource>,
    /// The base of this slice, if not that of the recipe.
    pub base_model: Option<String>,
    /// Parameters of all its sources, before those of the recipe.
    pub parameters: Parameters,
}

/// A stretch of a model's layers.
#[derive(Debug, Clone, PartialEq)]
pub struct SliceSource {
    /// The model's name.
    pub model: String,
    /// From the first of its layers to before the last.
    pub layers: Range<usize>,
    /// Parameters of this model.
    pub parameters: Parameters,
}

impl Slice {
    /// How many layers of the result it makes.
    pub fn len(&self) -> usize {
        self.sources.first().map_or(0, |source| source.layers.len())
    }

    /// Whether it makes none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its sources as a recipe for whole models. A base takes part only where it is one of the sources.
    pub(crate) fn recipe(&self, whole: &Recipe) -> Recipe {
        let source = |source: &SliceSource| Source {
            model: source.model.clone(),
            parameters: source.parameters.clone(),
        };
        let base = self.base_model.as_ref().or(whole.base_model.as_ref());
        let listed = |base: &&String| self.sources.iter().any(|s| s.model == **base);
        Recipe {
            models: self.sources.iter().map(source).collect(),
            slices: Vec::new(),
            base_model: base.filter(listed).cloned(),
            parameters: overlay(&self.parameters, &whole.parameters),
            ..whole.clone()
        }
    }

    /// That its stretches are of one length, and that its models suit the method.
    pub(super) fn validate(&self, number: usize, whole: &Recipe) -> Result<()> {
        let error = |problem: String| Error::Models {
            method: whole.method.name(),
            problem: format!("slice {number}: {problem}"),
        };
        if self.sources.is_empty() {
            return Err(error("it has no sources".into()));
        }
        for SliceSource { model, layers, .. } in &self.sources {
            if layers.is_empty() {
                let (start, end) = (layers.start, layers.end);
                let problem = format!("`layer_range: [{start}, {end}]` of `{model}` has no layers");
                return Err(error(problem));
            }
            if layers.len() != self.len() {
                let (first, own) = (&self.sources[0].model, layers.len());
                return Err(error(format!(
                    "it has {} layers of `{first}` but {own} of `{model}`",
                    self.len()
                )));
            }
        }
        self.recipe(whole)
            .validate()
            .map_err(|source| match source {
                Error::Models { problem, .. } => error(problem),
                other => other,
            })
    }
}

/// Parameters of which the nearer ones come first; where no rule of theirs fits, the others decide.
pub(super) fn overlay(near: &Parameters, far: &Parameters) -> Parameters {
    let mut both = far.clone();
    for (parameter, setting) in near {
        let setting = match (setting, far.get(parameter)) {
            (Setting::Rules(rules), Some(Setting::Rules(more))) => {
                Setting::Rules([rules.as_slice(), more.as_slice()].concat())
            }
            (Setting::Rules(rules), Some(value)) => {
                let rest = Rule {
                    filter: None,
                    value: value.clone(),
                };
                Setting::Rules([rules.as_slice(), &[rest]].concat())
            }
            (setting, _) => setting.clone(),
        };
        both.insert(*parameter, setting);
    }
    both
}
