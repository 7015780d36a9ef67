//! Recipes: what to merge and how, in mergekit's YAML.
//!
//! ```yaml
//! models:
//!   - model: base                      # the base may be listed; it needs no parameters
//!   - model: arithmetic
//!     parameters:
//!       density: [1, 0.7, 0.1]         # a gradient from the first layer to the last
//!       weight: 1.0
//!   - model: small-talk
//!     parameters:
//!       density: 0.33
//!       weight:
//!         - filter: mlp                # for tensors with "mlp" in their name
//!           value: 0.5
//!         - value: 0                   # for all others
//! merge_method: ties
//! base_model: base
//! parameters:
//!   normalize: true
//! dtype: float16
//! tokenizer_source: base
//! ```
//!
//! Beside mergekit's keys there are three of ours: `seed` at the top, for the methods that draw
//! masks, `compat: mergekit` for its results where they are known to be wrong, and `parameters: {consensus: sum | count}` for the
//! methods that elect signs.

mod parse;
mod parse_parameters;
mod parse_slices;
mod parse_tokenizer;
mod setting;
mod slice;
mod tokenizer;
mod write;

pub use setting::{Parameter, Parameters, Rule, Setting};
pub use slice::{Slice, SliceSource};
pub use tokenizer::{TokenRule, TokenSource, TokenizerSetting, TokenizerSource};

use crate::{Error, Method, Result};

/// Longer recipes are refused; real ones have a few hundred lines at most.
const MAX_BYTES: usize = 1 << 20;

/// What to merge and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    /// The models in order, with their own parameters; none where there are slices.
    pub models: Vec<Source>,
    /// The result's layers, slice by slice; none where whole models are merged.
    pub slices: Vec<Slice>,
    /// How they are merged.
    pub method: Method,
    /// The model that task vectors are measured from, and that `slerp` starts at.
    pub base_model: Option<String>,
    /// Parameters of the whole merge, and of models that don't give their own.
    pub parameters: Parameters,
    /// Storage type of the result if `out_dtype` does not say otherwise.
    pub dtype: Option<Dtype>,
    /// Storage type of the result.
    pub out_dtype: Option<Dtype>,
    /// The result's tokenizer; none where it is the reference's and the models' are taken to be the same.
    pub tokenizer: Option<TokenizerSetting>,
    /// The result's chat template; none leaves that of the tokenizer's model.
    pub chat_template: Option<ChatTemplateSource>,
    /// Seed of the random masks; 0 if the recipe gives none.
    pub seed: u64,
    /// Whether faults of mergekit that are known are made as well: `compat: mergekit`.
    pub mergekit_faults: bool,
}

/// One of the models of a recipe.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// Its name: a path, for a program that merges files.
    pub model: String,
    /// Its own parameters.
    pub parameters: Parameters,
}

/// Where the result's chat template comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChatTemplateSource {
    /// The one that most of the models have; of equals the first.
    MostCommon,
    /// This one.
    Text(String),
}

/// A storage type for weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// IEEE single precision.
    Float32,
    /// IEEE half precision.
    Float16,
    /// The upper half of single precision.
    BFloat16,
}

impl Dtype {
    /// All of them.
    pub const ALL: [Dtype; 3] = [Dtype::Float32, Dtype::Float16, Dtype::BFloat16];

    /// Its name in a recipe and in a `config.json`.
    pub fn name(self) -> &'static str {
        match self {
            Dtype::Float32 => "float32",
            Dtype::Float16 => "float16",
            Dtype::BFloat16 => "bfloat16",
        }
    }

    /// Bytes per value.
    pub fn bytes(self) -> usize {
        if self == Dtype::Float32 { 4 } else { 2 }
    }
}

impl Recipe {
    /// Reads a recipe.
    ///
    /// # Errors
    /// [`Error::Recipe`] for anything that is not a recipe: not YAML, a key, method or parameter
    /// that is not known, one that is known to mergekit but not supported here; and
    /// [`Error::Models`] if the models don't suit the method.
    pub fn parse(yaml: &str) -> Result<Self> {
        if yaml.len() > MAX_BYTES {
            let problem = format!("{} bytes are too many for a recipe", yaml.len());
            return Err(Error::Recipe {
                problem,
                line: None,
            });
        }
        let recipe = parse::recipe(yaml)?;
        recipe.validate()?;
        Ok(recipe)
    }

    /// Checks that the models suit the method. [`Recipe::parse`] has done so; a recipe made in code
    /// is checked by [`plan`](crate::plan()).
    pub fn validate(&self) -> Result<()> {
        let error = |problem: String| Error::Models {
            method: self.method.name(),
            problem,
        };
        if !self.slices.is_empty() {
            if !self.models.is_empty() {
                return Err(error("it has both `models` and `slices`".into()));
            }
            let mut numbered = self.slices.iter().enumerate();
            numbered.try_for_each(|(i, slice)| slice.validate(i + 1, self))?;
            return self.check_tokenizer();
        }
        let mut names: Vec<&str> = self.models.iter().map(|source| &*source.model).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(error(format!("model `{}` is listed twice", twice[0])));
        }
        if self.models.is_empty() {
            return Err(error("no models are listed".into()));
        }
        self.method
            .inputs()
            .check(self.base_model.is_some(), self.changed().count())
            .map_err(error)?;
        self.check_tokenizer()
    }

    fn check_tokenizer(&self) -> Result<()> {
        match &self.tokenizer {
            Some(setting) => setting.validate(self),
            None => Ok(()),
        }
    }

    /// The models that are read, in order: those listed, then the base if it is not among them.
    pub fn inputs(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.models.iter().map(|source| &*source.model).collect();
        for slice in &self.slices {
            let bases = slice.base_model.iter().map(String::as_str);
            for name in slice
                .sources
                .iter()
                .map(|source| &*source.model)
                .chain(bases)
            {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        if let Some(base) = self.base_model.as_deref()
            && !names.contains(&base)
        {
            names.push(base);
        }
        names
    }

    /// The listed models that are not the base.
    pub(crate) fn changed(&self) -> impl Iterator<Item = &Source> {
        self.models
            .iter()
            .filter(|source| Some(&source.model) != self.base_model.as_ref())
    }

    /// The model that decides what the result looks like, and whose `config.json` it has: the base,
    /// or the first model if there is none.
    pub fn reference(&self) -> &str {
        let first = || self.inputs().first().copied().unwrap_or_default();
        self.base_model.as_deref().unwrap_or_else(first)
    }

    /// The model whose tokenizer the result has, or begins with.
    pub fn tokenizer_model(&self) -> &str {
        match self.tokenizer.as_ref().map(|setting| &setting.source) {
            Some(TokenizerSource::Model(model)) => model,
            _ => self.reference(),
        }
    }

    /// The storage type of the result; none means that of the inputs.
    pub fn storage(&self) -> Option<Dtype> {
        self.out_dtype.or(self.dtype)
    }
}
