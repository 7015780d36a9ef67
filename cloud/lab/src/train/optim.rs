//! AdamW over a module's parameters, with one clip for the norm of all gradients together.

use std::collections::{BTreeMap, HashMap};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::{
    AdamW, AdamWConfig, AdamWState, AdaptiveMomentumState, GradientsParams, Optimizer as _,
};
use burn::tensor::{Device, Tensor};

use super::recipe::TrainConfig;

/// Both moments of one parameter, flat.
pub(crate) struct Moments {
    /// Running mean of the gradient.
    pub(crate) first: Vec<f32>,
    /// Running mean of its square.
    pub(crate) second: Vec<f32>,
    /// Steps taken.
    pub(crate) time: usize,
}

/// AdamW (arXiv 1711.05101) as burn computes it. Matrices but the embedding decay; norms, biases
/// and embeddings do not. burn's own module optimizer keys its state by ids that a new process
/// draws anew and clips each tensor by itself; here state is keyed by the parameter's path, so that
/// it can be resumed, and the norm is that of all gradients together.
pub(crate) struct Optimizer {
    decaying: AdamW,
    plain: AdamW,
    clip: f32,
    states: HashMap<ParamId, AdamWState<1>>,
    paths: Vec<(ParamId, String)>,
}

impl Optimizer {
    pub(crate) fn new<M: Module>(config: &TrainConfig, module: &M) -> Self {
        let adamw = AdamWConfig::new()
            .with_beta_1(config.betas[0])
            .with_beta_2(config.betas[1])
            .with_epsilon(config.epsilon);
        let mut paths = Paths::default();
        module.visit(&mut paths);
        Self {
            decaying: adamw.clone().with_weight_decay(config.weight_decay).build(),
            plain: adamw.with_weight_decay(0.0).build(),
            clip: config.clip,
            states: HashMap::new(),
            paths: paths.found,
        }
    }

    /// One step along `gradients` scaled down to the clip's norm.
    pub(crate) fn step<M: Module>(
        &mut self,
        rate: f64,
        module: M,
        gradients: GradientsParams,
        norm: f32,
    ) -> M {
        let scale = if norm > self.clip {
            self.clip / norm
        } else {
            1.0
        };
        module.map(&mut Stepper {
            optimizer: self,
            gradients,
            rate,
            scale,
            path: Vec::new(),
        })
    }

    /// The state by parameter path, on the host.
    pub(crate) fn moments(&self) -> BTreeMap<String, Moments> {
        let read = |tensor: &Tensor<1>| tensor.to_data().try_to_vec::<f32>().unwrap_or_default();
        let states = self.paths.iter().filter_map(|(id, path)| {
            let momentum = &self.states.get(id)?.momentum;
            let moments = Moments {
                first: read(&momentum.moment_1),
                second: read(&momentum.moment_2),
                time: momentum.time,
            };
            Some((path.clone(), moments))
        });
        states.collect()
    }

    /// Puts back what [`Optimizer::moments`] gave. Returns the first path that does not fit.
    pub(crate) fn restore(
        &mut self,
        mut moments: BTreeMap<String, Moments>,
        device: &Device,
    ) -> Result<(), String> {
        for (id, path) in &self.paths {
            let Some(Moments {
                first,
                second,
                time,
            }) = moments.remove(path)
            else {
                return Err(path.clone());
            };
            let upload = |values: Vec<f32>| Tensor::<1>::from_floats(values.as_slice(), device);
            let state = AdaptiveMomentumState::new(time, upload(first), upload(second));
            self.states.insert(*id, AdamWState::new(state));
        }
        moments.into_keys().next().map_or(Ok(()), Err)
    }
}

/// The Euclidean norm of all gradients together, as one number on the host.
pub(crate) fn global_norm<M: Module>(module: &M, gradients: &GradientsParams) -> f32 {
    let mut squares = Squares {
        gradients,
        sums: Vec::new(),
    };
    module.visit(&mut squares);
    let total = Tensor::cat(squares.sums, 0).sum().sqrt();
    total.into_data().iter::<f32>().next().unwrap_or(f32::NAN)
}

struct Squares<'a> {
    gradients: &'a GradientsParams,
    sums: Vec<Tensor<1>>,
}

impl ModuleVisitor for Squares<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            self.sums.push(gradient.square().sum());
        }
    }
}

#[derive(Default)]
struct Paths {
    path: Vec<String>,
    found: Vec<(ParamId, String)>,
}

impl ModuleVisitor for Paths {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.found.push((param.id, self.path.join(".")));
    }
}

struct Stepper<'a> {
    optimizer: &'a mut Optimizer,
    gradients: GradientsParams,
    rate: f64,
    scale: f32,
    path: Vec<String>,
}

impl ModuleMapper for Stepper<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(gradient) = self.gradients.remove::<D>(param.id) else {
            return param;
        };
        let (id, value, mapper) = param.consume();
        let embedding = self.path.iter().any(|name| name == "embed_tokens");
        let adamw = match D >= 2 && !embedding {
            true => &self.optimizer.decaying,
            false => &self.optimizer.plain,
        };
        let gradient = match self.scale == 1.0 {
            true => gradient,
            false => gradient.mul_scalar(self.scale),
        };
        let shape = value.dims();
        let count = shape.iter().product::<usize>();
        let state = self.optimizer.states.remove(&id);
        let flat = value.inner().reshape([count]);
        let (updated, state) = adamw.step(self.rate, flat, gradient.reshape([count]), state);
        if let Some(state) = state {
            self.optimizer.states.insert(id, state);
        }
        let updated = Tensor::from_inner(updated.reshape(shape)).require_grad();
        Param::from_mapped_value(id, updated, mapper)
    }
}
