//! Runs a plan, one tensor after the other.

use crate::masks::{MaskSource, SeededMasks};
use crate::methods::task_arithmetic::Mix;
use crate::methods::{dare, linear, slerp, task_arithmetic, ties};
use crate::plan::{Inventory, Plan, PlannedTensor, Step, plan};
use crate::{Error, Method, Recipe, Result, TensorReader};

/// A merge that is planned and ready to run.
///
/// Memory while it runs: the current tensor of every model and of the result, in `f32`.
pub struct Merge {
    plan: Plan,
    readers: Vec<Box<dyn TensorReader>>,
    masks: Box<dyn MaskSource>,
}

/// How far a merge is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'a> {
    /// The tensor that is done.
    pub tensor: &'a str,
    /// Tensors done, this one included.
    pub tensors: usize,
    /// Tensors in all.
    pub total_tensors: usize,
    /// Values done.
    pub elements: u64,
    /// Values in all.
    pub total_elements: u64,
}

/// What a merge has done.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The merge method.
    pub method: Method,
    /// The models that were read.
    pub models: Vec<String>,
    /// Tensors of the result.
    pub tensors: usize,
    /// Values of the result.
    pub elements: u64,
    /// What in the recipe had no effect.
    pub warnings: Vec<String>,
}

impl Merge {
    /// Opens the models of a recipe by the names that it gives them, and plans the merge.
    ///
    /// # Errors
    /// What `open` returns, and those of [`plan()`].
    pub fn open(
        recipe: &Recipe,
        mut open: impl FnMut(&str) -> Result<Box<dyn TensorReader>>,
    ) -> Result<Self> {
        recipe.validate()?;
        let mut readers = Vec::new();
        let mut inventories = Vec::new();
        for model in recipe.inputs() {
            let reader = open(model)?;
            inventories.push(Inventory {
                model: model.to_owned(),
                tensors: list(&*reader),
            });
            readers.push(reader);
        }
        let plan = plan(recipe, &inventories)?;
        Ok(Self {
            plan,
            readers,
            masks: Box::new(SeededMasks::new(recipe.seed)),
        })
    }

    /// Takes the masks of DARE from elsewhere.
    #[must_use]
    pub fn with_masks(mut self, masks: impl MaskSource + 'static) -> Self {
        self.masks = Box::new(masks);
        self
    }

