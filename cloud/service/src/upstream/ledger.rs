//! What another server's answers cost.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::UpstreamOptions;
use crate::{Counts, Prompt};

/// What was spent on one server since the start, and what may be.
#[derive(Debug)]
pub(super) struct Ledger {
    prompt_usd: f64,
    completion_usd: f64,
    budget_usd: Option<f64>,
    spent_usd: Mutex<f64>,
}

impl Ledger {
    pub(super) fn new(options: &UpstreamOptions) -> Arc<Self> {
        Arc::new(Self {
            prompt_usd: options.prompt_usd_per_million / 1e6,
            completion_usd: options.completion_usd_per_million / 1e6,
            budget_usd: options.budget_usd,
            spent_usd: Mutex::new(0.0),
        })
    }

    /// US dollars so far.
    pub(super) fn spent(&self) -> f64 {
        *self.lock()
    }

    /// Whether nothing more may be spent.
    pub(super) fn is_spent(&self) -> bool {
        self.budget_usd.is_some_and(|budget| self.spent() >= budget)
    }

    /// Opens the bill of an answer to `prompt`.
    pub(super) fn bill(self: &Arc<Self>, prompt: &Prompt) -> Bill {
        Bill {
            ledger: Arc::clone(self),
            counts: Counts {
                prompt: guess(prompt),
                ..Counts::default()
            },
        }
    }

    fn lock(&self) -> MutexGuard<'_, f64> {
        self.spent_usd
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one answer costs. Booked when it goes out of scope: what was begun is charged, also if nobody waits for its end.
#[derive(Debug)]
pub(super) struct Bill {
    ledger: Arc<Ledger>,
    /// As the server counts, or our guess until it does.
    pub(super) counts: Counts,
}

impl Bill {
    /// US dollars so far.
    pub(super) fn usd(&self) -> f64 {
        self.counts.prompt as f64 * self.ledger.prompt_usd
            + self.counts.completion as f64 * self.ledger.completion_usd
    }
}

impl Drop for Bill {
    fn drop(&mut self) {
        *self.ledger.lock() += self.usd();
    }
}

/// About how many tokens a prompt has, for answers that end before the server has said it: one for every three bytes, a few
/// more than tokenizers make of most languages, as a budget should rather be spent too soon.
fn guess(prompt: &Prompt) -> usize {
    match prompt {
        Prompt::Chat(messages) => messages
            .iter()
            .map(|message| 4 + message.content.len().div_ceil(3))
            .sum(),
        Prompt::Text(text) => text.len().div_ceil(3),
        Prompt::Tokens(tokens) => tokens.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_charged_also_when_they_break_off() {
        let ledger = Ledger::new(&UpstreamOptions {
            prompt_usd_per_million: 1e6,
            completion_usd_per_million: 2e6,
            budget_usd: Some(10.0),
            ..UpstreamOptions::default()
        });
        let mut bill = ledger.bill(&Prompt::Text("abcdef".into()));
        bill.counts.completion = 2;
        assert!(!ledger.is_spent());
        drop(bill);
        assert_eq!(ledger.spent(), 6.0);
        let mut bill = ledger.bill(&Prompt::Text("abcdef".into()));
        bill.counts = Counts {
            prompt: 4,
            ..Counts::default()
        };
        drop(bill);
        assert!(ledger.is_spent());
    }
}
