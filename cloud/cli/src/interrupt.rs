//! Ctrl-C that lets work come to a good end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

/// A switch that Ctrl-C turns on, saying `message`; the second Ctrl-C is meant and ends the program.
pub(crate) fn on_ctrl_c(message: &'static str) -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let switch = stop.clone();
    let handler = move || {
        if switch.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        eprintln!("{message}; press Ctrl-C again to stop at once");
    };
    ctrlc::set_handler(handler).context("cannot catch Ctrl-C")?;
    Ok(stop)
}
