//! A loaded model: decoder, tokenizer and chat template on one device.

use crate::tensor::Device;
#[cfg(not(target_arch = "wasm32"))]
use crate::tensor::{Tensor, TensorData};

#[cfg(not(target_arch = "wasm32"))]
use crate::cache::{KvCache, KvPool};
use crate::draft::Draft;
use crate::options::Options;
use crate::pack::{Check, DRAFT, MANIFEST, Manifest, PackFile, PackSource};
use crate::session::Session;
use crate::template::{ChatTemplate, Message};
use crate::tokenizer::Tokenizer;
use crate::{Adapter, Decoder, Error, Fingerprint, ModelConfig, Storage, TensorMap};
#[cfg(feature = "all-templates")]
use crate::{Extras, TemplateValue};

/// A model ready to answer.
pub struct Model {
    manifest: Manifest,
    config: ModelConfig,
    pub(crate) decoder: Decoder,
    /// A smaller model that guesses tokens for this one to check.
    pub(crate) draft: Option<Draft>,
    pub(crate) tokenizer: Tokenizer,
    /// None in a model that was not made for conversations.
    template: Option<ChatTemplate>,
    pub(crate) device: Device,
    pub(crate) end_ids: Vec<u32>,
    special_tokens: Vec<String>,
    /// Names the adapter that is on.
    pub(crate) adapter: Option<Fingerprint>,
}

/// How far loading is, in bytes of the pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadProgress {
    /// What is being done.
    pub stage: LoadStage,
    /// Bytes done.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

/// The steps of loading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadStage {
    /// Reading, hashing and decoding files, and putting tensors on the device.
    Weights,
    /// Computing the pack's known value.
    WarmUp,
}

/// Relative to 1e-2 all three backends agree far more closely; a wrong kernel misses by far.
const CHECK_TOLERANCE: f32 = 1e-2;
/// The same for quantized weights, which a CPU multiplies with activations in 8 bits and a GPU with
/// floats.
const QUANTIZED_TOLERANCE: f32 = 0.1;

impl Model {
    /// Reads a pack, verifying every file against its hashes before use, one shard at a time, and
    /// computes its known value once.
    ///
    /// # Errors
    /// Whatever is wrong with the pack, by file, tensor or option; [`Error::WarmUp`] when the
    /// device computes something else than the known value.
    pub async fn load<S: PackSource>(
        source: &S,
        device: &Device,
        progress: &mut dyn FnMut(LoadProgress),
    ) -> Result<Self, Error> {
        let manifest = Manifest::from_json(&source.read(MANIFEST).await?)?;
        let total = manifest.total_bytes();
        let config = ModelConfig::from_json(&verified(source, &manifest, "config.json").await?)?;
        let tokenizer =
            Tokenizer::from_json(&verified(source, &manifest, "tokenizer.json").await?)?;
        let template = verified(source, &manifest, "chat_template.jinja").await?;
        let template = String::from_utf8_lossy(&template);
        let template = ChatTemplate::new(&template, &manifest.bos_token, &manifest.eos_token)?;
        let mut done: u64 = 0;
        let mut report = |bytes| {
            done += bytes;
            progress(LoadProgress {
                stage: LoadStage::Weights,
                done,
                total,
            });
        };
        let shards = manifest.shards();
        let decoder = decoder(source, &manifest, shards, &config, device, &mut report).await?;
        let draft = draft(source, &manifest, &config, device, &mut report).await?;
        let template = Some(template);
        let mut model = Self::assemble(manifest, config, decoder, tokenizer, template, device)?;
        model.draft = draft;
        progress(LoadProgress {
            stage: LoadStage::WarmUp,
            done: total,
            total,
        });
        model.warm_up().await?;
        Ok(model)
    }

    /// Loads what lies at `path`: a pack, a Hugging Face folder, a GGUF file. The latter two are
    /// quantized to `storage`, or with [`Storage::F32`] as [`Checkpoint::load_as_stored`](crate::Checkpoint::load_as_stored)
    /// has them; a pack is as it is.
    ///
    /// # Errors
    /// As [`Model::load`] and [`Model::from_checkpoint`].
    #[cfg(not(target_arch = "wasm32"))]
    pub async fn open(
        path: &std::path::Path,
        storage: Storage,
        device: &Device,
        progress: &mut dyn FnMut(LoadProgress),
    ) -> Result<Self, Error> {
        if path.join(MANIFEST).is_file() {
            let source = crate::DirSource(path.to_owned());
            return Self::load(&source, device, progress).await;
        }
        let mut source = crate::open_checkpoint(path)?;
        Self::from_checkpoint(source.as_mut(), storage, device, progress)
    }

