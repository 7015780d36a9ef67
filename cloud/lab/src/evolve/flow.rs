//! Ways through the layers of several models.

use std::collections::BTreeSet;

use sprat_model::{Hop, ModelConfig};

use super::job;
use super::parents::Weights;
use crate::{Error, Result};

/// Where a layer's name ends and what is in it begins.
const LAYERS: &str = "model.layers.";

/// A model whose text goes a way of its own through the layers of several.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) weights: Weights,
    pub(super) config: ModelConfig,
    /// Of each hop the model and layer that it is of.
    pub(super) hops: Vec<(usize, usize, f32)>,
}

/// All ways that are tried: each is a point of the unit cube.
pub(super) struct Ways {
    /// Names and weights; the first has the embeddings, the last norm and the head.
    pool: Vec<(String, Weights)>,
    config: ModelConfig,
    repetitions: usize,
    scales: Option<[f64; 2]>,
    /// How far from the border between in and out a hop begins.
    doubt: f64,
}

impl Ways {
    /// # Errors
    /// [`Error::Model`] for models whose layers are not all of one kind.
    pub(super) fn new(
        flow: &job::Flow,
        pool: Vec<(String, Weights)>,
        config: &ModelConfig,
    ) -> Result<Self> {
        let layers = config.num_hidden_layers();
        let plain = config.with_layers(layers);
        plain.map_err(Error::model("search ways through the layers"))?;
        Ok(Self {
            pool,
            config: config.clone(),
            repetitions: flow.repetitions,
            scales: flow.scales,
            doubt: 2.0 * flow.search.sigma,
        })
    }

    /// The models' names, in the order that hops count them.
    pub(super) fn names(&self) -> Vec<String> {
        self.pool.iter().map(|(name, _)| name.clone()).collect()
    }

    /// Hops of the longest way.
    fn longest(&self) -> usize {
        self.repetitions * self.pool.len() * self.config.num_hidden_layers()
    }

    /// How many genes there are: for each hop whether it is in, and its scale.
    pub(super) fn len(&self) -> usize {
        match self.scales {
            Some(_) => 2 * self.longest(),
            None => self.longest(),
        }
    }

    /// The point of the first model as it is: its own layers in, all others out, two standard deviations away from
    /// the border.
    pub(super) fn first(&self) -> Vec<f64> {
        let own = self.config.num_hidden_layers();
        let inclusion = |hop| match hop < own {
            true => (0.5 + self.doubt).min(1.0),
            false => (0.5 - self.doubt).max(0.0),
        };
        let mut point: Vec<f64> = (0..self.longest()).map(inclusion).collect();
        if let Some([low, high]) = self.scales {
            point.resize(self.len(), (1.0 - low) / (high - low));
        }
        point
    }

    /// The way at a point; none where no hop is in.
    ///
    /// # Errors
    /// [`Error::Model`].
    pub(super) fn way(&self, point: &[f64]) -> Result<Option<Box<Way>>> {
        let layers = self.config.num_hidden_layers();
        let (inclusion, scales) = point.split_at(self.longest().min(point.len()));
        let scale = |hop: usize| match (self.scales, scales.get(hop)) {
            // Through f32, so that the neutral point is 1 exactly.
            (Some([low, high]), Some(part)) => (low + (high - low) * part) as f32,
            _ => 1.0,
        };
        let hop = |hop: usize| {
            let place = hop % (self.pool.len() * layers);
            (place / layers, place % layers, scale(hop))
        };
        let hops = inclusion.iter().enumerate().filter(|(_, x)| **x > 0.5);
        let hops: Vec<(usize, usize, f32)> = hops.map(|(i, _)| hop(i)).collect();
        match hops.is_empty() {
            true => Ok(None),
            false => self.build(hops).map(|way| Some(Box::new(way))),
        }
    }

    /// A model with the layers that some hop goes through, each once.
    fn build(&self, hops: Vec<(usize, usize, f32)>) -> Result<Way> {
        let used: BTreeSet<(usize, usize)> = hops.iter().map(|(m, l, _)| (*m, *l)).collect();
        let used: Vec<(usize, usize)> = used.into_iter().collect();
        let index = |of: (usize, usize)| used.binary_search(&of).unwrap_or(0);
        let way: Vec<Hop> = hops
            .iter()
            .map(|(model, layer, scale)| Hop {
                layer: index((*model, *layer)),
                scale: *scale,
            })
            .collect();
        let config = self.config.with_layers(used.len());
        let config = config.and_then(|config| config.with_hops(&way));
        let config = config.map_err(Error::model("make a way through the layers"))?;
        let mut weights = Weights::default();
        let first = &self.pool[0].1;
        for (name, _, _) in first.iter().filter(|(name, ..)| !name.starts_with(LAYERS)) {
            weights.share(name.to_owned(), first, name);
        }
        for (new, (model, layer)) in used.iter().enumerate() {
            let (old, model) = (format!("{LAYERS}{layer}."), &self.pool[*model].1);
            for (name, _, _) in model.iter() {
                if let Some(rest) = name.strip_prefix(&old) {
                    weights.share(format!("{LAYERS}{new}.{rest}"), model, name);
                }
            }
        }
        Ok(Way {
            weights,
            config,
            hops,
        })
    }
}
