//! The thread that computes.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Once;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::Instant;

use sprat_wire::ModelStatus;
use tokio::sync::oneshot;

use super::binder;
use super::device::{self, Opened};
use super::figures::Reason;
use super::loading::Loading;
use super::memory::victims;
use super::pack::Pack;
use super::slot::Slot;
use super::{Command, LocalOptions};
use crate::{Device, EngineError, ServiceError};

/// The thread's name.
pub(crate) const THREAD: &str = "sprat-model";

/// What the thread owns.
pub(super) struct Worker {
    options: LocalOptions,
    /// None without models on a processor.
    opened: Option<Opened>,
    slots: Vec<Slot>,
    /// What is to be loaded before the server is ready, the next one first.
    starting: VecDeque<usize>,
    loading: Option<Loading>,
}

/// Models that must go for another one. They get no work that came later than that one's: else a model that is asked all the
/// time would keep the others out for ever.
#[derive(Default)]
struct Held {
    models: Vec<usize>,
    since: Option<Instant>,
}

impl Worker {
    /// Loads the packs, reports how it went, and answers until nobody can ask any more.
    pub(super) fn run(
        packs: Vec<Pack>,
        options: LocalOptions,
        commands: &Receiver<Command>,
        report: oneshot::Sender<Result<(), ServiceError>>,
    ) {
        keep_payloads_out_of_the_log();
        let mut report = Some(report);
        // Nobody waiting is no failure: the server was told to stop meanwhile.
        let mut tell = |outcome| report.take().map(|report| report.send(outcome));
        let opening = catch_unwind(AssertUnwindSafe(|| Self::new(packs, options)));
        let mut worker = match opening.unwrap_or_else(|_| Err(gone())) {
            Ok(worker) => worker,
            Err(error) => {
                tell(Err(error));
                return;
            }
        };
        loop {
            if worker.starting.is_empty() {
                tell(Ok(()));
            }
            if !worker.listen(commands) {
                return;
            }
            if let Err(error) = worker.turn() {
                tell(Err(error));
                return;
            }
        }
    }

    fn new(packs: Vec<Pack>, options: LocalOptions) -> Result<Self, ServiceError> {
        let opened = match packs.is_empty() && options.device == Device::Cpu {
            true => None,
            false => Some(device::open(options.device)?),
        };
        let mut left = options.memory_bytes.unwrap_or(u64::MAX);
        let fits = |pack: &&Pack| match left.checked_sub(pack.bytes) {
            Some(rest) => {
                left = rest;
                true
            }
            None => false,
        };
        let first = packs.iter().take_while(fits).count();
        for pack in &packs[first..] {
            pack.shared.is(ModelStatus::Unloaded);
        }
        Ok(Self {
            options,
            opened,
            slots: packs.into_iter().map(Slot::new).collect(),
            starting: (0..first).collect(),
            loading: None,
        })
    }

    /// Takes what has come; with nothing else to do, waits for it. `false` when nothing is to be done any more.
    fn listen(&mut self, commands: &Receiver<Command>) -> bool {
        let works = self.slots.iter().any(Slot::has_work);
        let is_open = if works || self.loading.is_some() || !self.starting.is_empty() {
            self.hear(commands.try_recv())
        } else if let Some(end) = self.first_end() {
            let wait = end.saturating_duration_since(Instant::now());
            self.hear(commands.recv_timeout(wait).map_err(|error| match error {
                RecvTimeoutError::Timeout => TryRecvError::Empty,
                RecvTimeoutError::Disconnected => TryRecvError::Disconnected,
            }))
        } else {
            let none = |_| TryRecvError::Disconnected;
            self.hear(commands.recv().map_err(none))
        };
        while let Ok(command) = commands.try_recv() {
            self.obey(command);
        }
        // A load that nobody waits for is given up.
        is_open || self.slots.iter().any(Slot::has_work)
    }

    /// Whether more can come.
    fn hear(&mut self, heard: Result<Command, TryRecvError>) -> bool {
        match heard {
            Ok(command) => {
                self.obey(command);
                true
            }
            Err(TryRecvError::Empty) => true,
            Err(TryRecvError::Disconnected) => false,
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Do(index, work) => {
                let queue = self.options.queue;
                if let Some(slot) = self.slots.get_mut(index) {
                    slot.take(work, Instant::now(), queue);
                }
            }
            Command::Unload(index, reply) => {
                // Nobody waiting for it is no failure.
                let _ = reply.send(self.unload_as_asked(index));
            }
        }
    }

