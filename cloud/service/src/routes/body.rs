//! Bytes to a request, with errors that say where but never what was written.

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_TYPE, EXPECT};
use futures::StreamExt;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::{ApiError, Limits};

/// How much of a body that is too large is still read, as a multiple of the limit. A client that
/// is answered while it writes may see a broken connection instead of the answer.
const DISCARD_FACTOR: usize = 32;

/// Reads a request of this type, within the limits of size and time.
pub(super) async fn json<T: DeserializeOwned>(
    request: Request,
    limits: &Limits,
) -> Result<T, ApiError> {
    parse(&bytes(request, limits).await?)
}

/// Reads the body, if it is JSON by its type.
async fn bytes(request: Request, limits: &Limits) -> Result<Vec<u8>, ApiError> {
    if !is_json(request.headers()) {
        return Err(ApiError::NotJsonType);
    }
    let asks_first = request.headers().contains_key(EXPECT);
    let body = request.into_body();
    let too_large = body.size_hint().lower() > limits.body_bytes as u64;
    if too_large && asks_first {
        return Err(ApiError::BodyTooLarge {
            limit: limits.body_bytes,
        });
    }
    tokio::time::timeout(limits.body_timeout, read(body, limits.body_bytes))
        .await
        .map_err(|_| ApiError::BodyTimeout(limits.body_timeout))?
}

async fn read(body: Body, limit: usize) -> Result<Vec<u8>, ApiError> {
    let mut kept = Vec::new();
    let mut seen = 0usize;
    let mut frames = body.into_data_stream();
    while let Some(frame) = frames.next().await {
        let frame = frame.map_err(|_| ApiError::BodyBroken)?;
        seen = seen.saturating_add(frame.len());
        if seen <= limit {
            kept.extend_from_slice(&frame);
        } else if seen > limit.saturating_mul(DISCARD_FACTOR) {
            break;
        } else {
            kept = Vec::new();
        }
    }
    if seen > limit {
        Err(ApiError::BodyTooLarge { limit })
    } else {
        Ok(kept)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
    else {
        return false;
    };
    let essence = value.split(';').next().unwrap_or_default().trim();
    let Some((family, kind)) = essence.split_once('/') else {
        return false;
    };
    family.eq_ignore_ascii_case("application")
        && (kind.eq_ignore_ascii_case("json") || kind.to_ascii_lowercase().ends_with("+json"))
}

/// Reads the JSON. A field that the type has not is an error: what is not done must not look done.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut reader, &mut track);
    let mut unknown = None;
    let request = serde_ignored::deserialize(tracked, |path| {
        unknown.get_or_insert_with(|| written(&path));
    });
    let request = match request {
        Ok(request) => request,
        Err(error) => return Err(describe(&track.path().to_string(), &error)),
    };
    reader.end().map_err(|error| describe(".", &error))?;
    match unknown {
        None => Ok(request),
        Some(path) => Err(ApiError::invalid(
            name_of(&path),
            "is no field that this server knows",
        )),
    }
}

/// A path as [`serde_path_to_error`] writes it.
fn written(path: &serde_ignored::Path<'_>) -> String {
    use serde_ignored::Path;
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => format!("{}[{index}]", written(parent)),
        Path::Map { parent, key } => match written(parent) {
            parent if parent.is_empty() => key.clone(),
            parent => format!("{parent}.{key}"),
        },
        Path::Some { parent }
        | Path::NewtypeStruct { parent }
        | Path::NewtypeVariant { parent } => written(parent),
    }
}

/// A field's path as an error may repeat it: it should be a name, but anybody can send anything.
fn name_of(path: &str) -> String {
    let known = |c: char| c.is_ascii_alphanumeric() || "._-[]".contains(c);
    let name = path.chars().take(64);
    name.map(|c| if known(c) { c } else { '?' }).collect()
}

