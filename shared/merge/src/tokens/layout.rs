//! Where each row of a matrix comes from, in each model.

use super::Tokenizer;
use crate::recipe::{TokenSource, TokenizerSetting};
use crate::{Error, Result};

/// Where a model's row comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Row {
    /// Its own row of this number.
    Own(usize),
    /// One of [`Layout::shared`].
    Shared(usize),
    /// No token: the mean of the other rows.
    Padding,
}

/// What [`Layout::new`] goes by.
pub(super) struct Given<'a> {
    pub(super) setting: &'a TokenizerSetting,
    /// The models' names.
    pub(super) inputs: &'a [&'a str],
    pub(super) base: Option<usize>,
    pub(super) tokenizers: &'a [Tokenizer],
    /// How many rows each model has; tokens behind them are as if they were not there.
    pub(super) rows: &'a [usize],
    pub(super) result: &'a Tokenizer,
}

/// The rows of the result, for each model.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// For each model.
    pub(super) models: Vec<Vec<Row>>,
    /// Rows that are the same in every model that takes them: the mean of these rows of models, or zeros for none.
    pub(super) shared: Vec<Vec<(usize, usize)>>,
}

impl Layout {
    pub(super) fn new(given: &Given<'_>) -> Result<Self> {
        let tokens = given.result.tokens();
        let setting = given.setting;
        if let Some(token) = setting
            .tokens
            .keys()
            .find(|token| given.result.id(token).is_none())
        {
            return Err(Error::Tokens {
                problem: format!(
                    "the token {token:?} of `tokens` is not in the result's vocabulary"
                ),
            });
        }
        let rows = given.result.len();
        let rows = rows.next_multiple_of(setting.pad_to_multiple_of.unwrap_or(1).max(1));
        let mut layout = Self {
            models: vec![Vec::with_capacity(rows); given.tokenizers.len()],
            shared: Vec::new(),
        };
        for id in 0..rows {
            match tokens.get(&id) {
                Some(token) => layout.add(given, token)?,
                None => layout
                    .models
                    .iter_mut()
                    .for_each(|model| model.push(Row::Padding)),
            }
        }
        Ok(layout)
    }

    /// How many there are.
    pub(super) fn rows(&self) -> usize {
        self.models.first().map_or(0, Vec::len)
    }

    fn add(&mut self, given: &Given<'_>, token: &str) -> Result<()> {
        let own: Vec<Option<usize>> = (0..given.tokenizers.len())
            .map(|model| given.row(model, token))
            .collect();
        let rule = given.setting.tokens.get(token);
        let force = rule.is_some_and(|rule| rule.force);
        if !force && own.iter().all(Option::is_some) {
            let rows = own.into_iter().flatten().map(Row::Own);
            self.models
                .iter_mut()
                .zip(rows)
                .for_each(|(model, row)| model.push(row));
            return Ok(());
        }
        let source = match rule.and_then(|rule| rule.source.as_ref()) {
            Some(source) => given.rows_of(source, token)?,
            None => given.usual(&own),
        };
        let shared = Row::Shared(self.shared.len());
        self.shared.push(source);
        for (model, own) in self.models.iter_mut().zip(own) {
            model.push(own.filter(|_| !force).map_or(shared, Row::Own));
        }
        Ok(())
    }
}

impl Given<'_> {
    /// A model's row for a token.
    fn row(&self, model: usize, token: &str) -> Option<usize> {
        let rows = self.rows[model];
        self.tokenizers[model].id(token).filter(|id| *id < rows)
    }

    /// What models get that lack a token: the row of the only one that has it, or of the base, or the mean of all.
    fn usual(&self, own: &[Option<usize>]) -> Vec<(usize, usize)> {
        let having = own.iter().enumerate();
        let having: Vec<_> = having
            .filter_map(|(model, row)| Some((model, (*row)?)))
            .collect();
        let of_base = having.iter().find(|(model, _)| Some(*model) == self.base);
        match of_base {
            Some(base) if having.len() > 1 => vec![*base],
            _ => having,
        }
    }

    /// What a rule says.
    fn rows_of(&self, source: &TokenSource, token: &str) -> Result<Vec<(usize, usize)>> {
        let (name, row) = match source {
            TokenSource::Zero => return Ok(Vec::new()),
            TokenSource::Model(name) => (name, self.row_of(name, |model| self.row(model, token))),
            TokenSource::Token(name, other) => {
                (name, self.row_of(name, |model| self.row(model, other)))
            }
            TokenSource::Id(name, id) => {
                let there = |model: usize| (*id < self.rows[model]).then_some(*id);
                (name, self.row_of(name, there))
            }
        };
        match row {
            Some(row) => Ok(vec![row]),
            None => Err(Error::Tokens {
                problem: format!("`{name}` hasn't got what the token {token:?} is to be like"),
            }),
        }
    }

    fn row_of(&self, name: &str, row: impl Fn(usize) -> Option<usize>) -> Option<(usize, usize)> {
        let model = self.inputs.iter().position(|input| *input == name)?;
        Some((model, row(model)?))
    }
}
