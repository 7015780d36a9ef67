//! The beta distribution, on which exact binomial intervals rest.

use crate::Error;

/// Cumulative distribution of Beta(`a`, `b`) at `x`: the regularized incomplete beta function
/// I_x(a, b), by the continued fraction of DLMF 8.17.22.
///
/// # Errors
/// Where `a` or `b` is not positive and finite, or `x` is not a number.
pub fn beta_cdf(x: f64, a: f64, b: f64) -> Result<f64, Error> {
    check(a, b)?;
    if x.is_nan() {
        return Err(Error::metric(
            "the beta distribution",
            "the value is not a number",
        ));
    }
    if x <= 0.0 || x >= 1.0 {
        return Ok(if x <= 0.0 { 0.0 } else { 1.0 });
    }
    let log_front = a * libm::log(x) + b * libm::log1p(-x) - (libm::lgamma(a) + libm::lgamma(b))
        + libm::lgamma(a + b);
    // The fraction converges fast left of the mean; right of it, use the symmetry.
    Ok(if x < (a + 1.0) / (a + b + 2.0) {
        (libm::exp(log_front) * continued_fraction(x, a, b) / a).clamp(0.0, 1.0)
    } else {
        1.0 - (libm::exp(log_front) * continued_fraction(1.0 - x, b, a) / b).clamp(0.0, 1.0)
    })
}

/// Quantile of Beta(`a`, `b`): the `x` at which [`beta_cdf`] is `p`, by bisection down to the
/// last bit.
///
/// # Errors
/// Where `a` or `b` is not positive and finite, or `p` is outside `[0, 1]`.
pub fn beta_quantile(p: f64, a: f64, b: f64) -> Result<f64, Error> {
    check(a, b)?;
    if !(0.0..=1.0).contains(&p) {
        return Err(Error::metric(
            "the beta quantile",
            format!("the probability is {p}"),
        ));
    }
    let (mut low, mut high) = (0.0, 1.0);
    loop {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            return Ok(middle);
        }
        if beta_cdf(middle, a, b)? < p {
            low = middle;
        } else {
            high = middle;
        }
        if low > 0.0 && high - low < f64::EPSILON * low || high < f64::MIN_POSITIVE {
            return Ok(high);
        }
    }
}

fn check(a: f64, b: f64) -> Result<(), Error> {
    let usable = |parameter: f64| parameter > 0.0 && parameter.is_finite();
    if usable(a) && usable(b) {
        return Ok(());
    }
    Err(Error::metric(
        "the beta distribution",
        format!("its parameters are {a} and {b}"),
    ))
}

/// The continued fraction, evaluated by the modified Lentz method.
fn continued_fraction(x: f64, a: f64, b: f64) -> f64 {
    const TINY: f64 = 1e-300;
    // It needs about sqrt(max(a, b)) rounds; this serves a billion observations.
    const ROUNDS: u32 = 100_000;
    let away_from_zero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    for round in 1..=ROUNDS {
        let m = f64::from(round);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / away_from_zero(1.0 + even * d);
        c = away_from_zero(1.0 + even / c);
        fraction *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / away_from_zero(1.0 + odd * d);
        c = away_from_zero(1.0 + odd / c);
        fraction *= d * c;
        if (d * c - 1.0).abs() < 1e-16 {
            break;
        }
    }
    fraction
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parameters_are_checked() {
        for (a, b) in [
            (0.0, 1.0),
            (1.0, -1.0),
            (f64::NAN, 1.0),
            (1.0, f64::INFINITY),
        ] {
            assert!(beta_cdf(0.5, a, b).is_err());
            assert!(beta_quantile(0.5, a, b).is_err());
        }
        assert!(beta_quantile(f64::NAN, 1.0, 1.0).is_err());
    }

    proptest! {
        #[test]
        fn the_quantile_inverts_the_cdf(p in 1e-6f64..0.999_999, a in 0.5f64..2000.0, b in 0.5f64..2000.0) {
            let x = beta_quantile(p, a, b).unwrap();
            prop_assert!((beta_cdf(x, a, b).unwrap() - p).abs() < 1e-8);
        }

        #[test]
        fn it_mirrors(x in 0.0f64..1.0, a in 0.5f64..50.0, b in 0.5f64..50.0) {
            let sum = beta_cdf(x, a, b).unwrap() + beta_cdf(1.0 - x, b, a).unwrap();
            prop_assert!((sum - 1.0).abs() < 1e-9);
        }
    }
}