    /// What it will do.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Merges tensor after tensor, in the plan's order. `sink` takes the name, the shape and the
    /// values in row-major order.
    ///
    /// # Errors
    /// [`Error::NotFinite`] for a broken model, [`Error::Overflow`] for a broken result, and
    /// whatever readers and `sink` return. What the sink has got by then is incomplete.
    pub fn run(
        &mut self,
        mut sink: impl FnMut(&str, &[usize], Vec<f32>) -> Result<()>,
        mut progress: impl FnMut(Progress<'_>),
    ) -> Result<Report> {
        let Self {
            plan,
            readers,
            masks,
        } = self;
        let total_elements = plan
            .tensors
            .iter()
            .map(|tensor| tensor.elements() as u64)
            .sum();
        let mut elements = 0;
        for (index, tensor) in plan.tensors.iter().enumerate() {
            let mut inputs = Inputs {
                readers,
                models: &plan.models,
                tensor,
            };
            let merged = merge_one(plan.method, &mut inputs, &mut **masks)?;
            check_result(&tensor.name, &merged)?;
            sink(&tensor.name, &tensor.shape, merged)?;
            elements += tensor.elements() as u64;
            progress(Progress {
                tensor: &tensor.name,
                tensors: index + 1,
                total_tensors: plan.tensors.len(),
                elements,
                total_elements,
            });
        }
        Ok(Report {
            method: plan.method,
            models: plan.models.clone(),
            tensors: plan.tensors.len(),
            elements,
            warnings: plan.warnings.clone(),
        })
    }
}

/// Plans and runs a merge: [`Merge::open`], then [`Merge::run`].
///
/// # Errors
/// Those of the two.
pub fn merge(
    recipe: &Recipe,
    open: impl FnMut(&str) -> Result<Box<dyn TensorReader>>,
    sink: impl FnMut(&str, &[usize], Vec<f32>) -> Result<()>,
    progress: impl FnMut(Progress<'_>),
) -> Result<Report> {
    Merge::open(recipe, open)?.run(sink, progress)
}

/// A reader's tensors with their shapes.
fn list(reader: &dyn TensorReader) -> Vec<(String, Vec<usize>)> {
    let shape = |name: String| reader.shape(&name).map(|shape| (name, shape));
    reader.names().into_iter().filter_map(shape).collect()
}

/// One tensor in all the models.
struct Inputs<'a> {
    readers: &'a mut [Box<dyn TensorReader>],
    models: &'a [String],
    tensor: &'a PlannedTensor,
}

impl Inputs<'_> {
    /// Reads it from one model and checks its values.
    fn read(&mut self, model: usize) -> Result<Vec<f32>> {
        let PlannedTensor { name, .. } = self.tensor;
        let values = self.readers[model].read(name)?;
        let expected = self.tensor.elements();
        if values.len() != expected {
            let what = format!("tensor `{name}` of model `{}`", self.models[model]);
            let problem = format!("{} values instead of {expected}", values.len());
            return Err(Error::Format { what, problem });
        }
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(values),
            Some(index) => Err(Error::NotFinite {
                tensor: name.clone(),
                model: self.models[model].clone(),
                index,
                value: values[index],
            }),
        }
    }

    fn read_all(&mut self, models: impl Iterator<Item = usize>) -> Result<Vec<Vec<f32>>> {
        models.map(|model| self.read(model)).collect()
    }
}

fn merge_one(
    method: Method,
    inputs: &mut Inputs<'_>,
    masks: &mut dyn MaskSource,
) -> Result<Vec<f32>> {
    match &inputs.tensor.step {
        Step::Linear { models, normalize } => {
            let values = inputs.read_all(models.iter().map(|(model, _)| *model))?;
            let weights: Vec<f32> = models.iter().map(|(_, weight)| *weight).collect();
            linear::merge(&slices(&values), &weights, *normalize)
        }
        Step::Slerp { from, to, t } => slerp::merge(&inputs.read(*from)?, &inputs.read(*to)?, *t),
        Step::TaskVectors {
            base,
            models,
            weights,
            densities,
            normalize,
            rescale,
            lambda,
            election,
        } => {
            let mix = Mix {
                weights,
                normalize: *normalize,
                lambda: *lambda,
                election: *election,
            };
            let base = inputs.read(*base)?;
            let values = inputs.read_all(models.iter().copied())?;
            let values = slices(&values);
            match method {
                Method::Ties => ties::merge(&base, &values, densities, *rescale, mix),
                Method::DareTies | Method::DareLinear => {
                    let masks = draw(masks, &inputs.tensor.name, densities, base.len());
                    dare::merge(&base, &values, &masks, *rescale, mix)
                }
                _ => task_arithmetic::merge(&base, &values, mix),
            }
        }
    }
}

fn slices(values: &[Vec<f32>]) -> Vec<&[f32]> {
    values.iter().map(Vec::as_slice).collect()
}

/// A mask for each task vector; an empty one where everything stays.
fn draw(
    source: &mut dyn MaskSource,
    tensor: &str,
    densities: &[f64],
    len: usize,
) -> Vec<Vec<bool>> {
    let mask = |(model, &density): (usize, &f64)| {
        if density < 1.0 {
            source.mask(tensor, model, density, len)
        } else {
            Vec::new()
        }
    };
    densities.iter().enumerate().map(mask).collect()
}

fn check_result(tensor: &str, values: &[f32]) -> Result<()> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(index) => Err(Error::Overflow {
            tensor: tensor.to_owned(),
            index,
            value: values[index],
            dtype: "float32",
        }),
    }
}
