//! What quantization costs: a pack against the model it was made of, on a text.

use std::fmt;

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use sprat_model::Decoder;

use crate::Result;

/// How a pack differs from its source, over all positions of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Comparison {
    /// Positions compared.
    pub positions: usize,
    /// Mean of KL(source || pack), in nats.
    pub divergence: f64,
    /// Share of positions whose likeliest token is the same.
    pub agreement: f64,
    /// Perplexity of the source and of the pack.
    pub perplexity: [f64; 2],
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "against the source, over {} tokens: KL divergence {:.5} nats, same likeliest token {:.2} %, \
             perplexity {:.3} (source {:.3})",
            self.positions,
            self.divergence,
            100.0 * self.agreement,
            self.perplexity[1],
            self.perplexity[0],
        )
    }
}

/// Tokens run at once.
const WINDOW: usize = 128;

/// Runs both decoders over `ids` and compares their distributions; `None` for fewer than two ids.
///
/// # Errors
/// [`crate::Error::Model`] when the device fails.
pub fn compare(
    original: &Decoder,
    pack: &Decoder,
    ids: &[u32],
    device: &Device,
) -> Result<Option<Comparison>> {
    let mut sum = Comparison::default();
    for window in ids.chunks(WINDOW).filter(|window| window.len() > 1) {
        let (original, vocab) = logprobs(original, window, device)?;
        let (packed, _) = logprobs(pack, window, device)?;
        let rows = original.chunks_exact(vocab).zip(packed.chunks_exact(vocab));
        for ((p, q), &next) in rows.zip(&window[1..]) {
            sum.positions += 1;
            sum.divergence += divergence(p, q);
            sum.agreement += f64::from(u8::from(best(p) == best(q)));
            sum.perplexity[0] -= f64::from(p[next as usize]);
            sum.perplexity[1] -= f64::from(q[next as usize]);
        }
    }
    if sum.positions == 0 {
        return Ok(None);
    }
    let n = sum.positions as f64;
    sum.divergence /= n;
    sum.agreement /= n;
    sum.perplexity = sum.perplexity.map(|loss| (loss / n).exp());
    Ok(Some(sum))
}

/// Log-probabilities of every position's next token, `[time, vocab]`, and the vocabulary's size.
fn logprobs(decoder: &Decoder, ids: &[u32], device: &Device) -> Result<(Vec<f32>, usize)> {
    let ids: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
    let time = ids.len();
    let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [1, time]), device);
    let logprobs = log_softmax(decoder.forward(ids), 2);
    let vocab = logprobs.dims()[2];
    let values = logprobs.into_data().convert::<f32>().try_to_vec();
    let values = values.map_err(|e| sprat_model::Error::Device(e.to_string()));
    Ok((
        values.map_err(crate::Error::model("compare models"))?,
        vocab,
    ))
}

fn divergence(p: &[f32], q: &[f32]) -> f64 {
    let terms = p.iter().zip(q).map(|(p, q)| f64::from(p.exp() * (p - q)));
    terms.sum()
}

fn best(row: &[f32]) -> Option<usize> {
    (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sprat_model::ModelConfig;

    fn decoder(seed: u64) -> Decoder {
        let json = r#"{"model_type": "llama", "vocab_size": 32, "hidden_size": 16,
            "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}"#;
        let config = ModelConfig::from_json(json.as_bytes()).unwrap();
        Decoder::new(&config, seed, &Device::flex())
    }

    #[test]
    fn a_model_is_like_itself_and_unlike_another() {
        let ids: Vec<u32> = (0..200).map(|i| i * 7 % 32).collect();
        let device = Device::flex();
        let same = compare(&decoder(1), &decoder(1), &ids, &device).unwrap();
        let same = same.unwrap();
        assert_eq!((same.divergence, same.agreement), (0.0, 1.0));
        assert_eq!(same.perplexity[0], same.perplexity[1]);
        // The last token of each window of 128 predicts nothing.
        assert_eq!(same.positions, 198);
        let other = compare(&decoder(1), &decoder(2), &ids, &device).unwrap();
        let other = other.unwrap();
        assert!(other.divergence > 0.0 && other.agreement < 1.0);
        assert_eq!(
            compare(&decoder(1), &decoder(2), &ids[..1], &device).unwrap(),
            None
        );
    }
}
