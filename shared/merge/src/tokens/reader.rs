//! Reads a model's matrices with their rows in the result's order.

use std::cell::RefCell;
use std::rc::Rc;

use super::layout::{Layout, Row};
use crate::{Error, Result, TensorReader};

/// Whether a tensor has a row for each token, by the ways in which models name theirs.
pub(super) fn is_of_tokens(name: &str) -> bool {
    const NAMES: [&str; 7] = [
        "embed_tokens.weight",
        "lm_head.weight",
        "lm_head.bias",
        "wte.weight",
        "embed_in.weight",
        "embed_out.weight",
        "word_embeddings.weight",
    ];
    NAMES.iter().any(|end| {
        let rest = name.strip_suffix(end);
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
}

/// All models as they are, and the shared rows of the last tensor that was asked for.
pub(super) struct Shelf {
    models: Vec<Box<dyn TensorReader>>,
    shared: Option<(String, Rc<Vec<f32>>)>,
}

impl Shelf {
    pub(super) fn new(models: Vec<Box<dyn TensorReader>>) -> Self {
        Self {
            models,
            shared: None,
        }
    }

    /// The rows that several models take, one after the other.
    fn shared(&mut self, name: &str, layout: &Layout, width: usize) -> Result<Rc<Vec<f32>>> {
        if let Some((of, rows)) = &self.shared
            && of == name
        {
            return Ok(rows.clone());
        }
        let mut rows = vec![0.0; layout.shared.len() * width];
        for model in 0..self.models.len() {
            let takes = |sources: &Vec<(usize, usize)>| sources.iter().any(|(of, _)| *of == model);
            if !layout.shared.iter().any(takes) {
                continue;
            }
            let values = self.models[model].read(name)?;
            for (row, sources) in rows.chunks_mut(width.max(1)).zip(&layout.shared) {
                let part = 1.0 / sources.len() as f32;
                for (_, from) in sources.iter().filter(|(of, _)| *of == model) {
                    let values = line(&values, *from, width, name)?;
                    row.iter_mut()
                        .zip(values)
                        .for_each(|(sum, value)| *sum += value * part);
                }
            }
        }
        let rows = Rc::new(rows);
        self.shared = Some((name.to_owned(), rows.clone()));
        Ok(rows)
    }
}

/// One of the models, in the result's vocabulary.
pub(super) struct Relaid {
    model: usize,
    layout: Rc<Layout>,
    shelf: Rc<RefCell<Shelf>>,
}

impl Relaid {
    pub(super) fn new(model: usize, layout: Rc<Layout>, shelf: Rc<RefCell<Shelf>>) -> Self {
        Self {
            model,
            layout,
            shelf,
        }
    }
}

impl TensorReader for Relaid {
    fn names(&self) -> Vec<String> {
        self.shelf.borrow().models[self.model].names()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        let mut shape = self.shelf.borrow().models[self.model].shape(name)?;
        if is_of_tokens(name)
            && let Some(rows) = shape.first_mut()
        {
            *rows = self.layout.rows();
        }
        Some(shape)
    }

    fn read(&mut self, name: &str) -> Result<Vec<f32>> {
        let mut shelf = self.shelf.borrow_mut();
        let values = shelf.models[self.model].read(name)?;
        let shape = shelf.models[self.model].shape(name).unwrap_or_default();
        if !is_of_tokens(name) || shape.is_empty() {
            return Ok(values);
        }
        let width: usize = shape[1..].iter().product();
        let shared = shelf.shared(name, &self.layout, width)?;
        let rows = &self.layout.models[self.model];
        let mut relaid = Vec::with_capacity(rows.len() * width);
        let mut sums = vec![0.0f64; width];
        for row in rows {
            let row = match row {
                Row::Own(id) => line(&values, *id, width, name)?,
                Row::Shared(index) => line(&shared, *index, width, name)?,
                Row::Padding => {
                    relaid.extend(std::iter::repeat_n(0.0, width));
                    continue;
                }
            };
            relaid.extend_from_slice(row);
            sums.iter_mut()
                .zip(row)
                .for_each(|(sum, value)| *sum += f64::from(*value));
        }
        let tokens = rows.iter().filter(|row| **row != Row::Padding).count();
        let mean: Vec<f32> = sums
            .iter()
            .map(|sum| (sum / tokens.max(1) as f64) as f32)
            .collect();
        for (row, values) in rows.iter().zip(relaid.chunks_mut(width.max(1))) {
            if *row == Row::Padding {
                values.copy_from_slice(&mean);
            }
        }
        Ok(relaid)
    }
}

/// A row of a matrix.
fn line<'a>(values: &'a [f32], row: usize, width: usize, name: &str) -> Result<&'a [f32]> {
    let range = row * width..(row + 1) * width;
    values.get(range).ok_or_else(|| Error::Format {
        what: format!("tensor `{name}`"),
        problem: format!("it has no row {row}"),
    })
}
