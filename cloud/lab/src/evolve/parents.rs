//! The parents, in memory, and the candidates that are made of them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sprat_merge::{Merge, ModelFolder, Recipe, TensorReader};
use sprat_model::{
    ChatSettings, Checkpoint, Device, Model, ModelConfig, Storage, chat_settings, folder_tokenizer,
};

use super::job::Job;
use crate::{Error, Result};

/// A tensor: its shape and its values.
type Tensor = (Vec<usize>, Arc<Vec<f32>>);

/// All models of a job: weights, and what is the same in all of them.
pub(super) struct Parents {
    /// By the names that recipes give them, in the order of the job, the base first.
    models: Vec<(String, Weights)>,
    common: Arc<Common>,
}

/// What all parents, and so all candidates, have in common.
struct Common {
    config: ModelConfig,
    tokenizer: Vec<u8>,
    chat: ChatSettings,
}

/// A model's tensors, in the order in which they are stored.
#[derive(Clone, Default)]
pub(super) struct Weights {
    names: Vec<String>,
    tensors: HashMap<String, Tensor>,
}

impl Weights {
    fn read(path: &Path) -> Result<Self> {
        let failed =
            |source| Error::merge(format!("read the weights of {}", path.display()))(source);
        let single = path.join("model.safetensors");
        let file = if single.is_file() { &*single } else { path };
        let mut folder = ModelFolder::open(file).map_err(failed)?;
        let mut weights = Self::default();
        for name in folder.names() {
            let values = folder.read(&name).map_err(failed)?;
            let shape = folder.shape(&name).unwrap_or_default();
            weights.insert(&name, shape, values);
        }
        Ok(weights)
    }

    /// Adds a tensor of another model under another name, without copying it.
    pub(super) fn share(&mut self, name: String, other: &Self, of: &str) {
        if let Some(tensor) = other.tensors.get(of) {
            self.tensors.insert(name.clone(), tensor.clone());
            self.names.push(name);
        }
    }

    fn insert(&mut self, name: &str, shape: Vec<usize>, values: Vec<f32>) {
        self.names.push(name.to_owned());
        self.tensors
            .insert(name.to_owned(), (shape, Arc::new(values)));
    }

    /// All values in one list, tensor by tensor.
    pub(super) fn flat(&self) -> Vec<f32> {
        let values = self.names.iter().map(|name| &*self.tensors[name].1);
        values.flatten().copied().collect()
    }

    /// Tensors of the same names and shapes with other values.
    pub(super) fn with_flat(&self, flat: &[f32]) -> Self {
        let mut weights = Self::default();
        let mut rest = flat;
        for name in &self.names {
            let (shape, values) = &self.tensors[name];
            let (own, others) = rest.split_at(values.len());
            weights.insert(name, shape.clone(), own.to_vec());
            rest = others;
        }
        weights
    }

    /// Tensors with their shapes and values, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &[usize], &[f32])> {
        self.names.iter().map(|name| {
            let (shape, values) = &self.tensors[name];
            (&**name, &**shape, &***values)
        })
    }
}

impl TensorReader for Weights {
    fn names(&self) -> Vec<String> {
        self.names.clone()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.tensors.get(name).map(|(shape, _)| shape.clone())
    }

    fn read(&mut self, name: &str) -> sprat_merge::Result<Vec<f32>> {
        match self.tensors.get(name) {
            Some((_, values)) => Ok(values.to_vec()),
            None => Err(sprat_merge::Error::Format {
                what: format!("tensor `{name}`"),
                problem: "there is no such tensor".into(),
            }),
        }
    }
}

impl Parents {
    /// Reads all models of a job; `resolve` finds the folder of each.
    ///
    /// # Errors
    /// [`Error::Merge`], [`Error::Model`] for what is no model, [`Error::Job`] for models that don't go together.
    pub(super) fn read(job: &Job, resolve: &dyn Fn(&Path) -> Result<PathBuf>) -> Result<Self> {
        let mut models = Vec::new();
        let mut first: Option<(String, Common)> = None;
        for path in job.models.base.iter().chain(&job.models.parents) {
            let name = path.display().to_string();
            if models.iter().any(|(other, _)| *other == name) {
                return Err(Error::job("models", format!("names {name} twice")));
            }
            let folder = resolve(path)?;
            let common = Common::read(&folder)?;
            match &first {
                None => first = Some((name.clone(), common)),
                Some((other, expected)) => expected.compare(&common, other, &name)?,
            }
            models.push((name, Weights::read(&folder)?));
        }
        let (_, common) = first.ok_or_else(|| Error::job("models.parents", "is empty"))?;
        Ok(Self {
            models,
            common: Arc::new(common),
        })
    }

