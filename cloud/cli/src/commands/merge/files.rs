//! The files of a model beside its weights.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value};
use sprat_merge::{ChatTemplateSource, Dtype, Tokenizer};
use sprat_model::chat_settings;

/// Keys of configs that are lists with an entry for each layer.
const PER_LAYER: [&str; 2] = ["layer_types", "no_rope_layers"];

/// The result's `config.json`: the reference's, changed.
pub(super) struct Config {
    /// For errors.
    name: String,
    map: Map<String, Value>,
}

impl Config {
    /// The config of the model that the result is like.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("config.json");
        let name = path.display().to_string();
        let text = std::fs::read(&path).with_context(|| format!("cannot read {name}"))?;
        let map = serde_json::from_slice(&text)
            .with_context(|| format!("{name} is not a JSON object"))?;
        Ok(Self { name, map })
    }

    /// How the weights are stored.
    pub(super) fn set_storage(&mut self, dtype: Dtype) {
        // transformers 5 calls it `dtype`.
        for key in ["torch_dtype", "dtype"] {
            if self.map.contains_key(key) {
                self.map.insert(key.to_owned(), dtype.name().into());
            }
        }
    }

    /// The layers of a recipe with slices, each with the model and the layer that it is like: lists with an entry for each
    /// layer get those of the layers that the new ones are like.
    pub(super) fn set_layers(&mut self, layers: &[(usize, usize)]) -> Result<()> {
        if layers.is_empty() {
            return Ok(());
        }
        for key in PER_LAYER {
            let Some(list) = self.map.get_mut(key).and_then(Value::as_array_mut) else {
                continue;
            };
            let like = layers.iter().map(|(_, layer)| list.get(*layer).cloned());
            let like: Option<Vec<_>> = like.collect();
            *list = like.with_context(|| format!("`{key}` of {} is too short", self.name))?;
        }
        self.map
            .insert("num_hidden_layers".to_owned(), layers.len().into());
        Ok(())
    }

    /// The vocabulary, which was `old`.
    pub(super) fn set_tokens(&mut self, tokenizer: &Tokenizer, rows: usize, old: &Tokenizer) {
        tokenizer.renumber(&mut self.map, old);
        self.map.insert("vocab_size".to_owned(), rows.into());
    }

    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(&self.map)?;
        let path = folder.join("config.json");
        std::fs::write(&path, text + "\n")
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

/// The chat template that a recipe wants, over the one that came with the tokenizer.
pub(super) fn write_chat_template<'a>(
    source: &ChatTemplateSource,
    models: impl Iterator<Item = &'a Path>,
    out: &Path,
) -> Result<()> {
    let template = match source {
        ChatTemplateSource::Text(text) => text.clone(),
        ChatTemplateSource::MostCommon => {
            let of = |model: &Path| Ok(chat_settings(model)?.template);
            let templates = models.map(of).collect::<Result<Vec<_>>>()?;
            let templates: Vec<String> = templates.into_iter().flatten().collect();
            let count = |text: &String| templates.iter().filter(|other| *other == text).count();
            // Of equals the first.
            let best = templates.iter().rev().max_by_key(|text| count(text));
            let missing = "`chat_template: auto`, but none of the models has one";
            best.context(missing)?.clone()
        }
    };
    std::fs::write(out.join("chat_template.jinja"), template)?;
    Ok(())
}

/// The tokenizer and what belongs to it, as a model has them.
pub(super) fn copy_tokenizer(from: &Path, out: &Path) -> Result<()> {
    for file in [
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "generation_config.json",
        "chat_template.jinja",
    ] {
        let path = from.join(file);
        if path.exists() {
            std::fs::copy(&path, out.join(file))
                .with_context(|| format!("cannot copy {}", path.display()))?;
        }
    }
    Ok(())
}
