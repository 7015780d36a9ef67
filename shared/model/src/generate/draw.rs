//! The next token, by what is known of the logits behind the last one.

use super::{Drawn, Generation};
use crate::Error;
use crate::distribution::likeliest;
use crate::options::Top;
use crate::row::{Need, Row, Rows};
use crate::sampler::confidence;
#[cfg(feature = "gpu")]
use crate::shortlist::Shortlist;
use crate::tensor::Tensor;

impl Generation<'_> {
    /// What must be known of the logits behind the last token.
    pub(crate) fn need(&self) -> Need {
        #[cfg(feature = "gpu")]
        {
            #[cfg(not(target_arch = "wasm32"))]
            if self.constraint.is_some() {
                return Need::All;
            }
            let sampling = &self.options.sampling;
            let most = sampling.top_k.max(self.options.top_logprobs);
            if crate::gpu::runs_on(&self.model.device)
                && !sampling.changes_logits()
                && most <= crate::gpu::LISTED
            {
                let is_greedy = sampling.temperature == 0.0;
                return Need::Short(if is_greedy { 1.0 } else { sampling.temperature });
            }
        }
        Need::All
    }

    /// A token by the logits behind the text and `guessed` more tokens, where its shortlist did not reach.
    pub(super) async fn draw_of_whole_row(
        &mut self,
        logits: &Tensor<2>,
        guessed: usize,
    ) -> Result<Option<Drawn>, Error> {
        let own = logits.clone().narrow(0, guessed, 1);
        let rows = Rows::read(&own, |_| Need::All).await?;
        rows.get(0).map_or(Ok(None), |row| self.draw(row, guessed))
    }

    /// A token by what is known of the logits behind the text and `guessed` more tokens, and what is reported with it. None if
    /// it takes all of them.
    pub(super) fn draw(&mut self, row: Row<'_>, guessed: usize) -> Result<Option<Drawn>, Error> {
        if !row.is_finite() {
            let position = self.seen.len() - 1 + guessed;
            return Err(Error::LogitsNotFinite { position });
        }
        Ok(match row {
            Row::All(logits) => {
                let id = self.sample(logits)?;
                let (normalizer, stats) = confidence(logits, id);
                let top = self.top(likeliest(logits, self.options.top_logprobs), normalizer);
                Some((id, stats, top))
            }
            #[cfg(feature = "gpu")]
            Row::Short(list) => self.draw_of_list(list),
        })
    }

    #[cfg(feature = "gpu")]
    fn draw_of_list(&mut self, list: &Shortlist) -> Option<Drawn> {
        let top = list.likeliest(self.options.top_logprobs)?;
        let id = self.sampler.next_of(list)?;
        let (normalizer, stats) = list.confidence(id)?;
        Some((id, stats, self.top(top, normalizer)))
    }

    fn sample(&mut self, logits: &[f32]) -> Result<u32, Error> {
        #[cfg(not(target_arch = "wasm32"))]
        if let Some(constraint) = &mut self.constraint {
            let mut allowed = logits.to_vec();
            constraint.forbid(&mut allowed)?;
            let id = self.sampler.next(&allowed, &self.seen, self.question);
            self.complete = constraint.accept(id)?;
            return Ok(id);
        }
        Ok(self.sampler.next(logits, &self.seen, self.question))
    }

    /// Tokens with their logits as they are reported.
    fn top(&self, tokens: Vec<(u32, f32)>, normalizer: f32) -> Top {
        let tokenizer = &self.model.tokenizer;
        let text = |id: u32| match tokenizer.decode(&[id]) {
            Ok(text) if !text.is_empty() => text,
            _ => tokenizer.token(id),
        };
        let tokens = tokens.into_iter();
        tokens
            .map(|(id, logit)| (id, text(id), logit - normalizer))
            .collect()
    }
}
