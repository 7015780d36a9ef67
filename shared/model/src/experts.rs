//! Mixtures of experts: Qwen3-MoE (arXiv 2505.09388), DeepSeekMoE (arXiv 2401.06066, 2412.19437).
//!
//! Routing stays on the device: a browser can't wait for a GPU in the middle of a pass. One token
//! gathers the matrices of its experts; many tokens run all experts and weigh most results with 0.

use crate::tensor::activation::{sigmoid, softmax};
use crate::tensor::module::{Module, Param};
use crate::tensor::{Int, Tensor, TensorData};

use crate::config::{ExpertsConfig, GroupsConfig, MlpConfig, RouterConfig, Scoring};
use crate::layers::{Linear, Maps, Shapes, Weights};
use crate::matrix::matmul;
use crate::mlp::Mlp;
use crate::weights::Path;
use crate::{Error, ModelConfig};

/// The experts of one layer.
#[derive(Module, Debug)]
pub(crate) struct Experts {
    router: Router,
    /// `[experts, width, hidden]`
    gate: Param<Tensor<3>>,
    /// `[experts, width, hidden]`
    up: Param<Tensor<3>>,
    /// `[experts, hidden, width]`
    down: Param<Tensor<3>>,
    shared: Option<Mlp>,
    #[module(skip)]
    config: ExpertsConfig,
}

/// Chooses and weighs experts.
#[derive(Module, Debug)]
struct Router {
    gate: Linear,
    correction_bias: Option<Param<Tensor<1>>>,
    per_token: usize,
    #[module(skip)]
    config: RouterConfig,
}

/// What a router chose for `tokens` tokens.
pub(crate) struct Routes {
    /// `[tokens, per_token]`, best first.
    pub(crate) experts: Tensor<2, Int>,
    /// `[tokens, per_token]`
    weights: Tensor<2>,
}

/// Tokens run through all experts at once: bounds the memory of what is in between.
const CHUNK: usize = 64;

impl ExpertsConfig {
    fn shared(&self) -> Option<MlpConfig> {
        self.shared_width.map(|width| MlpConfig {
            width,
            bias: false,
            fused: false,
            activation: self.activation,
        })
    }

    /// The three matrices of an expert with their shapes.
    fn matrices(&self, hidden: usize) -> [(&'static str, [usize; 2]); 3] {
        [
            ("gate_proj", [self.width, hidden]),
            ("up_proj", [self.width, hidden]),
            ("down_proj", [hidden, self.width]),
        ]
    }

    /// Names and shapes of the tensors below the layer's feed-forward network.
    pub(crate) fn shapes(&self, model: &ModelConfig) -> Shapes {
        let h = model.hidden_size;
        let mut all = vec![("gate.weight".into(), vec![self.experts, h])];
        if self.router.correction_bias {
            all.push(("gate.e_score_correction_bias".into(), vec![self.experts]));
        }
        for expert in 0..self.experts {
            for (name, shape) in self.matrices(h) {
                all.push((format!("experts.{expert}.{name}.weight"), shape.to_vec()));
            }
        }
        if let Some(shared) = self.shared() {
            let shared = shared.shapes(model).into_iter();
            all.extend(shared.map(|(name, shape)| (format!("shared_experts.{name}"), shape)));
        }
        all
    }
}

impl Experts {
    pub(crate) fn load(
        model: &ModelConfig,
        config: ExpertsConfig,
        mut path: Path<'_>,
    ) -> Result<Self, Error> {
        let (h, experts) = (model.hidden_size, config.experts);
        let bias = config.router.correction_bias;
        let mut gate = path.join("gate");
        let correction_bias = bias.then(|| gate.vector("e_score_correction_bias", [experts]));
        let router = Router {
            correction_bias: correction_bias.transpose()?,
            gate: Linear::load(experts, h, false, gate)?,
            per_token: config.per_token,
            config: config.router,
        };
        let [gate, up, down] = config.matrices(h).map(|(name, shape)| {
            path.stacked(experts, |i| format!("experts.{i}.{name}.weight"), shape)
        });
        let shared = config.shared();
        Ok(Self {
            router,
            gate: gate?,
            up: up?,
            down: down?,
            shared: shared
                .map(|shared| Mlp::load(model, shared, path.join("shared_experts")))
                .transpose()?,
            config,
        })
    }

