//! Matrices of GGUF files whose blocks are a pack's too, weight for weight.
//!
//! `Q8_0` and `Q4_0` are blocks of 32 weights of a row, with a scale in f16 before the integers, which in 4 bits are the
//! first half of a block in the low bits and the second half in the high ones. A pack has the same with scales apart.

use safetensors::tensor::Dtype;

use super::parts::Parts;
use super::tensors::{Source, find};
use crate::gguf::Kind;
use crate::storage::{BLOCK, Blocks};
use crate::{Error, ModelConfig, Storage};

/// Bytes of a block's scale.
const SCALE: usize = 2;

/// The blocks of the tensor that Hugging Face calls `name`; none if it is not a matrix of such blocks in the file. Whatever
/// is wrong with it, reading its floats says.
pub(super) fn read(
    file: &mut Parts,
    config: &ModelConfig,
    name: &str,
    shape: &[usize],
) -> Result<Option<Blocks<'static>>, Error> {
    let (source, heads, slice) = match find(config, name) {
        Some(Source::Plain(source)) => (source, None, None),
        Some(Source::Interleaved(source, heads)) => (source, Some(heads), None),
        Some(Source::Stacked(source, index)) => (source, None, Some(index)),
        _ => return Ok(None),
    };
    let Some(tensor) = file.tensor(&source) else {
        return Ok(None);
    };
    let stored = match slice {
        Some(_) => tensor.shape.get(1..),
        None => Some(&*tensor.shape),
    };
    let &[rows, columns] = shape else {
        return Ok(None);
    };
    let (dtype, per_byte) = match tensor.kind {
        Kind::Q8_0 => (Dtype::I8, 1),
        Kind::Q4_0 => (Dtype::U8, 2),
        _ => return Ok(None),
    };
    if stored != Some(shape) || !columns.is_multiple_of(BLOCK) {
        return Ok(None);
    }
    let block = SCALE + BLOCK / per_byte;
    let bytes = file.read_bytes(&source, slice)?;
    let order = order(rows, heads);
    let row_bytes = columns / BLOCK * block;
    let mut quants = Vec::with_capacity(rows * columns / per_byte);
    let mut scales = Vec::with_capacity(rows * columns / BLOCK);
    for row in order {
        for block in bytes[row * row_bytes..][..row_bytes].chunks_exact(block) {
            let (scale, weights) = block.split_at(SCALE);
            scales.push(half::f16::from_le_bytes([scale[0], scale[1]]).to_f32());
            quants.extend_from_slice(weights);
        }
    }
    // Kernels have no -128, and quantizing makes none; a file that has it anyway is exact in floats only.
    if dtype == Dtype::I8 && quants.contains(&i8::MIN.cast_unsigned()) {
        return Ok(None);
    }
    let shape = [rows, columns / per_byte];
    Blocks::new(name, (dtype, &shape), quants, &scales).map(Some)
}

/// How most weights of matrices are stored.
pub(super) fn most(file: &Parts, config: &ModelConfig) -> Storage {
    let (mut all, mut eight, mut four) = (0, 0, 0);
    for (name, shape) in config.tensors() {
        let weights: usize = shape.iter().product();
        if shape.len() != 2 {
            continue;
        }
        all += weights;
        match kind(file, config, &name) {
            Some(Kind::Q8_0) => eight += weights,
            Some(Kind::Q4_0) => four += weights,
            _ => {}
        }
    }
    match (2 * eight > all, 2 * four > all) {
        (true, _) => Storage::Q8,
        (_, true) => match kind(file, config, "model.embed_tokens.weight") {
            Some(Kind::Q4_0) => Storage::Q4,
            _ => Storage::Mixed,
        },
        _ => Storage::F32,
    }
}

/// How the tensor is stored that Hugging Face calls `name`.
fn kind(file: &Parts, config: &ModelConfig, name: &str) -> Option<Kind> {
    let source = match find(config, name)? {
        Source::Plain(source) | Source::Interleaved(source, _) | Source::Stacked(source, _) => {
            source
        }
        _ => return None,
    };
    file.tensor(&source).map(|tensor| tensor.kind)
}

