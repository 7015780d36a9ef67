//! What happens once, when the module is instantiated.
#![cfg_attr(feature = "webgpu", allow(unsafe_code))]

use std::cell::RefCell;

use js_sys::Function;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

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

thread_local! {
    static LISTENER: RefCell<Option<Function>> = const { RefCell::new(None) };
}

/// Has `listener` called with a sentence when this module panics: nothing that waits for it will end, and its memory cannot
/// be trusted any more.
#[wasm_bindgen(js_name = onPanic)]
pub fn on_panic(listener: Function) {
    LISTENER.set(Some(listener));
}

/// Tells the place and not the message, which could quote what was being worked on.
fn report(panic: &std::panic::PanicHookInfo<'_>) {
    let place = panic.location().map_or_else(
        || "an unknown place".to_owned(),
        |at| format!("{}:{}", at.file(), at.line()),
    );
    let told = JsValue::from_str(&format!("panic at {place}"));
    // Nobody is left to tell if even this fails.
    let _ = LISTENER
        .take()
        .map(|listener| listener.call1(&JsValue::NULL, &told));
}
