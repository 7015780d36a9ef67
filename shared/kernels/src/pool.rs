//! Threads for pieces of work of some ten microseconds, of which a token takes a hundred.
//!
//! A general pool lets its threads sleep, and waking one takes longer than such a piece. Here helpers
//! watch for the next one for a while before they sleep. Whoever has work takes part in it, item by item
//! from one counter, and waits only for helpers in the middle of an item: a helper that the system has
//! put aside holds nobody up.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, TryLockError};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// How long a helper watches before it sleeps: longer than what lies between two pieces of a token, and
/// between two tokens.
const WATCH: Duration = Duration::from_micros(300);
/// In [`Shared::gate`]: helpers may enter.
const OPEN: u64 = 1 << 32;
/// In [`Shared::gate`]: counts pieces of work, so that a helper tells a new one from the last.
const NEXT: u64 = 1 << 33;
/// In [`Shared::gate`]: helpers inside.
const INSIDE: u64 = OPEN - 1;

/// What helpers and callers share.
struct Shared {
    /// Number of the piece of work, whether helpers may enter it, and how many are inside.
    gate: AtomicU64,
    /// Valid for whoever is inside.
    work: UnsafeCell<Option<Work>>,
    /// The next item.
    item: AtomicUsize,
    asleep: AtomicUsize,
    /// A call panicked in a helper, so that its item was not done.
    failed: AtomicBool,
}

/// A closure on the stack of whoever called [`Pool::run`], and its number of items.
#[derive(Clone, Copy)]
struct Work {
    call: *const (dyn Fn(usize) + Sync),
    items: usize,
}

// SAFETY: `work` is written while nobody is inside, and read by those inside only; see `Pool::run`.
unsafe impl Sync for Shared {}
// SAFETY: the closure that it points to is Sync, and outlives everybody inside.
unsafe impl Send for Shared {}

/// Helpers that wait for work.
pub(crate) struct Pool {
    shared: &'static Shared,
    helpers: Vec<Thread>,
    /// One piece of work at a time.
    turn: Mutex<()>,
}

/// The pool of this process, of as many threads as rayon's, the caller's included.
pub(crate) fn pool() -> &'static Pool {
    static POOL: OnceLock<Pool> = OnceLock::new();
    POOL.get_or_init(|| Pool::new(rayon::current_num_threads()))
}

impl Pool {
    fn new(threads: usize) -> Self {
        let shared: &'static Shared = Box::leak(Box::new(Shared {
            gate: AtomicU64::new(0),
            work: UnsafeCell::new(None),
            item: AtomicUsize::new(0),
            asleep: AtomicUsize::new(0),
            failed: AtomicBool::new(false),
        }));
        let start = |index| {
            let name = format!("sprat-kernels-{index}");
            let thread = std::thread::Builder::new().name(name);
            // With fewer helpers all is done too, only later.
            let handle = thread.spawn(move || shared.help()).ok()?;
            Some(handle.thread().clone())
        };
        Self {
            shared,
            helpers: (1..threads).filter_map(start).collect(),
            turn: Mutex::new(()),
        }
    }

    /// Calls `call` with every number below `items`, here and in the helpers, and returns when all calls
    /// have. When another piece of work has the helpers, or there are none, all calls are made here.
    ///
    /// # Panics
    /// When a call does.
    pub(crate) fn run(&self, items: usize, call: &(dyn Fn(usize) + Sync)) {
        let turn = match self.turn.try_lock() {
            Ok(turn) => turn,
            Err(TryLockError::Poisoned(turn)) => turn.into_inner(),
            Err(TryLockError::WouldBlock) => return (0..items).for_each(call),
        };
        if self.helpers.is_empty() || items < 2 {
            return (0..items).for_each(call);
        }
        let shared = self.shared;
        // SAFETY: the gate is shut and nobody is inside, as this function leaves it, and this is the only
        // caller, by `turn`. The lifetime is made up: `Closing` waits for everybody who might call.
        unsafe {
            let call: *const (dyn Fn(usize) + Sync) = std::mem::transmute::<
                &(dyn Fn(usize) + Sync),
                &'static (dyn Fn(usize) + Sync),
            >(call);
            *shared.work.get() = Some(Work { call, items });
        }
        shared.item.store(0, Ordering::Relaxed);
        let open =
            (shared.gate.load(Ordering::Relaxed) & !INSIDE & !OPEN).wrapping_add(NEXT) | OPEN;
        shared.gate.store(open, Ordering::SeqCst);
        // Also when a call panics.
        let closing = Closing(shared);
        if shared.asleep.load(Ordering::SeqCst) > 0 {
            self.helpers.iter().for_each(Thread::unpark);
        }
        shared.take_items(items, call);
        drop(closing);
        let failed = shared.failed.swap(false, Ordering::AcqRel);
        drop(turn);
        assert!(!failed, "a helper's call panicked");
    }
}

