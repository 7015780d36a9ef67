//! Combines the weights of several models into one, without training.
//!
//! A [`Recipe`] is a YAML file in the form that mergekit made common: which models, which method,
//! with which parameters. [`Merge::open`] opens the models, checks that they fit together and makes
//! a [`Plan`] that says for each tensor what will be done to it; [`Merge::run`] then goes through
//! the tensors one by one, so that no model is ever in memory as a whole. [`merge()`] does both.
//!
//! The methods themselves are pure functions of slices in [`methods`], one file each: the 20 of
//! mergekit 0.1.
//!
//! All arithmetic is in `f32` and `f64`, whatever the models are stored in. `dtype` and `out_dtype` of a
//! recipe only decide how the result is stored: a merge of `bfloat16` models is rounded once, at
//! the end.
//!
//! ```
//! use sprat_merge::{MemoryTensors, Recipe, TensorReader, merge};
//!
//! let recipe = Recipe::parse("
//! models:
//!   - model: left
//!     parameters: {weight: 0.25}
//!   - model: right
//!     parameters: {weight: 0.75}
//! merge_method: linear
//! ")?;
//! let open = |name: &str| {
//!     let value = if name == "left" { 1.0 } else { 3.0 };
//!     let mut model = MemoryTensors::default();
//!     model.insert("w", vec![2], vec![value; 2])?;
//!     Ok(Box::new(model) as Box<dyn TensorReader>)
//! };
//! let mut merged = Vec::new();
//! merge(&recipe, open, |_name, _shape, values| Ok(merged = values), |_| {})?;
//! assert_eq!(merged, [2.5, 2.5]);
//! # Ok::<(), sprat_merge::Error>(())
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod error;
#[cfg(feature = "evolve")]
pub mod evolve;
mod masks;
mod merge;
pub mod methods;
mod parallel;
mod plan;
mod recipe;
mod tensors;
mod tokens;

pub use error::{Error, Result};
pub use masks::{MaskSource, SeededMasks};
pub use merge::{Merge, Progress, Report, merge};
pub use methods::Method;
pub use plan::{Inventory, Plan, PlannedTensor, Step, plan};
pub use recipe::{
    ChatTemplateSource, Dtype, Parameter, Parameters, Recipe, Rule, Setting, Slice, SliceSource,
    Source, TokenRule, TokenSource, TokenizerSetting, TokenizerSource,
};
pub use tensors::{
    MemoryTensors, ModelFolder, SCALE_SUFFIX, SafetensorsReader, SafetensorsWriter, Shards,
    TensorReader, WithLora, encode, write_file,
};
pub use tokens::{Tokenizer, Unified, unify};
