//! Models of well-known shapes with random weights: for measuring speed and memory, which depend on
//! the shape alone, where the weights themselves cannot be had.

use serde_json::{Value, json};

use super::{ChatSettings, Checkpoint};
use crate::{Error, ModelConfig};

/// A model whose weights are drawn when they are read.
#[derive(Debug)]
pub struct RandomModel {
    name: &'static str,
    config: ModelConfig,
}

/// Deviation of the weights.
const SPREAD: f32 = 0.02;

impl RandomModel {
    /// The known shapes.
    pub const SHAPES: [&'static str; 9] = [
        "llama-15m",
        "smollm2-135m",
        "smollm2-360m",
        "gemma3-270m",
        "lfm2-350m",
        "qwen2.5-0.5b",
        "qwen3-0.6b",
        "llama-3.2-1b",
        "smollm3-3b",
    ];

    /// A model of one of [`RandomModel::SHAPES`].
    ///
    /// # Errors
    /// [`Error::Option`] for another name.
    pub fn new(shape: &str) -> Result<Self, Error> {
        let name = Self::SHAPES.into_iter().find(|name| *name == shape);
        let name = name.ok_or_else(|| Error::Option {
            option: "shape",
            value: shape.to_owned(),
            range: "llama-15m, smollm2-135m, smollm2-360m, gemma3-270m, lfm2-350m, qwen2.5-0.5b, \
                    qwen3-0.6b, llama-3.2-1b or smollm3-3b",
        })?;
        let config = ModelConfig::from_json(json(name).to_string().as_bytes())?;
        Ok(Self { name, config })
    }
}

