//! Parameters, and what they are for one tensor.

use std::collections::BTreeMap;

macro_rules! parameters {
    ($($(#[$doc:meta])* $name:ident = $key:literal $(, $per_model:ident)?;)*) => {
        /// A parameter of some method.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Parameter {
            $($(#[$doc])* $name,)*
        }

        impl Parameter {
            /// All of them.
            pub const ALL: &[Parameter] = &[$(Parameter::$name,)*];

            /// Its name in a recipe.
            pub fn name(self) -> &'static str {
                match self {
                    $(Parameter::$name => $key,)*
                }
            }

            /// Whether each model can have its own value.
            pub fn per_model(self) -> bool {
                match self {
                    $(Parameter::$name => false $(|| stringify!($per_model) == "per_model")?,)*
                }
            }
        }
    };
}

parameters! {
    /// How much of a model.
    Weight = "weight", per_model;
    /// Which part of a task vector stays, in (0, 1].
    Density = "density", per_model;
    /// Which part of a task vector goes because it is large: [`breadcrumbs`](crate::methods::breadcrumbs).
    Gamma = "gamma", per_model;
    /// How far probabilities are from the density: [`della`](crate::methods::della). How large a
    /// change is one: [`ram`](crate::methods::ram).
    Epsilon = "epsilon", per_model;
    /// What a model that is passed through is multiplied with.
    Scale = "scale", per_model;
    /// Place between two models, from the base (0) to the other (1); a distance in
    /// [`nearswap`](crate::methods::nearswap).
    T = "t";
    /// Whether to divide by the sum of weights.
    Normalize = "normalize";
    /// Whether a thinned task vector is scaled to its former norm.
    Rescale = "rescale";
    /// Scale of the summed task vectors.
    Lambda = "lambda";
    /// How signs are elected: `sum` or `count`.
    Consensus = "consensus";
    /// mergekit's choice of memory for masks; it has no effect on the result.
    Int8Mask = "int8_mask";
    /// Whether each row has a ratio of its own: [`model_stock`](crate::methods::model_stock).
    FilterWise = "filter_wise";
    /// Whether tensors turn as a whole: [`nuslerp`](crate::methods::nuslerp).
    NuslerpFlatten = "nuslerp_flatten";
    /// Whether rows turn, and not columns, where tensors don't turn as a whole.
    NuslerpRowWise = "nuslerp_row_wise";
    /// Whether weights are divided by their sum: [`multislerp`](crate::methods::multislerp).
    NormalizeWeights = "normalize_weights";
    /// A length below which a vector has no direction.
    Eps = "eps";
    /// Steps at most: [`karcher`](crate::methods::karcher).
    MaxIter = "max_iter";
    /// The length of a step that is the last.
    Tol = "tol";
    /// Which part of the elements stays: [`sce`](crate::methods::sce).
    SelectTopk = "select_topk";
    /// How much a model's own changes are scaled for those it shares: [`ram`](crate::methods::ram).
    R = "r";
    /// At most for so many shared changes to each of its own.
    Alpha = "alpha";
}

/// Parameters by name.
pub type Parameters = BTreeMap<Parameter, Setting>;

/// What a recipe says about a parameter.
#[derive(Debug, Clone, PartialEq)]
pub enum Setting {
    /// The same everywhere; `true` is 1 and `false` 0.
    Number(f64),
    /// Values at equal distances from the first layer to the last, and straight lines between them.
    Gradient(Vec<f64>),
    /// The first rule that fits a tensor's name decides; none may fit.
    Rules(Vec<Rule>),
    /// A choice by name.
    Word(String),
}

/// A value for tensors with some text in their name.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// The text; none, or `*`, fits every tensor.
    pub filter: Option<String>,
    /// A number or gradient.
    pub value: Setting,
}

impl Setting {
    /// Its value for the tensor `name` at `depth`, 0 at the first layer and 1 at the last.
    ///
    /// None if no rule fits, or if it is a word.
    pub fn at(&self, name: &str, depth: f64) -> Option<f64> {
        match self {
            Setting::Number(value) => Some(*value),
            Setting::Gradient(values) => interpolate(values, depth),
            Setting::Rules(rules) => rules
                .iter()
                .find(|rule| rule.fits(name))
                .and_then(|rule| rule.value.at(name, depth)),
            Setting::Word(_) => None,
        }
    }
}

impl Rule {
    fn fits(&self, name: &str) -> bool {
        self.filter
            .as_deref()
            .is_none_or(|filter| filter == "*" || name.contains(filter))
    }
}

/// The height at `depth` of straight lines through equally spaced values.
fn interpolate(values: &[f64], depth: f64) -> Option<f64> {
    let last = values.len().checked_sub(1)?;
    let place = depth.clamp(0.0, 1.0) * last as f64;
    let left = (place as usize).min(last);
    let right = (left + 1).min(last);
    let part = place - left as f64;
    Some(values[left] * (1.0 - part) + values[right] * part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gradient_goes_straight_between_its_values() {
        let gradient = Setting::Gradient(vec![0.0, 1.0, 0.5]);
        for (depth, value) in [
            (0.0, 0.0),
            (0.25, 0.5),
            (0.5, 1.0),
            (0.75, 0.75),
            (1.0, 0.5),
        ] {
            assert_eq!(gradient.at("w", depth), Some(value));
        }
        assert_eq!(Setting::Gradient(vec![3.0]).at("w", 0.7), Some(3.0));
        assert_eq!(Setting::Gradient(vec![]).at("w", 0.7), None);
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let rule = |filter: Option<&str>, value| Rule {
            filter: filter.map(str::to_owned),
            value: Setting::Number(value),
        };
        let rules = Setting::Rules(vec![rule(Some("mlp"), 1.0), rule(Some("*"), 2.0)]);
        assert_eq!(rules.at("layers.0.mlp.up", 0.0), Some(1.0));
        assert_eq!(rules.at("norm", 0.0), Some(2.0));
        assert_eq!(
            Setting::Rules(vec![rule(Some("mlp"), 1.0)]).at("norm", 0.0),
            None
        );
    }
}