    /// Loads a Hugging Face folder or a GGUF file, as [`Model::open`] does. Nothing vouches for its bytes, and no
    /// known value proves the device: for packs there is [`Model::load`].
    ///
    /// # Errors
    /// Whatever is wrong with it, by file, tensor or option.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn from_checkpoint(
        source: &mut dyn crate::Checkpoint,
        storage: Storage,
        device: &Device,
        progress: &mut dyn FnMut(LoadProgress),
    ) -> Result<Self, Error> {
        let mut config = source.config().clone();
        let tokenizer = Tokenizer::from_json(&source.tokenizer()?)?;
        let chat = source.chat()?;
        config.add_eos_token_ids(&chat.eos_token_ids);
        let template = |text: &String| ChatTemplate::new(text, &chat.bos_token, &chat.eos_token);
        let template = chat.template.as_ref().map(template).transpose()?;
        let (mut tensors, storage) = match storage {
            Storage::F32 => (source.load_as_stored(device, progress)?, source.stored_as()),
            storage => (source.load_tensors(storage, device, progress)?, storage),
        };
        let decoder = Decoder::from_tensors(&config, &mut tensors)?;
        let manifest = Manifest {
            format: crate::FORMAT,
            name: source.name(),
            description: String::new(),
            license: String::new(),
            context: config.context(),
            parameters: config.parameters(),
            storage,
            bos_token: chat.bos_token.clone(),
            eos_token: chat.eos_token.clone(),
            examples: vec![],
            files: vec![],
            calibration: None,
            largest_buffer: None,
            check: None,
            bases: vec![],
        };
        Self::assemble(manifest, config, decoder, tokenizer, template, device)
    }

    fn assemble(
        manifest: Manifest,
        config: ModelConfig,
        decoder: Decoder,
        tokenizer: Tokenizer,
        template: Option<ChatTemplate>,
        device: &Device,
    ) -> Result<Self, Error> {
        if tokenizer.vocab_size() > config.vocab_size {
            return Err(Error::Config(format!(
                "vocab_size = {} but tokenizer.json has {} tokens",
                config.vocab_size,
                tokenizer.vocab_size()
            )));
        }
        let mut end_ids = config.eos_token_ids.clone();
        if !manifest.eos_token.is_empty() {
            let eos = tokenizer.id(&manifest.eos_token).ok_or_else(|| {
                let token = &manifest.eos_token;
                Error::Tokenizer(format!("the end token {token:?} is not in it"))
            })?;
            end_ids.push(eos);
        }
        let special_tokens = tokenizer.special_tokens();
        let device = device.clone();
        Ok(Self {
            manifest,
            config,
            decoder,
            draft: None,
            tokenizer,
            template,
            device,
            end_ids,
            special_tokens,
            adapter: None,
        })
    }

    /// The pack's manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The decoder's shape.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The decoder itself, for evaluation of whole texts.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// Adds an adapter to the weights, in the place of the one before, or takes it off: see [`Decoder::adapt`]. Conversations
    /// begin anew: what they remember is the other adapter's.
    ///
    /// What was measured of the model alone, a gate that was fitted for it, is not true of it with an adapter.
    ///
    /// # Errors
    /// [`Error::Adapter`] for one that was made for another model; nothing has changed then.
    // Inlined into the browser's crate it would be compiled for speed, as that is, to three times its size.
    #[inline(never)]
    pub fn set_adapter(&mut self, adapter: Option<&Adapter>) -> Result<(), Error> {
        self.decoder.adapt(adapter)?;
        self.adapter = adapter.map(Adapter::fingerprint);
        Ok(())
    }

    /// Names the adapter that is on: [`Adapter::fingerprint`].
    pub fn adapter(&self) -> Option<Fingerprint> {
        self.adapter
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The device the weights are on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Tokens of prompt and answer together.
    pub fn context(&self) -> usize {
        self.manifest.context.min(self.config.context())
    }

    /// Bytes that the weights take, the draft model's too, by their shapes.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn weight_bytes(&self) -> u64 {
        let bytes = |config| crate::weight_bytes(config, self.manifest.storage);
        let draft = self.draft.as_ref().map_or(0, |draft| bytes(&draft.config));
        bytes(&self.config) + draft
    }

    /// The tokens that end an answer.
    pub fn end_ids(&self) -> &[u32] {
        &self.end_ids
    }

    /// The template that makes a conversation a prompt, if the model has one.
    pub fn template(&self) -> Option<&ChatTemplate> {
        self.template.as_ref()
    }

    /// Token ids of a conversation, up to where the assistant's next answer begins; of a model
    /// without a chat template, those of the messages' bare texts. Special tokens that a message
    /// spells out are taken apart first, so that no text can pose as another role.
    ///
    /// # Errors
    /// [`Error::Template`] when the template refuses the messages, [`Error::Tokenizer`].
    pub fn prompt(&self, messages: &[Message]) -> Result<Vec<u32>, Error> {
        let defused: Vec<Message> = messages
            .iter()
            .map(|m| Message {
                role: m.role.clone(),
                content: self.defuse(&m.content),
            })
            .collect();
        match &self.template {
            Some(template) => self.tokenizer.encode(&template.render(&defused, true)?),
            None => {
                let texts: Vec<&str> = defused.iter().map(|m| m.content.as_str()).collect();
                self.tokenizer.encode_plain(&texts.join("\n"))
            }
        }
    }

    /// As [`Model::prompt`], for messages that may have more than a role and a text, and with tools that the model may call,
    /// as transformers' `apply_chat_template` takes them. A model without a template reads the texts only.
    ///
    /// # Errors
    /// As [`Model::prompt`].
    #[cfg(feature = "all-templates")]
    pub fn prompt_with_tools(
        &self,
        messages: &[serde_json::Value],
        tools: &[serde_json::Value],
    ) -> Result<Vec<u32>, Error> {
        let values = |all: &[serde_json::Value]| {
            let all = all.iter().map(|value| self.defuse_all(value));
            all.map(TemplateValue::from_serialize).collect::<Vec<_>>()
        };
        let Some(template) = &self.template else {
            let texts = messages.iter().filter_map(|m| m["content"].as_str());
            let texts: Vec<String> = texts.map(|text| self.defuse(text)).collect();
            return self.tokenizer.encode_plain(&texts.join("\n"));
        };
        let extras = Extras {
            tools: (!tools.is_empty()).then(|| values(tools)),
            documents: None,
        };
        let text = template.render_with(&values(messages), &extras, true)?;
        self.tokenizer.encode(&text)
    }

    /// [`Model::defuse`] for all texts inside of a value.
    #[cfg(feature = "all-templates")]
    fn defuse_all(&self, value: &serde_json::Value) -> serde_json::Value {
        use serde_json::Value;
        match value {
            Value::String(text) => Value::String(self.defuse(text)),
            Value::Array(all) => all.iter().map(|value| self.defuse_all(value)).collect(),
            Value::Object(fields) => {
                let fields = fields.iter();
                let defused =
                    fields.map(|(name, value)| (self.defuse(name), self.defuse_all(value)));
                Value::Object(defused.collect())
            }
            other => other.clone(),
        }
    }

    /// The mean of the last layer's normed states over these tokens: `hidden_size` numbers.
    ///
    /// # Errors
    /// [`Error::Prompt`] without tokens, [`Error::Device`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn mean_state(&self, tokens: &[u32]) -> Result<Vec<f32>, Error> {
        if tokens.is_empty() {
            return Err(Error::Prompt("it has no tokens".to_owned()));
        }
        let ids: Vec<i32> = tokens.iter().map(|&id| id as i32).collect();
        let ids = TensorData::new(ids, [1, tokens.len()]);
        let states = self.decoder.hidden(Tensor::from_data(ids, &self.device));
        let mean = states.mean_dim(1).into_data().convert::<f32>();
        mean.try_to_vec().map_err(|e| Error::Device(e.to_string()))
    }

    /// Bytes that the keys and values of one token take.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn cache_bytes_per_token(&self) -> usize {
        let cache = KvCache::of_type(self.config(), self.decoder.kv_type(), &self.device);
        cache.bytes_per_token()
    }

    /// A conversation with its own KV cache.
    pub fn session(&self) -> Session {
        Session::new(self)
    }

    /// Memory for the keys and values of many conversations, `positions` in all.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn pool(&self, positions: usize) -> KvPool {
        KvPool::new(
            self.config(),
            positions,
            self.decoder.kv_type(),
            &self.device,
        )
    }

    /// A conversation without memory, whose memory is going to be in `pool`, which was made by this model. It begins with
    /// what an earlier one of the same `scope` has in common with it.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn session_in(&self, pool: &KvPool, scope: u64) -> Session {
        Session::in_pool(self, pool, scope)
    }

    /// Puts a zero-width space into every special token that the text spells out.
    fn defuse(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for token in self
            .special_tokens
            .iter()
            .filter(|token| token.chars().count() > 1)
        {
            if text.contains(token.as_str()) {
                let mut chars = token.chars();
                let first = chars.next().unwrap_or_default();
                text = text.replace(token, &format!("{first}\u{200b}{}", chars.as_str()));
            }
        }
        text
    }

    /// Answers `prompt` greedily: the known value to store in the pack.
    ///
    /// # Errors
    /// As [`Session::generate`].
    pub async fn make_check(&self, prompt: &[u32], tokens: usize) -> Result<Check, Error> {
        let options = Options {
            max_tokens: tokens,
            ..Options::default()
        };
        let mut session = self.session();
        let mut generation = session.generate(self, prompt, options)?;
        let mut check = Check {
            prompt: prompt.to_vec(),
            tokens: vec![],
            logprobs: vec![],
        };
        while let Some(token) = generation.next().await {
            let token = token?;
            check.tokens.push(token.id);
            check.logprobs.push(token.logprob);
        }
        Ok(check)
    }

    /// Computes the pack's known value; also compiles every pipeline once.
    async fn warm_up(&self) -> Result<(), Error> {
        let Some(expected) = &self.manifest.check else {
            return Ok(());
        };
        let actual = self
            .make_check(&expected.prompt, expected.tokens.len())
            .await?;
        let tolerance = match self.manifest.storage {
            Storage::F32 | Storage::F16 => CHECK_TOLERANCE,
            Storage::Q8 | Storage::Q4 | Storage::Mixed => QUANTIZED_TOLERANCE,
        };
        let wrong = |reason: String| Err(Error::WarmUp { reason });
        if actual.tokens.len() != expected.tokens.len() {
            return wrong("another number of tokens than the pack's check".to_owned());
        }
        let tokens = actual.tokens.iter().zip(&expected.tokens);
        let logprobs = actual.logprobs.iter().zip(&expected.logprobs);
        for ((token, expected_token), (logprob, expected)) in tokens.zip(logprobs) {
            let off = (logprob - expected).abs();
            if off > tolerance || off.is_nan() {
                return wrong(format!("log-probabilities differ by {off}"));
            }
            match (token == expected_token, self.manifest.storage) {
                (true, _) => {}
                // Two tokens were as good as equally likely; what follows is another text.
                (false, Storage::Q8 | Storage::Q4 | Storage::Mixed) => return Ok(()),
                (false, _) => return wrong("other tokens than the pack's check".to_owned()),
            }
        }
        Ok(())
    }
}

