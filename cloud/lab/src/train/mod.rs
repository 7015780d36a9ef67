//! Training: from a recipe and data to a model folder.
//!
//! ```no_run
//! # fn main() -> sprat_lab::Result<()> {
//! use sprat_lab::train::{self, Recipe, TrainOptions};
//! let recipe = Recipe::read("cloud/lab/recipes/base.toml".as_ref())?;
//! let device = sprat_model::Device::default();
//! let report = train::run(TrainOptions::new(recipe, "runs/base".into(), device))?;
//! println!("{} after {} steps", report.checkpoint.display(), report.steps);
//! # Ok(())
//! # }
//! ```
//!
//! A run folder holds `recipe.toml` (resolved), `tokenizer.json`, `dataset.bin`, `log.jsonl` (one
//! event per line), `curve.svg` and the two newest checkpoints. A run is a function of its recipe
//! and data: stopped and resumed it gives the same weights, bit for bit on a CPU.

mod checkpoint;
mod clock;
mod curve;
mod expand;
mod gradient;
mod log;
mod loss;
mod optim;
mod progress;
mod recipe;
mod run;
mod schedule;
mod setup;
mod smoke;
#[cfg(test)]
mod tests;

pub use checkpoint::{latest, load_model};
pub(crate) use gradient::Workers;
pub use progress::Show;
pub(crate) use progress::duration;
pub use recipe::{Recipe, TrainConfig};
pub use run::{Report, TrainOptions, run};
pub use schedule::{Plan, Schedule};
pub use smoke::smoke;
