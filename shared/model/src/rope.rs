//! Rotary position embedding (arXiv 2104.09864) and its stretchings to longer texts.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::ops::Range;

use crate::math::{power, sin_cos};
use crate::tensor::{Device, Tensor, TensorData};
use serde_json::{Map, Value};

use crate::Error;
use crate::config::unsupported;

/// How one kind of layer turns its queries and keys: the result of all of `config.json`'s options.
#[derive(Debug, Clone, PartialEq)]
pub struct RopeConfig {
    /// Radians per position of each pair of elements; twice as many elements of a head are turned.
    pub frequencies: Vec<f32>,
    /// Other frequencies for texts longer than some length.
    pub beyond: Option<Beyond>,
    /// What cosines and sines are multiplied with.
    pub attention_factor: f32,
    /// Whether pairs are neighbours (DeepSeek) rather than half a head apart.
    pub interleaved: bool,
}

/// Frequencies for texts that are longer than `positions` as a whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Beyond {
    /// The longest text that has the plain frequencies.
    pub positions: usize,
    /// What longer texts have.
    pub rule: BeyondRule,
}

/// How frequencies of long texts are made.
#[derive(Debug, Clone, PartialEq)]
pub enum BeyondRule {
    /// These, whatever the length (LongRoPE).
    Fixed(Vec<f32>),
    /// Those of a theta that grows with the length (dynamic NTK).
    Growing {
        /// The plain theta.
        theta: f32,
        /// `factor` of `config.json`.
        factor: f32,
    },
}

impl RopeConfig {
    /// The frequencies of a text of this many positions. Keys in a cache were turned by one set of
    /// them, so a text must know its length before it begins ([`crate::KvCache::expect`]).
    pub(crate) fn frequencies_of(&self, positions: usize) -> Cow<'_, [f32]> {
        match &self.beyond {
            Some(beyond) if positions > beyond.positions => match &beyond.rule {
                BeyondRule::Fixed(frequencies) => frequencies.into(),
                BeyondRule::Growing { theta, factor } => {
                    let dim = 2.0 * self.frequencies.len() as f32;
                    let stretch = positions as f32 / beyond.positions as f32;
                    let growth = factor * stretch - (factor - 1.0);
                    let theta = theta * power(growth, dim / (dim - 2.0));
                    powers(theta, self.frequencies.len())
                        .map(|power| 1.0 / power)
                        .collect()
                }
            },
            _ => (&self.frequencies).into(),
        }
    }

    /// Whether texts of these lengths are turned alike.
    #[cfg(feature = "gpu")]
    pub(crate) fn is_alike(&self, one: usize, other: usize) -> bool {
        self.beyond.is_none() || self.frequencies_of(one) == self.frequencies_of(other)
    }
}

/// `theta^(i / pairs)` for each pair.
fn powers(theta: f32, pairs: usize) -> impl Iterator<Item = f32> {
    let dim = 2.0 * pairs as f32;
    (0..pairs).map(move |i| power(theta, (2 * i) as f32 / dim))
}

/// What `config.json` says about positions, before it is worked out.
pub(crate) struct RopeOptions<'a> {
    pub(crate) theta: f64,
    /// Elements of a head that are turned; even.
    pub(crate) dim: usize,
    pub(crate) interleaved: bool,
    pub(crate) max_position_embeddings: usize,
    /// `rope_parameters`, or the older `rope_scaling`.
    pub(crate) parameters: Option<&'a Map<String, Value>>,
    /// `original_max_position_embeddings` from the top level, as Phi-3 has it.
    pub(crate) original_positions: Option<usize>,
}

const KINDS: &str = "default, linear, dynamic, llama3, yarn, longrope";

