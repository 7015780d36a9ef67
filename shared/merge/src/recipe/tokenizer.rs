//! Which tokens the result has, and where the rows of its matrices come from.

use std::collections::BTreeMap;

use super::Recipe;
use crate::{Error, Result};

/// What a recipe says of the result's tokenizer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenizerSetting {
    /// Which tokens there are.
    pub source: TokenizerSource,
    /// Rules for single tokens.
    pub tokens: BTreeMap<String, TokenRule>,
    /// The matrices' rows are filled up to a multiple of this.
    pub pad_to_multiple_of: Option<usize>,
}

/// Which tokens there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenizerSource {
    /// Those of the base, or of the first model where there is no base.
    Base,
    /// Those of all models.
    Union,
    /// Those of one model.
    Model(String),
}

/// A rule for one token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRule {
    /// Where its rows come from in models that haven't got it; none for the usual rule.
    pub source: Option<TokenSource>,
    /// Whether also models that have it take those.
    pub force: bool,
}

/// Where the rows of one token come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenSource {
    /// The same token in this model.
    Model(String),
    /// Nowhere: they are zero.
    Zero,
    /// Another token of a model, by its text.
    Token(String, String),
    /// Another token of a model, by its number.
    Id(String, usize),
}

impl TokenizerSetting {
    /// The usual rule for every token, and no padding.
    pub fn new(source: TokenizerSource) -> Self {
        Self {
            source,
            tokens: BTreeMap::new(),
            pad_to_multiple_of: None,
        }
    }

    /// The models that it names.
    fn models(&self) -> impl Iterator<Item = &str> {
        let of_rules = self.tokens.values().filter_map(|rule| match &rule.source {
            Some(
                TokenSource::Model(model)
                | TokenSource::Token(model, _)
                | TokenSource::Id(model, _),
            ) => Some(&**model),
            Some(TokenSource::Zero) | None => None,
        });
        let whole = match &self.source {
            TokenizerSource::Model(model) => Some(&**model),
            TokenizerSource::Base | TokenizerSource::Union => None,
        };
        whole.into_iter().chain(of_rules)
    }

    /// That the models it names are among the recipe's.
    pub(super) fn validate(&self, recipe: &Recipe) -> Result<()> {
        let inputs = recipe.inputs();
        match self.models().find(|model| !inputs.contains(model)) {
            None => Ok(()),
            Some(model) => Err(Error::Models {
                method: recipe.method.name(),
                problem: format!(
                    "`{model}`, which the tokenizer is to come from, is none of the models"
                ),
            }),
        }
    }
}
