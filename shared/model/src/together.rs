//! Several answers at once: a pass of the model has a step of each, and reads the weights once for all.

use crate::generate::read;
use crate::{Decoder, Error, Generation, Part, Token};

/// Tokens of one pass at most, beside the one of each answer that is being written: what a prompt may delay the others by.
pub const PASS_TOKENS: usize = 128;

/// A step of all answers, which are of one model: the next token of each that is being written, and a piece of the prompts of
/// those that are not, the first ones first. Nothing for an answer whose prompt is not read to its end, or that has ended
/// ([`Generation::finish`]).
///
/// In a shared pool, [`Generation::make_room`] has said of each that there is memory for its step.
///
/// An answer gets the same tokens as by itself, up to the rounding of products of another size; with quantized weights on a
/// CPU there is none.
pub async fn step_together(
    decoder: &Decoder,
    answers: &mut [&mut Generation<'_>],
) -> Vec<Option<Result<Token, Error>>> {
    let mut tokens: Vec<_> = answers.iter_mut().map(|answer| answer.known()).collect();
    let mut pieces = vec![0; answers.len()];
    let mut left = PASS_TOKENS;
    for (i, answer) in answers.iter_mut().enumerate() {
        if tokens[i].is_some() || answer.has_ended() {
            continue;
        }
        let pending = answer.seen.len() - answer.join();
        pieces[i] = if pending == 1 { 1 } else { pending.min(left) };
        if pending > 1 {
            left -= pieces[i];
        }
    }
    let mut parts = Vec::new();
    for (answer, &piece) in answers.iter_mut().zip(&pieces) {
        if piece > 0 {
            let known = answer.session.tokens.len();
            parts.push(Part {
                tokens: &answer.seen[known..known + piece],
                cache: &mut answer.session.cache,
            });
        }
    }
    if parts.is_empty() {
        return tokens;
    }
    let count = parts.len();
    let logits = match decoder.run_together(&mut parts) {
        Ok(logits) => read(logits).await,
        Err(error) => Err(error),
    };
    let running = answers.iter_mut().zip(&pieces).zip(&mut tokens);
    let running = running.filter(|((_, piece), _)| **piece > 0);
    match logits {
        Ok(logits) => {
            let rows = logits.chunks_exact((logits.len() / count).max(1));
            for (((answer, &piece), token), row) in running.zip(rows) {
                let last = answer.session.tokens.len() + piece == answer.seen.len();
                *token = answer.advanced(piece, last.then_some(row));
            }
        }
        Err(error) => {
            for ((answer, _), token) in running {
                *token = Some(answer.fail(match error {
                    Error::CacheFull { positions, free } => Error::CacheFull { positions, free },
                    ref error => Error::Device(error.to_string()),
                }));
            }
        }
    }
    tokens
}