    /// The models by name.
    pub(super) fn models(&self) -> &[(String, Weights)] {
        &self.models
    }

    /// What a folder of the result has besides weights: names and contents.
    pub(super) fn files(&self, config: &ModelConfig) -> Vec<(&'static str, Vec<u8>)> {
        let Common {
            tokenizer, chat, ..
        } = &*self.common;
        let settings = serde_json::json!({
            "bos_token": chat.bos_token,
            "eos_token": chat.eos_token,
            "tokenizer_class": "PreTrainedTokenizerFast",
        });
        let mut files = vec![
            (
                "config.json",
                format!("{:#}\n", config.to_json()).into_bytes(),
            ),
            ("tokenizer.json", tokenizer.clone()),
            (
                "tokenizer_config.json",
                format!("{settings:#}\n").into_bytes(),
            ),
        ];
        let template = chat.template.as_ref();
        files.extend(template.map(|text| ("chat_template.jinja", text.clone().into_bytes())));
        files
    }

    /// The weights that a recipe makes.
    ///
    /// # Errors
    /// [`Error::Merge`].
    pub(super) fn merge(&self, recipe: &Recipe) -> Result<Weights> {
        let failed = |source| Error::merge("merge a candidate")(source);
        let open = |name: &str| match self.models.iter().find(|(model, _)| model == name) {
            Some((_, weights)) => Ok(Box::new(weights.clone()) as Box<dyn TensorReader>),
            None => Err(sprat_merge::Error::Format {
                what: format!("model `{name}`"),
                problem: "is none of the job's".into(),
            }),
        };
        let mut merged = Weights::default();
        let mut merge = Merge::open(recipe, open).map_err(failed)?;
        let sink = |name: &str, shape: &[usize], values| {
            merged.insert(name, shape.to_vec(), values);
            Ok(())
        };
        merge.run(sink, |_| {}).map_err(failed)?;
        Ok(merged)
    }

    /// The config of all of them.
    pub(super) fn config(&self) -> &ModelConfig {
        &self.common.config
    }

    /// A model with these weights.
    ///
    /// # Errors
    /// [`Error::Model`].
    pub(super) fn model(
        &self,
        weights: Weights,
        config: &ModelConfig,
        storage: Storage,
        device: &Device,
    ) -> Result<Model> {
        let mut candidate = Candidate {
            weights,
            config: config.clone(),
            common: self.common.clone(),
        };
        let model = Model::from_checkpoint(&mut candidate, storage, device, &mut |_| {});
        model.map_err(Error::model("make a model of a candidate"))
    }
}

impl Common {
    fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("config.json");
        let json = std::fs::read(&path).map_err(Error::io("read", &path))?;
        let failed = || Error::model(format!("read {}", folder.display()));
        Ok(Self {
            config: ModelConfig::from_json(&json).map_err(failed())?,
            tokenizer: folder_tokenizer(folder).map_err(failed())?,
            chat: chat_settings(folder).map_err(failed())?,
        })
    }

    /// That candidates can have either.
    fn compare(&self, other: &Self, name: &str, other_name: &str) -> Result<()> {
        let differ = |what: &str| {
            let problem = format!("has {name} and {other_name}, whose {what} differ");
            Err(Error::job("models", problem))
        };
        if self.config.to_json() != other.config.to_json() {
            return differ("configs");
        }
        if self.tokenizer != other.tokenizer {
            return differ("tokenizers");
        }
        if self.chat.template != other.chat.template {
            return differ("chat templates");
        }
        Ok(())
    }
}

/// A model's weights with what all have in common.
struct Candidate {
    weights: Weights,
    config: ModelConfig,
    common: Arc<Common>,
}

impl Checkpoint for Candidate {
    fn name(&self) -> String {
        "candidate".to_owned()
    }

    fn config(&self) -> &ModelConfig {
        &self.config
    }

    fn read_tensor(
        &mut self,
        name: &str,
        shape: &[usize],
    ) -> std::result::Result<Vec<f32>, sprat_model::Error> {
        match self.weights.tensors.get(name) {
            Some((own, values)) if own == shape => Ok(values.to_vec()),
            Some((own, _)) => Err(sprat_model::Error::Shape {
                name: name.to_owned(),
                expected: shape.to_vec(),
                actual: own.clone(),
            }),
            None => Err(sprat_model::Error::TensorMissing(name.to_owned())),
        }
    }

    fn tokenizer(&mut self) -> std::result::Result<Vec<u8>, sprat_model::Error> {
        Ok(self.common.tokenizer.clone())
    }

    fn chat(&mut self) -> std::result::Result<ChatSettings, sprat_model::Error> {
        Ok(self.common.chat.clone())
    }
}
