//! A `tokenizer.json`, as far as merging has to know it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::{Error, Result};

/// Ids above this are refused: no vocabulary is so large, and rows are made for all ids below the largest.
const MAX_TOKENS: usize = 1 << 24;

/// A model's tokenizer.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    /// The model it is of, for errors.
    model: String,
    json: Value,
    ids: BTreeMap<String, usize>,
    /// One more than the largest number.
    len: usize,
}

impl Tokenizer {
    /// Reads a `tokenizer.json` of the model `model`.
    ///
    /// # Errors
    /// [`Error::Tokens`] if it is not one, or gives one number to two tokens.
    pub fn parse(model: &str, bytes: &[u8]) -> Result<Self> {
        let wrong = |problem: String| Error::Tokens {
            problem: format!("the tokenizer.json of `{model}`: {problem}"),
        };
        let json: Value = serde_json::from_slice(bytes).map_err(|e| wrong(e.to_string()))?;
        let mut ids = BTreeMap::new();
        let mut tokens = BTreeMap::new();
        for (token, id) in vocabulary(&json).into_iter().chain(added(&json)) {
            let id = id.and_then(|id| usize::try_from(id).ok());
            let Some(id) = id.filter(|id| *id < MAX_TOKENS) else {
                return Err(wrong(format!("the token {token:?} has no number")));
            };
            match tokens.insert(id, token.clone()) {
                Some(other) if other != token => {
                    return Err(wrong(format!(
                        "{other:?} and {token:?} have the number {id}"
                    )));
                }
                _ => {}
            }
            ids.insert(token, id);
        }
        if ids.is_empty() {
            return Err(wrong("there are no tokens in it".into()));
        }
        Ok(Self {
            model: model.to_owned(),
            json,
            len: tokens.last_key_value().map_or(0, |(last, _)| last + 1),
            ids,
        })
    }

    /// The number of a token.
    pub fn id(&self, token: &str) -> Option<usize> {
        self.ids.get(token).copied()
    }

    /// Tokens by their numbers, of which some may be left out.
    pub fn tokens(&self) -> BTreeMap<usize, &str> {
        self.ids.iter().map(|(token, id)| (*id, &**token)).collect()
    }

    /// One more than the largest number.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no tokens; [`Tokenizer::parse`] refuses those.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The file.
    pub fn to_json(&self) -> Vec<u8> {
        format!("{:#}\n", self.json).into_bytes()
    }

    /// This tokenizer with what others have more, in their order: their tokens, then what was added to those. This one's
    /// tokens keep their numbers. Others' merges of pairs come after its own, so that their tokens can come out of a text;
    /// mergekit leaves those away.
    ///
    /// # Errors
    /// [`Error::Tokens`] where the algorithms differ, or are such that tokens can't be added.
    pub fn united(&self, others: &[Self]) -> Result<Self> {
        let mut all = self.clone();
        let (mut tokens, mut pairs) = (Vec::new(), Vec::new());
        for other in others {
            let kinds = (kind(&self.json), kind(&other.json));
            if kinds.0 != kinds.1 {
                let of = |kind: Option<&str>| kind.unwrap_or("none").to_owned();
                return Err(Error::Tokens {
                    problem: format!(
                        "`{}` has tokens of the kind {}, `{}` of the kind {}: they can't be united",
                        self.model,
                        of(kinds.0),
                        other.model,
                        of(kinds.1)
                    ),
                });
            }
            let special: BTreeSet<String> = added(&other.json).map(|(token, _)| token).collect();
            let mut own = vocabulary(&other.json);
            own.retain(|(token, _)| !special.contains(token));
            own.sort_by_key(|(_, id)| *id);
            for (token, _) in own {
                if all.number(&token) {
                    tokens.push(token);
                }
            }
            pairs.extend(merges(&other.json));
        }
        if let Some(token) = tokens.first()
            && !all.json["model"]["vocab"].is_object()
        {
            return Err(Error::Tokens {
                problem: format!(
                    "tokens of this kind ({}) can't be united, and `{}` lacks {token:?}",
                    kind(&self.json).unwrap_or("none"),
                    self.model
                ),
            });
        }
        for token in tokens {
            let id = all.ids[&token];
            all.json["model"]["vocab"][token] = id.into();
        }
        all.add_merges(pairs);
        for other in others {
            let entries = other.json["added_tokens"].as_array().into_iter().flatten();
            let mut entries: Vec<&Value> = entries.collect();
            entries.sort_by_key(|entry| entry["id"].as_u64());
            for entry in entries {
                let Some(token) = entry["content"].as_str() else {
                    continue;
                };
                if all.number(token) {
                    let mut entry = entry.clone();
                    entry["id"] = all.ids[token].into();
                    if let Some(list) = all.json["added_tokens"].as_array_mut() {
                        list.push(entry);
                    } else {
                        all.json["added_tokens"] = json!([entry]);
                    }
                }
            }
        }
        Ok(all)
    }

