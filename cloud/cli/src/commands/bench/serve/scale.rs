//! Axes: where values lie on them, and which values are written at them.

/// Milliseconds below which a logarithmic axis does not go: an echo may take none.
const LEAST_MS: f64 = 0.01;

/// Where values lie on an axis, 0 to 1, and which of them are written at it.
pub(super) struct Scale {
    pub(super) place: Box<dyn Fn(f64) -> f64>,
    pub(super) ticks: Vec<f64>,
}

impl Scale {
    /// From 0 to a round number that no value exceeds.
    pub(super) fn linear(values: &[f64]) -> Self {
        let most = values.iter().copied().fold(0.0, f64::max);
        let most = if most > 0.0 { most } else { 1.0 };
        let power = 10f64.powf((most / 4.0).log10().floor());
        let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
        let step = steps.into_iter().find(|step| step * 4.0 >= most);
        let step = step.unwrap_or(most / 4.0);
        let count = (most / step).ceil();
        Self {
            place: Box::new(move |value| value / (step * count)),
            ticks: (0..=count as usize).map(|i| i as f64 * step).collect(),
        }
    }

    /// Whole powers of ten.
    pub(super) fn log(values: &[f64]) -> Self {
        let logs = values.iter().map(|value| value.max(LEAST_MS).log10());
        let low = logs.clone().fold(f64::INFINITY, f64::min).floor();
        let high = logs.fold(f64::NEG_INFINITY, f64::max).ceil();
        let (low, high) = match low.is_finite() {
            true => (low, high.max(low + 1.0)),
            false => (0.0, 1.0),
        };
        Self {
            place: Box::new(move |value| (value.max(LEAST_MS).log10() - low) / (high - low)),
            ticks: (low as i32..=high as i32).map(|e| 10f64.powi(e)).collect(),
        }
    }

    /// Doubled values are equally far apart, and each one is written.
    pub(super) fn doubling(values: &[f64]) -> Self {
        let mut ticks: Vec<f64> = values.iter().copied().filter(|v| *v > 0.0).collect();
        ticks.sort_by(f64::total_cmp);
        ticks.dedup();
        let ends = ticks.first().zip(ticks.last());
        let (low, high) = ends.map_or((0.0, 0.0), |(low, high)| (low.log2(), high.log2()));
        Self {
            place: Box::new(move |value| match high > low {
                true => (value.log2() - low) / (high - low),
                // The only one is in the middle.
                false => 0.5,
            }),
            ticks,
        }
    }
}

/// A tick's label.
pub(super) fn round(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_numbers_hold_all_values() {
        let scale = Scale::linear(&[3.0, 733.0]);
        assert_eq!(scale.ticks, [0.0, 200.0, 400.0, 600.0, 800.0]);
        assert_eq!((scale.place)(400.0), 0.5);
        let scale = Scale::log(&[0.0, 20.0, 1500.0]);
        let labels: Vec<String> = scale.ticks.iter().map(|tick| round(*tick)).collect();
        assert_eq!(labels, ["0.01", "0.1", "1", "10", "100", "1000", "10000"]);
        assert_eq!((scale.place)(0.0), 0.0);
    }

    #[test]
    fn doubled_loads_are_equally_far_apart() {
        let scale = Scale::doubling(&[64.0, 1.0, 8.0, 8.0]);
        assert_eq!(scale.ticks, [1.0, 8.0, 64.0]);
        assert_eq!([1.0, 8.0, 64.0].map(|x| (scale.place)(x)), [0.0, 0.5, 1.0]);
    }

    #[test]
    fn few_values_make_axes_too() {
        for make in [Scale::linear, Scale::log, Scale::doubling] {
            for values in [&[][..], &[0.0], &[1e-9], &[5.0, 5.0], &[1e12]] {
                let scale = make(values);
                assert!(scale.ticks.len() < 20, "{:?}", scale.ticks);
                for value in values {
                    let place = (scale.place)(*value);
                    assert!((0.0..=1.0).contains(&place), "{value}: {place}");
                }
            }
        }
    }
}
