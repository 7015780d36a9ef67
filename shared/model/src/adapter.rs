//! LoRA adapters (arXiv 2106.09685) in PEFT's files: small changes of a model that are computed beside its weights.

use std::collections::BTreeMap;

use safetensors::tensor::SafeTensors;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::layers::Maps;
use crate::weights::floats;
use crate::{Error, Fingerprint};

/// Name of an adapter's settings.
pub const ADAPTER_CONFIG: &str = "adapter_config.json";
/// Name of an adapter's tensors.
pub const ADAPTER_WEIGHTS: &str = "adapter_model.safetensors";
/// The most of an adapter that can be asked for, as a multiple of it: beyond that there is nothing left of the model.
pub const MAX_ADAPTER_SCALE: f64 = 10.0;
/// What PEFT puts before the names of the model's modules.
const PREFIX: &str = "base_model.model.";
const A: &str = ".lora_A.weight";
const B: &str = ".lora_B.weight";

/// Settings that make something else of an adapter than W + s B A. Those that add tensors are found by these.
const CHANGES_THE_RESULT: [&str; 11] = [
    "use_dora",
    "use_qalora",
    "use_bdlora",
    "lora_bias",
    "bias",
    "fan_in_fan_out",
    "alora_invocation_tokens",
    "arrow_config",
    "kasa_config",
    "layer_replication",
    "monteclora_config",
];
/// Beginnings that leave the model's weights as they are; others take something out of them before training.
const BEGINNINGS: [&str; 3] = ["gaussian", "eva", "orthogonal"];

/// What an adapter adds to linear maps of one shape of model, on the host.
#[derive(Debug, Clone)]
pub struct Adapter {
    factors: BTreeMap<String, Factors>,
    fingerprint: Fingerprint,
}

/// What is added to one module's weights, `[out, in]`: B A.
#[derive(Debug, Clone)]
pub(crate) struct Factors {
    pub(crate) rank: usize,
    pub(crate) input: usize,
    pub(crate) out: usize,
    /// `[rank, in]`
    pub(crate) a: Vec<f32>,
    /// `[out, rank]`, times the adapter's scale.
    pub(crate) b: Vec<f32>,
}

impl Adapter {
    /// Reads what PEFT's `save_pretrained` writes: `adapter_config.json` and `adapter_model.safetensors`. The scale is
    /// alpha / rank, or alpha / √rank where it is rank-stabilized (arXiv 2312.03732).
    ///
    /// # Errors
    /// [`Error::Adapter`] for another kind of adapter than plain LoRA and for tensors that do not fit each other;
    /// [`Error::Json`], [`Error::Safetensors`], [`Error::Dtype`], [`Error::WeightNotFinite`].
    // As for `Model::set_adapter`.
    #[inline(never)]
    pub fn from_peft(config: &[u8], weights: &[u8]) -> Result<Self, Error> {
        let settings = serde_json::from_slice(config).map_err(|e| Error::Json {
            file: ADAPTER_CONFIG,
            reason: e.to_string(),
        })?;
        let settings = Settings(settings);
        settings.check()?;
        let tensors = SafeTensors::deserialize(weights).map_err(|e| Error::Safetensors {
            file: ADAPTER_WEIGHTS.to_owned(),
            reason: e.to_string(),
        })?;
        let mut factors = BTreeMap::new();
        for name in tensors.names() {
            if let Some(module) = name.strip_suffix(A) {
                let bare = module.strip_prefix(PREFIX).unwrap_or(module);
                let read = Factors::read(module, bare, &settings, &tensors)?;
                factors.insert(bare.to_owned(), read);
            } else if name.strip_suffix(B).is_none() {
                return Err(wrong(
                    name,
                    "only matrices A and B of linear maps can be read; train without biases, DoRA, embeddings and modules_to_save",
                ));
            }
        }
        // As many B: each A has found its own.
        if factors.is_empty() || tensors.len() != 2 * factors.len() {
            let problem = "every lora_A must have a lora_B, and there must be one at least";
            return Err(wrong(ADAPTER_WEIGHTS, problem));
        }
        let mut hash = Sha256::new();
        for part in [config, weights] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let fingerprint = hash.finalize().into();
        Ok(Self {
            factors,
            fingerprint,
        })
    }