    /// A pass of each model that has work, and a piece of a model that comes.
    ///
    /// # Errors
    /// If a model that is to be there from the start cannot be loaded.
    fn turn(&mut self) -> Result<(), ServiceError> {
        let now = Instant::now();
        self.slots.iter_mut().for_each(Slot::forget_the_gone);
        self.unload_idle(now);
        let held = self.change_models();
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let is_held = held.models.contains(&index);
            slot.step(is_held.then_some(held.since).flatten());
        }
        self.proceed()
    }

    /// Begins to load what is to be loaded next, if there is room. Returns which models are in the way.
    fn change_models(&mut self) -> Held {
        if self.loading.is_some() {
            return Held::default();
        }
        if let Some(&next) = self.starting.front() {
            self.begin(next);
            return Held::default();
        }
        let wanted = self.slots.iter().enumerate();
        let wanted = wanted.filter_map(|(index, slot)| Some((slot.wanted_since()?, index)));
        let Some((since, wanted)) = wanted.min() else {
            return Held::default();
        };
        let bytes = self.slots[wanted].pack.bytes;
        let victims = match self.options.memory_bytes {
            Some(budget) => {
                let residents = self.slots.iter().enumerate();
                let residents = residents.filter_map(|(index, slot)| slot.resident(index, since));
                victims(residents.collect(), bytes, budget)
            }
            None => vec![],
        };
        if victims.iter().any(|victim| victim.busy) {
            return Held {
                models: victims.iter().map(|victim| victim.index).collect(),
                since: Some(since),
            };
        }
        match self.refresh(wanted) {
            Err(reason) => self.slots[wanted].is_not_to_be_had(&reason),
            // Others may have to go, or need not.
            Ok(now) if now != bytes => {}
            Ok(_) => {
                for victim in victims {
                    self.unload(victim.index, Reason::Memory);
                }
                self.begin(wanted);
            }
        }
        Held::default()
    }

    /// Reads again what a model says of itself: the bytes that it needs.
    fn refresh(&mut self, index: usize) -> Result<u64, String> {
        let pack = &mut self.slots[index].pack;
        pack.refresh(self.options.cache_bytes)?;
        match self.options.memory_bytes {
            Some(budget) if pack.bytes > budget => Err(format!(
                "it needs {} bytes, and all models together may have {budget}",
                pack.bytes
            )),
            _ => Ok(pack.bytes),
        }
    }

    fn begin(&mut self, index: usize) {
        let Some(opened) = &self.opened else {
            return;
        };
        let pack = &self.slots[index].pack;
        pack.shared.is_loading();
        self.loading = Some(Loading::new(index, &pack.path, &opened.device));
    }

    /// Goes on with the model that comes.
    fn proceed(&mut self) -> Result<(), ServiceError> {
        let (Some(mut loading), Some(opened)) = (self.loading.take(), &self.opened) else {
            return Ok(());
        };
        let Some(outcome) = loading.proceed() else {
            self.loading = Some(loading);
            return Ok(());
        };
        let slot = &mut self.slots[loading.index];
        let (cache_bytes, took) = (self.options.cache_bytes, loading.took());
        let outcome =
            outcome.and_then(|model| slot.bring_in(model, cache_bytes, &opened.words, took));
        // One at a time, so it is the first of them if there are any.
        let starting = self.starting.pop_front().is_some();
        match outcome {
            Ok(()) => Ok(()),
            Err(reason) if starting => Err(ServiceError::Model {
                path: slot.pack.path.clone(),
                reason,
            }),
            Err(reason) => {
                slot.is_not_to_be_had(&reason);
                Ok(())
            }
        }
    }

    fn unload(&mut self, index: usize, reason: Reason) {
        self.slots[index].unload(reason);
        if let Some(opened) = &self.opened {
            // A card's driver keeps what was freed for the next tensors of that size.
            opened.device.memory_cleanup();
        }
    }

    fn unload_as_asked(&mut self, index: usize) -> Result<(), EngineError> {
        let loads = self.starting.contains(&index)
            || self.loading.as_ref().is_some_and(|l| l.index == index);
        let in_use = match loads {
            true => Some("it is being loaded"),
            false => self.slots.get(index).and_then(Slot::in_use),
        };
        match in_use {
            Some(doing) => Err(EngineError::InUse { doing }),
            None => {
                self.unload(index, Reason::Asked);
                Ok(())
            }
        }
    }

    /// Unloads what nobody has asked for long.
    fn unload_idle(&mut self, now: Instant) {
        let Some(idle) = self.options.idle else {
            return;
        };
        for index in 0..self.slots.len() {
            let end = self.slots[index].stays_until(idle);
            if end.is_some_and(|end| end <= now) {
                self.unload(index, Reason::Idle);
            }
        }
    }

    /// When the first model is going to have been idle for long.
    fn first_end(&self) -> Option<Instant> {
        let idle = self.options.idle?;
        let ends = self.slots.iter().filter_map(|slot| slot.stays_until(idle));
        ends.min()
    }
}

/// The thread ended without a word.
pub(super) fn gone() -> ServiceError {
    let reason = "the loading thread panicked; please report this".to_owned();
    ServiceError::Model {
        path: PathBuf::from("."),
        reason,
    }
}

/// A panic's message may repeat what was being worked on: slicing a text does. So this thread's
/// panics, and those of threads that make grammars, are logged by their place only; others' are not touched.
fn keep_payloads_out_of_the_log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let thread = std::thread::current();
            if ![Some(THREAD), Some(binder::THREAD)].contains(&thread.name()) {
                return others(info);
            }
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            tracing::error!(place, "the model's thread panicked");
        }));
    });
}
