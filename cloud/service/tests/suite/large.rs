//! A model that is large enough for its passes to take a while, and for its memory to be seen.

use serde_json::{Value, json};
use sprat_model::ModelConfig;
use tempfile::TempDir;

use crate::running::pack;

/// A small one, of which the large one is made.
const SMALL: &str = "llama-gqa-tied";

/// A model whose passes take longer: random weights, 512 tokens of context, 5 million weights.
pub(crate) fn large(id: &str) -> TempDir {
    pack(SMALL, id, |folder| {
        let path = folder.join("config.json");
        let mut json: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let sizes = [
            ("hidden_size", 256),
            ("intermediate_size", 768),
            ("num_hidden_layers", 6),
            ("num_attention_heads", 8),
            ("head_dim", 32),
            ("max_position_embeddings", 512),
        ];
        for (name, size) in sizes {
            json[name] = json!(size);
        }
        let json = json.to_string();
        std::fs::write(&path, &json).unwrap();
        let config = ModelConfig::from_json(json.as_bytes()).unwrap();
        std::fs::write(folder.join("model.safetensors"), random(&config)).unwrap();
    })
}

/// A safetensors file of weights that are always the same.
fn random(config: &ModelConfig) -> Vec<u8> {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    let mut state = 1u32;
    for (name, shape) in config.tensors() {
        let start = data.len();
        for _ in 0..shape.iter().product() {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let value = (f64::from(state) / f64::from(u32::MAX) - 0.5) * 0.1;
            data.extend((value as f32).to_le_bytes());
        }
        let place = json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]});
        header.insert(name, place);
    }
    let header = Value::Object(header).to_string();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend(data);
    file
}
