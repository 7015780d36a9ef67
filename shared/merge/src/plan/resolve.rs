//! What a recipe's parameters are for one tensor.

use std::collections::BTreeMap;

use super::Step;
use crate::methods::ties::Election;
use crate::methods::{Inputs, Range, Spec};
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
pub(super) fn layer(name: &str) -> Option<usize> {
    let mut parts = name.split('.');
    parts.find(|part| matches!(*part, "layers" | "layer" | "h" | "blocks" | "block"))?;
    parts.next()?.parse().ok()
}

/// A tensor's name in another layer.
pub(super) fn in_layer(name: &str, number: usize) -> String {
    let old = layer(name).map_or_else(String::new, |layer| layer.to_string());
    let mut after = false;
    let part = |part: &str| {
        let is_number = std::mem::replace(&mut after, false) && part == old;
        after = matches!(part, "layers" | "layer" | "h" | "blocks" | "block");
        if is_number {
            number.to_string()
        } else {
            part.to_owned()
        }
    };
    name.split('.').map(part).collect::<Vec<_>>().join(".")
}

/// One tensor under one recipe.
pub(super) struct Place<'a> {
    pub(super) recipe: &'a Recipe,
    pub(super) tensor: &'a str,
    /// The tensor's name in models where it is another.
    pub(super) names: &'a BTreeMap<usize, String>,
    pub(super) depth: f64,
}

impl Place<'_> {
    /// What is done with it. `inputs` are the models that are read.
    pub(super) fn step(&self, inputs: &[&str]) -> Result<Step> {
        let (recipe, method) = (self.recipe, self.recipe.method);
        let index = |name: &str| inputs.iter().position(|input| *input == name).unwrap_or(0);
        let (base, names) = match method.inputs() {
            Inputs::Any | Inputs::One => (None, recipe.inputs()),
            _ => (
                recipe.base_model.as_deref().map(index),
                recipe.changed().map(|source| &*source.model).collect(),
            ),
        };
        let mut values = BTreeMap::new();
        for spec in method.parameters() {
            let of = match spec.parameter.per_model() {
                true => names
                    .iter()
                    .map(|name| self.checked(spec, Some(name), inputs))
                    .collect::<Result<_>>()?,
                false => vec![self.checked(spec, None, inputs)?],
            };
            values.insert(spec.parameter, of);
        }
        let step = Step {
            base,
            models: names.iter().map(|name| index(name)).collect(),
            election: self.election(),
            values,
        };
        self.check_della(&step, &names)?;
        Ok(step)
    }

    /// DELLA's probabilities are probabilities.
    fn check_della(&self, step: &Step, names: &[&str]) -> Result<()> {
        if !matches!(self.recipe.method, Method::Della | Method::DellaLinear) {
            return Ok(());
        }
        let both = step
            .each(Parameter::Density)
            .iter()
            .zip(step.each(Parameter::Epsilon));
        for ((density, epsilon), name) in both.zip(names) {
            // A whole task vector is not thinned.
            if *density < 1.0 && (density - epsilon <= 0.0 || density + epsilon >= 1.0) {
                let problem = format!(
                    "is {epsilon}; density ± epsilon, {density} ± {epsilon}, must be between 0 and 1"
                );
                return Err(self.error(Parameter::Epsilon, Some(name), problem));
            }
        }
        Ok(())
    }

    /// The model's own value, or else the recipe's.
    fn value(&self, parameter: Parameter, model: Option<&str>, inputs: &[&str]) -> Option<f64> {
        let own = |name: &str| {
            self.recipe
                .models
                .iter()
                .find(|source| source.model == name)
        };
        let of_model = model
            .and_then(own)
            .and_then(|source| source.parameters.get(&parameter));
        // A model's own filters are for its own names.
        let index = inputs.iter().position(|input| Some(*input) == model);
        let own_name = index.and_then(|index| self.names.get(&index));
        let own_name = own_name.map_or(self.tensor, |name| name);
        let of_all = || {
            let setting = self.recipe.parameters.get(&parameter)?;
            setting.at(self.tensor, self.depth)
        };
        let of_model = of_model.and_then(|setting| setting.at(own_name, self.depth));
        of_model.or_else(of_all)
    }

    /// The value of a parameter, if the method can use it.
    fn checked(&self, spec: &Spec, model: Option<&str>, inputs: &[&str]) -> Result<f64> {
        let parameter = spec.parameter;
        let Some(value) = self.value(parameter, model, inputs).or(spec.default) else {
            return Err(self.error(parameter, model, format!("is missing{}", self.hint(model))));
        };
        let wrong = |wanted: &str| {
            Err(self.error(parameter, model, format!("is {value}; it must be {wanted}")))
        };
        match spec.range {
            Range::Any | Range::Word => Ok(value),
            Range::Part if value > 0.0 && value <= 1.0 + ROUNDING => Ok(value.min(1.0)),
            Range::Part => wrong("above 0 and at most 1"),
            Range::PartOrNone if (0.0..1.0).contains(&value) => Ok(value),
            Range::PartOrNone => wrong("at least 0 and below 1"),
            Range::Positive if value >= 0.0 => Ok(value),
            Range::Positive => wrong("0 or above"),
            Range::Switch if value == 0.0 || value == 1.0 => Ok(value),
            Range::Switch => wrong("true or false"),
        }
    }

    fn hint(&self, model: Option<&str>) -> &'static str {
        let listed = |name: &str| self.recipe.models.iter().any(|source| source.model == name);
        match model {
            Some(name) if !listed(name) => " (the base takes part too: list it with one)",
            _ => "",
        }
    }

    fn election(&self) -> Option<Election> {
        if !self.recipe.method.elects() {
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
