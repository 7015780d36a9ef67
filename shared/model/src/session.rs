//! A conversation's memory between its turns.

use std::ops::{Deref, DerefMut};

use sha2::{Digest, Sha256};

#[cfg(not(target_arch = "wasm32"))]
use crate::cache::KvPool;
use crate::cache::{Fingerprint, KvCache};
use crate::draft::DraftSession;
use crate::{Error, Generation, Model, Options};

/// A conversation's KV cache, kept between turns.
#[derive(Debug)]
pub struct Session {
    pub(crate) cache: KvCache,
    /// The tokens whose keys and values are in the cache.
    pub(crate) tokens: Vec<u32>,
    /// The same of the draft model.
    pub(crate) draft: Option<DraftSession>,
    /// The adapter that keys and values were computed with.
    adapter: Option<Fingerprint>,
}

impl Session {
    pub(crate) fn new(model: &Model) -> Self {
        let kept = model.decoder.kv_type();
        Self::with(model, KvCache::of_type(model.config(), kept, &model.device))
    }

    /// Begins an answer to `prompt`. What `prompt` has in common with the last turn is not
    /// computed again.
    ///
    /// # Errors
    /// [`Error::Prompt`] for an empty prompt or an unknown id, [`Error::ContextTooLong`],
    /// [`Error::Option`].
    pub fn generate<'a>(
        &'a mut self,
        model: &'a Model,
        prompt: &[u32],
        options: Options,
    ) -> Result<Generation<'a>, Error> {
        Generation::begin(Held::Borrowed(self), model, prompt, options)
    }

    /// The same with the session inside of the answer, which gives it back: [`Generation::into_session`].
    ///
    /// # Errors
    /// As [`Session::generate`]; the session is then gone.
    pub fn into_generation<'a>(
        self,
        model: &'a Model,
        prompt: &[u32],
        options: Options,
    ) -> Result<Generation<'a>, Error> {
        Generation::begin(Held::Owned(Box::new(self)), model, prompt, options)
    }

    /// Tokens that are held.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Bytes of memory that it takes, without the draft model's.
    pub fn bytes(&self) -> usize {
        self.cache.bytes()
    }

    /// Bytes that so many tokens take.
    pub fn bytes_of(&self, tokens: usize) -> usize {
        tokens.saturating_mul(self.cache.bytes_per_token())
    }

    /// How many tokens `prompt` has in common with those that are held.
    pub fn shared_with(&self, prompt: &[u32]) -> usize {
        let both = self.tokens.iter().zip(prompt);
        both.take_while(|(a, b)| a == b).count()
    }

    /// Another conversation that begins as this one; both go on by themselves. Its memory is a copy, or in a pool the same
    /// pages as far as they are full.
    pub fn fork(&mut self, model: &Model) -> Self {
        self.settle(model);
        self.cut_back(self.tokens.len());
        let cache = self.cache.fork(&self.tokens, model.config(), &model.device);
        let held = cache.len();
        let mut fork = Self::with(model, cache);
        fork.tokens.extend_from_slice(&self.tokens[..held]);
        fork
    }

    /// The keys and values that are held, as bytes for [`Session::import`]. Whoever has them can tell the text.
    ///
    /// # Errors
    /// [`Error::Prompt`] if nothing is held, [`Error::CacheForeign`] of a model that is no pack and so has no fingerprint,
    /// [`Error::Device`].
    pub async fn export(&mut self, model: &Model) -> Result<Vec<u8>, Error> {
        self.settle(model);
        self.cut_back(self.tokens.len());
        let fingerprint = fingerprint(model)?;
        self.cache.export(&fingerprint, &self.tokens).await
    }

    /// Takes up what [`Session::export`] gave of the same model, in the place of what is held; returns how many tokens it
    /// is.
    ///
    /// # Errors
    /// [`Error::CacheForeign`] and [`Error::CacheDamaged`] for what cannot be used, [`Error::CacheFull`] in a pool without
    /// room. Whatever went wrong, the session can be used.
    pub fn import(&mut self, model: &Model, bytes: &[u8]) -> Result<usize, Error> {
        self.settle(model);
        let fingerprint = fingerprint(model)?;
        let tokens = self.cache.import(&fingerprint, bytes, &model.device);
        self.tokens.truncate(self.cache.len());
        let tokens = tokens?;
        self.tokens.clear();
        self.learn(&tokens);
        Ok(tokens.len())
    }

    /// A conversation's memory in a pool; see [`KvCache::in_pool`].
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn in_pool(model: &Model, pool: &KvPool, scope: u64) -> Self {
        let scope = scope ^ scope_of(model.adapter);
        let cache = KvCache::in_pool(pool, scope, model.config(), &model.device);
        Self::with(model, cache)
    }

    fn with(model: &Model, cache: KvCache) -> Self {
        let draft = model.draft.as_ref();
        Self {
            cache,
            tokens: vec![],
            draft: draft.map(|draft| draft.session(&model.device)),
            adapter: model.adapter,
        }
    }

    /// Whether what is held was computed with the model's adapter.
    pub(crate) fn is_of(&self, model: &Model) -> bool {
        self.adapter == model.adapter
    }

    /// Forgets what was computed with another adapter than the model's.
    pub(crate) fn settle(&mut self, model: &Model) {
        if !self.is_of(model) {
            self.cut_back(0);
            let between = scope_of(self.adapter) ^ scope_of(model.adapter);
            self.cache.move_scope(between);
            self.adapter = model.adapter;
        }
    }

    /// Begins with what an earlier text in the same pool has in common with `tokens`, if nothing is held yet; returns how
    /// many are held.
    pub(crate) fn adopt(&mut self, tokens: &[u32]) -> usize {
        if self.tokens.is_empty() {
            let adopted = self.cache.adopt(tokens);
            self.tokens.extend_from_slice(&tokens[..adopted]);
        }
        self.tokens.len()
    }

    /// These tokens, which follow the known ones, are in the cache as well.
    pub(crate) fn learn(&mut self, tokens: &[u32]) {
        self.tokens.extend_from_slice(tokens);
        self.cache.publish(&self.tokens);
    }

    /// Keeps at most the first `tokens` in the cache; returns how many are left: sometimes fewer in a model with
    /// convolutions.
    pub fn cut_back(&mut self, tokens: usize) -> usize {
        let left = self.cache.truncate(tokens);
        self.tokens.truncate(left);
        left
    }
}

