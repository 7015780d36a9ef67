//! Models of different vocabularies, read as if they had one.
//!
//! Which tokens the result has is decided first: those of one model, or of all. Then the rows of every matrix that has a
//! row a token (embeddings, head) are put into the result's order, and each model gets rows for the tokens that it lacks:
//! those of the only model that has the token; or else those of the base; or else the mean of those that have it. These are
//! mergekit's rules, and so are `tokens` and `pad_to_multiple_of`. The methods then see models of one shape.

mod layout;
mod reader;
mod tokenizer;

use std::cell::RefCell;
use std::rc::Rc;

pub use tokenizer::Tokenizer;

use self::layout::Layout;
use self::reader::{Relaid, Shelf, is_of_tokens};
use crate::recipe::{TokenizerSetting, TokenizerSource};
use crate::{Error, Recipe, Result, TensorReader};

/// Models that have the result's vocabulary.
pub struct Unified {
    /// One for each of the models that were given, in their order.
    pub readers: Vec<Box<dyn TensorReader>>,
    /// The result's tokenizer.
    pub tokenizer: Tokenizer,
    /// Rows of the matrices that have one a token.
    pub rows: usize,
}

/// Gives a recipe's models the vocabulary that `setting` says. `models` are those of [`Recipe::inputs`], in that order,
/// each with its tokenizer.
///
/// # Errors
/// [`Error::Tokens`] for tokenizers that can't be united and for rules about tokens that are not there.
pub fn unify(
    recipe: &Recipe,
    setting: &TokenizerSetting,
    models: Vec<(Tokenizer, Box<dyn TensorReader>)>,
) -> Result<Unified> {
    let inputs = recipe.inputs();
    let index = |name: &str| inputs.iter().position(|input| *input == name);
    let (tokenizers, readers): (Vec<_>, Vec<_>) = models.into_iter().unzip();
    let first = index(recipe.tokenizer_model()).and_then(|first| tokenizers.get(first));
    let (Some(first), true) = (first, tokenizers.len() == inputs.len()) else {
        return Err(Error::Tokens {
            problem: format!(
                "{} tokenizers for {} models",
                tokenizers.len(),
                inputs.len()
            ),
        });
    };
    let tokenizer = match &setting.source {
        TokenizerSource::Union => first.united(&tokenizers)?,
        TokenizerSource::Base | TokenizerSource::Model(_) => first.clone(),
    };
    let rows: Vec<usize> = readers.iter().map(|reader| rows_of(&**reader)).collect();
    let layout = Layout::new(&layout::Given {
        setting,
        inputs: &inputs,
        base: recipe.base_model.as_deref().and_then(index),
        tokenizers: &tokenizers,
        rows: &rows,
        result: &tokenizer,
    })?;
    let rows = layout.rows();
    let shelf = Rc::new(RefCell::new(Shelf::new(readers)));
    let layout = Rc::new(layout);
    let relaid = |model| -> Box<dyn TensorReader> {
        Box::new(Relaid::new(model, layout.clone(), shelf.clone()))
    };
    Ok(Unified {
        readers: (0..inputs.len()).map(relaid).collect(),
        tokenizer,
        rows,
    })
}

/// Rows of a model's embeddings.
fn rows_of(reader: &dyn TensorReader) -> usize {
    let names = reader.names().into_iter();
    let shapes = names
        .filter(|name| is_of_tokens(name))
        .filter_map(|name| reader.shape(&name));
    shapes
        .filter_map(|shape| shape.first().copied())
        .min()
        .unwrap_or(0)
}
