//! Readers for the places where servers and clients in the wild differ from the specification.

use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Serializer, de};

use crate::{ModelStatus, Role};

/// `null` and a missing field (with `#[serde(default)]`) both read as the default.
pub(crate) fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// Keeps `null` (`Some(None)`) apart from a missing field (`None`, by `#[serde(default)]`).
pub(crate) fn present<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Some)
}

/// A role where only known ones matter: some servers send `""` or `null` in every chunk.
pub(crate) fn known_role<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Role>, D::Error> {
    let name = Option::<String>::deserialize(deserializer)?;
    Ok(name.as_deref().and_then(Role::from_name))
}

/// A model's status where only known ones matter: llama.cpp writes an object there.
pub(crate) fn known_status<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<ModelStatus>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Status {
        Known(ModelStatus),
        Other(IgnoredAny),
    }

    Ok(match Option::<Status>::deserialize(deserializer)? {
        Some(Status::Known(status)) => Some(status),
        Some(Status::Other(_)) | None => None,
    })
}

/// Writes a log-probability. JSON has no infinity; -9999 is what OpenAI writes for "never".
pub(crate) fn finite_logprob<S: Serializer>(value: &f32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f32(if value.is_finite() { *value } else { -9999.0 })
}

/// `null`, one string, or a list of strings.
pub(crate) fn one_or_many<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<String>, D::Error> {
    struct OneOrMany;

    impl<'de> Visitor<'de> for OneOrMany {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string or a list of strings")
        }

        fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }

        fn visit_str<E: de::Error>(self, value: &str) -> Result<Self::Value, E> {
            Ok(vec![value.to_owned()])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut all = Vec::new();
            while let Some(one) = seq.next_element()? {
                all.push(one);
            }
            Ok(all)
        }
    }

    deserializer.deserialize_any(OneOrMany)
}

/// Message content: a string, `null` (an empty string), or a list of text parts, which are joined
/// by line breaks. Parts that are not text are an error: this API serves text models, and an
/// image that is silently dropped would give a wrong answer.
pub(crate) fn content<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    struct Content;

    impl<'de> Visitor<'de> for Content {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string or a list of text parts")
        }

        fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok(String::new())
        }

        fn visit_str<E: de::Error>(self, value: &str) -> Result<Self::Value, E> {
            Ok(value.to_owned())
        }

        fn visit_string<E: de::Error>(self, value: String) -> Result<Self::Value, E> {
            Ok(value)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut text = String::new();
            let mut first = true;
            while let Some(TextPart(part)) = seq.next_element()? {
                if !first {
                    text.push('\n');
                }
                first = false;
                text.push_str(&part);
            }
            Ok(text)
        }
    }

    deserializer.deserialize_any(Content)
}

/// `{"type": "text", "text": "..."}`, or a bare string as some clients send.
struct TextPart(String);

impl<'de> Deserialize<'de> for TextPart {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Part;

        impl<'de> Visitor<'de> for Part {
            type Value = TextPart;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text part: {\"type\": \"text\", \"text\": \"...\"}")
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<Self::Value, E> {
                Ok(TextPart(value.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let (mut kind, mut text) = (None::<String>, None::<String>);
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "type" => kind = Some(map.next_value()?),
                        "text" => text = Some(map.next_value()?),
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                match (kind.as_deref(), text) {
                    (Some("text" | "input_text" | "output_text") | None, Some(text)) => {
                        Ok(TextPart(text))
                    }
                    // The part itself is not named: errors never carry what a person wrote.
                    _ => Err(de::Error::invalid_value(
                        Unexpected::Other("another part"),
                        &self,
                    )),
                }
            }
        }

        deserializer.deserialize_any(Part)
    }
}

/// An error code: OpenAI writes strings, llama.cpp writes the HTTP status as a number.
pub(crate) fn code<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Code {
        Text(String),
        Number(i64),
        Other(IgnoredAny),
    }

    Ok(match Option::<Code>::deserialize(deserializer)? {
        Some(Code::Text(text)) => Some(text),
        Some(Code::Number(number)) => Some(number.to_string()),
        Some(Code::Other(_)) | None => None,
    })
}