    /// Reads a folder of PEFT.
    ///
    /// # Errors
    /// As [`Adapter::from_peft`]; [`Error::Missing`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(folder: &std::path::Path) -> Result<Self, Error> {
        let read = |file: &str| {
            let path = folder.join(file);
            std::fs::read(&path).map_err(|e| Error::Missing {
                file: path.display().to_string(),
                reason: e.to_string(),
            })
        };
        Self::from_peft(&read(ADAPTER_CONFIG)?, &read(ADAPTER_WEIGHTS)?)
    }

    /// The same with `scale` times as much of it: W + scale (alpha / rank) B A. With 0 nothing is added, and a negative scale
    /// takes away what the adapter adds. At every scale but 1 it is another adapter, with a fingerprint of its own: keys and values of
    /// one are not the other's.
    ///
    /// # Errors
    /// [`Error::Adapter`] for what is no number from -[`MAX_ADAPTER_SCALE`] to [`MAX_ADAPTER_SCALE`].
    // As for `Model::set_adapter`.
    #[inline(never)]
    pub fn scaled(mut self, scale: f64) -> Result<Self, Error> {
        if scale.is_nan() || scale.abs() > MAX_ADAPTER_SCALE {
            let range =
                format!("it must be a number from -{MAX_ADAPTER_SCALE} to {MAX_ADAPTER_SCALE}");
            return Err(wrong("scale", &range));
        }
        if scale == 1.0 {
            return Ok(self);
        }
        for (module, own) in &mut self.factors {
            own.scale(scale, module)?;
        }
        self.fingerprint = Sha256::new()
            .chain_update(self.fingerprint)
            .chain_update(scale.to_le_bytes())
            .finalize()
            .into();
        Ok(self)
    }

    /// SHA-256 of its files, and of what it was scaled by.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// How many numbers A and B have, of all modules.
    pub fn parameters(&self) -> u64 {
        let numbers = self.factors.values().map(|own| own.a.len() + own.b.len());
        numbers.sum::<usize>() as u64
    }

    /// What is added to the weights of the module of this name.
    pub(crate) fn factors(&self, module: &str) -> Option<&Factors> {
        self.factors.get(module)
    }

    /// Whether each change is one of these maps', in its shape.
    pub(crate) fn check(&self, maps: &Maps<'_>) -> Result<(), Error> {
        for (module, factors) in &self.factors {
            let Some((_, parts)) = maps.iter().find(|(name, _)| name == module) else {
                return Err(wrong(
                    module,
                    "the model has no linear map of this name that can be changed; embeddings, heads that share their weights, and experts can't",
                ));
            };
            let shapes = parts.iter().map(|part| part.shape());
            let out = shapes.clone().map(|[out, _]| out).sum::<usize>();
            let input = shapes.map(|[_, input]| input).max().unwrap_or(0);
            if [factors.out, factors.input] != [out, input] {
                let (own_out, own) = (factors.out, factors.input);
                return Err(wrong(
                    module,
                    &format!(
                        "it is {own_out} × {own}, and the model's {out} × {input}: the adapter is another model's"
                    ),
                ));
            }
        }
        Ok(())
    }
}

