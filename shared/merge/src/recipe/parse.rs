//! YAML to [`Recipe`].
//!
//! Written by hand on serde's visitors rather than derived, so that every complaint carries the
//! line of the key or value that it is about.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::parse_parameters::ParametersSeed;
use super::parse_slices::{Module, ModulesSeed, SliceSeed};
use super::parse_tokenizer::{TokenizerSeed, TokenizerSourceSeed};
use super::slice::overlay;
use super::{ChatTemplateSource, Dtype, Parameters, Recipe, Source, TokenizerSetting};
use crate::{Error, Method};

pub(super) fn recipe(yaml: &str) -> Result<Recipe, Error> {
    let de = serde_yaml_ng::Deserializer::from_str(yaml);
    de.deserialize_any(RecipeVisitor)
        .map_err(|error| Error::Recipe {
            line: error.location().map(|location| location.line()),
            problem: error.to_string(),
        })
}

struct RecipeVisitor;

impl<'de> Visitor<'de> for RecipeVisitor {
    type Value = Recipe;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a recipe: a map with `models` and `merge_method`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Recipe, A::Error> {
        let allowed = [
            "models",
            "slices",
            "modules",
            "merge_method",
            "base_model",
            "parameters",
            "dtype",
            "out_dtype",
            "tokenizer_source",
            "tokenizer",
            "chat_template",
            "seed",
            "compat",
        ];
        let (mut models, mut slices, mut modules, mut method) = (None, None, None, None);
        let (mut base_model, mut tokenizer, mut chat_template) = (None, None, None);
        let mut parameters = Parameters::new();
        let (mut dtype, mut out_dtype, mut seed, mut compat) = (None, None, 0, false);
        let mut keys = Keys::new("the recipe", &allowed);
        while let Some(key) = keys.next(&mut map)? {
            match key {
                "models" => models = Some(map.next_value_seed(List(SourceSeed))?),
                "slices" => slices = Some(map.next_value_seed(List(SliceSeed))?),
                "modules" => modules = Some(map.next_value_seed(ModulesSeed)?),
                "merge_method" => method = Some(map.next_value_seed(MethodSeed)?),
                "base_model" => base_model = Some(map.next_value_seed(TextSeed(key))?),
                "parameters" => {
                    parameters = map.next_value_seed(ParametersSeed { of_model: false })?
                }
                "dtype" => dtype = map.next_value_seed(DtypeSeed)?,
                "out_dtype" => out_dtype = map.next_value_seed(DtypeSeed)?,
                "tokenizer_source" | "tokenizer" if tokenizer.is_some() => {
                    let problem = "the recipe has both `tokenizer_source` and `tokenizer`";
                    return Err(A::Error::custom(problem));
                }
                "tokenizer_source" => {
                    let source = map.next_value_seed(TokenizerSourceSeed)?;
                    tokenizer = Some(TokenizerSetting::new(source));
                }
                "tokenizer" => tokenizer = Some(map.next_value_seed(TokenizerSeed)?),
                "chat_template" => {
                    chat_template = Some(map.next_value_seed(ChatTemplateSeed)?);
                }
                "compat" => {
                    map.next_value_seed(CompatSeed)?;
                    compat = true;
                }
                _ => seed = map.next_value()?,
            }
        }
        let method = method.ok_or_else(|| A::Error::custom("the recipe has no `merge_method`"))?;
        let given = [models.is_some(), slices.is_some(), modules.is_some()];
        if given.into_iter().filter(|given| *given).count() != 1 {
            let problem = "the recipe must have one of `models`, `slices` and `modules`";
            return Err(A::Error::custom(problem));
        }
        if let Some(module) = modules {
            let module: Module = module;
            if module.models.is_some() == module.slices.is_some() {
                let problem = "a module must have one of `models` and `slices`";
                return Err(A::Error::custom(problem));
            }
            (models, slices) = (module.models, module.slices);
            parameters = overlay(&module.parameters, &parameters);
        }
        if slices.as_ref().is_some_and(Vec::is_empty) {
            return Err(A::Error::custom("`slices` is empty"));
        }
        Ok(Recipe {
            models: models.unwrap_or_default(),
            slices: slices.unwrap_or_default(),
            method,
            base_model,
            parameters,
            dtype,
            out_dtype,
            tokenizer,
            chat_template,
            seed,
            mergekit_faults: compat,
        })
    }
}

/// The keys of one map: known, and each once.
pub(super) struct Keys<'a> {
    place: &'a str,
    allowed: &'a [&'static str],
    seen: Vec<&'static str>,
}

impl<'a> Keys<'a> {
    pub(super) fn new(place: &'a str, allowed: &'a [&'static str]) -> Self {
        Self {
            place,
            allowed,
            seen: Vec::new(),
        }
    }

    pub(super) fn next<'de, A: MapAccess<'de>>(
        &mut self,
        map: &mut A,
    ) -> Result<Option<&'static str>, A::Error> {
        let key = map.next_key_seed(&*self)?;
        self.seen.extend(key);
        Ok(key)
    }
}

impl<'de> DeserializeSeed<'de> for &Keys<'_> {
    type Value = &'static str;

    fn deserialize<D: Deserializer<'de>>(self, de: D) -> Result<&'static str, D::Error> {
        de.deserialize_str(self)
    }
}

