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
    let drawn = match decoder.run_together(&mut parts) {
        Ok(logits) => {
            let running = answers.iter_mut().zip(&pieces);
            let running = running.filter(|(_, piece)| **piece > 0);
            let running = running.map(|(answer, piece)| (&mut **answer, *piece));
            draw(&logits, &mut running.collect::<Vec<_>>()).await
        }
        Err(error) => Err(error),
    };
    let running = answers.iter_mut().zip(&pieces).zip(&mut tokens);
    let running = running.filter(|((_, piece), _)| **piece > 0);
    match drawn {
        Ok(drawn) => {
            for (drawn, (_, token)) in drawn.into_iter().zip(running) {
                *token = drawn;
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

/// The next token of each answer, of which so many tokens were run, by the logits behind the last of these `[answers, vocab]`;
/// nothing where that is not the text's last token.
async fn draw(
    logits: &Tensor<2>,
    running: &mut [(&mut Generation<'_>, usize)],
) -> Result<Vec<Option<Result<Token, Error>>>, Error> {
    let need = |(answer, piece): &(&mut Generation<'_>, usize)| match answer.pending() == *piece {
        true => answer.need(),
        false => Need::Nothing,
    };
    let mut needs: Vec<_> = running.iter().map(need).collect();
    let rows = Rows::read(logits, |row| needs[row]).await?;
    let mut tokens = Vec::with_capacity(running.len());
    for (number, ((answer, piece), need)) in running.iter_mut().zip(&mut needs).enumerate() {
        answer.advance(*piece);
        let row = rows.get(number).filter(|_| *need != Need::Nothing);
        let token = row.and_then(|row| answer.drawn(row));
        if token.is_some() {
            *need = Need::Nothing;
        }
        tokens.push(token);
    }
    if needs.iter().all(|need| *need == Need::Nothing) {
        return Ok(tokens);
    }
    // Some draws fall where their shortlist does not reach.
    for need in needs.iter_mut().filter(|need| **need != Need::Nothing) {
        *need = Need::All;
    }
    let rows = Rows::read(logits, |row| needs[row]).await?;
    let undrawn = running.iter_mut().zip(&mut tokens).zip(&needs).enumerate();
    for (number, (((answer, _), token), need)) in undrawn {
        let row = rows.get(number).filter(|_| *need != Need::Nothing);
        *token = token.take().or_else(|| answer.drawn(row?));
    }
    Ok(tokens)
}
