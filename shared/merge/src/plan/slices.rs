//! Plans of results that are put together slice by slice.

use std::collections::BTreeMap;

use super::resolve::{Place, in_layer, layer};
use super::{Inventory, PlannedTensor};
use crate::recipe::{Slice, SliceSource};
use crate::{Error, Recipe, Result};

/// A result that is put together from slices.
pub(super) struct Sliced {
    pub(super) tensors: Vec<PlannedTensor>,
    /// Of each layer the model and the layer that it is like.
    pub(super) layers: Vec<(usize, usize)>,
}

/// All tensors of the result: what stands before the layers as the first slice has it, the layers, and what
/// stands after them as the last slice has it.
pub(super) fn plan(recipe: &Recipe, inputs: &[&str], inventories: &[Inventory]) -> Result<Sliced> {
    let planner = Planner {
        recipe,
        inputs,
        inventories,
    };
    let (mut tensors, mut layers) = (Vec::new(), Vec::new());
    if let Some(first) = recipe.slices.first() {
        tensors.extend(planner.outside(first, stands_before)?);
    }
    for (number, slice) in recipe.slices.iter().enumerate() {
        planner.check(number + 1, slice)?;
        for at in 0..slice.len() {
            tensors.extend(planner.layer(slice, at, layers.len())?);
            let like = planner.reference(slice);
            layers.push((planner.index(&like.model), like.layers.start + at));
        }
    }
    if let Some(last) = recipe.slices.last() {
        tensors.extend(planner.outside(last, |name| !stands_before(name))?);
    }
    Ok(Sliced { tensors, layers })
}

/// Whether a tensor that is in no layer stands before them: embeddings, by the ways in which models name them.
fn stands_before(name: &str) -> bool {
    name.contains("embed") || name.contains("wte") || name.contains("wpe")
}

struct Planner<'a> {
    recipe: &'a Recipe,
    inputs: &'a [&'a str],
    inventories: &'a [Inventory],
}

impl Planner<'_> {
    fn index(&self, model: &str) -> usize {
        let found = self.inputs.iter().position(|input| *input == model);
        found.unwrap_or(0)
    }

    /// The source that decides which tensors a layer has: the slice's base, or the first.
    fn reference<'a>(&self, slice: &'a Slice) -> &'a SliceSource {
        let base = slice
            .base_model
            .as_ref()
            .or(self.recipe.base_model.as_ref());
        let is_base = |source: &&SliceSource| Some(&source.model) == base;
        let found = slice.sources.iter().find(is_base);
        found.unwrap_or(&slice.sources[0])
    }

    /// That each model has the layers that a slice takes of it.
    fn check(&self, number: usize, slice: &Slice) -> Result<()> {
        for SliceSource { model, layers, .. } in &slice.sources {
            let inventory = &self.inventories[self.index(model)];
            let names = inventory.tensors.iter().map(|(name, _)| name);
            let there = names.filter_map(|name| layer(name)).max();
            let there = there.map_or(0, |last| last.saturating_add(1));
            if layers.end > there {
                let (start, end) = (layers.start, layers.end);
                return Err(Error::Models {
                    method: self.recipe.method.name(),
                    problem: format!(
                        "slice {number}: `layer_range: [{start}, {end}]` of `{model}`, which has {there} layers"
                    ),
                });
            }
        }
        Ok(())
    }

    /// The tensors of one layer of a slice, as layer `number` of the result.
    fn layer(&self, slice: &Slice, at: usize, number: usize) -> Result<Vec<PlannedTensor>> {
        let reference = self.reference(slice);
        let depth = match slice.len() {
            1 => 1.0,
            layers => at as f64 / (layers - 1) as f64,
        };
        let of_layer = |name: &str| layer(name) == Some(reference.layers.start + at);
        let rename = |name: &str, source: Option<&SliceSource>| {
            let layer = source.map_or(number, |source| source.layers.start + at);
            in_layer(name, layer)
        };
        self.tensors(slice, depth, &of_layer, &rename)
    }

    /// The tensors in no layer that `wanted` is true of.
    fn outside(&self, slice: &Slice, wanted: fn(&str) -> bool) -> Result<Vec<PlannedTensor>> {
        let of = |name: &str| layer(name).is_none() && wanted(name);
        self.tensors(slice, 0.0, &of, &|name, _| name.to_owned())
    }

    /// Tensors of a slice's reference, and what is done with them. `rename` gives their names in a source, and in
    /// the result for none.
    fn tensors(
        &self,
        slice: &Slice,
        depth: f64,
        wanted: &dyn Fn(&str) -> bool,
        rename: &dyn Fn(&str, Option<&SliceSource>) -> String,
    ) -> Result<Vec<PlannedTensor>> {
        let recipe = slice.recipe(self.recipe);
        let reference = self.index(&self.reference(slice).model);
        let all = self.inventories[reference].tensors.iter();
        let plan = |(found, shape): &(String, Vec<usize>)| {
            let name = rename(found, None);
            let mut names = BTreeMap::new();
            for source in &slice.sources {
                let model = self.index(&source.model);
                let own = rename(found, Some(source));
                self.compare(model, reference, &own, shape)?;
                if own != name {
                    names.insert(model, own);
                }
            }
            let place = Place {
                recipe: &recipe,
                tensor: &name,
                names: &names,
                depth,
            };
            Ok(PlannedTensor {
                step: place.step(self.inputs)?,
                shape: shape.clone(),
                inputs: names,
                name,
            })
        };
        all.filter(|(name, _)| wanted(name)).map(plan).collect()
    }

    /// That a model has a tensor of this shape.
    fn compare(
        &self,
        model: usize,
        reference: usize,
        name: &str,
        expected: &[usize],
    ) -> Result<()> {
        let Inventory { model, tensors } = &self.inventories[model];
        let reference = self.inventories[reference].model.clone();
        match tensors.iter().find(|(other, _)| other == name) {
            Some((_, shape)) if shape == expected => Ok(()),
            Some((_, shape)) => Err(Error::Shape {
                tensor: name.to_owned(),
                model: model.clone(),
                shape: shape.clone(),
                expected: expected.to_vec(),
                reference,
            }),
            None => Err(Error::MissingTensor {
                tensor: name.to_owned(),
                model: model.clone(),
                reference,
            }),
        }
    }
}
