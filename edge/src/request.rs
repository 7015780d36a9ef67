//! What the page asks for: checked field by field, so that a mistake is named and no word of the
//! conversation ever stands in an error.

use serde_json::{Map, Value};
use sprat_model::{Options, Sampling};
use sprat_route::policy::Mode;
use sprat_route::privacy::Level;
use sprat_wire::{ChatRequest, Message, Role, StreamOptions};

use crate::error::Error;

/// Longest conversation taken, in bytes of text. More would only be refused by the model.
const MAX_TEXT: usize = 1 << 20;

/// A call of `sprat.chat(messages, options)`.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    /// The conversation; never empty, and the last message is the person's.
    pub(crate) messages: Vec<Message>,
    pub(crate) mode: Mode,
    /// The caller's word; the conversation may have a higher one for other reasons.
    pub(crate) level: Level,
    pub(crate) choice: Choice,
}

/// How the answer is to be chosen. `None` leaves it to whoever answers.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Choice {
    pub(crate) max_tokens: Option<u32>,
    pub(crate) temperature: Option<f32>,
    pub(crate) top_k: Option<u32>,
    pub(crate) top_p: Option<f32>,
    pub(crate) min_p: Option<f32>,
    pub(crate) repetition_penalty: Option<f32>,
    pub(crate) seed: Option<u32>,
    pub(crate) stop: Vec<String>,
    /// Whether this device may guess tokens from the text so far.
    pub(crate) lookup: Option<bool>,
}

impl Ask {
    /// Reads `{messages, options}` as the page sent it.
    pub(crate) fn from_json(text: &str) -> Result<Self, Error> {
        let value: Value = serde_json::from_str(text).map_err(|_| bad("the call is not JSON"))?;
        let none = Map::new();
        let options = Fields(match value.get("options") {
            None | Some(Value::Null) => &none,
            Some(Value::Object(options)) => options,
            Some(_) => return Err(bad("options must be an object")),
        });
        Ok(Self {
            messages: messages(value.get("messages").unwrap_or(&Value::Null))?,
            mode: options.mode()?,
            level: options.level()?,
            choice: Choice {
                max_tokens: options.count("maxTokens", 1)?,
                temperature: options.number("temperature", 0.0, 2.0)?,
                top_k: options.count("topK", 0)?,
                top_p: options.number("topP", 0.0, 1.0)?,
                min_p: options.number("minP", 0.0, 1.0)?,
                repetition_penalty: options.number("repetitionPenalty", 0.1, 10.0)?,
                seed: options.count("seed", 0)?,
                stop: options.texts("stop")?,
                lookup: options.flag("lookup")?,
            },
        })
    }

    /// What the person said last.
    pub(crate) fn question(&self) -> &str {
        self.messages.last().map_or("", |message| &message.content)
    }
}

impl Choice {
    /// For the model on this device. `seed` is used where the page gave none.
    pub(crate) fn for_device(&self, seed: u64) -> Options {
        let standard = Options::default();
        let sampling = Sampling {
            temperature: self.temperature.unwrap_or(standard.sampling.temperature),
            top_k: self.top_k.map_or(standard.sampling.top_k, |k| k as usize),
            top_p: self.top_p.unwrap_or(standard.sampling.top_p),
            min_p: self.min_p.unwrap_or(standard.sampling.min_p),
            repetition_penalty: self
                .repetition_penalty
                .unwrap_or(standard.sampling.repetition_penalty),
            seed: self.seed.map_or(seed, u64::from),
            ..standard.sampling
        };
        let max_tokens = self.max_tokens.map_or(standard.max_tokens, |n| n as usize);
        Options {
            sampling,
            max_tokens,
            stop: self.stop.clone(),
            lookup: self.lookup.unwrap_or(standard.lookup),
            ..standard
        }
    }

    /// For the cloud: a stream with the usage at its end.
    pub(crate) fn for_cloud(&self, model: &str, messages: Vec<Message>) -> ChatRequest {
        ChatRequest {
            stream: true,
            stream_options: Some(StreamOptions {
                include_usage: true,
            }),
            max_tokens: self.max_tokens.map(i64::from),
            temperature: self.temperature,
            top_k: self.top_k.map(i64::from),
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            seed: self.seed.map(i64::from),
            stop: self.stop.clone(),
            ..ChatRequest::new(model, messages)
        }
    }
}

