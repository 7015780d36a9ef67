//! Tensors in memory.

use super::TensorReader;
use crate::{Error, Result};

/// A model that is in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryTensors {
    tensors: Vec<(String, Vec<usize>, Vec<f32>)>,
}

impl MemoryTensors {
    /// Adds a tensor, or replaces the one of that name.
    ///
    /// # Errors
    /// [`Error::Format`] if there are not as many values as the shape says.
    pub fn insert(
        &mut self,
        name: impl Into<String>,
        shape: Vec<usize>,
        values: Vec<f32>,
    ) -> Result<()> {
        let name = name.into();
        let expected = shape
            .iter()
            .try_fold(1usize, |product, &size| product.checked_mul(size));
        if expected != Some(values.len()) {
            let what = format!("tensor `{name}`");
            let problem = format!("{} values for the shape {shape:?}", values.len());
            return Err(Error::Format { what, problem });
        }
        match self.tensors.iter_mut().find(|tensor| tensor.0 == name) {
            Some(tensor) => *tensor = (name, shape, values),
            None => self.tensors.push((name, shape, values)),
        }
        Ok(())
    }

    /// The values of a tensor.
    pub fn get(&self, name: &str) -> Option<&[f32]> {
        self.tensors
            .iter()
            .find(|tensor| tensor.0 == name)
            .map(|tensor| &*tensor.2)
    }
}

impl TensorReader for MemoryTensors {
    fn names(&self) -> Vec<String> {
        self.tensors.iter().map(|tensor| tensor.0.clone()).collect()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.tensors
            .iter()
            .find(|tensor| tensor.0 == name)
            .map(|tensor| tensor.1.clone())
    }

    fn read(&mut self, name: &str) -> Result<Vec<f32>> {
        self.get(name)
            .map(<[f32]>::to_vec)
            .ok_or_else(|| Error::Format {
                what: format!("tensor `{name}`"),
                problem: "there is no such tensor".into(),
            })
    }
}
