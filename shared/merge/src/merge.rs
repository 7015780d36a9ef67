//! Runs a plan, one tensor after the other.

use crate::masks::{MaskSource, SeededMasks};
use crate::methods::nuslerp::Arcs;
use crate::methods::ram::Plus;
use crate::methods::task_arithmetic::Mix;
use crate::methods::{
    arcee_fusion, breadcrumbs, dare, della, karcher, linear, model_stock, multislerp, nearswap,
    nuslerp, passthrough, ram, sce, slerp, task_arithmetic, ties,
};
use crate::parallel;
use crate::plan::{Inventory, Plan, PlannedTensor, Step, plan};
use crate::{Error, Method, Parameter, Recipe, Result, TensorReader};

/// A merge that is planned and ready to run.
///
/// Memory while it runs: the current tensor of every model and of the result, in `f32`.
pub struct Merge {
    plan: Plan,
    readers: Vec<Box<dyn TensorReader>>,
    masks: Box<dyn MaskSource>,
    /// Tensors that are there from an earlier run.
    done: usize,
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
            done: 0,
        })
    }

    /// Leaves out the plan's first `tensors`, which an earlier run has made. No tensor's values depend on another's.
    #[must_use]
    pub fn after(mut self, tensors: usize) -> Self {
        self.done = tensors;
        self
    }

    /// Takes the random numbers of DARE and DELLA from elsewhere.
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
            done,
        } = self;
        let total_elements = plan
            .tensors
            .iter()
            .map(|tensor| tensor.elements() as u64)
            .sum();
        let mut elements = 0;
        for (index, tensor) in plan.tensors.iter().enumerate() {
            if index < *done {
                elements += tensor.elements() as u64;
                continue;
            }
            let mut inputs = Inputs {
                readers,
                models: &plan.models,
                tensor,
            };
            let merged = merge_one(plan.method, plan.mergekit_faults, &mut inputs, &**masks)?;
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
        let name = self.tensor.input(model);
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
                tensor: name.to_owned(),
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

/// One tensor: read, then merged.
fn merge_one(
    method: Method,
    mergekit_faults: bool,
    inputs: &mut Inputs<'_>,
    masks: &dyn MaskSource,
) -> Result<Vec<f32>> {
    let tensor = inputs.tensor;
    let step = &tensor.step;
    let base = step.base.map(|base| inputs.read(base)).transpose()?;
    let values = inputs.read_all(step.models.iter().copied())?;
    let models: Vec<&[f32]> = values.iter().map(Vec::as_slice).collect();
    let weights = step.weights();
    let base = base.as_deref();
    match method {
        Method::Linear => linear::merge(&models, &weights, step.is(Parameter::Normalize)),
        Method::Karcher => {
            let iterations = step.one(Parameter::MaxIter) as usize;
            karcher::merge(&models, iterations, step.one(Parameter::Tol))
        }
        Method::Passthrough => {
            let model = models.first().copied().unwrap_or_default();
            passthrough::merge(model, step.one(Parameter::Scale) as f32)
        }
        Method::Nuslerp => nuslerp::merge(base, &models, &weights, arcs(step, &tensor.shape)),
        Method::Multislerp => multislerp::merge(
            base,
            &models,
            &weights,
            step.is(Parameter::NormalizeWeights),
            step.one(Parameter::Eps),
        ),
        other => match base {
            Some(base) => onto_base(other, mergekit_faults, tensor, base, &models, masks),
            None => Err(Error::Models {
                method: other.name(),
                problem: "`base_model` is missing".into(),
            }),
        },
    }
}

/// What begins at a base, or adds differences to one.
fn onto_base(
    method: Method,
    mergekit_faults: bool,
    tensor: &PlannedTensor,
    base: &[f32],
    models: &[&[f32]],
    masks: &dyn MaskSource,
) -> Result<Vec<f32>> {
    let step = &tensor.step;
    // The length of a row; all of a tensor that has none.
    let width = tensor.shape.last().copied().unwrap_or(1);
    let weights = step.weights();
    let mix = Mix {
        weights: &weights,
        normalize: step.is(Parameter::Normalize),
        lambda: step.one(Parameter::Lambda) as f32,
        election: step.election,
    };
    let densities = step.each(Parameter::Density);
    let rescale = step.is(Parameter::Rescale);
    let epsilon = step.one(Parameter::Epsilon);
    let other = models.first().copied().unwrap_or_default();
    match method {
        Method::Slerp => slerp::merge(base, other, step.one(Parameter::T) as f32),
        Method::Nearswap => nearswap::merge(base, other, step.one(Parameter::T)),
        Method::ArceeFusion => arcee_fusion::merge(base, other, width),
        Method::Ties => ties::merge(base, models, densities, rescale, mix),
        Method::Breadcrumbs | Method::BreadcrumbsTies => {
            let thin = match mergekit_faults {
                true => breadcrumbs::thin_as_mergekit,
                false => breadcrumbs::thin,
            };
            let gammas = step.each(Parameter::Gamma);
            breadcrumbs::merge(base, models, densities, gammas, thin, mix)
        }
        Method::DareTies | Method::DareLinear => {
            let masks = draw(masks, &tensor.name, base, models, densities, None);
            dare::merge(base, models, &masks, rescale, mix)
        }
        Method::Della | Method::DellaLinear => {
            let epsilons = Some((step.each(Parameter::Epsilon), width));
            let masks = draw(masks, &tensor.name, base, models, densities, epsilons);
            dare::merge(base, models, &masks, rescale, mix)
        }
        Method::ModelStock => {
            model_stock::merge(base, models, width, step.is(Parameter::FilterWise))
        }
        Method::Sce => sce::merge(base, models, step.one(Parameter::SelectTopk)),
        Method::Ram => ram::merge(base, models, epsilon, None),
        Method::RamplusTl => {
            let plus = Plus {
                rate: step.one(Parameter::R),
                limit: step.one(Parameter::Alpha),
            };
            ram::merge(base, models, epsilon, Some(plus))
        }
        _ => task_arithmetic::merge(base, models, mix),
    }
}

/// What turns by itself. mergekit's `nuslerp_row_wise` turns what torch calls columns, and so it does here.
fn arcs(step: &Step, shape: &[usize]) -> Arcs {
    let whole = step.is(Parameter::NuslerpFlatten);
    match shape {
        [.., _, width] if !whole && step.is(Parameter::NuslerpRowWise) => Arcs::Columns(*width),
        [.., _, width] if !whole => Arcs::Rows(*width),
        _ => Arcs::Whole,
    }
}

/// A mask for each task vector; an empty one where everything stays. With DELLA's epsilons and the
/// length of a row elements stay by their magnitude.
fn draw(
    source: &dyn MaskSource,
    tensor: &str,
    base: &[f32],
    models: &[&[f32]],
    densities: &[f64],
    epsilons: Option<(&[f64], usize)>,
) -> Vec<Vec<bool>> {
    let limit = |probability: f64| probability * 2f64.powi(32);
    parallel::map(densities, |model, &density| {
        if density >= 1.0 {
            return Vec::new();
        }
        let numbers = source.numbers(tensor, model, base.len());
        match epsilons {
            None => {
                let limit = limit(density);
                numbers.iter().map(|n| f64::from(*n) < limit).collect()
            }
            Some((epsilons, width)) => {
                let delta: Vec<f32> = models[model].iter().zip(base).map(|(x, b)| x - b).collect();
                let stays = della::probabilities(&delta, width, density, epsilons[model]);
                let stays = stays.into_iter().map(limit);
                numbers
                    .iter()
                    .zip(stays)
                    .map(|(n, p)| f64::from(*n) < p)
                    .collect()
            }
        }
    })
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