/// The decoder whose weights are in these files of the pack.
async fn decoder<S: PackSource>(
    source: &S,
    manifest: &Manifest,
    shards: impl Iterator<Item = &PackFile>,
    config: &ModelConfig,
    device: &Device,
    report: &mut dyn FnMut(u64),
) -> Result<Decoder, Error> {
    let mut tensors = TensorMap::keeping_blocks();
    for shard in shards {
        let bytes = verified(source, manifest, &shard.path).await?;
        tensors.add_shard(&shard.path, &bytes, device)?;
        report(shard.size);
    }
    Decoder::from_tensors(config, &mut tensors)
}

/// The pack's draft model, if it has one.
async fn draft<S: PackSource>(
    source: &S,
    manifest: &Manifest,
    model: &ModelConfig,
    device: &Device,
    report: &mut dyn FnMut(u64),
) -> Result<Option<Draft>, Error> {
    let file = format!("{DRAFT}config.json");
    if manifest.file(&file).is_err() {
        return Ok(None);
    }
    let config = ModelConfig::from_json(&verified(source, manifest, &file).await?)?;
    if config.vocab_size != model.vocab_size {
        return Err(Error::Config(format!(
            "the draft model has {} tokens, and the model {}: a draft must know the same ones",
            config.vocab_size, model.vocab_size
        )));
    }
    let shards = manifest.draft_shards();
    let decoder = decoder(source, manifest, shards, &config, device, report).await?;
    Ok(Some(Draft { config, decoder }))
}

/// One file of the pack, after its hashes were checked.
async fn verified<S: PackSource>(
    source: &S,
    manifest: &Manifest,
    file: &str,
) -> Result<Vec<u8>, Error> {
    manifest.file(file)?;
    let bytes = source.read(file).await?;
    manifest.verify(file, &bytes)?;
    Ok(bytes)
}
