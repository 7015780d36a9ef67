//! YAML to [`TokenizerSetting`].

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};

use super::parse::{Keys, TextSeed};
use super::parse_slices::map_seed;
use super::{TokenRule, TokenSource, TokenizerSetting, TokenizerSource};

map_seed!(
    TokenizerSeed,
    TokenizerSetting,
    "a map with `source`, `tokens` or `pad_to_multiple_of`",
    tokenizer
);
map_seed!(
    RulesSeed,
    BTreeMap<String, TokenRule>,
    "a map of tokens",
    rules
);
map_seed!(
    RuleSeed,
    TokenRule,
    "a map with `source` and perhaps `force`",
    rule
);

fn tokenizer<'de, A: MapAccess<'de>>(mut map: A) -> Result<TokenizerSetting, A::Error> {
    let mut setting = TokenizerSetting::new(TokenizerSource::Union);
    let known = ["source", "tokens", "pad_to_multiple_of"];
    let mut keys = Keys::new("`tokenizer`", &known);
    while let Some(key) = keys.next(&mut map)? {
        match key {
            "source" => setting.source = map.next_value_seed(TokenizerSourceSeed)?,
            "tokens" => setting.tokens = map.next_value_seed(RulesSeed)?,
            _ => {
                let rows: Option<usize> = map.next_value()?;
                if rows == Some(0) {
                    return Err(A::Error::custom("`pad_to_multiple_of` is 0"));
                }
                setting.pad_to_multiple_of = rows;
            }
        }
    }
    Ok(setting)
}

fn rules<'de, A: MapAccess<'de>>(mut map: A) -> Result<BTreeMap<String, TokenRule>, A::Error> {
    let mut rules = BTreeMap::new();
    while let Some(token) = map.next_key::<String>()? {
        let rule = map.next_value_seed(RuleSeed)?;
        if rules.contains_key(&token) {
            return Err(A::Error::custom(format!(
                "the token {token:?} stands twice"
            )));
        }
        rules.insert(token, rule);
    }
    Ok(rules)
}

fn rule<'de, A: MapAccess<'de>>(mut map: A) -> Result<TokenRule, A::Error> {
    let (mut source, mut force) = (None, false);
    let mut keys = Keys::new("a token", &["source", "force"]);
    while let Some(key) = keys.next(&mut map)? {
        match key {
            "source" => source = Some(map.next_value_seed(TokenSourceSeed)?),
            _ => force = map.next_value()?,
        }
    }
    match (&source, force) {
        (None, true) => Err(A::Error::custom("`force` without a `source`")),
        _ => Ok(TokenRule { source, force }),
    }
}

/// Which tokens there are: `base`, `union` or a model, which may be written `model:NAME`.
pub(super) struct TokenizerSourceSeed;

impl<'de> DeserializeSeed<'de> for TokenizerSourceSeed {
    type Value = TokenizerSource;

    fn deserialize<D: Deserializer<'de>>(self, de: D) -> Result<TokenizerSource, D::Error> {
        let text = TextSeed("tokenizer_source").deserialize(de)?;
        match (text.strip_prefix("model:"), &*text) {
            (Some(""), _) => Err(D::Error::custom("`tokenizer_source` is empty")),
            (Some(name), _) => Ok(TokenizerSource::Model(name.into())),
            (None, "base") => Ok(TokenizerSource::Base),
            (None, "union") => Ok(TokenizerSource::Union),
            (None, _) => Ok(TokenizerSource::Model(text)),
        }
    }
}

/// Where one token's rows come from: a model, or a map with `kind`.
struct TokenSourceSeed;

impl<'de> DeserializeSeed<'de> for TokenSourceSeed {
    type Value = TokenSource;

    fn deserialize<D: Deserializer<'de>>(self, de: D) -> Result<TokenSource, D::Error> {
        de.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for TokenSourceSeed {
    type Value = TokenSource;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a model's name, `{kind: zero}`, or `{kind: model_token, model, token or token_id}`",
        )
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<TokenSource, E> {
        match text.strip_prefix("model:").unwrap_or(text) {
            "" => Err(E::custom("the `source` of a token is empty")),
            name => Ok(TokenSource::Model(name.into())),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TokenSource, A::Error> {
        let (mut kind, mut model, mut token, mut id) = (None, None, None, None);
        let known = ["kind", "model", "token", "token_id"];
        let mut keys = Keys::new("a token's source", &known);
        while let Some(key) = keys.next(&mut map)? {
            match key {
                "kind" => kind = Some(map.next_value::<String>()?),
                "model" => model = Some(map.next_value_seed(TextSeed(key))?),
                "token" => token = map.next_value::<Option<String>>()?,
                _ => id = map.next_value::<Option<usize>>()?,
            }
        }
        let wrong = |problem: &str| Err(A::Error::custom(format!("a token's source: {problem}")));
        match (kind.as_deref(), model, token, id) {
            (Some("zero"), None, None, None) => Ok(TokenSource::Zero),
            (Some("zero"), ..) => wrong("`kind: zero` takes nothing more"),
            (Some("model_token"), Some(model), Some(token), None) => {
                Ok(TokenSource::Token(model, token))
            }
            (Some("model_token"), Some(model), None, Some(id)) => Ok(TokenSource::Id(model, id)),
            (Some("model_token"), ..) => {
                wrong("`kind: model_token` takes `model` and one of `token` and `token_id`")
            }
            _ => wrong("`kind` is `zero` or `model_token`"),
        }
    }
}
