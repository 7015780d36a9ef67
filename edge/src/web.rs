//! The few things of the worker's world that several modules need.

use std::cell::RefCell;

use futures::channel::oneshot;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{MessageChannel, StorageManager, WorkerGlobalScope};

/// The worker of whatever kind this module runs in; `None` in a page or elsewhere.
pub(crate) fn worker() -> Option<WorkerGlobalScope> {
    js_sys::global().dyn_into().ok()
}

/// Whether this world has something of that name.
pub(crate) fn has(name: &str) -> bool {
    js_sys::Reflect::has(&js_sys::global(), &name.into()).unwrap_or(false)
}

/// Milliseconds since the worker began, with parts.
pub(crate) fn now() -> f64 {
    worker()
        .and_then(|worker| worker.performance())
        .map_or_else(js_sys::Date::now, |p| p.now())
}

/// What the browser knows of its storage; `None` on pages that are not secure.
pub(crate) fn manager() -> Option<StorageManager> {
    let storage: JsValue = worker()?.navigator().storage().into();
    storage.dyn_into().ok()
}

/// The browser's file system; `None` also in some private windows.
pub(crate) fn storage() -> Option<StorageManager> {
    let storage = manager()?;
    let usable = js_sys::Reflect::has(&storage, &"getDirectory".into()).unwrap_or(false);
    usable.then_some(storage)
}

/// Whether the browser is sure that there is no network.
pub(crate) fn is_offline() -> bool {
    worker().is_some_and(|worker| !worker.navigator().on_line())
}

/// Lets the worker take the messages that wait for it, such as "stop".
///
/// A message to ourselves queues behind them; a zero timeout would do the same but browsers
/// stretch it to 4 ms when repeated.
pub(crate) async fn breathe() {
    thread_local! {
        static TURNSTILE: RefCell<Option<Turnstile>> = const { RefCell::new(None) };
    }
    let turn = TURNSTILE.with(|turnstile| {
        let mut turnstile = turnstile.borrow_mut();
        if turnstile.is_none() {
            *turnstile = Turnstile::new();
        }
        turnstile.as_ref().and_then(Turnstile::turn)
    });
    match turn {
        // An error means that the channel is gone, and then there is nothing to wait for.
        Some(turn) => drop(turn.await),
        None => gloo_timers::future::TimeoutFuture::new(0).await,
    }
}

struct Turnstile {
    channel: MessageChannel,
    waiting: std::rc::Rc<RefCell<Vec<oneshot::Sender<()>>>>,
    _on_message: Closure<dyn FnMut()>,
}

impl Turnstile {
    fn new() -> Option<Self> {
        let channel = MessageChannel::new().ok()?;
        let waiting = std::rc::Rc::new(RefCell::new(Vec::<oneshot::Sender<()>>::new()));
        let waiters = waiting.clone();
        let on_message = Closure::<dyn FnMut()>::new(move || {
            for waiter in waiters.take() {
                // The waiter may have been dropped meanwhile.
                let _ = waiter.send(());
            }
        });
        channel
            .port1()
            .set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        Some(Self {
            channel,
            waiting,
            _on_message: on_message,
        })
    }

    /// Resolves behind the messages that wait now; `None` if the channel does not work.
    fn turn(&self) -> Option<oneshot::Receiver<()>> {
        let (sender, receiver) = oneshot::channel();
        self.waiting.borrow_mut().push(sender);
        self.channel.port2().post_message(&JsValue::NULL).ok()?;
        Some(receiver)
    }
}
