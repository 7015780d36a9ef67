//! `x_continue`: an answer that another machine has begun.

use sprat_wire::{ChatRequest, Continued};

use crate::{ApiError, EngineInfo, Job};

/// More are no answer of any model that runs beside a person.
const MAX_TOKENS: usize = 1 << 16;

/// Lets the answer begin with the tokens of `x_continue`, if they are the model's own; says what became of them.
///
/// Tokens of another tokenizer would be other words, and behind another template a model does not know whose they are.
pub(super) fn put_into(
    jobs: &mut [Job],
    request: &ChatRequest,
    info: &EngineInfo,
) -> Result<Option<Continued>, ApiError> {
    let Some(begun) = &request.x_continue else {
        return Ok(None);
    };
    let problem = match () {
        () if begun.tokens.is_empty() => Some("must have tokens"),
        () if begun.tokens.len() > MAX_TOKENS => Some("has too many tokens"),
        () if jobs.len() > 1 => Some("is the beginning of one answer; n must be 1"),
        () if jobs.iter().any(|job| job.constraint.is_some()) || !request.tools.is_empty() => {
            Some("cannot be combined with response_format or tools")
        }
        () => None,
    };
    if let Some(problem) = problem {
        return Err(ApiError::invalid("x_continue", problem));
    }
    if info.text_id.as_ref() != Some(&begun.text_id) {
        let reason = "this model has another tokenizer or chat template";
        return Ok(Some(Continued {
            tokens: 0,
            reason: Some(reason.to_owned()),
        }));
    }
    for job in jobs {
        job.begun.0.clone_from(&begun.tokens);
    }
    Ok(Some(Continued {
        tokens: u32::try_from(begun.tokens.len()).unwrap_or(u32::MAX),
        reason: None,
    }))
}
