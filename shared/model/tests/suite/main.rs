//! The model crate's suite: against transformers' golden values, on every backend compiled in.
#![allow(clippy::unwrap_used)]

mod adapter;
mod agreement;
mod common;
mod constraint;
mod continued;
mod crew;
mod folder;
mod gguf;
mod golden;
#[cfg(feature = "gpu")]
mod gpu;
mod hops;
mod lookup;
mod pack;
mod saved;
mod text;
mod together;
