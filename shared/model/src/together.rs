//! Several answers at once: a pass of the model has a step of each, and reads the weights once for all.

use crate::row::{Need, Rows};
use crate::tensor::Tensor;
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
    let logits = decoder.run_together(&mut parts);
    let running = answers.iter_mut().zip(&pieces).zip(&mut tokens);
    let running = running.filter(|((_, piece), _)| **piece > 0);
    let mut running: Vec<_> = running
        .map(|((answer, piece), token)| Running {
            is_last: answer.pending() == *piece,
            answer,
            piece: *piece,
            token,
            need: Need::Nothing,
        })
        .collect();
    let drawn = match logits {
        Ok(logits) => draw(&logits, &mut running).await,
        Err(error) => Err(error),
    };
    if let Err(error) = drawn {
        for it in running.iter_mut().filter(|it| it.token.is_none()) {
            *it.token = Some(it.answer.fail(match error {
                Error::CacheFull { positions, free } => Error::CacheFull { positions, free },
                ref error => Error::Device(error.to_string()),
            }));
        }
    }
    tokens
}

/// An answer that has a part in the pass.
struct Running<'a, 'g> {
    answer: &'a mut Generation<'g>,
    /// How many of its tokens were run.
    piece: usize,
    /// What comes of it.
    token: &'a mut Option<Result<Token, Error>>,
    /// Whether these are the last ones of its text.
    is_last: bool,
    /// What is still to be known of the logits behind them.
    need: Need,
}

/// Gives each answer its next token, by the logits behind the last of its tokens that were run, `[answers, vocab]`.
///
/// Whoever drops the future while it waits finds each answer as it was before the pass or with its token certain.
async fn draw(logits: &Tensor<2>, running: &mut [Running<'_, '_>]) -> Result<(), Error> {
    for it in running.iter_mut().filter(|it| it.is_last) {
        it.need = it.answer.need();
    }
    // Once more for draws that fall where their shortlist does not reach.
    for _ in 0..2 {
        if running.iter().all(|it| it.need == Need::Nothing) {
            break;
        }
        let rows = Rows::read(logits, |row| running[row].need).await?;
        for (number, it) in running.iter_mut().enumerate() {
            let row = rows.get(number).filter(|_| it.need != Need::Nothing);
            let Some(row) = row else { continue };
            it.need = match it.answer.conclude(it.piece, row) {
                Ok(false) => Need::All,
                Ok(true) => Need::Nothing,
                Err(error) => {
                    *it.token = Some(it.answer.fail(error));
                    Need::Nothing
                }
            };
        }
    }
    for it in running.iter_mut().filter(|it| it.token.is_none()) {
        match it.is_last {
            true => *it.token = it.answer.known(),
            false => it.answer.advance(it.piece),
        }
    }
    Ok(())
}