/// serde's own messages quote the value at fault, so only their last, fixed part is kept.
fn describe(path: &str, error: &serde_json::Error) -> ApiError {
    if error.classify() != Category::Data {
        return ApiError::NotJson {
            line: error.line(),
            column: error.column(),
        };
    }
    let text = error.to_string();
    let text = text
        .rsplit_once(" at line ")
        .map_or(text.as_str(), |(text, _)| text);
    let at_root = path == ".";
    if let Some(field) = text
        .strip_prefix("missing field `")
        .and_then(|t| t.strip_suffix('`'))
    {
        let param = if at_root {
            field.to_owned()
        } else {
            format!("{path}.{field}")
        };
        return ApiError::invalid(param, "is required");
    }
    let param = if at_root {
        "body".to_owned()
    } else {
        name_of(path)
    };
    match text.rsplit_once(", expected ") {
        Some((_, expected)) => ApiError::invalid(param, format!("must be {}", plain(expected))),
        None if text.starts_with(TEXT_INPUT) => {
            ApiError::invalid(param, format!("must be {TEXT_INPUT}"))
        }
        None => ApiError::invalid(param, "has a value that cannot be read"),
    }
}

/// What [`sprat_wire::TextInput`] says that it wants.
const TEXT_INPUT: &str = "a string, a list of strings, token ids, or a list of lists of these";

