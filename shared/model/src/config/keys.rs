//! `config.json` read key by key, so that nothing that would change the result is passed over.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::Error;

/// The keys of a `config.json`, and which of them have been asked for.
pub(super) struct Keys<'a> {
    map: &'a Map<String, Value>,
    read: RefCell<BTreeSet<&'static str>>,
}

/// Options that change a model's result, in any family, with the values that mean "not used". A
/// family that never asks for one of them must find it absent or at such a value. Keys that are in
/// neither place (names of authors' tools, training options) change nothing.
const CHANGES_THE_RESULT: &[(&str, &[&str])] = &[
    ("attention_bias", &["false"]),
    ("attention_multiplier", &[]),
    ("attention_out_bias", &["false"]),
    ("attn_logit_softcapping", &[]),
    ("clip_qkv", &[]),
    ("conv_bias", &["false"]),
    ("embedding_multiplier", &["1", "1.0"]),
    ("final_logit_softcapping", &[]),
    ("layer_types", &[]),
    ("layernorm_num_groups", &[]),
    ("logit_scale", &["1", "1.0"]),
    ("logits_scaling", &["1", "1.0"]),
    ("mlp_bias", &["false"]),
    ("n_routed_experts", &["0"]),
    ("no_rope_layers", &[]),
    ("num_experts", &["0"]),
    ("num_local_experts", &["0"]),
    ("partial_rotary_factor", &["1", "1.0"]),
    ("quantization_config", &[]),
    ("residual_multiplier", &["1", "1.0"]),
    ("rope_parameters", &[]),
    ("rope_scaling", &[]),
    ("sliding_window", &[]),
    ("use_bidirectional_attention", &["false"]),
    ("use_mrope", &["false"]),
    ("use_qk_norm", &["false"]),
    ("use_sliding_window", &["false"]),
];

impl<'a> Keys<'a> {
    pub(super) fn new(map: &'a Map<String, Value>) -> Self {
        Self {
            map,
            read: RefCell::default(),
        }
    }

    /// The value of `key`, if it is there and not null.
    pub(super) fn value(&self, key: &'static str) -> Option<&'a Value> {
        self.read.borrow_mut().insert(key);
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// Whether `key` is there and null.
    pub(super) fn is_null(&self, key: &'static str) -> bool {
        self.map.get(key).is_some_and(Value::is_null)
    }

    pub(super) fn size(&self, key: &'static str) -> Result<Option<usize>, Error> {
        self.as_kind(key, "a whole number", |value| {
            value.as_u64().and_then(|n| usize::try_from(n).ok())
        })
    }

    /// A size that a model cannot be without.
    pub(super) fn needed(&self, key: &'static str) -> Result<usize, Error> {
        self.size(key)?
            .ok_or_else(|| Error::Config(format!("{key} is missing")))
    }

    pub(super) fn number(&self, key: &'static str, default: f64) -> Result<f64, Error> {
        let number = self.as_kind(key, "a number", Value::as_f64)?;
        Ok(number.unwrap_or(default))
    }

    pub(super) fn flag(&self, key: &'static str, default: bool) -> Result<bool, Error> {
        let flag = self.as_kind(key, "true or false", Value::as_bool)?;
        Ok(flag.unwrap_or(default))
    }

    pub(super) fn text(&self, key: &'static str) -> Result<Option<&'a str>, Error> {
        self.as_kind(key, "a text", Value::as_str)
    }

    pub(super) fn list<T>(
        &self,
        key: &'static str,
        each: fn(&'a Value) -> Option<T>,
    ) -> Result<Option<Vec<T>>, Error> {
        self.as_kind(key, "a list of the right kind", |value| {
            value.as_array()?.iter().map(each).collect()
        })
    }

    /// Token ids: a number, a list of numbers, or nothing.
    pub(super) fn token_ids(&self, key: &'static str) -> Result<Vec<u32>, Error> {
        let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
        let ids = self.as_kind(key, "a token id or a list of them", |value| match value {
            Value::Array(ids) => ids.iter().map(id).collect(),
            one => Some(vec![id(one)?]),
        })?;
        Ok(ids.unwrap_or_default())
    }

    /// Refuses `key` unless it is absent or one of `values`.
    pub(super) fn only(
        &self,
        key: &'static str,
        values: &[&str],
        supported: &'static str,
    ) -> Result<(), Error> {
        match self.value(key) {
            Some(value) if !values.contains(&plain(value).as_str()) => {
                Err(unsupported(key, value, supported))
            }
            _ => Ok(()),
        }
    }

    /// That no option which changes the result was left unread.
    pub(super) fn refuse_unread(&self) -> Result<(), Error> {
        for &(key, unused) in CHANGES_THE_RESULT {
            if !self.read.borrow().contains(key) {
                self.only(key, unused, "leaving it out, for this model_type")?;
            }
        }
        Ok(())
    }

    fn as_kind<T>(
        &self,
        key: &'static str,
        kind: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        match read(value) {
            Some(value) => Ok(Some(value)),
            None => Err(Error::Config(format!(
                "{key} = {} must be {kind}",
                short(value)
            ))),
        }
    }
}

/// An option whose value we do not honour.
pub(crate) fn unsupported(option: &'static str, value: &Value, supported: &'static str) -> Error {
    Error::Unsupported {
        option,
        value: short(value),
        supported,
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The value for a message: a hostile file must not make a message of megabytes.
fn short(value: &Value) -> String {
    let text = plain(value);
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
