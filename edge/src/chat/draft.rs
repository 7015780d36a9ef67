//! What this device has said so far.

use sprat_route::policy::{Facts, ModelState};
use sprat_route::signals::Signals;
use sprat_wire::Continuation;

/// An answer of this device that may or may not stand.
pub(super) struct Draft<R> {
    pub(super) run: R,
    pub(super) text: String,
    /// The tokens of the text, and what the model that wrote them calls its text.
    pub(super) ids: Vec<u32>,
    pub(super) text_id: Option<String>,
    pub(super) signals: Signals,
    pub(super) complete: bool,
    /// The gate has once handed it over.
    pub(super) doubted: bool,
}

impl<R> Draft<R> {
    /// Whether the device failed in the middle of it, and nobody doubts what there is of it. What a gate has doubted is begun
    /// anew, also where the device went on with it because no cloud answered.
    pub(super) fn is_broken_off(&self, facts: &Facts) -> bool {
        !self.complete && !self.doubted && facts.model == ModelState::Failed && !self.ids.is_empty()
    }

    pub(super) fn continuation(&self) -> Option<Continuation> {
        Some(Continuation {
            tokens: self.ids.clone(),
            text_id: self.text_id.clone()?,
        })
    }
}