    /// `x` `[batch, time, hidden]` to the same shape.
    pub(crate) fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let shape = x.dims();
        let tokens = shape[0] * shape[1];
        let flat: Tensor<2> = x.clone().reshape([tokens, shape[2]]);
        let routed = match tokens {
            1 => self.one(flat),
            _ => {
                let chunks = flat.split(CHUNK, 0).into_iter();
                Tensor::cat(chunks.map(|chunk| self.many(chunk)).collect(), 0)
            }
        };
        let routed = routed.reshape(shape);
        match &self.shared {
            Some(shared) => shared.forward(x.into(), Some(routed)),
            None => routed,
        }
    }

    /// The experts that each token of `x` `[tokens, hidden]` is sent to.
    pub(crate) fn routes(&self, x: Tensor<2>) -> Routes {
        self.router.forward(x)
    }

    /// One token `[1, hidden]`: only its experts' matrices are read.
    fn one(&self, x: Tensor<2>) -> Tensor<2> {
        let hidden = x.dims()[1];
        let routes = self.routes(x.clone());
        let chosen: Tensor<1, Int> = routes.experts.reshape([self.config.per_token]);
        let pick = |matrix: &Param<Tensor<3>>| matrix.val().select(0, chosen.clone());
        // [chosen, width, 1]
        let x = x.reshape([1, hidden, 1]);
        let gate = self
            .config
            .activation
            .apply(matmul(pick(&self.gate), x.clone()));
        let inner = gate * matmul(pick(&self.up), x);
        let outs = matmul(pick(&self.down), inner);
        let weights = routes.weights.reshape([self.config.per_token, 1, 1]);
        (outs * weights).sum_dim(0).reshape([1, hidden])
    }

    /// Several tokens `[tokens, hidden]`: every expert runs, weighed with 0 where it wasn't chosen.
    fn many(&self, x: Tensor<2>) -> Tensor<2> {
        let [tokens, hidden] = x.dims();
        let experts = self.config.experts;
        let routes = self.routes(x.clone());
        let weights = one_hot(routes.experts, experts) * routes.weights.unsqueeze_dim(2);
        // [tokens, 1, experts] to [experts, tokens, 1]
        let weights = weights.sum_dim(1).swap_dims(0, 2).swap_dims(1, 2);
        let weights: Tensor<3> = weights.reshape([experts, tokens, 1]);
        let x: Tensor<3> = x.unsqueeze();
        let gate = matmul(x.clone(), self.gate.val().transpose());
        let inner = self.config.activation.apply(gate) * matmul(x, self.up.val().transpose());
        let outs = matmul(inner, self.down.val().transpose());
        (outs * weights).sum_dim(0).reshape([tokens, hidden])
    }

    /// Its linear maps: those of the router and of the shared expert. The others are in stacks.
    pub(crate) fn maps<'a>(&'a mut self, model: &ModelConfig, prefix: &str, out: &mut Maps<'a>) {
        out.push((format!("{prefix}.gate"), vec![&mut self.router.gate]));
        if let Some(shared) = &mut self.shared {
            shared.maps(model, &format!("{prefix}.shared_experts"), out);
        }
    }

    /// Gives the stacked maps what was added to the single ones.
    #[cfg(feature = "gpu")]
    pub(crate) fn adapt_stacks(&mut self) {
        if let Some(shared) = &mut self.shared {
            shared.adapt_stacks();
        }
    }

    pub(crate) fn save(&self, model: &ModelConfig, prefix: &str, out: &mut Weights) {
        self.router.gate.save(&format!("{prefix}.gate"), out);
        if let Some(bias) = &self.router.correction_bias {
            let name = format!("{prefix}.gate.e_score_correction_bias");
            out.push((name, bias.val().into_data()));
        }
        let matrices = self.config.matrices(model.hidden_size);
        let stacks = [&self.gate, &self.up, &self.down].map(|stack| stack.val());
        for expert in 0..self.config.experts {
            for ((name, shape), stack) in matrices.iter().zip(&stacks) {
                let matrix: Tensor<2> = stack.clone().narrow(0, expert, 1).reshape(*shape);
                let name = format!("{prefix}.experts.{expert}.{name}.weight");
                out.push((name, matrix.into_data()));
            }
        }
        if let Some(shared) = &self.shared {
            shared.save(model, &format!("{prefix}.shared_experts"), out);
        }
    }
}

