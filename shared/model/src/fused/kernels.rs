//! The arithmetic of the fused training operations, on plain slices.
//!
//! Written so that the compiler turns the loops into SIMD on any target; see
//! [`sprat_kernels::vector`].

use sprat_kernels::vector::{dot, exp, max, sum};

const LANES: usize = 16;

fn dot3(a: &[f32], b: &[f32], c: &[f32]) -> f32 {
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let (c, c_rest) = c.as_chunks::<LANES>();
    let mut lanes = [0f32; LANES];
    for ((a, b), c) in a.iter().zip(b).zip(c) {
        for (((lane, a), b), c) in lanes.iter_mut().zip(a).zip(b).zip(c) {
            *lane += a * b * c;
        }
    }
    let rest = a_rest
        .iter()
        .zip(b_rest)
        .zip(c_rest)
        .map(|((a, b), c)| a * b * c);
    lanes.iter().sum::<f32>() + rest.sum::<f32>()
}

/// Rows of `time` scores become attention weights: row `r` belongs to query `r % time`, which may
/// look at keys 0 to itself. In place.
pub(super) fn causal_softmax(rows: &mut [f32], time: usize, scale: f32) {
    for (r, row) in rows.chunks_exact_mut(time).enumerate() {
        let (seen, future) = row.split_at_mut(r % time + 1);
        let top = max(seen);
        for value in seen.iter_mut() {
            *value = exp(scale * (*value - top));
        }
        let inverse = 1.0 / sum(seen);
        for value in seen.iter_mut() {
            *value *= inverse;
        }
        future.fill(0.0);
    }
}

/// From the gradient by the weights to that by the scores, in place.
pub(super) fn causal_softmax_backward(
    weights: &[f32],
    gradient: &mut [f32],
    time: usize,
    scale: f32,
) {
    let rows = weights
        .chunks_exact(time)
        .zip(gradient.chunks_exact_mut(time));
    for (r, (weights, gradient)) in rows.enumerate() {
        let seen = r % time + 1;
        let mean = dot(&weights[..seen], &gradient[..seen]);
        for (gradient, weight) in gradient[..seen].iter_mut().zip(weights) {
            *gradient = scale * weight * (*gradient - mean);
        }
        gradient[seen..].fill(0.0);
    }
}

/// `silu(gate) * up`, appended to `out`.
pub(super) fn swiglu(gate: &[f32], up: &[f32], out: &mut Vec<f32>) {
    out.extend(
        gate.iter()
            .zip(up)
            .map(|(gate, up)| gate * up / (1.0 + exp(-gate))),
    );
}

/// The gradient becomes that by `up`; that by `gate` is appended to `by_gate`.
pub(super) fn swiglu_backward(
    gate: &[f32],
    up: &[f32],
    gradient: &mut [f32],
    by_gate: &mut Vec<f32>,
) {
    let inputs = gate.iter().zip(up);
    by_gate.extend(inputs.zip(gradient).map(|((gate, up), gradient)| {
        let sigmoid = 1.0 / (1.0 + exp(-gate));
        let by_gate = *gradient * up * sigmoid * (1.0 + gate * (1.0 - sigmoid));
        *gradient *= gate * sigmoid;
        by_gate
    }));
}

fn inverse_rms(row: &[f32], eps: f32) -> f32 {
    1.0 / (dot(row, row) / row.len() as f32 + eps).sqrt()
}

/// `x / sqrt(mean(x²) + eps) * weight` per row as wide as `weight`, appended to `out`.
pub(super) fn rms_norm(x: &[f32], weight: &[f32], eps: f32, out: &mut Vec<f32>) {
    for row in x.chunks_exact(weight.len()) {
        let scale = inverse_rms(row, eps);
        out.extend(row.iter().zip(weight).map(|(x, weight)| x * scale * weight));
    }
}

