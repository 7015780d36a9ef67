//! A conversation's memory between its turns.

use std::ops::{Deref, DerefMut};

use crate::cache::KvCache;
#[cfg(not(target_arch = "wasm32"))]
use crate::cache::KvPool;
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

    /// A conversation's memory in a pool; see [`KvCache::in_pool`].
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn in_pool(model: &Model, pool: &KvPool, scope: u64) -> Self {
        let cache = KvCache::in_pool(pool, scope, model.config(), &model.device);
        Self::with(model, cache)
    }

    fn with(model: &Model, cache: KvCache) -> Self {
        let draft = model.draft.as_ref();
        Self {
            cache,
            tokens: vec![],
            draft: draft.map(|draft| draft.session(&model.device)),
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

    /// Keeps at most the first `tokens` in the cache; returns how many are left.
    pub(crate) fn cut_back(&mut self, tokens: usize) -> usize {
        let left = self.cache.truncate(tokens);
        self.tokens.truncate(left);
        left
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