impl RopeOptions<'_> {
    /// Works out the frequencies, in f32 as transformers does
    /// (`modeling_rope_utils.py` names the papers of each kind).
    ///
    /// # Errors
    /// [`Error::Unsupported`] for another `rope_type`, [`Error::Config`] for a missing or
    /// impossible number.
    pub(crate) fn resolve(&self) -> Result<RopeConfig, Error> {
        let kind = match self.parameters {
            None => "default",
            Some(parameters) => match parameters.get("rope_type").or(parameters.get("type")) {
                Some(kind) => kind.as_str().unwrap_or_default(),
                // A theta alone is plain; a scaling without a type would be one we don't know.
                None if parameters.keys().all(|key| key == "rope_theta") => "default",
                None => "",
            },
        };
        let plain: Vec<f32> = self.powers().map(|power| 1.0 / power).collect();
        let mut beyond = None;
        let (frequencies, attention_factor) = match kind {
            "default" => (plain, 1.0),
            "dynamic" => {
                beyond = Some(Beyond {
                    positions: self.max_position_embeddings,
                    rule: BeyondRule::Growing {
                        theta: self.theta as f32,
                        factor: self.positive("factor")? as f32,
                    },
                });
                (plain, 1.0)
            }
            "linear" => {
                let factor = self.positive("factor")? as f32;
                (plain.iter().map(|f| f / factor).collect(), 1.0)
            }
            "llama3" => (self.llama3(&plain)?, 1.0),
            "yarn" => self.yarn()?,
            "longrope" | "su" => {
                let (short, long, attention_factor) = self.longrope()?;
                beyond = Some(long);
                (short, attention_factor)
            }
            _ => {
                let value = self.parameters.map_or(Value::Null, |p| p.clone().into());
                return Err(unsupported("rope_type", &value, KINDS));
            }
        };
        let finite = |f: &f32| f.is_finite() && *f >= 0.0;
        if !frequencies.iter().chain([&attention_factor]).all(finite) {
            return Err(Error::Config(format!(
                "its rope parameters of type {kind} give frequencies that are not numbers"
            )));
        }
        Ok(RopeConfig {
            frequencies,
            beyond,
            attention_factor,
            interleaved: self.interleaved,
        })
    }

    /// `theta^(2i / dim)`.
    fn powers(&self) -> impl Iterator<Item = f32> {
        powers(self.theta as f32, self.dim / 2)
    }

    fn get(&self, key: &str) -> Option<&Value> {
        self.parameters?.get(key).filter(|value| !value.is_null())
    }

    fn number(&self, key: &'static str) -> Result<Option<f64>, Error> {
        match self.get(key) {
            None => Ok(None),
            Some(value) => match value.as_f64().filter(|x| x.is_finite() && *x >= 0.0) {
                Some(number) => Ok(Some(number)),
                None => Err(Error::Config(format!("rope's {key} must be a number"))),
            },
        }
    }

    fn positive(&self, key: &'static str) -> Result<f64, Error> {
        match self.number(key)? {
            Some(number) if number > 0.0 => Ok(number),
            _ => Err(Error::Config(format!(
                "rope's {key} must be a positive number"
            ))),
        }
    }

    fn original(&self) -> Result<f64, Error> {
        let given = self.number("original_max_position_embeddings")?;
        let top = self.original_positions.map(|n| n as f64);
        Ok(top.or(given).unwrap_or(self.max_position_embeddings as f64))
    }

    /// Llama 3.1: slow pairs are stretched, fast ones kept, those between blended.
    fn llama3(&self, plain: &[f32]) -> Result<Vec<f32>, Error> {
        let factor = self.positive("factor")? as f32;
        let low = self.positive("low_freq_factor")? as f32;
        let high = self.positive("high_freq_factor")? as f32;
        let original = self.original()? as f32;
        Ok(plain
            .iter()
            .map(|&frequency| {
                let wavelength = std::f32::consts::TAU / frequency;
                if wavelength > original / low {
                    frequency / factor
                } else if wavelength < original / high {
                    frequency
                } else {
                    let smooth = (original / wavelength - low) / (high - low);
                    (1.0 - smooth) * frequency / factor + smooth * frequency
                }
            })
            .collect())
    }

    /// YaRN (arXiv 2309.00071): pairs that turn often are kept, those that turn less than once in
    /// the trained length are stretched, those between blended.
    fn yarn(&self) -> Result<(Vec<f32>, f32), Error> {
        let factor = self.positive("factor")?;
        let original = self.original()?;
        let beta_fast = self.number("beta_fast")?.unwrap_or(32.0);
        let beta_slow = self.number("beta_slow")?.unwrap_or(1.0);
        let whole = self
            .get("truncate")
            .and_then(Value::as_bool)
            .unwrap_or(true);
        let dim = self.dim as f64;
        // The index of the pair that turns `turns` times in the trained length.
        let pair = |turns: f64| {
            dim * (original / (turns * std::f64::consts::TAU)).ln() / (2.0 * self.theta.ln())
        };
        let (mut low, mut high) = (pair(beta_fast), pair(beta_slow));
        if whole {
            (low, high) = (low.floor(), high.ceil());
        }
        let (low, mut high) = (low.max(0.0), high.min(dim - 1.0));
        if low == high {
            high += 0.001;
        }
        let frequencies = self.powers().enumerate().map(|(i, power)| {
            let ramp = ((i as f32 - low as f32) / (high - low) as f32).clamp(0.0, 1.0);
            let (kept, stretched) = (1.0 / power, 1.0 / (factor as f32 * power));
            stretched * ramp + kept * (1.0 - ramp)
        });
        let attention = match self.number("attention_factor")? {
            Some(given) => given,
            None => match (self.number("mscale")?, self.number("mscale_all_dim")?) {
                (Some(m), Some(all)) if m != 0.0 && all != 0.0 => {
                    yarn_mscale(factor, m) / yarn_mscale(factor, all)
                }
                _ => yarn_mscale(factor, 1.0),
            },
        };
        Ok((frequencies.collect(), attention as f32))
    }

    /// LongRoPE (arXiv 2402.13753), as in Phi-3: a factor per pair, one list for texts within the
    /// trained length and one for longer ones.
    fn longrope(&self) -> Result<(Vec<f32>, Beyond, f32), Error> {
        let original = self.original()?;
        let factor = match self.number("factor")? {
            Some(given) => given,
            None => self.max_position_embeddings as f64 / original,
        };
        let attention = match self.number("attention_factor")? {
            Some(given) => given,
            None if factor <= 1.0 => 1.0,
            None => (1.0 + factor.ln() / original.ln()).sqrt(),
        };
        let beyond = Beyond {
            positions: original as usize,
            rule: BeyondRule::Fixed(self.divided_by("long_factor")?),
        };
        Ok((self.divided_by("short_factor")?, beyond, attention as f32))
    }

    /// The plain frequencies, each divided by its own factor.
    fn divided_by(&self, key: &'static str) -> Result<Vec<f32>, Error> {
        let pairs = self.dim / 2;
        let factors = self.get(key).and_then(Value::as_array);
        let factors: Option<Vec<f32>> = factors.and_then(|list| {
            let positive = |f: &Value| f.as_f64().filter(|f| f.is_finite() && *f > 0.0);
            list.iter().map(|f| positive(f).map(|f| f as f32)).collect()
        });
        let factors = factors
            .filter(|factors| factors.len() == pairs)
            .ok_or_else(|| {
                Error::Config(format!(
                    "rope's {key} must be a list of {pairs} positive numbers"
                ))
            })?;
        let divided = self
            .powers()
            .zip(factors)
            .map(|(power, f)| 1.0 / (f * power));
        Ok(divided.collect())
    }
}

