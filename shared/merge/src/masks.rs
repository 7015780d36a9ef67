//! The random masks of DARE.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// Decides which elements of a task vector stay. The default is [`SeededMasks`].
pub trait MaskSource {
    /// Which of `len` elements of tensor `tensor` stay, each with probability `density`.
    ///
    /// `model` counts the task vectors of the recipe from 0, in the order of the recipe and without
    /// the base.
    fn mask(&mut self, tensor: &str, model: usize, density: f64, len: usize) -> Vec<bool>;
}

/// Masks that depend on the seed, the tensor's name and the model's place in the recipe only: the
/// same on every machine and in any order of tensors.
#[derive(Debug, Clone, Copy)]
pub struct SeededMasks {
    seed: u64,
}

impl SeededMasks {
    /// Masks for one seed.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }
}

impl MaskSource for SeededMasks {
    fn mask(&mut self, tensor: &str, model: usize, density: f64, len: usize) -> Vec<bool> {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&self.seed.to_le_bytes());
        key[8..16].copy_from_slice(&(model as u64).to_le_bytes());
        key[16..24].copy_from_slice(&fnv1a(tensor.as_bytes()).to_le_bytes());
        let mut random = ChaCha8Rng::from_seed(key);
        let limit = density * 2f64.powi(32);
        (0..len)
            .map(|_| f64::from(random.next_u32()) < limit)
            .collect()
    }
}

/// The 64-bit FNV-1a hash: short, and fixed for good, which `std`'s hasher is not.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_keeps_about_its_density_and_depends_on_all_of_its_key() {
        let mask = |seed, tensor, model| SeededMasks::new(seed).mask(tensor, model, 0.3, 100_000);
        let first = mask(1, "a", 0);
        assert_eq!(first, mask(1, "a", 0));
        for other in [mask(2, "a", 0), mask(1, "b", 0), mask(1, "a", 1)] {
            assert_ne!(first, other);
            // Five standard deviations of a binomial count are 725.
            let kept = other.iter().filter(|&&keep| keep).count();
            assert!(kept.abs_diff(30_000) < 725, "{kept}");
        }
    }

    #[test]
    fn the_ends_keep_nothing_and_everything() {
        assert!(!SeededMasks::new(0).mask("a", 0, 0.0, 1000).contains(&true));
        assert!(!SeededMasks::new(0).mask("a", 0, 1.0, 1000).contains(&false));
    }
}
