//! What a recipe's parameters are for one tensor.

use super::Step;
use crate::methods::ties::Election;
use crate::recipe::{Parameter, Setting};
use crate::{Error, Method, Recipe, Result};

/// How far above 1 a density may be from rounding in a gradient.
const ROUNDING: f64 = 1e-9;

/// How deep in the model each tensor is.
pub(super) struct Depths {
    layers: usize,
}

impl Depths {
    pub(super) fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        Self {
            layers: names
                .filter_map(layer)
                .max()
                .map_or(0, |last| last.saturating_add(1)),
        }
    }

    /// From 0 for the first layer to 1 for the last. What is in no layer (embeddings, the last
    /// norm, the head) is at 0, and the only layer of a model at 1, as in mergekit.
    pub(super) fn of(&self, name: &str) -> f64 {
        match (layer(name), self.layers) {
            (None, _) => 0.0,
            (Some(_), 1) => 1.0,
            (Some(layer), layers) => layer as f64 / (layers - 1) as f64,
        }
    }
}

/// The number of the layer that a tensor is in, by the ways in which models name their layers.
fn layer(name: &str) -> Option<usize> {
    let mut parts = name.split('.');
    parts.find(|part| matches!(*part, "layers" | "layer" | "h" | "blocks" | "block"))?;
    parts.next()?.parse().ok()
}

/// One tensor under one recipe.
pub(super) struct Place<'a> {
    pub(super) recipe: &'a Recipe,
    pub(super) tensor: &'a str,
    pub(super) depth: f64,
}

impl Place<'_> {
    /// What is done with it. `inputs` are the models that are read.
    pub(super) fn step(&self, inputs: &[&str]) -> Result<Step> {
        let recipe = self.recipe;
        let index = |name: &str| inputs.iter().position(|input| *input == name).unwrap_or(0);
        let base = index(recipe.reference());
        match recipe.method {
            Method::Linear => {
                let weight = |(index, name): (usize, &&str)| {
                    Ok((index, self.required(Parameter::Weight, name)? as f32))
                };
                let models = inputs
                    .iter()
                    .enumerate()
                    .map(weight)
                    .collect::<Result<_>>()?;
                Ok(Step::Linear {
                    models,
                    normalize: self.switch(Parameter::Normalize, true)?,
                })
            }
            Method::Slerp => {
                let t = self.value(Parameter::T, None);
                let t = t.ok_or_else(|| self.error(Parameter::T, None, "is missing".into()))?;
                // The base is one of two, so the other is the other.
                Ok(Step::Slerp {
                    from: base,
                    to: 1 - base,
                    t: t as f32,
                })
            }
            Method::TaskArithmetic | Method::Ties | Method::DareTies | Method::DareLinear => {
                let names: Vec<&str> = recipe.changed().map(|source| &*source.model).collect();
                let weight = |name: &&str| Ok(self.required(Parameter::Weight, name)? as f32);
                Ok(Step::TaskVectors {
                    base,
                    models: names.iter().map(|name| index(name)).collect(),
                    weights: names.iter().map(weight).collect::<Result<_>>()?,
                    densities: names
                        .iter()
                        .map(|n| self.density(n))
                        .collect::<Result<_>>()?,
                    normalize: self.switch(Parameter::Normalize, recipe.method == Method::Ties)?,
                    rescale: self.switch(Parameter::Rescale, is_dare(recipe.method))?,
                    lambda: self.value(Parameter::Lambda, None).unwrap_or(1.0) as f32,
                    election: self.election(),
                })
            }
        }
    }

    /// The model's own value, or else the recipe's.
    fn value(&self, parameter: Parameter, model: Option<&str>) -> Option<f64> {
        let own = |name: &str| {
            self.recipe
                .models
                .iter()
                .find(|source| source.model == name)
        };
        let of_model = model
            .and_then(own)
            .and_then(|source| source.parameters.get(&parameter));
        let levels = [of_model, self.recipe.parameters.get(&parameter)];
        levels
            .into_iter()
            .flatten()
            .find_map(|setting| setting.at(self.tensor, self.depth))
    }

    fn required(&self, parameter: Parameter, model: &str) -> Result<f64> {
        self.value(parameter, Some(model)).ok_or_else(|| {
            let unlisted = !self
                .recipe
                .models
                .iter()
                .any(|source| source.model == model);
            let hint = if unlisted {
                " (the base takes part too: list it with one)"
            } else {
                ""
            };
            self.error(parameter, Some(model), format!("is missing{hint}"))
        })
    }

    fn density(&self, model: &str) -> Result<f64> {
        if self.recipe.method == Method::TaskArithmetic {
            return Ok(1.0);
        }
        let density = self.value(Parameter::Density, Some(model)).unwrap_or(1.0);
        if density > 0.0 && density <= 1.0 + ROUNDING {
            return Ok(density.min(1.0));
        }
        let problem = format!("is {density}; it must be above 0 and at most 1");
        Err(self.error(Parameter::Density, Some(model), problem))
    }

    fn switch(&self, parameter: Parameter, default: bool) -> Result<bool> {
        match self.value(parameter, None) {
            None => Ok(default),
            Some(0.0) => Ok(false),
            Some(1.0) => Ok(true),
            Some(value) => {
                Err(self.error(parameter, None, format!("is {value}, not true or false")))
            }
        }
    }

    fn election(&self) -> Option<Election> {
        if !matches!(self.recipe.method, Method::Ties | Method::DareTies) {
            return None;
        }
        match self.recipe.parameters.get(&Parameter::Consensus) {
            Some(Setting::Word(word)) if word == "count" => Some(Election::Count),
            _ => Some(Election::Sum),
        }
    }

    fn error(&self, parameter: Parameter, model: Option<&str>, problem: String) -> Error {
        Error::Parameter {
            parameter: parameter.name(),
            place: model.map_or("the recipe".into(), |name| format!("model `{name}`")),
            tensor: self.tensor.to_owned(),
            problem,
        }
    }
}

fn is_dare(method: Method) -> bool {
    matches!(method, Method::DareTies | Method::DareLinear)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_found_in_the_usual_names() {
        assert_eq!(layer("model.layers.12.mlp.up_proj.weight"), Some(12));
        assert_eq!(layer("transformer.h.3.attn.weight"), Some(3));
        assert_eq!(layer("model.norm.weight"), None);
        assert_eq!(layer("layers"), None);
        assert_eq!(layer("layers.99999999999999999999.w"), None);
        assert_eq!(Depths::new(["h.0.w"].into_iter()).of("h.0.w"), 1.0);
        let last = format!("h.{}.w", usize::MAX);
        assert!(Depths::new([&*last].into_iter()).of(&last) <= 1.0 + 1e-9);
    }
}