/// Rust's names of types in a client's words.
fn plain(expected: &str) -> &str {
    // serde reads a struct from a list too, and then says how many elements it wants.
    match expected.split(" with ").next().unwrap_or_default() {
        "i64" => "a whole number",
        "f32" => "a number",
        "struct ChatRequest" => "an object with model and messages",
        "struct TextRequest" => "an object with model and prompt",
        "struct EmbeddingsRequest" => "an object with model and input",
        "struct TokenizeRequest" => "an object with model and prompt or messages",
        "struct DetokenizeRequest" => "an object with model and tokens",
        "u32" => "a whole number that is not negative",
        "struct Message" => "an object with role and content",
        "struct StreamOptions" | "struct ResponseFormat" => "an object",
        "struct JsonSchema" => "an object with name and schema",
        "struct Tool" | "struct NamedTool" | "struct ToolCall" => {
            "an object with type and function"
        }
        "struct Function" | "struct NamedFunction" | "struct CalledFunction" => {
            "an object with a name"
        }
        "a boolean" => "true or false",
        "a sequence" => "a list",
        _ => expected,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use sprat_wire::{ChatRequest, TextRequest};

    fn chat(body: &[u8]) -> Result<ChatRequest, ApiError> {
        parse(body)
    }

    fn problem(json: &str) -> String {
        chat(json.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn unknown_fields_are_named() {
        let whole = |field: &str| problem(&format!(r#"{{"model":"m","messages":[],{field}}}"#));
        let unknown = "is no field that this server knows";
        assert_eq!(whole(r#""store":true"#), format!("store: {unknown}"));
        assert_eq!(whole(r#""a b\n":0"#), format!("a?b?: {unknown}"));
        let inside = r#""stream_options":{"include_obfuscation":true}"#;
        assert_eq!(
            whole(inside),
            format!("stream_options.include_obfuscation: {unknown}")
        );
        let message = r#"{"model":"m","messages":[{"role":"user","content":"a","name":"b"}]}"#;
        assert_eq!(problem(message), format!("messages[0].name: {unknown}"));
        assert_eq!(
            whole(&format!(r#""{}":1"#, "x".repeat(500))).len(),
            64 + 2 + unknown.len()
        );
    }

    #[test]
    fn texts_come_in_four_ways() {
        let prompt = |prompt: &str| {
            let body = format!(r#"{{"model":"m","prompt":{prompt}}}"#);
            parse::<TextRequest>(body.as_bytes()).map(|request| format!("{:?}", request.prompt))
        };
        for (json, read) in [
            (r#""a""#, "1 texts"),
            (r#"["a","b"]"#, "2 texts"),
            ("[1,2,3]", "1 token lists"),
            ("[[1],[2,3]]", "2 token lists"),
        ] {
            assert_eq!(prompt(json).unwrap(), format!("TextInput({read})"));
        }
        for json in ["5", "[-1]", r#"[1,"a"]"#, "{}", "[[1],2]"] {
            let error = prompt(json).unwrap_err().to_string();
            assert_eq!(error, format!("prompt: must be {TEXT_INPUT}"), "{json}");
        }
    }

    #[test]
    fn errors_name_the_field_and_what_it_must_be() {
        let whole = |field: &str| format!(r#"{{"model":"m","messages":[],{field}}}"#);
        assert_eq!(problem(r#"{"messages":[]}"#), "model: is required");
        assert_eq!(problem(r#"{"model":"m"}"#), "messages: is required");
        assert_eq!(
            problem("[]"),
            "body: must be an object with model and messages"
        );
        assert_eq!(
            problem("5"),
            "body: must be an object with model and messages"
        );
        assert_eq!(problem(&whole(r#""n":"x""#)), "n: must be a whole number");
        assert_eq!(
            problem(&whole(r#""temperature":"x""#)),
            "temperature: must be a number"
        );
        assert_eq!(
            problem(&whole(r#""stream":"x""#)),
            "stream: must be true or false"
        );
        assert_eq!(
            problem(&whole(r#""stop":5"#)),
            "stop: must be a string or a list of strings"
        );
        let role = r#"{"model":"m","messages":[{"role":"user","content":"a"},{"role":"nobody"}]}"#;
        let one_of = "one of `developer`, `system`, `user`, `assistant`, `tool`";
        assert_eq!(problem(role), format!("messages[1].role: must be {one_of}"));
        let part = r#"{"model":"m","messages":[{"role":"user","content":[{"type":"image_url"}]}]}"#;
        assert!(problem(part).starts_with("messages[0].content[0]: must be a text part"));
    }

    #[test]
    fn what_is_not_json_is_located() {
        assert_eq!(
            chat(b"{\"model\": oops}").unwrap_err(),
            ApiError::NotJson {
                line: 1,
                column: 11
            }
        );
        assert!(matches!(chat(b"").unwrap_err(), ApiError::NotJson { .. }));
        assert!(matches!(
            chat(b"\xFF\xFE").unwrap_err(),
            ApiError::NotJson { .. }
        ));
        let deep = format!("{{\"x\":{}", "[".repeat(100_000));
        assert!(matches!(
            chat(deep.as_bytes()).unwrap_err(),
            ApiError::NotJson { .. }
        ));
        let twice = br#"{"model":"m","messages":[]} {}"#;
        assert!(matches!(chat(twice).unwrap_err(), ApiError::NotJson { .. }));
    }

    #[test]
    fn the_type_must_be_json() {
        let json = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, value.parse().unwrap());
            is_json(&headers)
        };
        assert!(json("application/json") && json("Application/JSON; charset=utf-8"));
        assert!(json("application/problem+json"));
        assert!(!json("text/plain") && !json("json") && !is_json(&HeaderMap::new()));
    }

    proptest! {
        /// Wherever the text stands, and whatever it is, no error repeats it.
        #[test]
        fn errors_do_not_quote(noise in "[ -~]{0,12}", place in 0usize..7) {
            let canary = serde_json::to_string(&format!("CANARY, expected CANARY {noise}")).unwrap();
            let body = match place {
                0 => canary,
                1 => format!(r#"{{"model":"m","messages":{canary}}}"#),
                2 => format!(r#"{{"model":"m","messages":[{canary}]}}"#),
                3 => format!(r#"{{"model":"m","messages":[{{"role":{canary}}}]}}"#),
                4 => format!(r#"{{"model":"m","messages":[],"max_tokens":{canary}}}"#),
                5 => format!(r#"{{"model":"m","messages":[],"stop":[[{canary}]]}}"#),
                _ => format!(
                    r#"{{"model":"m","messages":[{{"role":"user","content":[{{"type":{canary}}}]}}]}}"#
                ),
            };
            prop_assert!(!problem(&body).contains("CANARY"), "{}", problem(&body));
        }
    }
}
