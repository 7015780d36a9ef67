//! How far a measured share may be from the true one.

use serde::{Deserialize, Serialize};

use super::beta_quantile;
use crate::{Error, random::SplitMix64};

/// A confidence interval, `low <= high`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

/// Wilson's score interval for a share of `k` in `n` at `level` (0.95 for 95 %): the one to print
/// next to an accuracy. E. B. Wilson, JASA 22 (1927).
///
/// # Errors
/// Where `n` is 0, `k` exceeds `n`, or `level` is outside `(0, 1)`.
pub fn wilson(k: u64, n: u64, level: f64) -> Result<Interval, Error> {
    check("a Wilson interval", k, n, level)?;
    let (share, n) = (k as f64 / n as f64, n as f64);
    let z = normal_quantile(0.5 + 0.5 * level);
    let shrink = 1.0 + z * z / n;
    let centre = (share + z * z / (2.0 * n)) / shrink;
    let half = z / shrink * libm::sqrt(share * (1.0 - share) / n + z * z / (4.0 * n * n));
    // Exact at the ends, where rounding would leave a hair below 0 or above 1.
    let low = if k == 0 {
        0.0
    } else {
        (centre - half).max(0.0)
    };
    let high = if share == 1.0 {
        1.0
    } else {
        (centre + half).min(1.0)
    };
    Ok(Interval { low, high })
}

/// The exact two-sided interval of Clopper and Pearson (Biometrika 26, 1934) for a share of `k`
/// in `n` at `level`. It never covers less often than it says.
///
/// # Errors
/// As [`wilson`].
pub fn clopper_pearson(k: u64, n: u64, level: f64) -> Result<Interval, Error> {
    check("a Clopper-Pearson interval", k, n, level)?;
    let tail = 0.5 * (1.0 - level);
    let low = if k == 0 {
        0.0
    } else {
        beta_quantile(tail, k as f64, (n - k + 1) as f64)?
    };
    Ok(Interval {
        low,
        high: upper(k, n, tail)?,
    })
}

/// The exact one-sided upper bound: with probability at least 1 - `delta`, the true share is not
/// above it.
///
/// # Errors
/// As [`wilson`], for `delta` in place of `level`.
pub fn clopper_pearson_upper(k: u64, n: u64, delta: f64) -> Result<f64, Error> {
    check("a Clopper-Pearson bound", k, n, delta)?;
    upper(k, n, delta)
}

fn upper(k: u64, n: u64, tail: f64) -> Result<f64, Error> {
    if k == n {
        Ok(1.0)
    } else {
        beta_quantile(1.0 - tail, (k + 1) as f64, (n - k) as f64)
    }
}

/// How likely it was that only `k` of `n` were errors, if more than `allowed` of the next `m` of the same kind are: at most
/// the probability with which a prediction of no more than `allowed` fails. It is the hypergeometric distribution's lower
/// tail, as the errors of both samples together fall on the first by chance alone (Hahn and Meeker, "Statistical
/// Intervals", 1991). For `m` without end it comes to the Clopper-Pearson bound.
pub fn next_exceeds(k: u64, n: u64, allowed: u64, m: u64) -> f64 {
    if allowed >= m {
        return 0.0;
    }
    let errors = k + allowed + 1;
    let choose = |n: u64, k: u64| {
        let factorial = |n: u64| libm::lgamma(n as f64 + 1.0);
        factorial(n) - factorial(k) - factorial(n - k)
    };
    let all = choose(n + m, errors);
    // So many of the errors have room among the next.
    let least = errors.saturating_sub(m);
    let tail = (least..=k.min(n)).map(|j| libm::exp(choose(n, j) + choose(m, errors - j) - all));
    tail.sum::<f64>().min(1.0)
}

/// Percentile bootstrap (Efron 1979): redraws `n` indices `resamples` times, seeded, and gives
/// the central `level` of what `statistic` says of them. A draw on which the statistic is not
/// defined (`None`) is passed over.
///
/// # Errors
/// Where `n` or `resamples` is 0, `level` is outside `(0, 1)`, or the statistic is undefined on
/// more than half of the draws.
pub fn bootstrap(
    n: usize,
    resamples: usize,
    seed: u64,
    level: f64,
    mut statistic: impl FnMut(&[usize]) -> Option<f64>,
) -> Result<Interval, Error> {
    let [interval] = bootstrap_each(n, resamples, seed, level, |draw| [statistic(draw)])?;
    interval
}