/// What an adapter changes the scope of a text in a pool by.
fn scope_of(adapter: Option<Fingerprint>) -> u64 {
    let first = adapter.and_then(|adapter| adapter.first_chunk().copied());
    first.map_or(0, u64::from_le_bytes)
}

/// Names what decides the keys and values: the model, and the adapter that is on.
fn fingerprint(model: &Model) -> Result<Fingerprint, Error> {
    let manifest = model.manifest();
    let mut bytes = Fingerprint::default();
    // Without files all have the same one.
    match manifest.files.is_empty()
        || hex::decode_to_slice(manifest.fingerprint(), &mut bytes).is_err()
    {
        true => Err(Error::CacheForeign("of a model that is not a pack")),
        false => Ok(match model.adapter {
            Some(adapter) => Sha256::new()
                .chain_update(bytes)
                .chain_update(adapter)
                .finalize()
                .into(),
            None => bytes,
        }),
    }
}

/// A session that an answer has for itself, or for a while.
pub(crate) enum Held<'a> {
    Borrowed(&'a mut Session),
    Owned(Box<Session>),
}

impl Deref for Held<'_> {
    type Target = Session;

    fn deref(&self) -> &Session {
        match self {
            Self::Borrowed(session) => session,
            Self::Owned(session) => session,
        }
    }
}

impl DerefMut for Held<'_> {
    fn deref_mut(&mut self) -> &mut Session {
        match self {
            Self::Borrowed(session) => session,
            Self::Owned(session) => session,
        }
    }
}
