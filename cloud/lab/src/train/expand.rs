//! Block expansion: a deeper model that begins as the shallower one it is made of.
//!
//! Copies of layers are put between the old ones with their two output projections set to zero. A
//! layer adds to the residual stream only through those, so the deeper model computes exactly what
//! the old one did, and training goes on from there (LLaMA Pro, arXiv 2401.02415).

use burn::tensor::Device;
use sprat_model::{Decoder, ModelConfig, TensorMap};

use crate::{Error, Result};

/// Outputs of a layer; zero makes the layer add nothing.
const OUTPUTS: [&str; 2] = ["self_attn.o_proj", "mlp.down_proj"];

/// `decoder` with the number of layers of `deeper`, which is its config but for that.
pub(crate) fn expand(
    decoder: &Decoder,
    config: &ModelConfig,
    deeper: &ModelConfig,
    device: &Device,
) -> Result<Decoder> {
    let failed = || Error::model("expand the model to more layers");
    let mut tensors = TensorMap::new();
    for (name, data) in decoder.named_weights() {
        let shape = data.shape().to_vec();
        let values = data.try_to_vec::<f32>().map_err(|e| {
            Error::recipe(
                "train.init",
                format!("its weights cannot be read back: {e}"),
            )
        })?;
        let Some((layer, rest)) = split(&name) else {
            tensors
                .insert(&name, &shape, values, device)
                .map_err(failed())?;
            continue;
        };
        for (new, first) in copies(
            layer,
            config.num_hidden_layers(),
            deeper.num_hidden_layers(),
        ) {
            let zero = !first && OUTPUTS.iter().any(|output| rest.contains(output));
            let values = if zero {
                vec![0.0; values.len()]
            } else {
                values.clone()
            };
            let name = format!("model.layers.{new}.{rest}");
            tensors
                .insert(&name, &shape, values, device)
                .map_err(failed())?;
        }
    }
    Decoder::from_tensors(deeper, &mut tensors).map_err(failed())
}

/// `model.layers.3.mlp.up_proj.weight` as 3 and `mlp.up_proj.weight`.
fn split(name: &str) -> Option<(usize, &str)> {
    let (layer, rest) = name.strip_prefix("model.layers.")?.split_once('.')?;
    Some((layer.parse().ok()?, rest))
}

/// The new places of old layer `layer`, and whether each is the original rather than a copy.
/// Copies are spread evenly over the depth and follow their original.
fn copies(layer: usize, old: usize, new: usize) -> impl Iterator<Item = (usize, bool)> {
    let start = layer * new / old;
    let end = (layer + 1) * new / old;
    (start..end).map(move |place| (place, place == start))
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Int, Tensor, TensorData};

    use super::*;

    fn config(layers: usize) -> ModelConfig {
        let json = serde_json::json!({
            "model_type": "llama", "vocab_size": 32, "hidden_size": 16, "intermediate_size": 24,
            "num_hidden_layers": layers, "num_attention_heads": 4, "num_key_value_heads": 2,
            "initializer_range": 0.3, "attention_bias": true, "mlp_bias": true
        });
        ModelConfig::from_json(json.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn the_deeper_model_computes_the_same() {
        let device = Device::flex();
        let (small, deep) = (config(3), config(8));
        let decoder = Decoder::new(&small, 5, &device);
        let expanded = expand(&decoder, &small, &deep, &device).unwrap();
        let ids = TensorData::new((0..12).collect::<Vec<i32>>(), [1, 12]);
        let ids = Tensor::<2, Int>::from_data(ids, &device);
        let run = |d: &Decoder| {
            d.forward(ids.clone())
                .into_data()
                .try_to_vec::<f32>()
                .unwrap()
        };
        for (a, b) in run(&decoder).iter().zip(run(&expanded)) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
        assert_ne!(
            decoder.named_weights().len(),
            expanded.named_weights().len()
        );
    }
}
