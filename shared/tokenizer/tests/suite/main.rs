//! Hugging Face's library is what everything is compared with.
#![allow(clippy::unwrap_used)]

mod broken;
mod families;
mod texts;
mod tokens;
