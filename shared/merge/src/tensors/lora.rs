//! A model with a LoRA adapter (arXiv 2106.09685) added to its weights.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::{ModelFolder, TensorReader};
use crate::{Error, Result};

/// What PEFT puts before the names of the model's tensors.
const PREFIX: &str = "base_model.model.";

/// `adapter_config.json`, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Config {
    peft_type: String,
    lora_alpha: f64,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default)]
    use_dora: bool,
    #[serde(default)]
    fan_in_fan_out: bool,
    #[serde(default)]
    alpha_pattern: Option<BTreeMap<String, f64>>,
}

/// Reads a model's weights W as W + s·B·A, with s = alpha / r, or alpha / √r of rank-stabilized LoRA (arXiv 2312.03732).
///
/// Modules that were trained whole replace the model's.
pub struct WithLora {
    model: Box<dyn TensorReader>,
    adapter: ModelFolder,
    /// Of each changed tensor the names of its A and B, and the scale.
    products: BTreeMap<String, (String, String, f32)>,
    /// Tensors that the adapter has whole, and their names there.
    whole: BTreeMap<String, String>,
}

impl WithLora {
    /// Opens a folder of PEFT: `adapter_config.json` and `adapter_model.safetensors`.
    ///
    /// # Errors
    /// [`Error::File`] or [`Error::Format`] when it is not one, is of another kind than LoRA, or changes something that
    /// `model` hasn't got.
    pub fn open(model: Box<dyn TensorReader>, folder: &Path) -> Result<Self> {
        let path = folder.join("adapter_config.json");
        let wrong = |problem: String| Error::Format {
            what: path.display().to_string(),
            problem,
        };
        let text = fs::read(&path).map_err(|source| Error::File {
            doing: "reading",
            path: path.clone(),
            source,
        })?;
        let config: Config = serde_json::from_slice(&text).map_err(|e| wrong(e.to_string()))?;
        if config.peft_type != "LORA" {
            return Err(wrong(format!(
                "an adapter of the kind {}, not LORA",
                config.peft_type
            )));
        }
        let unsupported = [
            ("use_dora", config.use_dora),
            ("fan_in_fan_out", config.fan_in_fan_out),
        ];
        if let Some((key, _)) = unsupported.into_iter().find(|(_, on)| *on) {
            return Err(wrong(format!("adapters with `{key}` can't be added")));
        }
        if let Some(pattern) = config.expression() {
            return Err(wrong(format!(
                "`alpha_pattern` with the expression `{pattern}` can't be read"
            )));
        }
        let adapter = ModelFolder::open(&folder.join("adapter_model.safetensors"))?;
        let mut lora = Self {
            model,
            adapter,
            products: BTreeMap::new(),
            whole: BTreeMap::new(),
        };
        for name in lora.adapter.names() {
            lora.add(&config, name).map_err(wrong)?;
        }
        Ok(lora)
    }

    /// Takes in one of the adapter's tensors.
    fn add(&mut self, config: &Config, name: String) -> std::result::Result<(), String> {
        let bare = name.strip_prefix(PREFIX).unwrap_or(&name).to_owned();
        let Some(module) = bare.strip_suffix(".lora_A.weight") else {
            if bare.ends_with(".lora_B.weight") {
                let other = name.replace(".lora_B.", ".lora_A.");
                let alone = || format!("`{name}` has no A of its own");
                return self.adapter.shape(&other).map(|_| ()).ok_or_else(alone);
            }
            return self.add_whole(&bare, name);
        };
        let target = format!("{module}.weight");
        let other = name.replace(".lora_A.", ".lora_B.");
        let shape = |name: &str| self.adapter.shape(name).unwrap_or_default();
        let (Some(weights), [rank, inner], [outer, columns]) =
            (self.model.shape(&target), &*shape(&name), &*shape(&other))
        else {
            return Err(format!(
                "`{name}` has no B of its own, or no `{target}` in the model"
            ));
        };
        if weights != [*outer, *inner] || rank != columns {
            return Err(format!(
                "`{name}` makes {outer} × {inner} of rank {rank} and {columns}, but `{target}` is {weights:?}"
            ));
        }
        let rank = (*rank).max(1) as f64;
        let rank = if config.use_rslora { rank.sqrt() } else { rank };
        let scale = (config.alpha(module) / rank) as f32;
        self.products.insert(target, (name, other, scale));
        Ok(())
    }

    /// A tensor that stands for the model's.
    fn add_whole(&mut self, bare: &str, name: String) -> std::result::Result<(), String> {
        if bare.contains(".lora_") {
            return Err(format!(
                "`{name}`: adapters of embeddings, and DoRA's magnitudes, can't be added"
            ));
        }
        let target = bare
            .replace(".modules_to_save.default.", ".")
            .replace(".base_layer.", ".");
        if self.model.shape(&target).is_none()
            || self.model.shape(&target) != self.adapter.shape(&name)
        {
            return Err(format!(
                "the model has no `{target}` of the shape of `{name}`"
            ));
        }
        self.whole.insert(target, name);
        Ok(())
    }
}

impl Config {
    /// The alpha of a module: that of the pattern that its name ends with, or that of all.
    fn alpha(&self, module: &str) -> f64 {
        let ends = |pattern: &str| {
            let rest = module.strip_suffix(pattern);
            rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        let patterns = self.alpha_pattern.iter().flatten();
        let found = patterns.into_iter().find(|(pattern, _)| ends(pattern));
        found.map_or(self.lora_alpha, |(_, alpha)| *alpha)
    }

    /// A pattern that is more than the end of a name.
    fn expression(&self) -> Option<&String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._".contains(c);
        self.alpha_pattern
            .iter()
            .flatten()
            .map(|(pattern, _)| pattern)
            .find(|pattern| !pattern.chars().all(plain))
    }
}

impl TensorReader for WithLora {
    fn names(&self) -> Vec<String> {
        self.model.names()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.model.shape(name)
    }

    fn read(&mut self, name: &str) -> Result<Vec<f32>> {
        if let Some(own) = self.whole.get(name) {
            return self.adapter.read(own);
        }
        let mut weights = self.model.read(name)?;
        if let Some((a, b, scale)) = self.products.get(name) {
            let inner = self
                .adapter
                .shape(a)
                .and_then(|shape| shape.last().copied());
            let inner = inner.unwrap_or(1).max(1);
            let (a, b) = (self.adapter.read(a)?, self.adapter.read(b)?);
            let rank = a.len() / inner;
            for (row, factors) in weights.chunks_mut(inner).zip(b.chunks(rank.max(1))) {
                for (factor, line) in factors.iter().zip(a.chunks(inner)) {
                    let factor = factor * scale;
                    row.iter_mut().zip(line).for_each(|(w, a)| *w += factor * a);
                }
            }
        }
        Ok(weights)
    }
}
