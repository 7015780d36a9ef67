//! What a page does to its engine without asking anything: it hides and shows itself, and its network is slow.

use std::cell::{Cell, RefCell};

use futures::channel::oneshot;

/// A gate between two tokens: closed while nobody sees the page.
#[derive(Default)]
pub(crate) struct Pause {
    paused: Cell<bool>,
    waiting: RefCell<Vec<oneshot::Sender<()>>>,
}

impl Pause {
    pub(crate) fn set(&self, paused: bool) {
        self.paused.set(paused);
        if !paused {
            for waiter in self.waiting.take() {
                // It may have been dropped meanwhile.
                let _ = waiter.send(());
            }
        }
    }

    /// Resolves when nothing is paused: mostly at once.
    pub(crate) async fn over(&self) {
        while self.paused.get() {
            let (sender, over) = oneshot::channel();
            self.waiting.borrow_mut().push(sender);
            // A dropped sender means that everything is going down.
            let _ = over.await;
        }
    }
}

/// How fast a download goes.
#[derive(Default)]
pub(crate) struct Pace {
    /// When it was first looked at, in milliseconds, and how many bytes were there by then.
    first: Cell<Option<(f64, u64)>>,
}

impl Pace {
    /// Milliseconds that the rest will take, if it goes on as it went so far; `None` until that can be told.
    // Files are far below 2^53 bytes.
    #[allow(clippy::cast_precision_loss)]
    pub(crate) fn left(&self, now: f64, loaded: u64, total: u64) -> Option<f64> {
        let (then, before) = self.first.get().unwrap_or((now, loaded));
        self.first.set(Some((then, before)));
        // What was in the store already came without the network.
        let came = loaded.checked_sub(before).filter(|came| *came > 0)?;
        Some(total.saturating_sub(loaded) as f64 * (now - then) / came as f64)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn what_waits_goes_on_when_the_page_is_seen() {
        let pause = Pause::default();
        assert!(pause.over().now_or_never().is_some());
        pause.set(true);
        let waiting = pause.over().shared();
        assert!(waiting.clone().now_or_never().is_none());
        pause.set(false);
        assert!(waiting.now_or_never().is_some());
    }

    #[test]
    fn the_pace_is_of_what_came_over_the_network() {
        let pace = Pace::default();
        assert_eq!(pace.left(1_000.0, 50, 100), None);
        assert_eq!(pace.left(2_000.0, 50, 100), None);
        assert_eq!(pace.left(3_000.0, 60, 100), Some(8_000.0));
        assert_eq!(pace.left(9_000.0, 100, 100), Some(0.0));
    }
}
