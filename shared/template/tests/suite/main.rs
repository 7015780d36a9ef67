//! Templates render as transformers renders them, and as minijinja does.
#![allow(clippy::unwrap_used)]

mod goldens;
mod support;