/// Which row of the file is each row: in heads whose pairs are neighbours there, those that are half a head apart here.
fn order(rows: usize, heads: Option<usize>) -> Vec<usize> {
    let Some(heads) = heads.filter(|heads| *heads > 0) else {
        return (0..rows).collect();
    };
    let head_dim = rows / heads;
    let rows = (0..heads).flat_map(|head| {
        let row = move |part, pair| head * head_dim + 2 * pair + part;
        (0..2).flat_map(move |part| (0..head_dim / 2).map(move |pair| row(part, pair)))
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::path::{Path, PathBuf};

    use crate::tensor::Device;

    use super::*;
    use crate::gguf::Gguf;
    use crate::{
        ChatSettings, Checkpoint, Decoder, GgufModel, KvCache, LoadProgress, Model, TensorMap,
    };

    fn golden(name: &str) -> PathBuf {
        let goldens = "../../tests/goldens/gguf/models";
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("{goldens}/{name}.gguf"))
    }

    /// Blocks as llama.cpp writes them; the first integer is `first`, if that is given.
    fn quantized(values: &[f32], kind: Kind, first: Option<i8>) -> Vec<u8> {
        let mut bytes = Vec::new();
        for block in values.chunks_exact(BLOCK) {
            let largest = block.iter().fold(0f32, |most, v| most.max(v.abs()));
            let most = if kind == Kind::Q8_0 { 127.0 } else { 7.0 };
            let scale = half::f16::from_f32(largest / most);
            let q = |v: &f32| (v / scale.to_f32().max(f32::MIN_POSITIVE)).round();
            bytes.extend(scale.to_le_bytes());
            match kind {
                Kind::Q8_0 => bytes.extend(block.iter().map(|v| q(v) as i8 as u8)),
                _ => {
                    let four = |v: &f32| (q(v) + 8.0).clamp(0.0, 15.0) as u8;
                    let (low, high) = block.split_at(BLOCK / 2);
                    let pairs = low.iter().zip(high);
                    bytes.extend(pairs.map(|(low, high)| four(low) | four(high) << 4));
                }
            }
        }
        if let Some(first) = first {
            bytes[SCALE] = first.cast_unsigned();
        }
        bytes
    }

    /// A golden file whose matrices are quantized, as far as their rows have whole blocks.
    fn file(name: &str, kind: Kind, first: Option<i8>) -> (tempfile::TempDir, PathBuf) {
        let bytes = std::fs::read(golden(name)).unwrap();
        let mut file = Gguf::open(Cursor::new(&bytes)).unwrap();
        let tensors = file.tensors().to_vec();
        let entry = |name: &str| [&(name.len() as u64).to_le_bytes(), name.as_bytes()].concat();
        let head = entry(&tensors[0].name);
        let head = bytes.windows(head.len()).position(|at| at == head);
        let mut out = bytes[..head.unwrap()].to_vec();
        let mut data = Vec::new();
        for tensor in &tensors {
            let is_whole = tensor.shape.len() == 2 && tensor.shape[1].is_multiple_of(BLOCK);
            let (kind, stored) = match is_whole {
                true => {
                    let values = file.read_f32(&tensor.name).unwrap();
                    (kind, quantized(&values, kind, first))
                }
                false => (tensor.kind, file.read_bytes(&tensor.name, None).unwrap()),
            };
            data.resize(data.len().next_multiple_of(32), 0);
            out.extend(entry(&tensor.name));
            out.extend((tensor.shape.len() as u32).to_le_bytes());
            let dims = tensor.shape.iter().rev();
            out.extend(dims.flat_map(|n| (*n as u64).to_le_bytes()));
            out.extend(kind.id().to_le_bytes());
            out.extend((data.len() as u64).to_le_bytes());
            data.extend(stored);
        }
        out.resize(out.len().next_multiple_of(32), 0);
        out.extend(data);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(format!("{name}.gguf"));
        std::fs::write(&path, out).unwrap();
        (folder, path)
    }

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    /// Matrices of which the file has other blocks, by name.
    fn blocks(model: &mut GgufModel) -> Vec<String> {
        let mut found = Vec::new();
        for (name, shape) in model.config.tensors() {
            let stored = read(&mut model.file, &model.config, &name, &shape).unwrap();
            if let Some(stored) = stored {
                let floats = model.read_tensor(&name, &shape).unwrap();
                assert_eq!(bits(&stored.dequantize()), bits(&floats), "{name}");
                found.push(name);
            }
        }
        found
    }

    #[test]
    fn blocks_are_the_files_weights_bit_for_bit() {
        for name in ["llama-gqa-tied", "lfm2", "qwen2-bias-untied"] {
            for kind in [Kind::Q8_0, Kind::Q4_0] {
                let (_folder, path) = file(name, kind, None);
                let mut model = GgufModel::open(&path).unwrap();
                let found = blocks(&mut model);
                let has = |end: &str| found.iter().any(|name| name.ends_with(end));
                assert!(
                    has("embed_tokens.weight") && has("q_proj.weight"),
                    "{found:?}"
                );
            }
            // Floats stay what they are.
            assert_eq!(
                blocks(&mut GgufModel::open(&golden(name)).unwrap()),
                [""; 0]
            );
        }
    }

    #[test]
    fn a_weight_that_kernels_have_not_stays_a_float() {
        let (_folder, path) = file("llama-gqa-tied", Kind::Q8_0, Some(i8::MIN));
        let mut model = GgufModel::open(&path).unwrap();
        assert_eq!(blocks(&mut model), [""; 0]);
        let (_folder, path) = file("llama-gqa-tied", Kind::Q8_0, Some(-127));
        assert!(!blocks(&mut GgufModel::open(&path).unwrap()).is_empty());
    }

    /// The goldens have no vocabulary.
    struct WithWords(GgufModel);

    impl Checkpoint for WithWords {
        fn name(&self) -> String {
            self.0.name()
        }

        fn config(&self) -> &ModelConfig {
            self.0.config()
        }

        fn read_tensor(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
            self.0.read_tensor(name, shape)
        }

        fn tokenizer(&mut self) -> Result<Vec<u8>, Error> {
            let words =
                serde_json::json!({"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"});
            Ok(serde_json::json!({"version": "1.0", "model": words})
                .to_string()
                .into_bytes())
        }

        fn chat(&mut self) -> Result<ChatSettings, Error> {
            Ok(ChatSettings::default())
        }

        fn load_as_stored(
            &mut self,
            device: &Device,
            progress: &mut dyn FnMut(LoadProgress),
        ) -> Result<TensorMap, Error> {
            self.0.load_as_stored(device, progress)
        }
    }

    /// And a model of them answers, nearly as it does with floats: on a CPU activations are rounded too.
    #[test]
    fn a_model_is_opened_with_the_files_blocks() {
        let device = Device::flex();
        let last = |decoder: &Decoder, config: &ModelConfig| {
            let mut cache = KvCache::new(config, &device);
            let tokens: Vec<u32> = (3..27).collect();
            decoder.last_logits(&tokens, &mut cache, &device).unwrap()
        };
        for kind in [Kind::Q8_0, Kind::Q4_0] {
            let (_folder, path) = file("llama-gqa-tied", kind, None);
            let mut source = GgufModel::open(&path).unwrap();
            let config = source.config().clone();
            let kept = source.load_as_stored(&device, &mut |_| {}).unwrap();
            let floats = source.load_tensors(Storage::F32, &device, &mut |_| {});
            let mut floats = floats.unwrap();
            assert!(kept.quantized() > 10 && floats.quantized() == 0);
            let stored = match kind {
                Kind::Q8_0 => Storage::Q8,
                _ => Storage::Q4,
            };
            assert_eq!(source.stored_as(), stored);
            let floats = last(
                &Decoder::from_tensors(&config, &mut floats).unwrap(),
                &config,
            );
            let mut source = WithWords(source);
            let model =
                Model::from_checkpoint(&mut source, Storage::F32, &device, &mut |_| {}).unwrap();
            let blocks = last(model.decoder(), &config);
            assert_ne!(blocks, floats);
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
            let length = dot(&floats, &floats).sqrt() * dot(&blocks, &blocks).sqrt();
            let likeness = dot(&floats, &blocks) / length;
            assert!(likeness > 0.99, "{kind:?}: {likeness}");
        }
    }
}
