//! A model's place: in memory or not, with what waits for it.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sprat_model::Model;
use sprat_wire::ModelStatus;

use super::Work;
use super::figures::Reason;
use super::loaded::Live;
use super::memory::Resident;
use super::pack::Pack;
use crate::EngineError;
use crate::engine::LOAD_REST;

/// A model, loaded or not.
pub(super) struct Slot {
    pub(super) pack: Pack,
    live: Option<Live>,
    /// What the model has not taken in, and since when each waits; the oldest first.
    waiting: VecDeque<(Instant, Work)>,
    /// When it was last asked, or wrote.
    used: Instant,
    /// It could not be loaded, and why: until then nobody tries again unasked. A load takes time from all others.
    rest: Option<(Instant, String)>,
}

impl Slot {
    pub(super) fn new(pack: Pack) -> Self {
        Self {
            pack,
            live: None,
            waiting: VecDeque::new(),
            used: Instant::now(),
            rest: None,
        }
    }

    pub(super) fn is_loaded(&self) -> bool {
        self.live.is_some()
    }

    /// Whether it has anything to do, or somebody waits that it has.
    pub(super) fn has_work(&self) -> bool {
        !self.waiting.is_empty() || self.is_busy()
    }

    /// Whether answers are in progress.
    fn is_busy(&self) -> bool {
        self.live.as_ref().is_some_and(|live| !live.is_idle())
    }

    /// Since when somebody waits for a model that is not in memory.
    pub(super) fn wanted_since(&self) -> Option<Instant> {
        let (since, _) = self.waiting.front().filter(|_| self.live.is_none())?;
        Some(*since)
    }

    /// When a model that nobody asks is to go, if it may stay so long.
    pub(super) fn stays_until(&self, idle: Duration) -> Option<Instant> {
        // What is broken stays to be seen.
        let idles = self.is_loaded() && !self.has_work() && !self.pack.shared.is_failed();
        idles.then(|| self.used.checked_add(idle)).flatten()
    }

    /// What it takes of the memory, if it is there. It is busy if it is with what came before `now`.
    pub(super) fn resident(&self, index: usize, now: Instant) -> Option<Resident> {
        let front = self.waiting.front();
        self.live.as_ref().map(|live| Resident {
            index,
            bytes: self.pack.bytes,
            busy: !live.is_idle() || front.is_some_and(|(since, _)| *since < now),
            used: self.used,
        })
    }

    /// Takes work in, of which at most `queue` waits.
    pub(super) fn take(&mut self, work: Work, now: Instant, queue: usize) {
        if matches!(work, Work::Load(_)) {
            self.rest = None;
        }
        match &self.rest {
            Some((until, reason)) if now < *until => {
                let reason = reason.clone();
                work.fail(EngineError::NotLoaded { reason });
            }
            _ if self.waiting.len() >= queue => work.fail(EngineError::Busy),
            _ => self.waiting.push_back((now, work)),
        }
    }

    /// Forgets what nobody waits for any more.
    pub(super) fn forget_the_gone(&mut self) {
        self.waiting.retain(|(_, work)| !work.is_closed());
    }

    /// Gives the model what waits, if it is there, and lets it work. What came at `before` or later goes on waiting.
    pub(super) fn step(&mut self, before: Option<Instant>) {
        let Some(live) = &mut self.live else {
            return;
        };
        let is_early = |(since, _): &mut (Instant, Work)| before.is_none_or(|end| *since < end);
        while let Some((_, work)) = self.waiting.pop_front_if(is_early) {
            live.take(work);
            self.used = Instant::now();
        }
        if !live.is_idle() {
            live.step();
            self.used = Instant::now();
        }
    }

    /// The model is loaded, and takes memory for its texts.
    ///
    /// # Errors
    /// If there is none.
    pub(super) fn bring_in(
        &mut self,
        model: Model,
        cache_bytes: u64,
        device: &str,
        took: Duration,
    ) -> Result<(), String> {
        let shared = Arc::clone(&self.pack.shared);
        let way_back = self.pack.way_back.clone();
        let new = || Live::new(model, shared, cache_bytes, way_back);
        let live = catch_unwind(AssertUnwindSafe(new));
        let live = live.map_err(|_| "there is no memory for its cache".to_owned())?;
        let live = live.map_err(|error| format!("it gets no thread for grammars ({error})"))?;
        self.pack.bytes = live.bytes();
        tracing::info!(
            model = live.model().manifest().name,
            parameters = live.model().manifest().parameters,
            context = live.model().context(),
            device,
            bytes = self.pack.bytes,
            ms = took.as_millis() as u64,
            "model loaded"
        );
        self.used = Instant::now();
        self.rest = None;
        let shared = &self.pack.shared;
        shared.figures.loaded(self.pack.bytes);
        shared.runs_on(device);
        shared.is(ModelStatus::Loaded);
        self.live = Some(live);
        // All that waits by now, so that a load is for as many as it can be.
        self.step(None);
        Ok(())
    }

    /// It could not be loaded: tells all who wait.
    pub(super) fn is_not_to_be_had(&mut self, reason: &str) {
        let path = self.pack.path.display();
        tracing::error!(pack = %path, reason, "a model could not be loaded");
        self.pack.shared.is(ModelStatus::Failed);
        self.rest = Some((Instant::now() + LOAD_REST, reason.to_owned()));
        let reason = reason.to_owned();
        self.refuse_waiting(&EngineError::NotLoaded { reason });
    }

    /// Gives its memory back. What waits goes on waiting.
    pub(super) fn unload(&mut self, reason: Reason) {
        if self.live.take().is_some() {
            let shared = &self.pack.shared;
            shared.figures.unloaded(reason);
            tracing::info!(model = shared.info().id, ?reason, "model unloaded");
        }
        if reason != Reason::Asked && self.pack.shared.is_failed() {
            // Only the operator says that a broken model may be tried again.
            let reason = "it does not compute any more".to_owned();
            return self.refuse_waiting(&EngineError::Failed { reason });
        }
        self.rest = None;
        self.pack.shared.is(ModelStatus::Unloaded);
    }

    /// Why it cannot be unloaded now, if it cannot.
    pub(super) fn in_use(&self) -> Option<&'static str> {
        match (self.is_busy(), self.waiting.is_empty()) {
            (true, _) => Some("answers are in progress"),
            (false, false) => Some("requests wait for it"),
            (false, true) => None,
        }
    }

    fn refuse_waiting(&mut self, error: &EngineError) {
        for (_, work) in self.waiting.drain(..) {
            work.fail(error.clone());
        }
    }
}
