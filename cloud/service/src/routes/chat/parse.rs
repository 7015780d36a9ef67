//! Bytes to a request, with errors that say where but never what was written.

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_TYPE, EXPECT};
use futures::StreamExt;
use serde_json::error::Category;
use sprat_wire::ChatRequest;

use crate::{ApiError, Limits};

/// How much of a body that is too large is still read, as a multiple of the limit. A client that
/// is answered while it writes may see a broken connection instead of the answer.
const DISCARD_FACTOR: usize = 32;

/// Reads the body, if it is JSON by its type, within the limits of size and time.
pub(super) async fn body(request: Request, limits: &Limits) -> Result<Vec<u8>, ApiError> {
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

/// Reads the JSON.
pub(super) fn chat(body: &[u8]) -> Result<ChatRequest, ApiError> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let request = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        describe(&path, error.inner())
    })?;
    reader.end().map_err(|error| describe(".", &error))?;
    Ok(request)
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
    let param = if at_root { "body" } else { path };
    match text.rsplit_once(", expected ") {
        Some((_, expected)) => ApiError::invalid(param, format!("must be {}", plain(expected))),
        None => ApiError::invalid(param, "has a value that cannot be read"),
    }
}

/// Rust's names of types in a client's words.
fn plain(expected: &str) -> &str {
    // serde reads a struct from a list too, and then says how many elements it wants.
    match expected.split(" with ").next().unwrap_or_default() {
        "i64" => "a whole number",
        "f32" => "a number",
        "struct ChatRequest" => "an object with model and messages",
        "struct Message" => "an object with role and content",
        "struct StreamOptions" => "an object",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        _ => expected,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn problem(json: &str) -> String {
        chat(json.as_bytes()).unwrap_err().to_string()
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
        let role = r#"{"model":"m","messages":[{"role":"user","content":"a"},{"role":"tool"}]}"#;
        let one_of = "one of `developer`, `system`, `user`, `assistant`";
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