    /// Gives a token the next number; false if it has one.
    fn number(&mut self, token: &str) -> bool {
        let is_new = !self.ids.contains_key(token);
        if is_new {
            self.ids.insert(token.to_owned(), self.len);
            self.len += 1;
        }
        is_new
    }

    /// Puts merges behind its own; as pairs, which can have blanks in them.
    fn add_merges(&mut self, more: Vec<(String, String)>) {
        let own = merges(&self.json);
        let mut seen: BTreeSet<_> = own.iter().cloned().collect();
        let new: Vec<_> = more
            .into_iter()
            .filter(|pair| seen.insert(pair.clone()))
            .collect();
        if !new.is_empty() {
            let pairs = own
                .into_iter()
                .chain(new)
                .map(|(left, right)| json!([left, right]));
            self.json["model"]["merges"] = pairs.collect();
        }
    }

    /// Changes the numbers of tokens in a config (`bos_token_id` and its like) from those of `from` to this one's; what
    /// this one lacks is left out of it.
    pub fn renumber(&self, config: &mut serde_json::Map<String, Value>, from: &Self) {
        let tokens = from.tokens();
        let new = |id: &Value| {
            let id = id.as_u64().and_then(|id| usize::try_from(id).ok())?;
            self.id(tokens.get(&id)?)
        };
        config.retain(|key, value| {
            if !key.ends_with("_token_id") || value.is_null() {
                return true;
            }
            let changed = match value.as_array() {
                Some(list) => {
                    let list: Vec<Value> = list.iter().filter_map(new).map(Value::from).collect();
                    (!list.is_empty()).then(|| Value::from(list))
                }
                None => new(value).map(Value::from),
            };
            let stays = changed.is_some();
            *value = changed.unwrap_or_default();
            stays
        });
    }
}

/// What kind of tokenizer it is.
fn kind(json: &Value) -> Option<&str> {
    json["model"]["type"].as_str()
}

/// The tokens of the algorithm, with their numbers.
fn vocabulary(json: &Value) -> Vec<(String, Option<u64>)> {
    match &json["model"]["vocab"] {
        Value::Object(map) => map
            .iter()
            .map(|(token, id)| (token.clone(), id.as_u64()))
            .collect(),
        // Unigram: pairs of a token and its score, in the order of their numbers.
        Value::Array(list) => {
            let numbered = list.iter().zip(0u64..);
            let entry = |(pair, id): (&Value, u64)| Some((pair[0].as_str()?.to_owned(), Some(id)));
            numbered.filter_map(entry).collect()
        }
        _ => Vec::new(),
    }
}

/// What was added to them.
fn added(json: &Value) -> impl Iterator<Item = (String, Option<u64>)> {
    let list = json["added_tokens"].as_array().into_iter().flatten();
    list.filter_map(|entry| Some((entry["content"].as_str()?.to_owned(), entry["id"].as_u64())))
}

/// Pairs that are merged, the first ones first.
fn merges(json: &Value) -> Vec<(String, String)> {
    let list = json["model"]["merges"].as_array().into_iter().flatten();
    let pair = |merge: &Value| {
        if let Some((left, right)) = merge.as_str().and_then(|text| text.split_once(' ')) {
            return Some((left.to_owned(), right.to_owned()));
        }
        Some((merge[0].as_str()?.to_owned(), merge[1].as_str()?.to_owned()))
    };
    list.filter_map(pair).collect()
}
