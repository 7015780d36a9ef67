//! Guessing the next tokens by a smaller model (speculative decoding, arXiv 2211.17192, for greedy answers):
//! the large one checks several in the time of one.

use crate::tensor::Device;

use crate::cache::KvCache;
use crate::lookup::Pace;
use crate::row::read;
use crate::sampler::argmax;
use crate::{Decoder, Error, ModelConfig};

/// A model of the same vocabulary, small beside the one that it guesses for.
pub(crate) struct Draft {
    pub(crate) config: ModelConfig,
    pub(crate) decoder: Decoder,
}

/// What a draft model remembers of a conversation.
#[derive(Debug)]
pub(crate) struct DraftSession {
    cache: KvCache,
    /// The tokens whose keys and values are in the cache.
    tokens: Vec<u32>,
}

impl Draft {
    pub(crate) fn session(&self, device: &Device) -> DraftSession {
        DraftSession {
            cache: KvCache::of_type(&self.config, self.decoder.kv_type(), device),
            tokens: Vec::new(),
        }
    }

    /// At most `most` tokens that may follow `seen`, as many as have come true lately.
    pub(crate) async fn guess(
        &self,
        session: &mut DraftSession,
        seen: &[u32],
        pace: &Pace,
        most: usize,
    ) -> Result<Vec<u32>, Error> {
        let room = self.config.context().saturating_sub(seen.len());
        let most = pace.most(seen.len()).min(most).min(room);
        let mut guess = Vec::with_capacity(most);
        if most == 0 {
            return Ok(guess);
        }
        session.cache.expect(seen.len() + most);
        let same = session.tokens.iter().zip(seen).take_while(|(a, b)| a == b);
        // The last token is run again if it must be: its logits begin the guess.
        let known = same.count().min(seen.len() - 1);
        let known = session.cache.truncate(known);
        session.tokens.truncate(known);
        let mut pending = seen[known..].to_vec();
        while guess.len() < most {
            let logits = read(self.decoder.run(&pending, &mut session.cache)?).await?;
            session.tokens.append(&mut pending);
            let id = argmax(&logits);
            guess.push(id);
            pending.push(id);
        }
        Ok(guess)
    }
}