/// [`bootstrap`] for several statistics of the same draws.
///
/// # Errors
/// As [`bootstrap`]; a statistic that is undefined too often has an error of its own.
pub fn bootstrap_each<const K: usize>(
    n: usize,
    resamples: usize,
    seed: u64,
    level: f64,
    mut statistics: impl FnMut(&[usize]) -> [Option<f64>; K],
) -> Result<[Result<Interval, Error>; K], Error> {
    const NAME: &str = "a bootstrap interval";
    check(NAME, 0, n.min(resamples) as u64, level)?;
    let mut random = SplitMix64::new(seed);
    let mut draw = vec![0; n];
    let mut values: [Vec<f64>; K] = core::array::from_fn(|_| Vec::with_capacity(resamples));
    for _ in 0..resamples {
        draw.iter_mut().for_each(|index| *index = random.below(n));
        for (values, value) in values.iter_mut().zip(statistics(&draw)) {
            values.extend(value.filter(|value| value.is_finite()));
        }
    }
    Ok(values.map(|mut values| {
        if values.len() * 2 < resamples {
            let problem = format!(
                "undefined on {} of {resamples} draws",
                resamples - values.len()
            );
            return Err(Error::metric(NAME, problem));
        }
        values.sort_by(f64::total_cmp);
        let at = |q: f64| values[libm::round(q * (values.len() - 1) as f64) as usize];
        Ok(Interval {
            low: at(0.5 * (1.0 - level)),
            high: at(0.5 * (1.0 + level)),
        })
    }))
}

fn check(metric: &'static str, k: u64, n: u64, level: f64) -> Result<(), Error> {
    if n == 0 {
        return Err(Error::metric(metric, "there is nothing to count"));
    }
    if k > n {
        return Err(Error::metric(
            metric,
            format!("{k} of {n} is more than all"),
        ));
    }
    if !(level > 0.0 && level < 1.0) {
        return Err(Error::metric(
            metric,
            format!("the level {level} is not between 0 and 1"),
        ));
    }
    Ok(())
}

/// Quantile of the standard normal distribution, by bisection on the complementary error function.
fn normal_quantile(p: f64) -> f64 {
    let (mut low, mut high) = (-40.0, 40.0);
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if 0.5 * libm::erfc(-middle / core::f64::consts::SQRT_2) < p {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_rule_of_three() {
        // No error among 59: the smallest sample that shows an error rate of at most 5 % at 95 %.
        assert!(clopper_pearson_upper(0, 59, 0.05).unwrap() <= 0.05);
        assert!(clopper_pearson_upper(0, 58, 0.05).unwrap() > 0.05);
    }

    #[test]
    fn chances_of_the_next_sample_equal_scipy() {
        // scipy.stats.hypergeom.cdf(k, n + m, k + allowed + 1, n)
        for (k, n, allowed, m, chance) in [
            (0, 59, 2, 60, 0.124973066150),
            (8, 341, 16, 335, 0.046078126287),
            (11, 341, 17, 341, 0.127267855691),
            (3, 40, 1, 20, 0.544849851104),
            (5, 10, 4, 10, 0.671859100652),
        ] {
            let ours = next_exceeds(k, n, allowed, m);
            assert!((ours - chance).abs() < 1e-9, "{k} of {n}: {ours}");
        }
        // No room for more, and a sample so large that it shows the share itself.
        assert_eq!(next_exceeds(1, 10, 5, 5), 0.0);
        let bound = clopper_pearson_upper(8, 341, 0.05).unwrap();
        let many = 10_000_000;
        let chance = next_exceeds(8, 341, (bound * many as f64) as u64, many);
        assert!((chance - 0.05).abs() < 1e-4, "{chance}");
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(wilson(0, 0, 0.95).is_err());
        assert!(wilson(2, 1, 0.95).is_err());
        assert!(wilson(1, 2, 1.0).is_err());
        assert!(clopper_pearson(1, 2, f64::NAN).is_err());
        assert!(bootstrap(0, 10, 1, 0.95, |_| Some(0.0)).is_err());
        assert!(bootstrap(10, 10, 1, 0.95, |_| None).is_err());
    }

    #[test]
    fn the_bootstrap_covers_a_mean_and_repeats_itself() {
        let mean = |draw: &[usize]| Some(draw.iter().sum::<usize>() as f64 / draw.len() as f64);
        let interval = bootstrap(101, 500, 7, 0.95, mean).unwrap();
        assert!(interval.low < 50.0 && 50.0 < interval.high);
        // Standard error of the mean of 0..=100 is 2.9, so the interval is about 11.4 wide.
        assert!((8.0..15.0).contains(&(interval.high - interval.low)));
        assert_eq!(interval, bootstrap(101, 500, 7, 0.95, mean).unwrap());
        // Several statistics see the same draws, and one that is undefined spoils no other.
        let both = |draw: &[usize]| [None, mean(draw)];
        let [none, same] = bootstrap_each(101, 500, 7, 0.95, both).unwrap();
        assert!(none.is_err());
        assert_eq!(same.unwrap(), interval);
    }

    proptest! {
        #[test]
        fn both_intervals_hold_the_share(n in 1u64..5000, part in 0.0f64..=1.0, level in 0.5f64..0.999) {
            let k = (part * n as f64) as u64;
            let share = k as f64 / n as f64;
            for interval in [wilson(k, n, level).unwrap(), clopper_pearson(k, n, level).unwrap()] {
                prop_assert!(0.0 <= interval.low && interval.high <= 1.0);
                prop_assert!(interval.low <= share + 1e-12 && share <= interval.high + 1e-12);
            }
        }
    }
}
