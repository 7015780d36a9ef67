//! What a run starts from: a tokenizer and a model, and whether two recipes are one run.

use std::path::Path;

use burn::tensor::Device;
use sprat_model::{Decoder, ModelConfig};
use tokenizers::Tokenizer;

use super::checkpoint;
use super::expand;
use super::recipe::Recipe;
use crate::{Error, Result, tokenizer};

/// The recipe's tokenizer, the initial model's, or a new one.
pub(super) fn find_tokenizer(recipe: &Recipe, data_root: Option<&Path>) -> Result<Tokenizer> {
    match (&recipe.tokenizer, &recipe.train.init) {
        (Some(path), _) => tokenizer::load(path),
        (None, Some(init)) => tokenizer::load(&init.join("tokenizer.json")),
        (None, None) => tokenizer::train_on(&recipe.data, data_root, recipe.train.seed),
    }
}

/// The initial model of the recipe: `train.init`, or random weights in the shape of `[model]`.
pub(super) fn fresh_model(
    recipe: &Recipe,
    tokenizer: &Tokenizer,
    device: &Device,
) -> Result<(ModelConfig, Decoder)> {
    let vocabulary = tokenizer::size(tokenizer);
    let (config, decoder) = match &recipe.train.init {
        Some(init) => {
            let (config, decoder) = checkpoint::load_model(init, device)?;
            if recipe.model.is_empty() {
                (config, decoder)
            } else {
                let wanted = recipe.model_config(vocabulary, tokenizer::END)?;
                fit_to(wanted, config, decoder, device)?
            }
        }
        None => {
            let config = recipe.model_config(vocabulary, tokenizer::END)?;
            let decoder = Decoder::new(&config, recipe.train.seed, device);
            (config, decoder)
        }
    };
    if config.vocab_size < vocabulary {
        let problem = format!("is below the tokenizer's {vocabulary} entries");
        return Err(Error::recipe("model.vocab_size", problem));
    }
    Ok((config, decoder))
}

/// The initial model, with more layers where the recipe's `[model]` wants more.
pub(super) fn fit_to(
    wanted: ModelConfig,
    config: ModelConfig,
    decoder: Decoder,
    device: &Device,
) -> Result<(ModelConfig, Decoder)> {
    if !wanted.deepens(&config) {
        let problem = "differs from train.init's config.json in more than additional layers; \
                       leave [model] out";
        return Err(Error::recipe("model", problem));
    }
    if wanted == config {
        return Ok((config, decoder));
    }
    let expanded = expand::expand(&decoder, &config, &wanted, device)?;
    Ok((wanted, expanded))
}

/// The recipe without what a resume may change: lengths, and paths that only the start reads.
pub(super) fn comparable(recipe: &Recipe) -> Result<String> {
    let mut recipe = recipe.clone();
    recipe.tokenizer = None;
    recipe.train.init = None;
    recipe.train.steps = 0;
    recipe.train.max_minutes = None;
    recipe.train.plan.clear();
    recipe.to_toml()
}
