//! sprat-route
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod error;
pub mod exact;
pub mod gate;
pub mod metrics;
pub mod policy;
pub mod privacy;
mod random;
pub mod signals;
pub use error::Error;