/// Shuts the gate, and waits for those inside.
struct Closing<'a>(&'a Shared);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.gate.fetch_and(!OPEN, Ordering::AcqRel);
        // In the middle of an item at most, unless the system put the helper aside.
        let mut turns = 0u32;
        while self.0.gate.load(Ordering::Acquire) & INSIDE > 0 {
            turns += 1;
            match turns < 10_000 {
                true => std::hint::spin_loop(),
                false => std::thread::yield_now(),
            }
        }
    }
}

impl Shared {
    fn take_items(&self, items: usize, call: &(dyn Fn(usize) + Sync)) {
        loop {
            let item = self.item.fetch_add(1, Ordering::Relaxed);
            if item >= items {
                return;
            }
            call(item);
        }
    }

    /// What a helper does, for ever.
    fn help(&self) {
        let mut last = 0;
        loop {
            let gate = self.wait_for_other_than(last);
            // One more inside, if it is still the piece that was seen, and open.
            let entered =
                self.gate
                    .compare_exchange(gate, gate + 1, Ordering::AcqRel, Ordering::Relaxed);
            if entered.is_err() {
                continue;
            }
            let leaving = Leaving(self);
            // SAFETY: inside, the work is valid and nobody writes it.
            if let Some(work) = unsafe { *self.work.get() } {
                // SAFETY: the closure lives until everybody has left; see `Closing`.
                self.take_items(work.items, unsafe { &*work.call });
            }
            drop(leaving);
            last = gate & !INSIDE;
        }
    }

    /// The gate once it is open for another piece of work than `last`: watched first, slept for later.
    fn wait_for_other_than(&self, last: u64) -> u64 {
        let ready = |gate: u64| gate & OPEN > 0 && gate & !INSIDE != last;
        let mut started = Instant::now();
        loop {
            for _ in 0..64 {
                let gate = self.gate.load(Ordering::SeqCst);
                if ready(gate) {
                    return gate;
                }
                std::hint::spin_loop();
            }
            if started.elapsed() > WATCH {
                // Said before the last look: who opens the gate looks after, and wakes us.
                self.asleep.fetch_add(1, Ordering::SeqCst);
                if !ready(self.gate.load(Ordering::SeqCst)) {
                    std::thread::park();
                }
                self.asleep.fetch_sub(1, Ordering::SeqCst);
                started = Instant::now();
            }
        }
    }
}

/// One fewer inside; also when a call panics, which ends the helper and makes the caller panic.
struct Leaving<'a>(&'a Shared);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.failed.store(true, Ordering::Release);
        }
        self.0.gate.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_done_once() {
        let pool = Pool::new(3);
        for round in 0..20_000 {
            let items = round % 37;
            let counts: Vec<AtomicUsize> = (0..items).map(|_| AtomicUsize::new(0)).collect();
            pool.run(items, &|item| {
                counts[item].fetch_add(1, Ordering::Relaxed);
            });
            // After `run`, not one call is still being made.
            assert!(
                counts
                    .iter()
                    .all(|count| count.load(Ordering::Relaxed) == 1)
            );
            if round % 5000 == 0 {
                // Long enough for the helpers to sleep.
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    #[test]
    fn several_callers_get_all_of_theirs() {
        let pool = Pool::new(2);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for items in 1..2000 {
                        let sum = AtomicUsize::new(0);
                        pool.run(items, &|item| {
                            sum.fetch_add(item, Ordering::Relaxed);
                        });
                        assert_eq!(sum.into_inner(), items * (items - 1) / 2);
                    }
                });
            }
        });
    }

    /// Wherever it happens, the caller hears of it, and the pool goes on.
    #[test]
    fn a_call_that_panics_is_the_callers_panic() {
        for threads in [1, 2, 3] {
            let pool = Pool::new(threads);
            for _ in 0..20 {
                let failing = std::panic::AssertUnwindSafe(|| {
                    pool.run(50, &|item| assert!(item != 31, "on purpose"));
                });
                assert!(std::panic::catch_unwind(failing).is_err());
                let sum = AtomicUsize::new(0);
                pool.run(10, &|item| {
                    sum.fetch_add(item, Ordering::Relaxed);
                });
                assert_eq!(sum.into_inner(), 45);
            }
        }
    }
}
