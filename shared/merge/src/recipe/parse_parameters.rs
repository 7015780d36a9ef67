//! YAML to [`Parameters`].

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::parse::Keys;
use super::{Parameter, Parameters, Rule, Setting};

/// A map of parameters.
pub(super) struct ParametersSeed {
    pub(super) of_model: bool,
}

impl<'de> DeserializeSeed<'de> for ParametersSeed {
    type Value = Parameters;

    fn deserialize<D: Deserializer<'de>>(self, de: D) -> Result<Parameters, D::Error> {
        de.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ParametersSeed {
    type Value = Parameters;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of parameters")
    }

    // `parameters:` with nothing under it.
    fn visit_unit<E: serde::de::Error>(self) -> Result<Parameters, E> {
        Ok(Parameters::new())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parameters, A::Error> {
        let allowed: Vec<Parameter> = Parameter::ALL
            .iter()
            .copied()
            .filter(|p| p.per_model() || !self.of_model)
            .collect();
        let names: Vec<&'static str> = allowed.iter().map(|p| p.name()).collect();
        let place = if self.of_model {
            "a model's `parameters`"
        } else {
            "`parameters`"
        };
        let mut keys = Keys::new(place, &names);
        let mut parameters = Parameters::new();
        while let Some(key) = keys.next(&mut map)? {
            let setting = map.next_value_seed(SettingSeed(key))?;
            let parameter = allowed.iter().find(|p| p.name() == key);
            parameters.extend(parameter.map(|&p| (p, setting)));
        }
        Ok(parameters)
    }
}

/// The value of a parameter.
#[derive(Clone, Copy)]
struct SettingSeed(&'static str);

impl<'de> DeserializeSeed<'de> for SettingSeed {
    type Value = Setting;

    fn deserialize<D: Deserializer<'de>>(self, de: D) -> Result<Setting, D::Error> {
        de.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for SettingSeed {
    type Value = Setting;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a number, a list of numbers or a list of filters for `{}`",
            self.0
        )
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Setting, E> {
        Ok(Setting::Number(f64::from(u8::from(value))))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Setting, E> {
        Ok(Setting::Number(value as f64))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Setting, E> {
        Ok(Setting::Number(value as f64))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Setting, E> {
        // What a merge computes with is f32.
        if !(value as f32).is_finite() {
            return Err(E::custom(format!("`{}` is {value}", self.0)));
        }
        Ok(Setting::Number(value))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Setting, E> {
        if self.0 == Parameter::Consensus.name() && matches!(text, "sum" | "count") {
            return Ok(Setting::Word(text.into()));
        }
        Err(E::custom(format!(
            "`{text}` is not a value of `{}`",
            self.0
        )))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Setting, A::Error> {
        let (mut numbers, mut rules) = (Vec::new(), Vec::new());
        while let Some(item) = seq.next_element_seed(ItemSeed(self))? {
            match item {
                Item::Number(value) => numbers.push(value),
                Item::Rule(rule) => rules.push(rule),
            }
        }
        match (numbers.is_empty(), rules.is_empty()) {
            (false, true) => Ok(Setting::Gradient(numbers)),
            (true, false) => Ok(Setting::Rules(rules)),
            (true, true) => Err(A::Error::custom(format!(
                "the list for `{}` is empty",
                self.0
            ))),
            (false, false) => Err(A::Error::custom(format!(
                "`{}` mixes numbers and filters in one list",
                self.0
            ))),
        }
    }
}

/// What can stand in a list.
enum Item {
    Number(f64),
    Rule(Rule),
}

#[derive(Clone, Copy)]
struct ItemSeed(SettingSeed);

impl<'de> DeserializeSeed<'de> for ItemSeed {
    type Value = Item;

    fn deserialize<D: Deserializer<'de>>(self, de: D) -> Result<Item, D::Error> {
        de.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ItemSeed {
    type Value = Item;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a number or a filter for `{}`", self.0.0)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Item, E> {
        Ok(Item::Number(value as f64))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Item, E> {
        Ok(Item::Number(value as f64))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Item, E> {
        self.0
            .visit_f64(value)
            .map(|_: Setting| Item::Number(value))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Item, A::Error> {
        let (mut filter, mut value) = (None, None);
        let mut keys = Keys::new("a filter", &["filter", "value"]);
        while let Some(key) = keys.next(&mut map)? {
            match key {
                "filter" => filter = map.next_value::<Option<String>>()?,
                _ => value = Some(map.next_value_seed(self.0)?),
            }
        }
        match value {
            Some(Setting::Rules(_)) => Err(A::Error::custom("a filter inside a filter")),
            Some(value) => Ok(Item::Rule(Rule { filter, value })),
            None => Err(A::Error::custom("a filter has no `value`")),
        }
    }
}
