//! How likely a model's answers are right, by the gate in its pack.

use sprat_model::{Manifest, Model};
use sprat_route::gate::{EARLY_TOKENS, Gate};
use sprat_route::signals::{Signals, TokenSignal};

use crate::Judgement;

/// Whether a pack has a gate.
pub(super) fn has_gate(manifest: &Manifest) -> bool {
    manifest.calibration.is_some()
}

/// The gate of a model, if it has one. One that cannot be used calls no answer right.
pub(super) fn gate_of(model: &Model) -> Option<Gate> {
    let manifest = model.manifest();
    let stored = manifest.calibration.as_ref()?.to_string();
    let gate = Gate::from_json(stored.as_bytes())
        .and_then(|gate| gate.check_model(&manifest.fingerprint()).map(|()| gate));
    Some(gate.unwrap_or_else(|error| {
        tracing::warn!(model = manifest.name, %error, "the pack's gate cannot be used: no answer counts as sure");
        Gate::careful()
    }))
}

/// Follows an answer.
pub(super) struct Judge<'a> {
    gate: &'a Gate,
    signals: Signals,
}

impl<'a> Judge<'a> {
    pub(super) fn new(gate: &'a Gate) -> Self {
        Self {
            gate,
            signals: Signals::new(),
        }
    }

    /// Takes in the next token. What is thought of the beginning, if it is time for that.
    pub(super) fn hear(&mut self, token: &sprat_model::Token) -> Option<Judgement> {
        self.signals.push(TokenSignal {
            logprob: token.logprob,
            margin: token.margin,
            entropy: token.entropy,
        });
        if self.signals.len() != EARLY_TOKENS || token.end {
            return None;
        }
        let (right, least) = self.gate.draft(&self.signals);
        let lost = right < least?;
        Some(Judgement { right, lost })
    }

    /// What is thought of the whole answer.
    pub(super) fn end(&self) -> Judgement {
        Judgement {
            right: self.gate.confidence(&self.signals),
            lost: false,
        }
    }
}
