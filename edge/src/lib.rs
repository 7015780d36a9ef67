//! Sprat in the browser: the model, its store and the gate, in a worker that cannot connect to anything (or, where none can be
//! started, in a service worker).
//!
//! ```text
//! sprat.js (page) ─▶ worker.js ─▶ Runtime ─▶ chat ─▶ exact answer
//!                                    │         ├───▶ local ─▶ sprat-model on CPU or WebGPU
//!                                    │         └───▶ client ─▶ a line, with what the policy released
//!                                    └─▶ pack ─▶ fill ─▶ library ─▶ disk: OPFS, or IndexedDB; or memory
//!                                              └───▶ a line, for the pack's files
//! ```
//!
//! At the other end of the lines is the worker with a network (`edge/link`). Nothing here imports a network call, and
//! a test reads the built modules to see that.
//!
//! `chat`, `cloud`, `fill`, `library`, `pause`, `request`, `shelf` and `tally` are pure and tested natively; the
//! other modules exist on wasm32 only. JavaScript's part, and the package, are in `edge/js`.
#![cfg_attr(test, allow(clippy::unwrap_used))]
// Natively only tests use most of this crate.
#![cfg_attr(not(target_arch = "wasm32"), allow(dead_code))]

mod chat;
mod cloud;
mod error;
mod fill;
mod library;
mod pause;
mod request;
mod shelf;
mod tally;

#[cfg(target_arch = "wasm32")]
mod client;
#[cfg(all(target_arch = "wasm32", feature = "cpu"))]
mod crew;
#[cfg(target_arch = "wasm32")]
mod device;
#[cfg(target_arch = "wasm32")]
mod disk;
#[cfg(target_arch = "wasm32")]
mod local;
#[cfg(target_arch = "wasm32")]
mod net;
#[cfg(target_arch = "wasm32")]
mod opfs;
#[cfg(target_arch = "wasm32")]
mod pack;
#[cfg(target_arch = "wasm32")]
mod start;
#[cfg(target_arch = "wasm32")]
mod web;
#[cfg(target_arch = "wasm32")]
mod worker;

#[cfg(all(target_arch = "wasm32", feature = "cpu"))]
pub use crew::{be_thread, deal, deal_to, dealt, work};
pub use error::{Error, Failure};
#[cfg(target_arch = "wasm32")]
pub use start::{on_panic, start};
#[cfg(target_arch = "wasm32")]
pub use worker::{Runtime, forget, plan, stored};
