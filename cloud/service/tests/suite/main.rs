//! The service's tests: one program, because each takes a model runtime in, and minutes to build. Those that read all that is
//! logged are programs of their own.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/running.rs"]
mod running;
#[path = "../common/scripted.rs"]
mod scripted;
#[path = "../common/upstream.rs"]
mod upstream;

mod cascade;
mod chat;
mod clock;
mod constrained;
mod continuation;
mod echo;
mod gain;
mod hostile;
mod keys;
mod large;
mod lifecycle;
mod local;
#[cfg(target_os = "linux")]
mod memory;
mod models;
mod page;
mod refusals;
mod text;
mod tools;
mod upstreams;
mod vote;
