//! The way of a text through the layers, where it is not simply from the first to the last.

use serde_json::Value;

use super::MAX_LAYERS;
use super::keys::Keys;
use crate::Error;

/// One step through the decoder.
///
/// Merging in data flow space (arXiv 2403.13187, §3.2) leaves weights as they are and changes the way through them:
/// layers are skipped, repeated and reordered, and what comes in is scaled. Each hop remembers its own
/// positions, so a layer that is gone through twice has two caches. `config.json` has the way as
/// `hop_layers`, a list of layers, and `hop_scales`, a list of numbers; both are Sprat's own keys.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hop {
    /// Index into [`ModelConfig::layers`](super::ModelConfig::layers).
    pub layer: usize,
    /// What the residual stream is multiplied with before the layer.
    pub scale: f32,
}

/// The hops of a config with so many layers: one through each, unless it says otherwise.
pub(super) fn read(keys: &Keys<'_>, layers: usize) -> Result<Vec<Hop>, Error> {
    let index = |value: &Value| value.as_u64().and_then(|n| usize::try_from(n).ok());
    let order = keys.list("hop_layers", index)?;
    let order = order.unwrap_or_else(|| (0..layers).collect());
    if order.is_empty() || order.len() > MAX_LAYERS {
        let hops = order.len();
        return Err(Error::Config(format!(
            "hop_layers has {hops} entries; it must have 1 to {MAX_LAYERS}"
        )));
    }
    if let Some(layer) = order.iter().find(|layer| **layer >= layers) {
        return Err(Error::Config(format!(
            "hop_layers has {layer}, but there are only {layers} layers"
        )));
    }
    let scales = keys.list("hop_scales", Value::as_f64)?;
    let scales = scales.unwrap_or_else(|| vec![1.0; order.len()]);
    if scales.len() != order.len() {
        return Err(Error::Config(format!(
            "hop_scales has {} entries for {} hops",
            scales.len(),
            order.len()
        )));
    }
    let hop = |(layer, scale): (usize, f64)| match (scale as f32).is_finite() {
        true => Ok(Hop {
            layer,
            scale: scale as f32,
        }),
        false => Err(Error::Config(format!("hop_scales has {scale}"))),
    };
    order.into_iter().zip(scales).map(hop).collect()
}
