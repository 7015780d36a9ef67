//! Evolution: the best merge of a few models, found by asking.
//!
//! A [`Job`] names the parents, the recipes that are tried ([`job::Space`]: one merge method with some parameters
//! open), how they are searched and what makes one better than another. [`run`] merges each candidate in memory,
//! asks it on all cores, and tells the search; what it has told is on disk after every generation and is all that a
//! stopped run needs to go on. At the end the best few are asked fresh questions, the winner and everything it must
//! beat are measured on held-out ones, and a [`Report`] says what came of it.
//!
//! Questions of the fitness come from those that training did not see as far as there are enough; held-out ones
//! are never among them.

mod arena;
mod contest;
mod digits;
mod finish;
mod flow;
mod history;
pub mod job;
mod parents;
mod progress;
mod ranks;
mod report;
mod run;
mod space;
mod tasks;
#[cfg(test)]
mod tests;

pub use digits::{Accuracy, Digits};
pub use history::{Generation, Tried};
pub use job::Job;
pub use ranks::mann_whitney;
pub use report::{Gain, GeneValue, HopValue, Kind, Measured, Report};
pub use run::{EvolveOptions, run};