/// YaRN's correction of the softmax temperature: `0.1 m ln(factor) + 1`.
pub(crate) fn yarn_mscale(factor: f64, m: f64) -> f64 {
    if factor <= 1.0 {
        1.0
    } else {
        0.1 * m * factor.ln() + 1.0
    }
}

/// Cosines and sines for a range of positions, ready to be applied to heads.
pub(crate) struct Rope {
    /// Cosines and sines, `[time, pairs]` each.
    halves: [Vec<f32>; 2],
    /// Of each position.
    pairs: usize,
    interleaved: bool,
    device: Device,
    tensors: OnceCell<[Tensor<4>; 2]>,
}

impl Rope {
    /// Angles `position * frequency`, in f32 as transformers computes them, for some positions of a
    /// text of `length`.
    pub(crate) fn new(
        config: &RopeConfig,
        positions: Range<usize>,
        length: usize,
        device: &Device,
    ) -> Self {
        let time = positions.len();
        let angles = Self::angles(config, positions, length);
        let pairs = angles.len() / (2 * time);
        let half = |second: usize| -> Vec<f32> {
            let rows = angles.chunks_exact(2 * pairs);
            rows.flat_map(|row| &row[second * pairs..][..pairs])
                .copied()
                .collect()
        };
        Self {
            halves: [half(0), half(1)],
            pairs,
            interleaved: config.interleaved,
            device: device.clone(),
            tensors: OnceCell::new(),
        }
    }

