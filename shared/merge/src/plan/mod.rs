//! From a recipe and the models' tensor lists to what will be done with each tensor.
//!
//! Everything that can be wrong with a recipe is found here, before a weight is read.

mod resolve;
mod slices;

use std::collections::{BTreeMap, BTreeSet};

use self::resolve::{Depths, Place};
use crate::methods::ties::Election;
use crate::recipe::{Parameter, Source};
use crate::{Error, Method, Recipe, Result};

/// The tensors of one model, in the order in which they are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    /// The model's name in the recipe.
    pub model: String,
    /// Names and shapes.
    pub tensors: Vec<(String, Vec<usize>)>,
}

/// What a merge will do.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The models that are read; [`Step`] refers to them by index.
    pub models: Vec<String>,
    /// The merge method.
    pub method: Method,
    /// Whether known faults of mergekit are made as well.
    pub mergekit_faults: bool,
    /// The tensors of the result, in the order of the reference model.
    pub tensors: Vec<PlannedTensor>,
    /// Where the recipe has slices: of each layer of the result the model and the layer that it is like.
    pub layers: Vec<(usize, usize)>,
    /// What in the recipe has no effect.
    pub warnings: Vec<String>,
}

/// One tensor of the result.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedTensor {
    /// Its name, the same in all models that are not in `inputs`.
    pub name: String,
    /// Its name in models where it is another: the tensor of another layer.
    pub inputs: BTreeMap<usize, String>,
    /// Its shape, the same in all models.
    pub shape: Vec<usize>,
    /// How it is made.
    pub step: Step,
}

/// How the plan's [`Method`] makes one tensor. Models are indices into [`Plan::models`].
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// What task vectors are differences from, or where an interpolation begins; none where a base is a
    /// model like the others, or there is none.
    pub base: Option<usize>,
    /// The models that are merged.
    pub models: Vec<usize>,
    /// How signs are elected, if they are.
    pub election: Option<Election>,
    /// Of each of the method's parameters one value, or one for each of the models.
    values: BTreeMap<Parameter, Vec<f64>>,
}

impl Step {
    /// A parameter's value for each of the models; nothing if the method hasn't got it.
    pub fn each(&self, parameter: Parameter) -> &[f64] {
        self.values.get(&parameter).map_or(&[], Vec::as_slice)
    }

    /// A parameter's value for all of them, or the first one's; 0 if the method hasn't got it.
    pub fn one(&self, parameter: Parameter) -> f64 {
        self.each(parameter).first().copied().unwrap_or(0.0)
    }

    /// Whether a switch is on.
    pub fn is(&self, parameter: Parameter) -> bool {
        self.one(parameter) != 0.0
    }

    /// The weights of the models.
    pub fn weights(&self) -> Vec<f32> {
        self.each(Parameter::Weight)
            .iter()
            .map(|weight| *weight as f32)
            .collect()
    }
}

impl PlannedTensor {
    /// Its name in one of the models.
    pub fn input(&self, model: usize) -> &str {
        self.inputs.get(&model).unwrap_or(&self.name)
    }

    /// How many values it has.
    pub fn elements(&self) -> usize {
        self.shape
            .iter()
            .fold(1, |product, &size| product.saturating_mul(size))
    }
}

