//! A whole run in under a minute, to see that training works on a machine.

use std::fs;
use std::path::Path;

use sprat_model::Device;

use super::progress::Show;
use super::recipe::Recipe;
use super::run::{Report, TrainOptions, run};
use crate::threads::is_cpu;
use crate::{Error, Result};

/// Needs no data folder.
const RECIPE: &str = include_str!("../../recipes/smoke.toml");
/// How far, in nats, the loss must fall.
const DROP: f32 = 1.5;
/// How far the losses of a resumed run may be off where sums are not taken in a fixed order.
const DRIFT: f32 = 0.05;

/// Trains a tiny model on generated data twice, once straight through and once stopped half-way
/// and resumed, in `<folder>/straight` and `<folder>/resumed` (replaced if they are there).
/// Returns the first run's report.
///
/// # Errors
/// [`Error::Smoke`] when the loss does not drop, or when the two runs differ: on a CPU in any bit,
/// elsewhere visibly. Else as [`run`].
pub fn smoke(folder: &Path, device: &Device, show: Show) -> Result<Report> {
    let recipe: Recipe =
        toml::from_str(RECIPE).map_err(|e| Error::recipe("smoke", e.to_string()))?;
    let options = |name: &str, pause_at: Option<usize>, resume: bool| TrainOptions {
        pause_at,
        resume,
        show,
        ..TrainOptions::new(recipe.clone(), folder.join(name), device.clone())
    };
    for name in ["straight", "resumed"] {
        let old = folder.join(name);
        if old.exists() {
            fs::remove_dir_all(&old).map_err(Error::io("remove the old", &old))?;
        }
    }
    let straight = run(options("straight", None, false))?;
    run(options("resumed", Some(recipe.train.steps / 2), false))?;
    let resumed = run(options("resumed", None, true))?;
    compare(
        &straight,
        &resumed,
        if is_cpu(device) { 0.0 } else { DRIFT },
    )?;
    Ok(straight)
}

fn compare(straight: &Report, resumed: &Report, drift: f32) -> Result<()> {
    let fail = |problem: String| Err(Error::Smoke(problem));
    let quarter = straight.losses.len() / 4;
    let mean = |losses: &[f32]| losses.iter().sum::<f32>() / losses.len().max(1) as f32;
    let before = mean(&straight.losses[..quarter]);
    let after = mean(&straight.losses[straight.losses.len() - quarter..]);
    if after > before - DROP || after.is_nan() {
        return fail(format!("the loss went from {before:.3} to {after:.3} only"));
    }
    let pairs = straight.losses.iter().zip(&resumed.losses);
    let different = pairs
        .enumerate()
        .find(|(_, (a, b))| (*a - *b).abs() > drift);
    if let Some((step, (a, b))) = different {
        return fail(format!(
            "resumed, step {} lost {b} instead of {a}",
            step + 1
        ));
    }
    if straight.steps != resumed.steps {
        return fail(format!("{} steps became {}", straight.steps, resumed.steps));
    }
    Ok(())
}
