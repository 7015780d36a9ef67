//! DARE: drop and rescale.
//!
//! Of each task vector a random part stays, `density` of it; what stays is scaled up to the norm
//! that the whole had. Then as in [task arithmetic](super::task_arithmetic), or, with an election,
//! as in [TIES](super::ties).
//!
//! "Language models are Super Mario", Yu et al. 2023, arXiv:2311.03099.

use super::task_arithmetic::{Mix, combine};
use super::{check, l1, restore_l1, task_vectors};
use crate::parallel;
use crate::{Error, Result};

/// Merges `models` into `base`. `masks` say which elements of each task vector stay; an empty one
/// keeps them all.
pub fn merge(
    base: &[f32],
    models: &[&[f32]],
    masks: &[Vec<bool>],
    rescale: bool,
    mix: Mix<'_>,
) -> Result<Vec<f32>> {
    let counts = [("weight", mix.weights.len()), ("masks", masks.len())];
    let len = check("dare", models, &counts)?;
    check("dare", &[base, models[0]], &[])?;
    if let Some(mask) = masks
        .iter()
        .find(|mask| !mask.is_empty() && mask.len() != len)
    {
        let problem = format!("a mask of {} for {len} elements", mask.len());
        return Err(Error::Call {
            method: "dare",
            problem,
        });
    }
    let mut deltas = task_vectors(base, models);
    parallel::each(&mut deltas, |model, delta| {
        drop_and_rescale(delta, &masks[model], rescale);
    });
    Ok(combine(base, deltas, mix))
}

/// Zeroes what the mask does not keep.
fn drop_and_rescale(delta: &mut [f32], mask: &[bool], rescale: bool) {
    if mask.is_empty() {
        return;
    }
    let norm = l1(delta);
    for (value, &keep) in delta.iter_mut().zip(mask) {
        if !keep {
            *value = 0.0;
        }
    }
    if rescale {
        restore_l1(delta, norm);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIX: Mix<'static> = Mix {
        weights: &[1.0],
        normalize: false,
        lambda: 1.0,
        election: None,
    };

    #[test]
    fn what_stays_is_scaled_to_the_norm_of_the_whole() {
        let model: &[f32] = &[1.0, 3.0, -4.0, 2.0];
        let mask = vec![true, false, true, false];
        let merged = merge(&[0.0; 4], &[model], std::slice::from_ref(&mask), true, MIX).unwrap();
        assert_eq!(merged, [2.0, 0.0, -8.0, 0.0]);
        let plain = merge(&[0.0; 4], &[model], &[mask], false, MIX).unwrap();
        assert_eq!(plain, [1.0, 0.0, -4.0, 0.0]);
    }

    #[test]
    fn nothing_left_is_the_base() {
        let merged = merge(&[5.0], &[&[7.0]], &[vec![false]], true, MIX).unwrap();
        assert_eq!(merged, [5.0]);
    }

    #[test]
    fn an_empty_mask_keeps_all_and_a_short_one_is_an_error() {
        assert_eq!(
            merge(&[5.0, 1.0], &[&[7.0, 2.0]], &[vec![]], true, MIX).unwrap(),
            [7.0, 2.0]
        );
        assert!(merge(&[5.0, 1.0], &[&[7.0, 2.0]], &[vec![true]], true, MIX).is_err());
    }
}
