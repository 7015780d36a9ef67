//! What happens once, when the module is instantiated.
#![cfg_attr(feature = "webgpu", allow(unsafe_code))]

use js_sys::{Object, Reflect};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::web;

#[cfg(feature = "webgpu")]
unsafe extern "C" {
    /// Runs the static constructors: the registrations of cubecl's shader compiler.
    fn __wasm_call_ctors();
}

/// Runs when the module is instantiated, before anything else.
#[wasm_bindgen(start)]
pub fn start() {
    // Naming the constructors here also keeps wasm-ld from wrapping every export in a call to
    // them, which made each call from JavaScript take most of a millisecond.
    // SAFETY: called once, before any other export; the registrations are idempotent.
    #[cfg(feature = "webgpu")]
    unsafe {
        __wasm_call_ctors();
    }
    std::panic::set_hook(Box::new(report));
}

/// Tells the page that this worker is finished, so that it can fail what waits and start another.
///
/// After a panic the module's memory cannot be trusted. The place is told and not the message,
/// which could quote what was being worked on.
fn report(panic: &std::panic::PanicHookInfo<'_>) {
    let place = panic.location().map_or_else(
        || "an unknown place".to_owned(),
        |at| format!("{}:{}", at.file(), at.line()),
    );
    let message = Object::new();
    let set = |name: &str, value: &str| {
        Reflect::set(
            &message,
            &JsValue::from_str(name),
            &JsValue::from_str(value),
        )
    };
    let told = set("type", "panic").and_then(|_| set("message", &format!("panic at {place}")));
    if told.is_ok()
        && let Some(worker) = web::worker()
    {
        // Nobody is left to tell if even this fails.
        let _ = worker.post_message(&message);
    }
}
