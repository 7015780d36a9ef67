//! One file per command: its arguments and what it does.

pub(crate) mod ask;
pub(crate) mod bench;
pub(crate) mod calibrate;
pub(crate) mod eval;
pub(crate) mod evolve;
pub(crate) mod inspect;
pub(crate) mod merge;
pub(crate) mod pack;
pub(crate) mod serve;
pub(crate) mod train;
