//! A checked request to the engine's words.

use sprat_wire::ChatRequest;

use crate::{Job, Sampling};

/// What the engine shall do. `cap` bounds the answer whatever the request says; `seed` is used
/// where the request has none.
pub(super) fn job(request: &ChatRequest, cap: Option<usize>, seed: u64) -> Job {
    let count = |n: i64| usize::try_from(n).unwrap_or(0);
    let asked = request.token_limit().map(|(limit, _)| count(limit));
    Job {
        messages: request.messages.clone(),
        sampling: Sampling {
            temperature: request.temperature,
            // -1, "all tokens" in vLLM, is 0 in ours.
            top_k: request.top_k.map(count),
            top_p: request.top_p,
            min_p: request.min_p,
            repetition_penalty: request.repetition_penalty,
            // The sampler's seed has no sign; every signed one keeps a number of its own.
            seed: Some(request.seed.map_or(seed, i64::cast_unsigned)),
        },
        max_tokens: asked.into_iter().chain(cap).min(),
        stop: request.stop.clone(),
        top_logprobs: request.top_logprobs.map_or(0, count),
        client: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_seeds() {
        let mut request = ChatRequest::new("m", vec![]);
        assert_eq!(job(&request, None, 7).max_tokens, None);
        assert_eq!(job(&request, Some(9), 7).max_tokens, Some(9));
        assert_eq!(job(&request, None, 7).sampling.seed, Some(7));
        request.max_tokens = Some(5);
        request.max_completion_tokens = Some(6);
        (request.seed, request.top_k) = (Some(-1), Some(-1));
        let made = job(&request, Some(9), 7);
        assert_eq!(made.max_tokens, Some(6));
        assert_eq!(job(&request, Some(4), 7).max_tokens, Some(4));
        assert_eq!(
            (made.sampling.seed, made.sampling.top_k),
            (Some(u64::MAX), Some(0))
        );
    }
}
