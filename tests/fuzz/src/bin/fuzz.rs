//! libFuzzer around the target that `SPRAT_FUZZ` names.
#![no_main]
#![allow(unsafe_code)] // libFuzzer calls a C function.

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sprat_fuzz::{TARGETS, Target};

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    // libFuzzer's own hook aborts, also where the panic is caught and becomes an error. A panic that
    // is not caught still ends the process.
    std::panic::set_hook(Box::new(|info| eprintln!("{info}")));
    let name = std::env::var("SPRAT_FUZZ").unwrap_or_default();
    let target = TARGETS.iter().find(|target| target.name == name);
    target.expect("SPRAT_FUZZ must name a target of this crate")
});

fuzz_target!(|bytes: &[u8]| (TARGET.run)(bytes));
