//! Vectors, in double precision where numbers are summed.

/// `Σ a b`.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f64 {
    let product = |(&a, &b): (&f32, &f32)| f64::from(a) * f64::from(b);
    a.iter().zip(b).map(product).sum()
}

/// `√Σ a²`.
pub(super) fn norm(a: &[f32]) -> f64 {
    dot(a, a).sqrt()
}

/// Rows of `width`; the whole of what has no rows.
pub(super) fn rows(values: &[f32], width: usize) -> std::slice::Chunks<'_, f32> {
    values.chunks(width.max(1))
}
