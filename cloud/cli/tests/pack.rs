//! What `sprat pack` says of a model that a page cannot run.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn a_tokenizer_that_a_page_cannot_read_is_told() {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens");
    let bench = tempfile::tempdir().unwrap();
    let model = bench.path().join("model");
    fs::create_dir(&model).unwrap();
    for file in ["config.json", "model.safetensors"] {
        fs::copy(
            goldens.join("model/qwen3-gqa8").join(file),
            model.join(file),
        )
        .unwrap();
    }
    fs::write(model.join("chat_template.jinja"), "{{ messages }}").unwrap();
    let pack = |tokenizer: &str, out: &str| {
        let tokenizer = goldens.join("tokenizer").join(tokenizer);
        fs::copy(tokenizer, model.join("tokenizer.json")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_sprat"));
        command.arg("pack").arg(&model).arg("--no-check");
        let output = command.arg("--out").arg(bench.path().join(out)).output();
        let output = output.unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{told}");
        told
    };
    let told = pack("unigram/tokenizer.json", "one");
    assert!(
        told.contains("Warning") && told.contains("Unigram"),
        "{told}"
    );
    let told = pack("tokenizer.json", "two");
    assert!(!told.contains("Warning"), "{told}");
}