impl Factors {
    /// A and B of a module, whose name has no prefix in `bare`.
    fn read(
        module: &str,
        bare: &str,
        settings: &Settings,
        tensors: &SafeTensors<'_>,
    ) -> Result<Self, Error> {
        let matrix = |end: &str| {
            let name = format!("{module}{end}");
            let tensor = tensors.tensor(&name);
            let tensor = tensor.map_err(|_| wrong(&name, "it is missing"))?;
            let values = floats(&name, tensor.dtype(), tensor.data())?;
            if let Some(index) = values.iter().position(|v| !v.is_finite()) {
                return Err(Error::WeightNotFinite { name, index });
            }
            match *tensor.shape() {
                [rows, columns] if rows > 0 && columns > 0 => Ok(([rows, columns], values)),
                _ => Err(wrong(&name, "it is no matrix")),
            }
        };
        let ([rank, input], a) = matrix(A)?;
        let ([out, columns], b) = matrix(B)?;
        let (told, alpha) = settings.rank_and_alpha(bare)?;
        if rank != columns || told != rank as f64 {
            let ranks = format!("A has rank {rank}, B {columns}, and {ADAPTER_CONFIG} says {told}");
            return Err(wrong(bare, &ranks));
        }
        let divisor = match settings.0["use_rslora"] == true {
            true => told.sqrt(),
            false => told,
        };
        let mut read = Self {
            rank,
            input,
            out,
            a,
            b,
        };
        read.scale(alpha / divisor, bare)?;
        Ok(read)
    }

    /// Multiplies what is added to the module of this name.
    fn scale(&mut self, scale: f64, module: &str) -> Result<(), Error> {
        let scale = scale as f32;
        self.b.iter_mut().for_each(|b| *b *= scale);
        match self.b.iter().all(|b| b.is_finite()) {
            true => Ok(()),
            false => Err(wrong(module, "its lora_alpha is too large")),
        }
    }
}

/// `adapter_config.json`.
struct Settings(Value);

impl Settings {
    /// Whether A and B are all there is to the adapter.
    fn check(&self) -> Result<(), Error> {
        let all = &self.0;
        if all["peft_type"] != "LORA" {
            return Err(wrong("peft_type", "it must be LORA"));
        }
        let is_off = |value: &Value| match value {
            Value::Null | Value::Bool(false) => true,
            Value::String(text) => text == "none",
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            _ => false,
        };
        if let Some(key) = CHANGES_THE_RESULT.iter().find(|key| !is_off(&all[**key])) {
            return Err(wrong(key, "this is not supported; train plain LoRA"));
        }
        match &all["init_lora_weights"] {
            Value::String(text) if !BEGINNINGS.contains(&&**text) => Err(wrong(
                "init_lora_weights",
                "training began by changing the model; let PEFT convert the adapter (path_initial_model_for_weight_conversion)",
            )),
            _ => Ok(()),
        }
    }

    /// Rank and alpha of a module.
    fn rank_and_alpha(&self, module: &str) -> Result<(f64, f64), Error> {
        let of = |key: &'static str, patterns: &'static str| {
            let own = self.of_pattern(patterns, module)?;
            let number = own.or_else(|| self.0[key].as_f64());
            number.ok_or_else(|| wrong(key, "it must be a number"))
        };
        Ok((of("r", "rank_pattern")?, of("lora_alpha", "alpha_pattern")?))
    }

    /// What the pattern that the module's name ends with has for it.
    fn of_pattern(&self, key: &'static str, module: &str) -> Result<Option<f64>, Error> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._".contains(c);
        let mut found = None;
        for (pattern, value) in self.0[key].as_object().into_iter().flatten() {
            if !pattern.chars().all(plain) {
                return Err(wrong(key, "names are read, and expressions are not"));
            }
            let rest = module.strip_suffix(&**pattern);
            if rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.')) {
                let value = value.as_f64();
                if found.is_some_and(|before| Some(before) != value) || value.is_none() {
                    return Err(wrong(key, "a module must have one number"));
                }
                found = value;
            }
        }
        Ok(found)
    }
}

fn wrong(what: &str, problem: &str) -> Error {
    Error::Adapter {
        what: what.to_owned(),
        problem: problem.to_owned(),
    }
}