/// The gradient becomes that by `x`; that by the weight is added to `by_weight`.
pub(super) fn rms_norm_backward(
    x: &[f32],
    weight: &[f32],
    eps: f32,
    gradient: &mut [f32],
    by_weight: &mut [f32],
) {
    let width = weight.len();
    for (x, gradient) in x.chunks_exact(width).zip(gradient.chunks_exact_mut(width)) {
        let scale = inverse_rms(x, eps);
        let pull = scale * scale * scale / width as f32 * dot3(x, weight, gradient);
        let columns = x.iter().zip(weight).zip(gradient).zip(by_weight.iter_mut());
        for (((x, weight), gradient), by_weight) in columns {
            *by_weight += *gradient * x * scale;
            *gradient = *gradient * weight * scale - x * pull;
        }
    }
}

/// Sizes of the heads that [`rotate_heads`] turns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heads {
    pub(super) batch: usize,
    pub(super) time: usize,
    pub(super) heads: usize,
    pub(super) width: usize,
}

/// `[batch, time, heads, width]` to `[batch, heads, time, width]`, each head turned by its
/// position's angles (`cos` and `sin`: `[time, width / 2]`), rotate-half layout.
pub(super) fn rotate_heads(x: &[f32], cos: &[f32], sin: &[f32], n: Heads) -> Vec<f32> {
    let mut out = vec![0f32; x.len()];
    n.each(|before, after, t| {
        let angles = t * n.width / 2..(t + 1) * n.width / 2;
        let (from, to) = (
            &x[before..before + n.width],
            &mut out[after..after + n.width],
        );
        turn(from, to, &cos[angles.clone()], &sin[angles], 1.0);
    });
    out
}

/// The way back of [`rotate_heads`]: the opposite turn.
pub(super) fn rotate_heads_backward(g: &[f32], cos: &[f32], sin: &[f32], n: Heads) -> Vec<f32> {
    let mut out = vec![0f32; g.len()];
    n.each(|before, after, t| {
        let angles = t * n.width / 2..(t + 1) * n.width / 2;
        let (from, to) = (
            &g[after..after + n.width],
            &mut out[before..before + n.width],
        );
        turn(from, to, &cos[angles.clone()], &sin[angles], -1.0);
    });
    out
}

impl Heads {
    /// Calls with the offsets of each head in `[b, t, h, w]` and `[b, h, t, w]`, and its time.
    fn each(self, mut visit: impl FnMut(usize, usize, usize)) {
        let Self {
            batch,
            time,
            heads,
            width,
        } = self;
        for b in 0..batch {
            for h in 0..heads {
                for t in 0..time {
                    let before = ((b * time + t) * heads + h) * width;
                    visit(before, ((b * heads + h) * time + t) * width, t);
                }
            }
        }
    }
}

#[inline(always)]
fn turn(from: &[f32], to: &mut [f32], cos: &[f32], sin: &[f32], direction: f32) {
    let half = cos.len();
    let ((a, b), (to_a, to_b)) = (from.split_at(half), to.split_at_mut(half));
    for i in 0..half {
        let sin = direction * sin[i];
        to_a[i] = a[i] * cos[i] - b[i] * sin;
        to_b[i] = b[i] * cos[i] + a[i] * sin;
    }
}

/// Sum of -ln softmax(row)[target]; the logits become softmax minus one-hot, the gradient of that
/// sum. In place.
pub(super) fn cross_entropy(logits: &mut [f32], vocab: usize, targets: &[usize]) -> f64 {
    let mut total = 0.0;
    for (row, &target) in logits.chunks_exact_mut(vocab).zip(targets) {
        let top = max(row);
        let chosen = row[target] - top;
        for value in row.iter_mut() {
            *value = exp(*value - top);
        }
        let sum = sum(row);
        total += f64::from(sum.ln() - chosen);
        let inverse = 1.0 / sum;
        for value in row.iter_mut() {
            *value *= inverse;
        }
        row[target] -= 1.0;
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_number_stays_so() {
        let mut row = [1.0, f32::NAN, 2.0];
        assert!(cross_entropy(&mut row, 3, &[0]).is_nan());
        let mut scores = [f32::NAN; 4];
        causal_softmax(&mut scores, 2, 1.0);
        assert!(scores[0].is_nan() && scores[2].is_nan());
    }
}
