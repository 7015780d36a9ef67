//! Templates render as transformers renders them, and as minijinja does.
#![allow(clippy::unwrap_used)]

mod expressions;
mod families;
mod goldens;
mod hostile;
mod support;
