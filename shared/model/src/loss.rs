//! The loss that models are trained and judged by.

use crate::tensor::{Int, Tensor};

/// Cross entropy in nats, summed over rows: `-ln softmax(logits)[target]` for logits
/// `[rows, vocab]` and token ids `[rows, 1]`, as a tensor `[1]`.
pub fn cross_entropy(logits: Tensor<2>, targets: Tensor<2, Int>) -> Tensor<1> {
    #[cfg(all(feature = "train", feature = "flex"))]
    if crate::fused::usable(&logits) {
        return crate::fused::cross_entropy(logits, targets);
    }
    let max = logits.clone().detach().max_dim(1);
    let chosen = logits.clone().gather(1, targets);
    let log_sum = (logits - max.clone()).exp().sum_dim(1).log() + max;
    (log_sum - chosen).sum()
}
