//! The half of Sprat that has a network, in a worker of its own.
//!
//! The engine, which reads what people write, has none: its worker may not connect (`connect-src 'none'`) and its
//! module imports no network call. What it needs from outside it asks for here, over message ports that the page has
//! handed to it: one for each model, on which only that pack's files can be had, and one for each question that may
//! leave, on which the cloud can be asked.
//!
//! ```text
//! sprat.js (page) ─┬─▶ link.js ─▶ Pack  ─▶ GET  model/…
//!                  │     ▲   └──▶ Cloud ─▶ POST …/chat/completions
//!                  │     │ ports: one for each model, one for each open question
//!                  └─▶ worker.js ─▶ sprat-edge, without a network
//! ```
//!
//! [`Listing`] is pure and tested natively; `fetch` exists on wasm32 only.
#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(target_arch = "wasm32")]
mod fetch;
mod listing;

#[cfg(target_arch = "wasm32")]
pub use fetch::{Cloud, Pack, Reply};
pub use listing::{Chunk, Listed, Listing};