/// Plans the merge of models whose tensors are known: one inventory for each of
/// [`Recipe::inputs`], in that order.
///
/// # Errors
/// [`Error::Models`], [`Error::MissingTensor`], [`Error::ExtraTensor`], [`Error::Shape`] and
/// [`Error::Parameter`], for the first thing that does not fit.
pub fn plan(recipe: &Recipe, inventories: &[Inventory]) -> Result<Plan> {
    recipe.validate()?;
    let inputs = recipe.inputs();
    let given: Vec<&str> = inventories
        .iter()
        .map(|inventory| &*inventory.model)
        .collect();
    if inputs != given {
        let problem = format!("the recipe reads {inputs:?}, but these were given: {given:?}");
        return Err(Error::Models {
            method: recipe.method.name(),
            problem,
        });
    }
    if !recipe.slices.is_empty() {
        let slices::Sliced { tensors, layers } = slices::plan(recipe, &inputs, inventories)?;
        let of_slices = recipe
            .slices
            .iter()
            .flat_map(|s| warnings(&s.recipe(recipe)));
        let warnings: BTreeSet<String> = of_slices.collect();
        return Ok(Plan {
            tensors,
            layers,
            warnings: warnings.into_iter().collect(),
            method: recipe.method,
            mergekit_faults: recipe.mergekit_faults,
            models: inputs.into_iter().map(str::to_owned).collect(),
        });
    }
    let reference = inputs
        .iter()
        .position(|name| *name == recipe.reference())
        .unwrap_or(0);
    let reference = &inventories[reference];
    for inventory in inventories {
        compare(inventory, reference)?;
    }
    let depths = Depths::new(reference.tensors.iter().map(|(name, _)| &**name));
    let tensors = reference.tensors.iter().map(|(name, shape)| {
        let at = Place {
            recipe,
            tensor: name,
            names: &BTreeMap::new(),
            depth: depths.of(name),
        };
        Ok(PlannedTensor {
            name: name.clone(),
            inputs: BTreeMap::new(),
            shape: shape.clone(),
            step: at.step(&inputs)?,
        })
    });
    Ok(Plan {
        tensors: tensors.collect::<Result<_>>()?,
        layers: Vec::new(),
        warnings: warnings(recipe),
        method: recipe.method,
        mergekit_faults: recipe.mergekit_faults,
        models: inputs.into_iter().map(str::to_owned).collect(),
    })
}

/// Checks that a model has exactly the reference's tensors.
fn compare(model: &Inventory, reference: &Inventory) -> Result<()> {
    let shapes: BTreeMap<&str, &[usize]> = model
        .tensors
        .iter()
        .map(|(name, shape)| (&**name, &**shape))
        .collect();
    for (tensor, expected) in &reference.tensors {
        let Some(shape) = shapes.get(&**tensor) else {
            return Err(Error::MissingTensor {
                tensor: tensor.clone(),
                model: model.model.clone(),
                reference: reference.model.clone(),
            });
        };
        if shape != expected {
            return Err(Error::Shape {
                tensor: tensor.clone(),
                model: model.model.clone(),
                shape: shape.to_vec(),
                expected: expected.clone(),
                reference: reference.model.clone(),
            });
        }
    }
    let known: BTreeSet<&str> = reference.tensors.iter().map(|(name, _)| &**name).collect();
    match model
        .tensors
        .iter()
        .find(|(name, _)| !known.contains(&**name))
    {
        None => Ok(()),
        Some((tensor, _)) => Err(Error::ExtraTensor {
            tensor: tensor.clone(),
            model: model.model.clone(),
            reference: reference.model.clone(),
        }),
    }
}