impl Router {
    /// `x` `[tokens, hidden]`.
    fn forward(&self, x: Tensor<2>) -> Routes {
        let logits = self.gate.forward(x);
        let scores = match self.config.scoring {
            Scoring::Softmax => softmax(logits, 1),
            Scoring::Sigmoid => sigmoid(logits),
        };
        let mut choice = match &self.correction_bias {
            Some(bias) => scores.clone() + bias.val().unsqueeze(),
            None => scores.clone(),
        };
        if let Some(groups) = self.config.groups {
            choice = within_best_groups(choice, groups);
        }
        let experts = best(choice, self.per_token);
        let mut weights = scores.gather(1, experts.clone());
        if self.config.renormalize {
            weights = weights.clone() / (weights.sum_dim(1) + self.epsilon());
        }
        Routes {
            experts,
            weights: weights * self.config.scale,
        }
    }

    /// Keeps DeepSeek-V3's quotient finite when all sigmoids vanish.
    fn epsilon(&self) -> f32 {
        match self.config.scoring {
            Scoring::Softmax => 0.0,
            Scoring::Sigmoid => 1e-20,
        }
    }
}

/// Below any score; finite, so that no backend makes NaN of it.
const EXCLUDED: f32 = -1e30;

/// Puts the experts `[tokens, experts]` outside of the best groups out of reach.
///
/// DeepSeek's code gives them -inf, as transformers does since 5.1; before, it gave them 0, which an
/// expert with a negative biased score loses against.
fn within_best_groups(choice: Tensor<2>, groups: GroupsConfig) -> Tensor<2> {
    let [tokens, experts] = choice.dims();
    let size = experts / groups.count;
    let grouped: Tensor<3> = choice.clone().reshape([tokens, groups.count, size]);
    let group_scores = match groups.best {
        1 => grouped.max_dim(2).reshape([tokens, groups.count]),
        n => {
            let rows: Tensor<2> = grouped.reshape([tokens * groups.count, size]);
            let chosen = best(rows.clone(), n);
            rows.gather(1, chosen)
                .sum_dim(1)
                .reshape([tokens, groups.count])
        }
    };
    let kept = one_hot(best(group_scores, groups.keep), groups.count).sum_dim(1);
    let kept: Tensor<3> = kept.reshape([tokens, groups.count, 1]);
    let kept = kept.repeat_dim(2, size).reshape([tokens, experts]);
    choice.mask_fill(kept.equal_elem(0.0), EXCLUDED)
}

/// Indices of the `n` largest of each row, largest first. By repeated argmax: a sort would read the
/// values back to the host.
fn best(values: Tensor<2>, n: usize) -> Tensor<2, Int> {
    let columns = values.dims()[1];
    let mut left = values;
    let mut found = Vec::with_capacity(n);
    for _ in 0..n {
        let index: Tensor<2, Int> = left.clone().argmax(1);
        let hit = one_hot(index.clone(), columns).sum_dim(1);
        let hit: Tensor<2> = hit.reshape(left.dims());
        left = left.mask_fill(hit.greater_elem(0.0), 2.0 * EXCLUDED);
        found.push(index);
    }
    Tensor::cat(found, 1)
}

/// `[rows, n]` indices to `[rows, n, columns]`, 1 at each index.
fn one_hot(indices: Tensor<2, Int>, columns: usize) -> Tensor<3> {
    let all: Vec<i32> = (0..columns as i32).collect();
    let all = TensorData::new(all, [1, 1, columns]);
    let all = Tensor::<3, Int>::from_data(all, &indices.device());
    let [rows, n] = indices.dims();
    let indices: Tensor<3, Int> = indices.reshape([rows, n, 1]);
    let all = all.repeat_dim(0, rows).repeat_dim(1, n);
    all.equal(indices.repeat_dim(2, columns)).float()
}