/// `config.json` as the models' authors published it, as far as it shapes the model.
fn json(name: &str) -> Value {
    match name {
        "llama-15m" => json!({"model_type": "llama", "num_hidden_layers": 6, "hidden_size": 288,
            "num_attention_heads": 6, "num_key_value_heads": 6, "intermediate_size": 768,
            "vocab_size": 32000, "tie_word_embeddings": true, "max_position_embeddings": 1024}),
        "smollm2-135m" => json!({"model_type": "llama", "num_hidden_layers": 30,
            "hidden_size": 576, "num_attention_heads": 9, "num_key_value_heads": 3,
            "intermediate_size": 1536, "vocab_size": 49152, "tie_word_embeddings": true,
            "rope_theta": 1e5, "max_position_embeddings": 8192}),
        "smollm2-360m" => json!({"model_type": "llama", "num_hidden_layers": 32,
            "hidden_size": 960, "num_attention_heads": 15, "num_key_value_heads": 5,
            "intermediate_size": 2560, "vocab_size": 49152, "tie_word_embeddings": true,
            "rope_theta": 1e5, "max_position_embeddings": 8192}),
        "gemma3-270m" => json!({"model_type": "gemma3_text", "num_hidden_layers": 18,
            "hidden_size": 640, "num_attention_heads": 4, "num_key_value_heads": 1,
            "head_dim": 256, "intermediate_size": 2048, "vocab_size": 262_144,
            "sliding_window": 512, "hidden_activation": "gelu_pytorch_tanh",
            "max_position_embeddings": 32768}),
        "lfm2-350m" => json!({"model_type": "lfm2", "num_hidden_layers": 16, "hidden_size": 1024,
            "num_attention_heads": 16, "num_key_value_heads": 8, "block_ff_dim": 6656,
            "block_multiple_of": 256, "block_auto_adjust_ff_dim": true, "vocab_size": 65536,
            "full_attn_idxs": [2, 5, 8, 10, 12, 14], "conv_L_cache": 3,
            "max_position_embeddings": 128_000}),
        "qwen2.5-0.5b" => json!({"model_type": "qwen2", "num_hidden_layers": 24,
            "hidden_size": 896, "num_attention_heads": 14, "num_key_value_heads": 2,
            "intermediate_size": 4864, "vocab_size": 151_936, "tie_word_embeddings": true,
            "rope_theta": 1e6, "max_position_embeddings": 32768}),
        "qwen3-0.6b" => json!({"model_type": "qwen3", "num_hidden_layers": 28,
            "hidden_size": 1024, "num_attention_heads": 16, "num_key_value_heads": 8,
            "head_dim": 128, "intermediate_size": 3072, "vocab_size": 151_936,
            "tie_word_embeddings": true, "rope_theta": 1e6, "max_position_embeddings": 40960}),
        "llama-3.2-1b" => json!({"model_type": "llama", "num_hidden_layers": 16,
            "hidden_size": 2048, "num_attention_heads": 32, "num_key_value_heads": 8,
            "intermediate_size": 8192, "vocab_size": 128_256, "tie_word_embeddings": true,
            "rope_theta": 5e5, "max_position_embeddings": 131_072,
            "rope_scaling": {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0,
                "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}}),
        _ => json!({"model_type": "smollm3", "num_hidden_layers": 36, "hidden_size": 2048,
            "num_attention_heads": 16, "num_key_value_heads": 4, "intermediate_size": 11008,
            "vocab_size": 128_256, "tie_word_embeddings": true, "rope_theta": 5e6,
            "max_position_embeddings": 65536}),
    }
}

impl Checkpoint for RandomModel {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn config(&self) -> &ModelConfig {
        &self.config
    }

    fn read_tensor(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
        let count = shape.iter().product();
        if shape.len() == 1 {
            return Ok(vec![if name.ends_with(".bias") { 0.0 } else { 1.0 }; count]);
        }
        // The same weights for the same name, in whatever order they are read (FNV-1a, xorshift).
        let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let mut state = name.bytes().fold(0xcbf2_9ce4_8422_2325, hash) | 1;
        let mut draw = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            // 24 bits to [-1, 1), then to the deviation of a uniform distribution.
            let unit = (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0;
            unit * SPREAD * 3f32.sqrt()
        };
        Ok((0..count).map(|_| draw()).collect())
    }

    /// A byte is a token.
    fn tokenizer(&mut self) -> Result<Vec<u8>, Error> {
        super::tiktoken::of_bytes()
    }

    fn chat(&mut self) -> Result<ChatSettings, Error> {
        let template = "{% for message in messages %}{{ message.content }}\n{% endfor %}";
        Ok(ChatSettings {
            template: Some(template.to_owned()),
            ..ChatSettings::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As many weights as the models' names say.
    #[test]
    fn shapes_have_their_sizes() {
        for (shape, millions) in RandomModel::SHAPES.into_iter().zip([
            15.2, 134.5, 361.8, 268.1, 354.5, 494.0, 596.0, 1235.8, 3075.1,
        ]) {
            let model = RandomModel::new(shape).unwrap();
            let parameters = model.config().parameters() as f64 / 1e6;
            assert!((parameters - millions).abs() < 0.1, "{shape}: {parameters}");
        }
        assert!(RandomModel::new("gpt-5").is_err());
    }

    #[test]
    fn weights_depend_on_their_name_only() {
        let mut model = RandomModel::new("llama-15m").unwrap();
        let mut read = |name: &str| model.read_tensor(name, &[40, 50]).unwrap();
        let (a, b) = (read("a"), read("b"));
        assert_ne!(a, b);
        assert_eq!(a, read("a"));
        let mean = a.iter().sum::<f32>() / 2000.0;
        let deviation = (a.iter().map(|v| v * v).sum::<f32>() / 2000.0).sqrt();
        assert!(mean.abs() < 0.002 && (deviation - SPREAD).abs() < 0.002);
    }

    #[test]
    fn bytes_are_tokens() {
        let json = RandomModel::new("llama-15m").unwrap().tokenizer().unwrap();
        let tokenizer = crate::Tokenizer::from_json(&json).unwrap();
        assert_eq!(tokenizer.encode("é!").unwrap().len(), 3);
        assert_eq!(tokenizer.vocab_size(), 256);
    }
}
