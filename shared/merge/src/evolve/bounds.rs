//! Searching inside a box as if there were none.

/// A smooth map of the whole line onto the interval of each coordinate: the identity but for the
/// margins, where it is a parabola, mirrored at its ends.
///
/// N. Hansen's linear-quadratic transformation, as pycma has it: with margins a and b at the two ends,
/// l + (x − l + a)² / 4a between l − a and l + a, and likewise at the upper end.
#[derive(Debug, Clone, PartialEq)]
pub struct Bounds {
    low: Vec<f64>,
    high: Vec<f64>,
}

impl Bounds {
    /// The box between two corners; none if it is empty in some direction or not finite.
    pub fn new(low: Vec<f64>, high: Vec<f64>) -> Option<Self> {
        let fits = |(l, h): (&f64, &f64)| l.is_finite() && h.is_finite() && l < h;
        let is_box = low.len() == high.len() && low.iter().zip(&high).all(fits);
        is_box.then_some(Self { low, high })
    }

    /// The same interval in every direction.
    pub fn cube(dimension: usize, low: f64, high: f64) -> Option<Self> {
        Self::new(vec![low; dimension], vec![high; dimension])
    }

    /// How many directions there are.
    pub fn dimension(&self) -> usize {
        self.low.len()
    }

    /// The lower and upper end in one direction.
    pub fn ends(&self, i: usize) -> (f64, f64) {
        (self.low[i], self.high[i])
    }

    /// A point of the box for any point.
    pub fn into_box(&self, point: &[f64]) -> Vec<f64> {
        let of = |(i, x): (usize, &f64)| self.interval(i).enter(*x);
        point.iter().enumerate().map(of).collect()
    }

    /// A point that [`Bounds::into_box`] takes to this one of the box. Points outside count as the nearest in it.
    pub fn out_of_box(&self, point: &[f64]) -> Vec<f64> {
        let of = |(i, y): (usize, &f64)| self.interval(i).leave(*y);
        point.iter().enumerate().map(of).collect()
    }

    fn interval(&self, i: usize) -> Interval {
        let (low, high) = self.ends(i);
        let margin = |end: f64| ((high - low) / 2.0).min(0.05 * end.abs().max(1.0));
        Interval {
            low,
            high,
            low_margin: margin(low),
            high_margin: margin(high),
        }
    }
}

struct Interval {
    low: f64,
    high: f64,
    low_margin: f64,
    high_margin: f64,
}

impl Interval {
    fn enter(&self, x: f64) -> f64 {
        let (first, last) = (self.low - self.low_margin, self.high + self.high_margin);
        // Mirrored at both ends, so periodic.
        let period = 2.0 * (last - first);
        let place = (x - first).rem_euclid(period);
        let x = first + place.min(period - place);
        let y = if x < self.low + self.low_margin {
            self.low + (x - first).powi(2) / 4.0 / self.low_margin
        } else if x > self.high - self.high_margin {
            self.high - (x - last).powi(2) / 4.0 / self.high_margin
        } else {
            x
        };
        // Rounding, and the NaN of an infinite point.
        y.max(self.low).min(self.high)
    }

    fn leave(&self, y: f64) -> f64 {
        let y = y.max(self.low).min(self.high);
        if y < self.low + self.low_margin {
            self.low - self.low_margin + 2.0 * (self.low_margin * (y - self.low)).sqrt()
        } else if y > self.high - self.high_margin {
            self.high + self.high_margin - 2.0 * (self.high_margin * (self.high - y)).sqrt()
        } else {
            y
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_point_lands_in_the_box_and_points_of_the_box_come_back(
            low in -100.0..100.0f64, width in 1e-3..100.0f64, x in -1e6..1e6f64, part in 0.0..=1.0f64,
        ) {
            let bounds = Bounds::cube(1, low, low + width).unwrap();
            let y = bounds.into_box(&[x])[0];
            prop_assert!(y >= low && y <= low + width);
            let inside = low + part * width;
            let back = bounds.into_box(&bounds.out_of_box(&[inside]))[0];
            prop_assert!((back - inside).abs() <= 1e-9 * (1.0 + low.abs() + width), "{inside} {back}");
        }
    }

    #[test]
    fn most_of_a_box_is_left_alone() {
        let bounds = Bounds::cube(1, 0.0, 1.0).unwrap();
        for x in [0.05, 0.3, 0.95] {
            assert_eq!(bounds.into_box(&[x])[0], x);
        }
        assert_eq!(bounds.into_box(&[-0.05])[0], 0.0);
        assert_eq!(Bounds::cube(2, 1.0, 1.0), None);
        assert_eq!(Bounds::cube(2, f64::NAN, 1.0), None);
    }
}