/// Reads `{messages, level}`, as `sprat.save(name, messages)` sends them: anybody may have spoken last.
pub(crate) fn kept(text: &str) -> Result<(Vec<Message>, Level), Error> {
    let value: Value = serde_json::from_str(text).map_err(|_| bad("the call is not JSON"))?;
    let messages = list(value.get("messages").unwrap_or(&Value::Null))?;
    let level = value.as_object().map(|fields| Fields(fields).level());
    Ok((messages, level.transpose()?.unwrap_or_default()))
}

/// Reads a JSON array of messages, as `sprat.count(messages)` sends it; any conversation has a length.
pub(crate) fn conversation(text: &str) -> Result<Vec<Message>, Error> {
    let value: Value = serde_json::from_str(text).map_err(|_| bad("the call is not JSON"))?;
    list(&value)
}

fn bad(what: impl Into<String>) -> Error {
    Error::BadRequest(what.into())
}

fn messages(value: &Value) -> Result<Vec<Message>, Error> {
    let messages = list(value)?;
    match messages.last() {
        None => return Err(bad("messages must not be empty")),
        Some(last) if last.role != Role::User => {
            return Err(bad("the last message must have the role \"user\""));
        }
        Some(last) if last.content.trim().is_empty() => {
            return Err(bad("the last message must not be empty"));
        }
        Some(_) => {}
    }
    Ok(messages)
}

fn list(value: &Value) -> Result<Vec<Message>, Error> {
    let list = value
        .as_array()
        .ok_or_else(|| bad("messages must be an array"))?;
    let messages: Vec<Message> = list
        .iter()
        .enumerate()
        .map(|(at, value)| message(at, value))
        .collect::<Result<_, _>>()?;
    let bytes: usize = messages.iter().map(|message| message.content.len()).sum();
    if bytes > MAX_TEXT {
        return Err(bad(format!(
            "messages hold {bytes} bytes of text; at most {MAX_TEXT} are taken"
        )));
    }
    Ok(messages)
}

fn message(at: usize, value: &Value) -> Result<Message, Error> {
    let role = value
        .get("role")
        .and_then(Value::as_str)
        .and_then(Role::from_name)
        .ok_or_else(|| {
            bad(format!(
                "messages[{at}].role must be system, user or assistant"
            ))
        })?;
    let content = value
        .get("content")
        .and_then(Value::as_str)
        .ok_or_else(|| bad(format!("messages[{at}].content must be a string")))?;
    Ok(Message::new(role, content))
}

/// The options of a call; absent and `null` are the same.
struct Fields<'a>(&'a Map<String, Value>);