    /// Cosines and sines, `[time, pairs]` each.
    #[cfg(feature = "cpu")]
    pub(crate) fn halves(&self) -> &[Vec<f32>; 2] {
        &self.halves
    }

    /// Cosines and sines, `[1, 1, time, pairs]` each.
    pub(crate) fn tensors(&self) -> [Tensor<4>; 2] {
        let upload = |half: &Vec<f32>| {
            let shape = [1, 1, half.len() / self.pairs, self.pairs];
            Tensor::from_data(TensorData::new(half.clone(), shape), &self.device)
        };
        let make = || self.halves.each_ref().map(upload);
        self.tensors.get_or_init(make).clone()
    }

    /// Of each position its cosines, then its sines: `[positions, 2 * pairs]`.
    pub(crate) fn angles(config: &RopeConfig, positions: Range<usize>, length: usize) -> Vec<f32> {
        let frequencies = config.frequencies_of(length);
        let pairs = frequencies.len();
        let mut rows = vec![0.0; positions.len() * 2 * pairs];
        for (position, row) in positions.zip(rows.chunks_exact_mut(2 * pairs)) {
            let (cos, sin) = row.split_at_mut(pairs);
            for ((frequency, cos), sin) in frequencies.iter().zip(cos).zip(sin) {
                let (s, c) = sin_cos(position as f32 * frequency);
                *cos = c * config.attention_factor;
                *sin = s * config.attention_factor;
            }
        }
        rows
    }

    /// Whether every element of a head of this width is turned, half a head apart.
    #[cfg(all(feature = "train", feature = "flex"))]
    pub(crate) fn is_plain(&self, head_dim: usize) -> bool {
        !self.interleaved && 2 * self.pairs == head_dim
    }

    /// Rotates `x` `[batch, heads, time, head_dim]`. Pairs that are neighbours come out half a head
    /// apart: queries and keys alike, so that their products are the same. Elements past the pairs
    /// are left as they are.
    pub(crate) fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        let [batch, heads, time, d] = x.dims();
        let half = self.pairs;
        let (first, second) = if self.interleaved {
            let pairs = x.clone().narrow(3, 0, 2 * half);
            let pairs: Tensor<5> = pairs.reshape([batch, heads, time, half, 2]);
            let element = |i| {
                let element: Tensor<5> = pairs.clone().narrow(4, i, 1);
                element.reshape([batch, heads, time, half])
            };
            (element(0), element(1))
        } else {
            (
                x.clone().narrow(3, 0, half),
                x.clone().narrow(3, half, half),
            )
        };
        let [cos, sin] = self.tensors();
        let turned_first = first.clone() * cos.clone() - second.clone() * sin.clone();
        let turned_second = second * cos + first * sin;
        let mut parts = vec![turned_first, turned_second];
        if 2 * half < d {
            parts.push(x.narrow(3, 2 * half, d - 2 * half));
        }
        Tensor::cat(parts, 3)
    }
}
