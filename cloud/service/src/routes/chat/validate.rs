//! Checks a request's values, naming the field that is wrong.

use std::fmt::Display;
use std::ops::RangeInclusive;

use sprat_wire::ChatRequest;

use crate::ApiError;

const MAX_STOPS: usize = 16;
const MAX_STOP_BYTES: usize = 256;
const MAX_TOP_LOGPROBS: i64 = 20;

/// Checks everything that can be checked without the model.
pub(super) fn chat(request: &ChatRequest) -> Result<(), ApiError> {
    if request.messages.is_empty() {
        return Err(ApiError::invalid(
            "messages",
            "must hold at least one message",
        ));
    }
    if request.n.is_some_and(|n| n != 1) {
        return Err(ApiError::invalid(
            "n",
            "must be 1: one answer per request is served",
        ));
    }
    tokens(request)?;
    sampling(request)?;
    stops(&request.stop)?;
    logprobs(request)?;
    if request.stream_options.is_some() && !request.stream {
        return Err(ApiError::invalid(
            "stream_options",
            "needs stream to be true",
        ));
    }
    Ok(())
}

fn tokens(request: &ChatRequest) -> Result<(), ApiError> {
    let limits = [
        ("max_tokens", request.max_tokens),
        ("max_completion_tokens", request.max_completion_tokens),
    ];
    for (name, limit) in limits {
        if limit.is_some_and(|limit| limit < 1) {
            return Err(ApiError::invalid(name, "must be at least 1"));
        }
    }
    Ok(())
}

fn sampling(request: &ChatRequest) -> Result<(), ApiError> {
    within("temperature", request.temperature, 0.0..=2.0)?;
    within("top_p", request.top_p, f32::MIN_POSITIVE..=1.0)
        .map_err(|_| ApiError::invalid("top_p", "must be above 0 and at most 1"))?;
    within("min_p", request.min_p, 0.0..=1.0)?;
    within("repetition_penalty", request.repetition_penalty, 0.1..=10.0)?;
    within("top_k", request.top_k, -1..=i64::from(u32::MAX))
}

fn within<T: PartialOrd + Display>(
    name: &str,
    value: Option<T>,
    range: RangeInclusive<T>,
) -> Result<(), ApiError> {
    match value {
        // Not a number is in no range.
        Some(value) if !range.contains(&value) => {
            let (low, high) = (range.start(), range.end());
            Err(ApiError::invalid(
                name,
                format!("must be between {low} and {high}"),
            ))
        }
        _ => Ok(()),
    }
}

fn stops(stops: &[String]) -> Result<(), ApiError> {
    if stops.len() > MAX_STOPS {
        return Err(ApiError::invalid(
            "stop",
            format!("must hold at most {MAX_STOPS} texts"),
        ));
    }
    if stops
        .iter()
        .any(|stop| stop.is_empty() || stop.len() > MAX_STOP_BYTES)
    {
        let problem = format!("every text must have 1 to {MAX_STOP_BYTES} bytes");
        return Err(ApiError::invalid("stop", problem));
    }
    Ok(())
}

fn logprobs(request: &ChatRequest) -> Result<(), ApiError> {
    let Some(top) = request.top_logprobs else {
        return Ok(());
    };
    within("top_logprobs", Some(top), 0..=MAX_TOP_LOGPROBS)?;
    if top > 0 && request.logprobs != Some(true) {
        return Err(ApiError::invalid(
            "top_logprobs",
            "needs logprobs to be true",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(field: &str, value: Value) -> Result<(), String> {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "x"}]});
        body[field] = value;
        let request = serde_json::from_value(body).unwrap();
        chat(&request).map_err(|error| match error {
            ApiError::Invalid { param, .. } => param,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn the_wrong_field_is_named() {
        let wrong = [
            ("messages", json!([])),
            ("n", json!(2)),
            ("n", json!(0)),
            ("max_tokens", json!(-1)),
            ("max_tokens", json!(0)),
            ("max_completion_tokens", json!(-5)),
            ("temperature", json!(-0.1)),
            ("temperature", json!(2.1)),
            ("temperature", json!(1e300)),
            ("top_p", json!(0)),
            ("top_p", json!(1.1)),
            ("min_p", json!(-1)),
            ("repetition_penalty", json!(0)),
            ("top_k", json!(-2)),
            ("stop", json!("")),
            ("stop", json!(vec!["x"; 17])),
            ("stop", json!("x".repeat(257))),
            ("top_logprobs", json!(21)),
            ("top_logprobs", json!(-1)),
            ("top_logprobs", json!(3)),
            ("stream_options", json!({"include_usage": true})),
        ];
        for (field, value) in wrong {
            assert_eq!(
                check(field, value.clone()),
                Err(field.to_owned()),
                "{value}"
            );
        }
    }

    #[test]
    fn the_edges_are_right() {
        let right = [
            ("n", json!(1)),
            ("max_tokens", json!(1)),
            ("max_tokens", json!(i64::MAX)),
            ("temperature", json!(0)),
            ("temperature", json!(2)),
            ("top_p", json!(1)),
            ("min_p", json!(0)),
            ("top_k", json!(-1)),
            ("top_logprobs", json!(0)),
            ("stop", json!(null)),
            ("seed", json!(-1)),
        ];
        for (field, value) in right {
            assert_eq!(check(field, value.clone()), Ok(()), "{field} {value}");
        }
    }
}
