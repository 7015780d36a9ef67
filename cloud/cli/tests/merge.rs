//! `sprat merge` as a person runs it: stopped in the middle, on a full disk, with other vocabularies, with an adapter.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens/merge")
}

/// A folder with models and recipes.
struct Bench(tempfile::TempDir);

impl Bench {
    fn new(models: &[(&str, &str)]) -> Self {
        let bench = Self(tempfile::tempdir().unwrap());
        for (from, name) in models {
            let folder = bench.path(name);
            fs::create_dir(&folder).unwrap();
            for entry in fs::read_dir(goldens().join(from)).unwrap() {
                let path = entry.unwrap().path();
                if path.is_file() {
                    fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
                }
            }
        }
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs a recipe; `limit` is what a shell does before.
    fn merge(&self, recipe: &str, out: &str, limit: &str) -> Output {
        fs::write(self.path("recipe.yml"), recipe).unwrap();
        let sprat = env!("CARGO_BIN_EXE_sprat");
        let script = format!("{limit} exec {sprat} merge recipe.yml --out {out}");
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &script])
            .current_dir(self.0.path())
            .output()
            .unwrap()
    }

    fn merged(&self, recipe: &str, out: &str) -> String {
        let output = self.merge(recipe, out, "");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    fn weights(&self, out: &str) -> Vec<u8> {
        fs::read(self.path(out).join("model.safetensors")).unwrap()
    }
}

const LINEAR: &str = "
models: [{model: a, parameters: {weight: 0.3}}, {model: b, parameters: {weight: 0.7}}]
merge_method: linear
tokenizer_source: union
";

#[test]
fn a_merge_that_was_killed_or_met_a_full_disk_is_gone_on_with() {
    let bench = Bench::new(&[("tokens/left", "a"), ("tokens/right", "b")]);
    bench.merged(LINEAR, "whole");
    let whole = bench.weights("whole");
    // Blocks of 512 bytes: all but the end of the last tensors.
    let limit = format!("ulimit -f {};", (whole.len() - 1) / 512);

    let killed = bench.merge(LINEAR, "killed", &limit);
    assert!(!killed.status.success());
    assert!(!bench.path("killed").exists());
    let told = bench.merged(LINEAR, "killed");
    assert!(told.contains("going on behind tensor"), "{told}");
    assert!(bench.weights("killed") == whole);

    let full = bench.merge(LINEAR, "full", &format!("trap '' XFSZ; {limit}"));
    let told = String::from_utf8(full.stderr).unwrap();
    assert!(
        told.contains("the same command goes on from there"),
        "{told}"
    );
    assert!(!bench.path("full").exists());
    // Of another recipe nothing is used, and nothing is left over.
    let told = bench.merged(&LINEAR.replace("0.3", "0.4"), "full");
    assert!(!told.contains("going on"), "{told}");
    assert!(bench.weights("full") != whole);
    let names = fs::read_dir(bench.0.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["a", "b", "full", "killed", "recipe.yml", "whole"]);
    assert!(!bench.path("full/merging.json").exists());
}

#[test]
fn the_config_has_the_vocabulary_and_its_numbers() {
    let bench = Bench::new(&[
        ("tokens/base", "base"),
        ("tokens/left", "a"),
        ("tokens/right", "b"),
    ]);
    let recipe = LINEAR.replace("source: union", "source: b") + "base_model: base\n";
    let recipe = recipe.replace("linear", "task_arithmetic");
    bench.merged(&recipe, "out");
    let config: Value =
        serde_json::from_slice(&fs::read(bench.path("out/config.json")).unwrap()).unwrap();
    // "<s>" and "</s>" of the base are 5 and 6.
    let seen = [
        &config["vocab_size"],
        &config["bos_token_id"],
        &config["eos_token_id"],
    ];
    assert_eq!(seen, [9, 6, 7]);
    let tokenizer = |folder: &str| fs::read(bench.path(folder).join("tokenizer.json")).unwrap();
    let json = |bytes: Vec<u8>| serde_json::from_slice::<Value>(&bytes).unwrap();
    assert_eq!(json(tokenizer("out")), json(tokenizer("b")));
    // Without a word about tokenizers they must be of one size.
    let plain = recipe.replace("tokenizer_source: b\n", "");
    let refused = bench.merge(&plain, "plain", "");
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(told.contains("tokenizer_source"), "{told}");
    assert!(!bench.path("plain.merging").exists());
}

#[test]
fn a_model_can_have_an_adapter() {
    let bench = Bench::new(&[
        ("lora", "model"),
        ("lora/plain", "adapter"),
        ("tokens/base", "config"),
    ]);
    fs::copy(
        bench.path("config/config.json"),
        bench.path("model/config.json"),
    )
    .unwrap();
    bench.merged(
        "{models: [{model: model+adapter}], merge_method: passthrough}",
        "out",
    );
    let read = |path: PathBuf| fs::read(path).unwrap();
    let ours = bench.weights("out");
    let (ours, theirs) = (&ours, read(goldens().join("lora/plain/merged.safetensors")));
    let values = |bytes: &[u8]| {
        let tensors = safetensors::SafeTensors::deserialize(bytes).unwrap();
        let weights = tensors
            .tensor("model.layers.1.mlp.down_proj.weight")
            .unwrap();
        let chunks = weights.data().as_chunks::<4>().0.iter();
        chunks
            .map(|bytes| f32::from_le_bytes(*bytes))
            .collect::<Vec<f32>>()
    };
    let pairs = values(ours).into_iter().zip(values(&theirs));
    assert!(
        pairs
            .into_iter()
            .all(|(ours, theirs)| (ours - theirs).abs() < 1e-6)
    );
    let missing = bench.merge(
        "{models: [{model: model+nobody}], merge_method: passthrough}",
        "no",
        "",
    );
    let told = String::from_utf8(missing.stderr).unwrap();
    assert!(told.contains("adapter_config.json"), "{told}");
}