impl Fields<'_> {
    fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn mode(&self) -> Result<Mode, Error> {
        match self.get("mode").map(Value::as_str) {
            None | Some(Some("auto")) => Ok(Mode::Auto),
            Some(Some("device")) => Ok(Mode::Device),
            Some(Some("cloud")) => Ok(Mode::Cloud),
            Some(_) => Err(bad("mode must be \"auto\", \"device\" or \"cloud\"")),
        }
    }

    /// `private: true` is short for the highest; of both options the higher counts.
    fn level(&self) -> Result<Level, Error> {
        let level = match self.get("level").map(Value::as_str) {
            None | Some(Some("open")) => Level::Open,
            Some(Some("ask")) => Level::Ask,
            Some(Some("private")) => Level::Private,
            Some(_) => return Err(bad("level must be \"open\", \"ask\" or \"private\"")),
        };
        Ok(level.max(self.flag("private")?.unwrap_or(false).into()))
    }

    fn flag(&self, name: &str) -> Result<Option<bool>, Error> {
        let flag = |value: &Value| {
            value
                .as_bool()
                .ok_or_else(|| bad(format!("{name} must be true or false")))
        };
        self.get(name).map(flag).transpose()
    }

    fn count(&self, name: &str, least: u32) -> Result<Option<u32>, Error> {
        let wrong = || {
            bad(format!(
                "{name} must be a whole number from {least} to {}",
                u32::MAX
            ))
        };
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let count = value
            .as_u64()
            .and_then(|n| u32::try_from(n).ok())
            .ok_or_else(wrong)?;
        if count < least {
            Err(wrong())
        } else {
            Ok(Some(count))
        }
    }

    fn number(&self, name: &str, least: f32, most: f32) -> Result<Option<f32>, Error> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        // Sampling needs no more than f32.
        #[allow(clippy::cast_possible_truncation)]
        let number = value.as_f64().map(|number| number as f32);
        match number {
            Some(number) if (least..=most).contains(&number) => Ok(Some(number)),
            _ => Err(bad(format!(
                "{name} must be a number from {least} to {most}"
            ))),
        }
    }

    fn texts(&self, name: &str) -> Result<Vec<String>, Error> {
        let wrong = || {
            bad(format!(
                "{name} must be a text or an array of texts, none empty"
            ))
        };
        let texts = match self.get(name) {
            None => Vec::new(),
            Some(Value::String(text)) => vec![text.clone()],
            Some(Value::Array(list)) => list
                .iter()
                .map(|text| text.as_str().map(str::to_owned).ok_or_else(wrong))
                .collect::<Result<_, _>>()?,
            Some(_) => return Err(wrong()),
        };
        if texts.iter().any(String::is_empty) {
            Err(wrong())
        } else {
            Ok(texts)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(text: &str) -> String {
        let error = Ask::from_json(text).unwrap_err();
        assert_eq!(error.code(), "bad_request");
        error.to_string()
    }

    #[test]
    fn a_plain_call_is_read() {
        let ask = Ask::from_json(
            r#"{"messages":[{"role":"user","content":"Hi"}],
                "options":{"mode":"device","private":true,"maxTokens":5,"temperature":0,"stop":"."}}"#,
        )
        .unwrap();
        assert_eq!(ask.question(), "Hi");
        assert_eq!(ask.mode, Mode::Device);
        assert_eq!(ask.level, Level::Private);
        assert_eq!(ask.choice.max_tokens, Some(5));
        assert_eq!(ask.choice.temperature, Some(0.0));
        assert_eq!(ask.choice.stop, ["."]);
        assert_eq!(ask.choice.for_device(7).sampling.seed, 7);
    }

    #[test]
    fn of_two_levels_the_higher_counts() {
        for (options, level) in [
            (r#"{}"#, Level::Open),
            (r#"{"level":"ask"}"#, Level::Ask),
            (r#"{"level":"ask","private":false}"#, Level::Ask),
            (r#"{"level":"open","private":true}"#, Level::Private),
            (r#"{"level":"private"}"#, Level::Private),
        ] {
            let call =
                format!(r#"{{"messages":[{{"role":"user","content":"Hi"}}],"options":{options}}}"#);
            assert_eq!(Ask::from_json(&call).unwrap().level, level, "{options}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        let with = |options: &str| {
            format!(r#"{{"messages":[{{"role":"user","content":"Hi"}}],"options":{options}}}"#)
        };
        for (options, word) in [
            (r#"{"maxTokens":-1}"#, "maxTokens"),
            (r#"{"maxTokens":0}"#, "maxTokens"),
            (r#"{"maxTokens":1.5}"#, "maxTokens"),
            (r#"{"temperature":"hot"}"#, "temperature"),
            (r#"{"topP":2}"#, "topP"),
            (r#"{"mode":"clod"}"#, "mode"),
            (r#"{"private":"yes"}"#, "private"),
            (r#"{"level":"secret"}"#, "level"),
            (r#"{"stop":[""]}"#, "stop"),
            ("[]", "options"),
        ] {
            assert!(refused(&with(options)).contains(word), "{options}");
        }
    }

    #[test]
    fn no_error_repeats_what_was_said() {
        for text in [
            r#"{"messages":"my secret"}"#,
            r#"{"messages":[{"role":"my secret","content":"x"}]}"#,
            r#"{"messages":[{"role":"user","content":{"my secret":1}}]}"#,
            r#"{"messages":[{"role":"assistant","content":"my secret"}]}"#,
            r#"{"messages":[]}"#,
            "my secret",
        ] {
            assert!(!refused(text).contains("secret"), "{text}");
        }
    }

    #[test]
    fn a_conversation_to_be_kept_has_a_level() {
        let text = r#"{"messages":[{"role":"assistant","content":"Hi"}],"level":"ask"}"#;
        let (messages, level) = kept(text).unwrap();
        assert_eq!((messages.len(), level), (1, Level::Ask));
        for text in ["my secret", "[]", r#"{"messages":[],"level":"my secret"}"#] {
            let error = kept(text).unwrap_err();
            assert_eq!(error.code(), "bad_request");
            assert!(!error.to_string().contains("secret"));
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*") {
            let _ = Ask::from_json(&text);
        }
    }
}
