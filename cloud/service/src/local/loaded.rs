//! A model in memory, with the answers that it writes.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use self_cell::self_cell;
use sprat_model::Model;
use sprat_route::gate::Gate;

use super::Work;
use super::batch::Batch;
use super::binder::{Binder, WayBack};
use super::judge;
use super::pack::{Shared, positions};
use crate::EngineError;

self_cell! {
    /// Answers in progress borrow their model, so the two live and go together.
    struct Pair {
        owner: Loaded,
        #[not_covariant]
        dependent: Batch,
    }
}

/// A model that is in memory. Dropping it gives its memory back.
pub(super) struct Live(Pair);

/// Its weights, and what requests see of it.
pub(super) struct Loaded {
    pub(super) shared: Arc<Shared>,
    pub(super) model: Model,
    /// Says how likely its answers are right, if it has one.
    pub(super) gate: Option<Gate>,
    /// Makes the grammars of answers that are bound to one.
    pub(super) binder: Binder,
}

impl Live {
    /// Takes memory for the keys and values of texts, at most `cache_bytes`.
    ///
    /// # Errors
    /// If there can be no thread for grammars.
    pub(super) fn new(
        model: Model,
        shared: Arc<Shared>,
        cache_bytes: u64,
        way_back: WayBack,
    ) -> io::Result<Self> {
        let binder = Binder::start(&model, shared.calls(), way_back)?;
        let loaded = Loaded {
            shared,
            gate: judge::gate_of(&model),
            model,
            binder,
        };
        let positions = positions(
            cache_bytes,
            loaded.bytes_per_position(),
            loaded.model.context(),
        );
        let pair = Pair::new(loaded, |loaded| Batch::new(loaded, positions));
        Ok(Self(pair))
    }

    pub(super) fn model(&self) -> &Model {
        &self.0.borrow_owner().model
    }

    /// Bytes of its weights and of its cache.
    pub(super) fn bytes(&self) -> u64 {
        let loaded = self.0.borrow_owner();
        let positions = self.0.with_dependent(|_, batch| batch.positions());
        loaded.model.weight_bytes() + (positions * loaded.bytes_per_position()) as u64
    }

    /// Whether no answer is in progress.
    pub(super) fn is_idle(&self) -> bool {
        self.0.with_dependent(|_, batch| batch.is_idle())
    }

    pub(super) fn take(&mut self, work: Work) {
        self.0.with_dependent_mut(|_, batch| batch.take(work));
    }

    /// A token for each answer, or a piece of its prompt.
    pub(super) fn step(&mut self) {
        self.0.with_dependent_mut(|_, batch| {
            if catch_unwind(AssertUnwindSafe(|| batch.step())).is_err() {
                // Nobody knows whose fault it was, nor what is in the caches.
                batch.give_up(&EngineError::Generation);
            }
        });
    }
}

impl Loaded {
    fn bytes_per_position(&self) -> usize {
        self.model.cache_bytes_per_token()
    }

    /// After a failure that may not be the request's fault: finds out whether the model still computes.
    pub(super) fn examine(&self) {
        let probe = self
            .model
            .manifest()
            .check
            .as_ref()
            .map_or(vec![0], |check| check.prompt.clone());
        let works = catch_unwind(AssertUnwindSafe(|| {
            pollster::block_on(self.model.make_check(&probe, 1)).is_ok()
        }));
        if !works.unwrap_or(false) {
            let reason = "its device or its weights are damaged".to_owned();
            tracing::error!(model = self.model.manifest().name, reason, "model failed");
            self.shared.is_broken(reason);
        }
    }
}
