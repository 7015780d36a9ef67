//! The random masks of DARE and DELLA.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// The random numbers of DARE and DELLA. The default is [`SeededMasks`].
pub trait MaskSource: Send + Sync {
    /// Even numbers for `len` elements of tensor `tensor`: one stays if its number is below 2³² times the
    /// probability with which it should.
    ///
    /// `model` counts the task vectors of the recipe from 0, in the order of the recipe and without
    /// the base.
    fn numbers(&self, tensor: &str, model: usize, len: usize) -> Vec<u32>;
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
    fn numbers(&self, tensor: &str, model: usize, len: usize) -> Vec<u32> {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&self.seed.to_le_bytes());
        key[8..16].copy_from_slice(&(model as u64).to_le_bytes());
        key[16..24].copy_from_slice(&fnv1a(tensor.as_bytes()).to_le_bytes());
        let mut random = ChaCha8Rng::from_seed(key);
        (0..len).map(|_| random.next_u32()).collect()
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
    fn numbers_are_even_and_depend_on_all_of_their_key() {
        let numbers = |seed, tensor, model| SeededMasks::new(seed).numbers(tensor, model, 100_000);
        let first = numbers(1, "a", 0);
        assert_eq!(first, numbers(1, "a", 0));
        for other in [numbers(2, "a", 0), numbers(1, "b", 0), numbers(1, "a", 1)] {
            assert_ne!(first, other);
            // Five standard deviations of a binomial count are 725.
            let kept = other
                .iter()
                .filter(|n| f64::from(**n) < 0.3 * 2f64.powi(32))
                .count();
            assert!(kept.abs_diff(30_000) < 725, "{kept}");
        }
    }
}
