//! YAML to [`Slice`]s, and to the one module of a model.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};

use super::parse::{Keys, List, SourceSeed, TextSeed};
use super::parse_parameters::ParametersSeed;
use super::{Parameters, Slice, SliceSource, Source};

/// Implements a seed that reads a map.
macro_rules! map_seed {
    ($seed:ident, $value:ty, $expecting:literal, $visit:expr) => {
        #[derive(Clone, Copy)]
        pub(super) struct $seed;

        impl<'de> DeserializeSeed<'de> for $seed {
            type Value = $value;

            fn deserialize<D: Deserializer<'de>>(self, de: D) -> Result<$value, D::Error> {
                de.deserialize_any(self)
            }
        }

        impl<'de> Visitor<'de> for $seed {
            type Value = $value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($expecting)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<$value, A::Error> {
                $visit(map)
            }
        }
    };
}

pub(super) use map_seed;

map_seed!(SliceSeed, Slice, "a map with `sources`", slice);
map_seed!(
    SliceSourceSeed,
    SliceSource,
    "a map with `model` and `layer_range`",
    source
);
map_seed!(ModulesSeed, Module, "a map of modules", modules);
map_seed!(
    ModuleSeed,
    Module,
    "a map with `slices` or `models`",
    module
);

fn slice<'de, A: MapAccess<'de>>(mut map: A) -> Result<Slice, A::Error> {
    let (mut sources, mut base_model, mut parameters) = (None, None, Parameters::new());
    let mut keys = Keys::new("a slice", &["sources", "base_model", "parameters"]);
    while let Some(key) = keys.next(&mut map)? {
        match key {
            "sources" => sources = Some(map.next_value_seed(List(SliceSourceSeed))?),
            "base_model" => base_model = Some(map.next_value_seed(TextSeed(key))?),
            _ => parameters = map.next_value_seed(ParametersSeed { of_model: false })?,
        }
    }
    Ok(Slice {
        sources: sources.ok_or_else(|| A::Error::custom("a slice has no `sources`"))?,
        base_model,
        parameters,
    })
}

fn source<'de, A: MapAccess<'de>>(mut map: A) -> Result<SliceSource, A::Error> {
    let (mut model, mut layers, mut parameters) = (None, None, Parameters::new());
    let known = ["model", "layer_range", "parameters"];
    let mut keys = Keys::new("a source", &known);
    while let Some(key) = keys.next(&mut map)? {
        match key {
            "model" => model = Some(map.next_value_seed(TextSeed(key))?),
            "layer_range" => layers = Some(map.next_value::<[usize; 2]>()?),
            _ => parameters = map.next_value_seed(ParametersSeed { of_model: true })?,
        }
    }
    let missing = |key| A::Error::custom(format!("a source of a slice has no `{key}`"));
    let [start, end] = layers.ok_or_else(|| missing("layer_range"))?;
    Ok(SliceSource {
        model: model.ok_or_else(|| missing("model"))?,
        layers: start..end,
        parameters,
    })
}

/// What a recipe says of a model's one module.
#[derive(Default)]
pub(super) struct Module {
    pub(super) models: Option<Vec<Source>>,
    pub(super) slices: Option<Vec<Slice>>,
    pub(super) parameters: Parameters,
}

fn modules<'de, A: MapAccess<'de>>(mut map: A) -> Result<Module, A::Error> {
    let Some(_) = map.next_key::<String>()? else {
        return Err(A::Error::custom("`modules` names no module"));
    };
    let module = map.next_value_seed(ModuleSeed)?;
    match map.next_key::<String>()? {
        None => Ok(module),
        Some(name) => Err(A::Error::custom(format!(
            "`modules` has a second module, `{name}`: models of text have one"
        ))),
    }
}

fn module<'de, A: MapAccess<'de>>(mut map: A) -> Result<Module, A::Error> {
    let mut module = Module::default();
    let mut keys = Keys::new("a module", &["models", "slices", "parameters"]);
    while let Some(key) = keys.next(&mut map)? {
        match key {
            "models" => module.models = Some(map.next_value_seed(List(SourceSeed))?),
            "slices" => module.slices = Some(map.next_value_seed(List(SliceSeed))?),
            _ => module.parameters = map.next_value_seed(ParametersSeed { of_model: false })?,
        }
    }
    Ok(module)
}
