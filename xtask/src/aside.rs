//! Steps that run beside the others, so that no core of a small machine waits while another links.
//!
//! Their lines and those of their programs go to a log, which is shown in one piece when they have ended.

use std::cell::RefCell;
use std::fs::{self, File};
use std::path::PathBuf;

use crate::{Result, target};

thread_local! {
    static LOG: RefCell<Option<File>> = const { RefCell::new(None) };
}

/// Where this thread's lines go, if not to the terminal.
pub(crate) fn log() -> Option<File> {
    LOG.with_borrow(|log| log.as_ref()?.try_clone().ok())
}

fn path() -> PathBuf {
    target().join("aside.log")
}

/// From here on, what this thread says goes to the log.
pub(crate) fn begin() -> Result {
    let log = File::create(path())?;
    LOG.set(Some(log));
    Ok(())
}

/// Shows the log of the steps that ran aside.
pub(crate) fn show() {
    eprintln!("{}", fs::read_to_string(path()).unwrap_or_default());
}
