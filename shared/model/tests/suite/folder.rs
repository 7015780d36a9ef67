//! Hugging Face folders from strangers: a typed error that names the file, never a panic.

use std::path::Path;

use proptest::prelude::*;
use sprat_model::{Checkpoint, Error, ModelFolder};

use crate::common::goldens;

/// A copy of a golden folder that may be damaged.
fn copy(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(goldens("model").join(name)).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    folder
}

/// Opens a folder and reads every tensor.
fn read(folder: &Path) -> Result<(), Error> {
    let mut folder = ModelFolder::open(folder)?;
    for (name, shape) in folder.config().tensors() {
        folder.read_tensor(&name, &shape)?;
    }
    Ok(())
}

const WEIGHTS: &str = "model.safetensors";

#[test]
fn whole_folders_are_read_and_damaged_ones_named() {
    let folder = copy("lfm2");
    read(folder.path()).unwrap();
    read(copy("llama-f16-shards").path()).unwrap();
    let path = folder.path().join(WEIGHTS);
    let whole = std::fs::read(&path).unwrap();
    let with = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        read(folder.path()).unwrap_err().to_string()
    };
    for wrong in [
        with(&whole[..whole.len() - 1]),
        with(&whole[..5]),
        with(&[]),
        with(&[255; 64]),
        with(&[&whole[..], b"more"].concat()),
    ] {
        assert!(wrong.contains(WEIGHTS), "{wrong}");
    }
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(read(folder.path()), Err(Error::Missing { .. })));
}

/// Headers that lie about places, sizes and types.
#[test]
fn lying_headers_are_refused() {
    let folder = copy("lfm2");
    let path = folder.path().join(WEIGHTS);
    let whole = std::fs::read(&path).unwrap();
    let size = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&whole[8..8 + size]).unwrap();
    let name = "model.embed_tokens.weight";
    let lies: [(&str, serde_json::Value); 5] = [
        ("data_offsets", serde_json::json!([0, u64::MAX])),
        ("data_offsets", serde_json::json!([8, 4])),
        ("shape", serde_json::json!([1u64 << 60, 1u64 << 60])),
        ("dtype", serde_json::json!("F64")),
        ("dtype", serde_json::json!("Q17")),
    ];
    for (key, lie) in lies {
        let mut header = header.clone();
        header[name][key] = lie;
        let header = header.to_string().into_bytes();
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header);
        bytes.extend(&whole[8 + size..]);
        std::fs::write(&path, bytes).unwrap();
        let error = read(folder.path()).unwrap_err();
        assert!(matches!(error, Error::Safetensors { .. }), "{key}: {error}");
    }
}

/// A name that stands twice in a header, whose second place overlaps or leaves a hole.
#[test]
fn tensors_that_are_there_twice_are_refused() {
    let folder = copy("lfm2");
    let entry = |from: usize, to: usize| {
        format!(
            r#""model.embed_tokens.weight": {{"dtype": "F32", "shape": [2], "data_offsets": [{from}, {to}]}}"#
        )
    };
    for places in [[(0, 8), (0, 8)], [(0, 8), (8, 16)], [(8, 16), (0, 8)]] {
        let entries = places.map(|(from, to)| entry(from, to)).join(", ");
        let header = format!("{{{entries}}}").into_bytes();
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header);
        bytes.extend([0; 16]);
        std::fs::write(folder.path().join(WEIGHTS), bytes).unwrap();
        let error = read(folder.path()).unwrap_err();
        assert!(matches!(error, Error::Safetensors { .. }), "{error}");
    }
}

/// JSON in JSON in JSON, and numbers of a million digits.
#[test]
fn deep_and_long_json_is_refused() {
    let folder = copy("lfm2");
    let deep = "[".repeat(1_000_000);
    let wide = format!("{{\"hidden_size\": {}}}", "9".repeat(1_000_000));
    for json in [deep.as_str(), wide.as_str(), "{\"model_type\": "] {
        std::fs::write(folder.path().join("config.json"), json).unwrap();
        let error = ModelFolder::open(folder.path()).unwrap_err().to_string();
        assert!(
            error.contains("config.json") && error.len() < 1000,
            "{error:.200}"
        );
    }
}

#[test]
fn an_index_stays_in_its_folder() {
    let folder = copy("llama-f16-shards");
    for outside in ["../secret.safetensors", "/etc/passwd", "a/b.safetensors"] {
        let index = serde_json::json!({"weight_map": {"x": outside}});
        let path = folder.path().join("model.safetensors.index.json");
        std::fs::write(path, index.to_string()).unwrap();
        let error = read(folder.path()).unwrap_err();
        assert!(matches!(error, Error::Json { .. }), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is changed in the config or in the weights' header, it is read or refused.
    #[test]
    fn changed_bytes_never_panic(
        in_config in any::<bool>(),
        changes in proptest::collection::vec((0usize..900, any::<u8>()), 1..4),
    ) {
        let folder = copy("deepseek_v2");
        let path = folder.path().join(if in_config { "config.json" } else { WEIGHTS });
        let mut bytes = std::fs::read(&path).unwrap();
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        std::fs::write(&path, bytes).unwrap();
        let _ = read(folder.path());
    }
}
