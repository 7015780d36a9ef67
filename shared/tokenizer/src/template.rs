//! The tokens around a text: the part `post_processor`.

use crate::Error;
use crate::error::{malformed, unsupported};
use crate::part::Part;

/// What stands around, in, or in the place of a text.
#[derive(Debug)]
enum Piece {
    Text,
    Tokens(Vec<u32>),
}

/// All steps, each a row of pieces.
#[derive(Debug, Default)]
pub(crate) struct Template {
    steps: Vec<Vec<Piece>>,
}

impl Template {
    /// Reads the part of the file.
    pub(crate) fn new(part: Part) -> Result<Self, Error> {
        let mut template = Self::default();
        if !part.value.is_null() {
            template.add(part)?;
        }
        Ok(template)
    }

    fn add(&mut self, part: Part) -> Result<(), Error> {
        let step = match part.kind()? {
            "Sequence" => {
                return part
                    .parts("processors")?
                    .try_for_each(|part| self.add(part));
            }
            // About places in the text, which nobody asks for.
            "ByteLevel" => return Ok(()),
            "BertProcessing" | "RobertaProcessing" => {
                vec![pair(part, "cls")?, Piece::Text, pair(part, "sep")?]
            }
            "TemplateProcessing" => {
                let single = part.parts("single")?;
                single
                    .map(|piece| Self::piece(part, piece))
                    .collect::<Result<_, _>>()?
            }
            _ => return part.refused(),
        };
        self.steps.push(step);
        Ok(())
    }

    fn piece(part: Part, piece: Part) -> Result<Piece, Error> {
        if piece.value["Sequence"]["id"] == "A" {
            return Ok(Piece::Text);
        }
        let name = piece.value["SpecialToken"]["id"].as_str();
        let name = name.ok_or_else(|| unsupported("the piece of a template", piece.value))?;
        let ids = part.value["special_tokens"][name]["ids"].as_array();
        let ids = ids.ok_or_else(|| malformed(format!("the template has no token {name:?}")))?;
        let ids = ids
            .iter()
            .map(|id| id.as_u64().and_then(|id| u32::try_from(id).ok()));
        let ids: Option<Vec<u32>> = ids.collect();
        let ids =
            ids.ok_or_else(|| malformed(format!("the template's token {name:?} has no ids")))?;
        Ok(Piece::Tokens(ids))
    }

    /// A text's tokens with those around it, if they are `wanted`.
    pub(crate) fn around(&self, mut ids: Vec<u32>, wanted: bool) -> Vec<u32> {
        for step in &self.steps {
            let pieces = step.iter().map(|piece| match piece {
                Piece::Text => &ids[..],
                Piece::Tokens(tokens) if wanted => tokens,
                Piece::Tokens(_) => &[],
            });
            ids = pieces.collect::<Vec<_>>().concat();
        }
        ids
    }
}

/// A token that is written as its text and its id.
fn pair(part: Part, key: &str) -> Result<Piece, Error> {
    let id = part.value[key][1]
        .as_u64()
        .and_then(|id| u32::try_from(id).ok());
    let id = id.ok_or_else(|| malformed(format!("{} has no usable {key:?}", part.what)))?;
    Ok(Piece::Tokens(vec![id]))
}
