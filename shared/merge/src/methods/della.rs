//! DELLA: drop elements of a task vector, small ones likelier than large ones.
//!
//! In each row the elements are ranked by magnitude; the smallest stays with probability `density - ε`, the
//! largest with `density + ε`, those between in equal steps. What stays is scaled up to the norm that the
//! whole had, as mergekit does. Then as in [task arithmetic](super::task_arithmetic), or, with an election, as in [TIES](super::ties).
//!
//! "DELLA-Merging: reducing interference in model merging through magnitude-based sampling", Deep et al.
//! 2024, arXiv:2406.11617.

use super::vector::rows;

/// The probability with which each element of `delta` stays: rows of `width`, `density ± epsilon` in (0, 1).
pub fn probabilities(delta: &[f32], width: usize, density: f64, epsilon: f64) -> Vec<f64> {
    let mut probabilities = Vec::with_capacity(delta.len());
    for row in rows(delta, width) {
        let mut order: Vec<usize> = (0..row.len()).collect();
        order.sort_by(|&a, &b| row[a].abs().total_cmp(&row[b].abs()));
        let step = 2.0 * epsilon / row.len().saturating_sub(1).max(1) as f64;
        let first = probabilities.len();
        probabilities.resize(first + row.len(), 0.0);
        for (rank, index) in order.into_iter().enumerate() {
            // The only one of its row is neither large nor small.
            probabilities[first + index] = match row.len() {
                1 => density,
                _ => density - epsilon + rank as f64 * step,
            };
        }
    }
    probabilities
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn larger_elements_of_a_row_stay_likelier() {
        let all = probabilities(&[3.0, -1.0, 2.0, 0.0, 5.0, -4.0], 3, 0.5, 0.2);
        let expected = [0.7, 0.3, 0.5, 0.3, 0.7, 0.5];
        assert!(all.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12));
        assert_eq!(probabilities(&[3.0], 1, 0.5, 0.2), [0.5]);
    }
}