impl Visitor<'_> for &Keys<'_> {
    type Value = &'static str;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a key of {}", self.place)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<&'static str, E> {
        let Some(key) = self.allowed.iter().find(|key| **key == text) else {
            let known = self.allowed.join(", ");
            let place = self.place;
            return Err(E::custom(format!(
                "unknown key `{text}` in {place}; known are {known}"
            )));
        };
        if self.seen.contains(key) {
            return Err(E::custom(format!("`{key}` stands twice in {}", self.place)));
        }
        Ok(key)
    }
}

/// A sequence of what the seed makes.
pub(super) struct List<S>(pub(super) S);

impl<'de, S: DeserializeSeed<'de> + Copy> DeserializeSeed<'de> for List<S> {
    type Value = Vec<S::Value>;

    fn deserialize<D: Deserializer<'de>>(self, de: D) -> Result<Self::Value, D::Error> {
        de.deserialize_seq(self)
    }
}

impl<'de, S: DeserializeSeed<'de> + Copy> Visitor<'de> for List<S> {
    type Value = Vec<S::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(self.0)? {
            items.push(item);
        }
        Ok(items)
    }
}

/// One entry of `models`.
#[derive(Clone, Copy)]
pub(super) struct SourceSeed;

impl<'de> DeserializeSeed<'de> for SourceSeed {
    type Value = Source;

    fn deserialize<D: Deserializer<'de>>(self, de: D) -> Result<Source, D::Error> {
        de.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for SourceSeed {
    type Value = Source;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map with `model` and perhaps `parameters`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Source, A::Error> {
        let (mut model, mut parameters) = (None, Parameters::new());
        let mut keys = Keys::new("a model", &["model", "parameters"]);
        while let Some(key) = keys.next(&mut map)? {
            match key {
                "model" => model = Some(map.next_value_seed(TextSeed(key))?),
                _ => parameters = map.next_value_seed(ParametersSeed { of_model: true })?,
            }
        }
        let model = model.ok_or_else(|| A::Error::custom("an entry of `models` has no `model`"))?;
        Ok(Source { model, parameters })
    }
}

/// Implements a seed that reads one text.
macro_rules! text_seed {
    ($seed:ty, $value:ty, $expecting:expr) => {
        impl<'de> DeserializeSeed<'de> for $seed {
            type Value = $value;

            fn deserialize<D: Deserializer<'de>>(self, de: D) -> Result<$value, D::Error> {
                de.deserialize_any(self)
            }
        }

        impl Visitor<'_> for $seed {
            type Value = $value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let expecting: fn(&$seed, &mut fmt::Formatter<'_>) -> fmt::Result = $expecting;
                expecting(self, f)
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$value, E> {
                self.read(text).map_err(E::custom)
            }
        }
    };
}

/// A text that is not empty.
pub(super) struct TextSeed(pub(super) &'static str);

text_seed!(TextSeed, String, |seed, f| write!(
    f,
    "a name for `{}`",
    seed.0
));

impl TextSeed {
    fn read(self, text: &str) -> Result<String, String> {
        if text.trim().is_empty() {
            Err(format!("`{}` is empty", self.0))
        } else {
            Ok(text.into())
        }
    }
}

struct MethodSeed;

text_seed!(MethodSeed, Method, |_, f| f
    .write_str("the name of a merge method"));

impl MethodSeed {
    fn read(self, text: &str) -> Result<Method, String> {
        Method::from_name(text).ok_or_else(|| {
            let known: Vec<&str> = Method::ALL.iter().map(|method| method.name()).collect();
            let known = known.join(", ");
            format!("unknown merge method `{text}`; known are {known}")
        })
    }
}

struct CompatSeed;

text_seed!(CompatSeed, (), |_, f| f.write_str("`mergekit`"));

impl CompatSeed {
    fn read(self, text: &str) -> Result<(), String> {
        match text {
            "mergekit" => Ok(()),
            _ => Err(format!(
                "`compat` is `mergekit` or is not there, not `{text}`"
            )),
        }
    }
}

struct ChatTemplateSeed;

text_seed!(ChatTemplateSeed, ChatTemplateSource, |_, f| f
    .write_str("`auto` or a template"));

impl ChatTemplateSeed {
    fn read(self, text: &str) -> Result<ChatTemplateSource, String> {
        match text {
            "auto" => Ok(ChatTemplateSource::MostCommon),
            text if text.contains("{{") || text.contains("{%") => {
                Ok(ChatTemplateSource::Text(text.into()))
            }
            name => Err(format!(
                "`chat_template: {name}` is a name; give `auto`, or the template itself"
            )),
        }
    }
}

/// A storage type; none for `null` and `auto`.
struct DtypeSeed;

impl<'de> DeserializeSeed<'de> for DtypeSeed {
    type Value = Option<Dtype>;

    fn deserialize<D: Deserializer<'de>>(self, de: D) -> Result<Option<Dtype>, D::Error> {
        de.deserialize_any(self)
    }
}

impl Visitor<'_> for DtypeSeed {
    type Value = Option<Dtype>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("float32, float16 or bfloat16")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Option<Dtype>, E> {
        Ok(None)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Option<Dtype>, E> {
        let known = Dtype::ALL.into_iter().find(|dtype| dtype.name() == text);
        if known.is_none() && text != "auto" {
            let known = Dtype::ALL.map(Dtype::name).join(", ");
            return Err(E::custom(format!(
                "unknown dtype `{text}`; known are {known}"
            )));
        }
        Ok(known)
    }
}
