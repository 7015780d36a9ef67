//! Merges packs where they are used: the weights of a few specialists and a recipe become the weights of one model, in a
//! page, in a fraction of a second.
//!
//! [`Mixer`] is pure and tested natively; `web` is what JavaScript calls and exists on wasm32 only.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod like;
mod mixer;
#[cfg(target_arch = "wasm32")]
mod web;

pub use mixer::{Mixed, Mixer};
