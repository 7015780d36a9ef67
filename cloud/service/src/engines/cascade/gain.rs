//! When one more answer is worth what it costs.
//!
//! Let `p` be the probability that the best answer so far is right. An engine that is right in the share `keeps` of the cases in
//! which that answer is, and in the share `saves` of the others, makes `keeps p + saves (1 - p)` of it: the law of total
//! probability. Asking it is worth what a right answer is worth times the difference, less what it costs: quality less cost in one
//! currency, as in cascade routing (Dekoninck et al., arXiv 2410.10347). The difference, and not gain divided by cost: by
//! a quotient an engine that costs next to nothing would always be asked first, however little it helps.
//!
//! One step is looked ahead: what engines behind the next one may add is not counted.

use serde::{Deserialize, Serialize};

use crate::Price;

/// How good an engine is where another has answered before it, and what it costs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// Share of its answers that are right where the best one before it is wrong.
    pub saves: f64,
    /// Share of its answers that are right where the best one before it is right.
    pub keeps: f64,
    /// What an answer costs beside the prices of its tokens, in US dollars: a machine's time, or what the wait is worth.
    #[serde(default)]
    pub cost_usd: f64,
}

impl Expected {
    /// The first wrong one of the numbers.
    pub(super) fn problem(&self) -> Option<&'static str> {
        let is_share = |share: f64| (0.0..=1.0).contains(&share);
        if !is_share(self.saves) {
            Some("saves is a share: 0 to 1")
        } else if !is_share(self.keeps) {
            Some("keeps is a share: 0 to 1")
        } else if !(self.cost_usd >= 0.0 && self.cost_usd.is_finite()) {
            Some("cost_usd is 0 or more")
        } else {
            None
        }
    }

    /// The probability of a right answer when this engine's takes the place of one that is right with probability `right`.
    pub(super) fn after(&self, right: f64) -> f64 {
        self.keeps * right + self.saves * (1.0 - right)
    }

    /// What asking it is expected to bring and to cost, for a prompt and an answer of so many tokens.
    pub(super) fn weigh(&self, right: f64, price: Price, tokens: (usize, usize)) -> Gain {
        Gain {
            right: self.after(right) - right,
            cost_usd: self.cost_usd + price.of(tokens.0, tokens.1),
        }
    }
}

/// What asking an engine is expected to change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Gain {
    /// Of the probability that the answer is right; below 0 where a good answer would be replaced by a worse one.
    pub(super) right: f64,
    /// In US dollars.
    pub(super) cost_usd: f64,
}

impl Gain {
    /// In US dollars, where a right answer is worth `right_usd`.
    pub(super) fn worth(&self, right_usd: f64) -> f64 {
        self.right * right_usd - self.cost_usd
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LARGE: Expected = Expected {
        saves: 0.8,
        keeps: 0.95,
        cost_usd: 0.001,
    };

    #[test]
    fn the_break_even_is_where_gain_meets_cost() {
        // Gain is saves - (saves + 1 - keeps) p, so that it is worth its cost below this.
        let (right_usd, price) = (0.01, Price::default());
        let even = (0.8 - 0.1) / (0.8 + 0.05);
        let worth = |right| LARGE.weigh(right, price, (10, 10)).worth(right_usd);
        assert!(worth(even).abs() < 1e-12);
        assert!(worth(even - 0.01) > 0.0 && worth(even + 0.01) < 0.0);
        // A good answer is made worse.
        assert!(LARGE.weigh(1.0, price, (0, 0)).right < 0.0);
    }

    #[test]
    fn tokens_have_their_prices() {
        let price = Price {
            prompt_usd_per_million: 2.0,
            completion_usd_per_million: 10.0,
        };
        let gain = LARGE.weigh(0.0, price, (1000, 500));
        assert!((gain.cost_usd - (0.001 + 0.002 + 0.005)).abs() < 1e-12);
    }

    #[test]
    fn wrong_numbers_are_named() {
        let problem = |expected: Expected| expected.problem();
        assert_eq!(problem(LARGE), None);
        for wrong in [f64::NAN, -0.1, 1.1, f64::INFINITY] {
            assert!(
                problem(Expected {
                    saves: wrong,
                    ..LARGE
                })
                .is_some_and(|p| p.contains("saves"))
            );
            assert!(
                problem(Expected {
                    keeps: wrong,
                    ..LARGE
                })
                .is_some_and(|p| p.contains("keeps"))
            );
        }
        for cost_usd in [f64::NAN, -0.1, f64::INFINITY] {
            assert!(problem(Expected { cost_usd, ..LARGE }).is_some_and(|p| p.contains("cost")));
        }
    }

    proptest! {
        #[test]
        fn a_probability_stays_one(saves in 0.0..=1.0f64, keeps in 0.0..=1.0f64, right in 0.0..=1.0f64) {
            let expected = Expected { saves, keeps, cost_usd: 0.0 };
            prop_assert!((0.0..=1.0 + 1e-12).contains(&expected.after(right)));
        }
    }
}
