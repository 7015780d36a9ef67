//! Data, training and evaluation of Sprat's models.
//!
//! A recipe names a [`dataset::Mixture`] of generators ([`generate`]) and corpora ([`corpus`]);
//! [`dataset::prepare`] turns it into token arrays; [`skills`] asks the questions that training
//! never saw.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod chart;
pub mod corpus;
pub mod dataset;
mod error;
pub mod eval;
pub mod evolve;
pub mod generate;
pub mod skills;
pub mod split;
mod threads;
pub mod tokenizer;
pub mod train;

pub use error::{Error, Result};
