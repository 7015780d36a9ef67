//! How the next token is drawn, as a caller says it.

use crate::Error;

/// How the next token is drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// Divides the logits; 0 always takes the likeliest token.
    pub temperature: f32,
    /// Only the `top_k` likeliest tokens may be drawn; 0 for all.
    pub top_k: usize,
    /// Only the likeliest tokens that together reach this probability; 1 for all.
    pub top_p: f32,
    /// Only tokens at least this fraction as likely as the likeliest; 0 for all (arXiv 2407.01082).
    pub min_p: f32,
    /// Divides positive and multiplies negative logits of tokens seen before; 1 for none
    /// (CTRL, arXiv 1909.05858).
    pub repetition_penalty: f32,
    /// Taken off the logits of tokens that the answer has, for each time (OpenAI's `frequency_penalty`).
    pub frequency_penalty: f32,
    /// Taken off the logits of tokens that the answer has, once (OpenAI's `presence_penalty`).
    pub presence_penalty: f32,
    /// Added to the logits of these tokens; -100 all but forbids one, and 100 all but demands it.
    pub bias: Vec<(u32, f32)>,
    /// The same seed draws the same tokens, on the same kind of device. (A GPU goes through likely tokens first, where every
    /// token may be drawn.)
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            bias: Vec::new(),
            seed: 0,
        }
    }
}

impl Sampling {
    /// Whether the likeliest token by the model alone is always the next one.
    pub(crate) fn is_plain(&self) -> bool {
        self.temperature == 0.0 && !self.changes_logits()
    }

    /// Whether tokens are weighed by more than the model's own logits.
    pub(crate) fn changes_logits(&self) -> bool {
        self.repetition_penalty != 1.0
            || self.frequency_penalty != 0.0
            || self.presence_penalty != 0.0
            || !self.bias.is_empty()
    }

    /// Whether every token may be drawn.
    pub(crate) fn draws_of_all(&self) -> bool {
        self.top_k == 0 && self.top_p >= 1.0 && self.min_p == 0.0
    }

    /// # Errors
    /// [`Error::Option`] naming the first value out of range.
    pub fn check(&self) -> Result<(), Error> {
        let check = |option, value: f32, ok: bool, range| match ok && value.is_finite() {
            true => Ok(()),
            false => Err(Error::Option {
                option,
                value: value.to_string(),
                range,
            }),
        };
        let Self {
            temperature,
            top_p,
            min_p,
            repetition_penalty,
            frequency_penalty,
            presence_penalty,
            ref bias,
            ..
        } = *self;
        check(
            "temperature",
            temperature,
            (0.0..=100.0).contains(&temperature),
            "0 to 100",
        )?;
        check(
            "top_p",
            top_p,
            top_p > 0.0 && top_p <= 1.0,
            "above 0 and at most 1",
        )?;
        check("min_p", min_p, (0.0..=1.0).contains(&min_p), "0 to 1")?;
        let penalty_ok = repetition_penalty > 0.0 && repetition_penalty <= 100.0;
        check(
            "repetition_penalty",
            repetition_penalty,
            penalty_ok,
            "above 0 and at most 100",
        )?;
        for (option, value) in [
            ("frequency_penalty", frequency_penalty),
            ("presence_penalty", presence_penalty),
        ] {
            check(
                option,
                value,
                (-100.0..=100.0).contains(&value),
                "-100 to 100",
            )?;
        }
        let extreme = bias.iter().find(|(_, by)| !(-100.0..=100.0).contains(by));
        extreme.map_or(Ok(()), |(_, by)| {
            check("logit_bias", *by, false, "-100 to 100")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_out_of_range_are_named() {
        let wrong = |name: &'static str, change: fn(&mut Sampling)| {
            let mut sampling = Sampling::default();
            change(&mut sampling);
            match sampling.check() {
                Err(Error::Option { option, value, .. }) => {
                    assert_eq!(option, name);
                    value
                }
                other => panic!("{name}: {other:?}"),
            }
        };
        assert_eq!(wrong("temperature", |s| s.temperature = -1.0), "-1");
        assert_eq!(wrong("temperature", |s| s.temperature = f32::NAN), "NaN");
        assert_eq!(wrong("top_p", |s| s.top_p = 0.0), "0");
        assert_eq!(wrong("min_p", |s| s.min_p = 2.5), "2.5");
        assert_eq!(
            wrong("repetition_penalty", |s| s.repetition_penalty = 0.0),
            "0"
        );
        assert_eq!(
            wrong("frequency_penalty", |s| s.frequency_penalty = f32::INFINITY),
            "inf"
        );
        assert_eq!(
            wrong("presence_penalty", |s| s.presence_penalty = -101.0),
            "-101"
        );
        assert_eq!(
            wrong("logit_bias", |s| s.bias = vec![(1, 0.0), (2, 100.5)]),
            "100.5"
        );
        assert_eq!(Sampling::default().check(), Ok(()));
    }
}