/// What a recipe says in vain.
fn warnings(recipe: &Recipe) -> Vec<String> {
    let method = recipe.method;
    let mut warnings = Vec::new();
    let mut check = |parameters: &crate::Parameters, place: &str| {
        for parameter in parameters.keys() {
            let name = parameter.name();
            if *parameter == Parameter::Int8Mask {
                warnings.push(format!(
                    "`{name}` of {place} has no effect: masks take no memory here"
                ));
            } else if !method
                .parameters()
                .iter()
                .any(|spec| spec.parameter == *parameter)
            {
                let method = method.name();
                warnings.push(format!(
                    "`{name}` of {place} has no effect on a {method} merge"
                ));
            }
        }
    };
    check(&recipe.parameters, "the recipe");
    for Source { model, parameters } in &recipe.models {
        check(parameters, &format!("model `{model}`"));
    }
    let is_base = |source: &&Source| Some(&source.model) == recipe.base_model.as_ref();
    if method.uses_task_vectors()
        && let Some(base) = recipe.models.iter().find(is_base)
        && !base.parameters.is_empty()
    {
        warnings.push(format!(
            "the parameters of the base `{}` have no effect",
            base.model
        ));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inventory(model: &str, names: &[&str]) -> Inventory {
        let tensors = names
            .iter()
            .map(|name| ((*name).to_owned(), vec![2, 2]))
            .collect();
        Inventory {
            model: model.into(),
            tensors,
        }
    }

    const NAMES: [&str; 3] = ["model.layers.0.w", "model.layers.1.w", "model.layers.2.w"];

    fn ties(parameters: &str) -> Result<Plan> {
        let recipe = Recipe::parse(&format!(
            "{{models: [{{model: a, parameters: {parameters}}}], merge_method: ties, base_model: b}}"
        ))?;
        plan(&recipe, &[inventory("a", &NAMES), inventory("b", &NAMES)])
    }

    #[test]
    fn gradients_follow_the_layers() {
        let plan = ties("{weight: [0, 1], density: 0.5}").unwrap();
        let weights: Vec<f32> = plan
            .tensors
            .iter()
            .map(|tensor| tensor.step.weights()[0])
            .collect();
        assert_eq!(weights, [0.0, 0.5, 1.0]);
    }

    #[test]
    fn a_parameter_out_of_range_is_named() {
        for density in ["0", "-0.5", "1.5", "[1, -1]"] {
            let error = ties(&format!("{{weight: 1, density: {density}}}"))
                .unwrap_err()
                .to_string();
            assert!(error.contains("`density` of model `a`"), "{error}");
        }
        let error = ties("{density: 0.5}").unwrap_err().to_string();
        assert!(
            error.contains("`weight` of model `a`: is missing"),
            "{error}"
        );
    }

    #[test]
    fn probabilities_of_della_are_probabilities() {
        let della = |parameters: &str| {
            let recipe = Recipe::parse(&format!(
                "{{models: [{{model: a, parameters: {parameters}}}], merge_method: della, base_model: b}}"
            ));
            plan(
                &recipe.unwrap(),
                &[inventory("a", &NAMES), inventory("b", &NAMES)],
            )
        };
        assert!(della("{weight: 1, density: 0.5}").is_ok());
        assert!(della("{weight: 1}").is_ok());
        for parameters in ["density: 0.1", "density: 0.9", "density: 0.5, epsilon: 0.5"] {
            let error = della(&format!("{{weight: 1, {parameters}}}")).unwrap_err();
            assert!(
                error.to_string().contains("`epsilon` of model `a`"),
                "{error}"
            );
        }
    }

    #[test]
    fn models_that_do_not_fit_are_named() {
        let recipe = Recipe::parse(
            "{models: [{model: a}, {model: b}], merge_method: linear, parameters: {weight: 1}}",
        )
        .unwrap();
        let fails = |other: Inventory| {
            plan(&recipe, &[inventory("a", &NAMES), other])
                .unwrap_err()
                .to_string()
        };
        let missing = fails(inventory("b", &NAMES[..2]));
        assert_eq!(
            missing,
            "model `b` has no tensor `model.layers.2.w`, which `a` has"
        );
        let mut more = NAMES.to_vec();
        more.push("lm_head.weight");
        let extra = fails(inventory("b", &more));
        assert_eq!(
            extra,
            "model `b` has a tensor `lm_head.weight` that `a` lacks"
        );
        let mut wrong = inventory("b", &NAMES);
        wrong.tensors[1].1 = vec![4];
        let shape = fails(wrong);
        assert!(
            shape.contains("`model.layers.1.w` is [4] in model `b` but [2, 2]"),
            "{shape}"
        );
        assert!(fails(inventory("c", &NAMES)).contains("[\"a\", \"c\"]"));
    }

    #[test]
    fn vain_parameters_are_told() {
        let recipe = Recipe::parse(
            "{models: [{model: a, parameters: {density: 0.5, weight: 1}}], merge_method: \
             task_arithmetic, base_model: b, parameters: {t: 0.5, int8_mask: true}}",
        )
        .unwrap();
        let plan = plan(&recipe, &[inventory("a", &NAMES), inventory("b", &NAMES)]).unwrap();
        let all = plan.warnings.join("\n");
        assert_eq!(plan.warnings.len(), 3, "{all}");
        for word in ["`density` of model `a`", "`t` of the recipe", "`int8_mask`"] {
            assert!(all.contains(word), "{all}");
        }
    }
}
