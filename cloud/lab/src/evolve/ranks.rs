//! Whether two samples are of one distribution.

/// The p-value of Mann and Whitney's test (1947), two-sided: by the normal approximation, with ties and
/// continuity corrected for, as for more than a handful of values it should be. 1 where there is nothing to tell.
pub fn mann_whitney(a: &[f64], b: &[f64]) -> f64 {
    let mut all: Vec<(f64, bool)> = a.iter().map(|x| (*x, true)).collect();
    all.extend(b.iter().map(|x| (*x, false)));
    all.sort_by(|x, y| x.0.total_cmp(&y.0));
    let (mut rank_sum, mut ties, mut start) = (0.0, 0.0, 0);
    for group in all.chunk_by(|x, y| x.0 == y.0) {
        let size = group.len() as f64;
        let rank = start as f64 + (size + 1.0) / 2.0;
        rank_sum += rank * group.iter().filter(|x| x.1).count() as f64;
        ties += size.powi(3) - size;
        start += group.len();
    }
    let (n, m) = (a.len() as f64, b.len() as f64);
    let total = n + m;
    let u = rank_sum - n * (n + 1.0) / 2.0;
    let variance = n * m / 12.0 * (total + 1.0 - ties / (total * (total - 1.0)));
    if variance.is_nan() || variance <= 0.0 {
        return 1.0;
    }
    let z = ((u - n * m / 2.0).abs() - 0.5).max(0.0) / variance.sqrt();
    (2.0 * upper_tail(z)).min(1.0)
}

/// How likely a normal number is above `z` ≥ 0: Abramowitz and Stegun 26.2.17, to 7.5e-8.
fn upper_tail(z: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * z);
    let factors = [
        0.319_381_530,
        -0.356_563_782,
        1.781_477_937,
        -1.821_255_978,
        1.330_274_429,
    ];
    let sum = factors
        .iter()
        .rev()
        .fold(0.0, |sum, factor| (sum + factor) * t);
    (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt() * sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_values_are_scipys() {
        // scipy.stats.mannwhitneyu(a, b, method="asymptotic").pvalue, scipy 1.17.1
        let cases: [(&[f64], &[f64], f64); 3] = [
            (
                &[1.0, 2.0, 3.0, 4.0, 5.0],
                &[6.0, 7.0, 8.0, 9.0, 10.0],
                0.012185780355344818,
            ),
            (
                &[1.0, 2.0, 2.0, 3.0, 9.0, 4.0],
                &[2.0, 5.0, 5.0, 8.0, 1.0],
                0.7112097186434606,
            ),
            (&[1.0, 1.0], &[1.0, 1.0], 1.0),
        ];
        for (a, b, expected) in cases {
            let p = mann_whitney(a, b);
            assert!((p - expected).abs() < 1e-6, "{p} {expected}");
            assert_eq!(p, mann_whitney(b, a));
        }
        assert_eq!(mann_whitney(&[], &[1.0]), 1.0);
    }
}
