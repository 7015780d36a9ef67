//! `sprat eval router` and `sprat calibrate`, as a person runs them.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

fn sprat(args: &[&str]) -> Output {
    let mut sprat = Command::new(env!("CARGO_BIN_EXE_sprat"));
    sprat.args(args).output().unwrap()
}

fn printed(output: &Output) -> Value {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn refusal(args: &[&str]) -> String {
    let output = sprat(args);
    assert!(!output.status.success() && output.stdout.is_empty());
    String::from_utf8(output.stderr).unwrap()
}

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web/models/sprat-tiny")
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Sent in order: gain 1, gain 0, loss 1, gain 1.
fn records(folder: &Path) -> PathBuf {
    let answers = [(false, true), (true, true), (true, false), (false, true)];
    let lines = answers.iter().enumerate().map(|(i, (edge, cloud))| {
        let record = json!({"id": i, "edge_correct": edge, "cloud_correct": cloud,
            "confidence": 0.2 * (i + 1) as f64, "edge_cost": 1, "cloud_cost": 10});
        record.to_string()
    });
    let file = folder.join("records.jsonl");
    std::fs::write(&file, lines.collect::<Vec<_>>().join("\n")).unwrap();
    file
}

#[test]
fn anyones_records_are_measured() {
    let dir = tempfile::tempdir().unwrap();
    let file = records(dir.path());
    let (page, charts) = (dir.path().join("page.html"), dir.path().join("charts"));
    let (html, svg) = (text(&page), text(&charts));
    let args = [
        "eval",
        "router",
        "--records",
        text(&file),
        "--json",
        "--html",
        html,
        "--svg-dir",
        svg,
    ];
    let report = printed(&sprat(&args));
    let close = |name: &str, by_hand: f64| {
        let value = report.pointer(name).and_then(Value::as_f64).unwrap();
        assert!((value - by_hand).abs() < 1e-12, "{name}: {value}");
    };
    close("/apgr", 0.625);
    close("/cpt50", 0.125);
    close("/auc_df", 21.0 / 32.0);
    close("/auroc", 0.5);
    close("/cost/at_cpt100", 3.5);
    close("/baselines/oracle/apgr", 1.375);
    close("/baselines/random/cpt95", 0.95);
    close("/baselines/always_cloud/accuracy", 0.75);
    assert_eq!(report["curve"].as_array().unwrap().len(), 101);
    assert_eq!(std::fs::read_dir(&charts).unwrap().count(), 4);
    assert!(
        std::fs::read_to_string(&page)
            .unwrap()
            .contains("<h1>records</h1>")
    );
    // Every field that the help names is there.
    let help = String::from_utf8(sprat(&["eval", "router", "--help"]).stdout).unwrap();
    for name in report.as_object().unwrap().keys() {
        assert!(help.contains(name.as_str()), "{name}");
    }
    // Models are measured as before.
    assert!(refusal(&["eval", "no-such-model"]).contains("no-such-model"));
}

#[test]
fn bad_records_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = records(dir.path());
    let good = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{good}\n{{\"id\": 9}}\n")).unwrap();
    let error = refusal(&["eval", "router", "--records", text(&file)]);
    assert!(
        error.contains("line 5 of") && error.contains("missing field"),
        "{error}"
    );
    assert!(refusal(&["eval", "router"]).contains("--records"));
}

/// Questions of the home, half of them with answers that nobody gives.
fn questions(folder: &Path, n: usize) -> PathBuf {
    let rooms = [
        "kitchen",
        "bedroom",
        "hall",
        "office",
        "garage",
        "living room",
    ];
    let lines = (0..n).map(|i| {
        let (room, percent) = (rooms[i % rooms.len()], 5 + i / rooms.len());
        let question = format!("Set the {room} light to {percent} percent.");
        let answer = match i % 2 {
            0 => percent.to_string(),
            _ => "nobody says this".to_owned(),
        };
        json!({"question": question, "answers": [answer]}).to_string()
    });
    let file = folder.join("questions.jsonl");
    std::fs::write(&file, lines.collect::<Vec<_>>().join("\n")).unwrap();
    file
}

#[test]
fn a_pack_is_calibrated_on_anyones_questions() {
    let dir = tempfile::tempdir().unwrap();
    let (pack, file) = (tiny(), questions(dir.path(), 120));
    let (out, again) = (dir.path().join("out"), dir.path().join("again"));
    let calibrate = |model: &Path, out: &Path, alpha: &str| {
        let (model, out) = (text(model), text(out));
        let args = [
            "calibrate",
            "--model",
            model,
            "--data",
            text(&file),
            "--out",
            out,
        ];
        sprat(&[&args[..], &["--alpha", alpha, "--delta", "0.3", "--json"]].concat())
    };
    let before = std::fs::read(pack.join("sprat.json")).unwrap();
    let fitted = printed(&calibrate(&pack, &out, "0.7"));
    assert_eq!(
        (fitted["n"].as_u64(), fitted["alpha"].as_f64()),
        (Some(120), Some(0.7))
    );
    assert_eq!(fitted["data_sha256"].as_str().unwrap().len(), 64);
    assert!(fitted["kept"].as_u64().unwrap() > 0, "{fitted}");
    assert_eq!(std::fs::read(pack.join("sprat.json")).unwrap(), before);
    let read = |pack: &Path| -> Value {
        serde_json::from_slice(&std::fs::read(pack.join("sprat.json")).unwrap()).unwrap()
    };
    assert_eq!(read(&out)["calibration"]["fitted_on"], fitted);
    assert!(out.join("model.safetensors").exists() && out.join("tokenizer.json").exists());

    // The same questions give the same gate, in place too, and another bound another one.
    printed(&calibrate(&out, &again, "0.7"));
    assert_eq!(read(&again), read(&out));
    printed(&calibrate(&again, &again, "0.6"));
    assert_eq!(read(&again)["calibration"]["fitted_on"]["alpha"], 0.6);

    // The gate of another model is refused.
    let ask = |pack: &Path| sprat(&["ask", "Hello!", "--model", text(pack)]);
    assert!(
        String::from_utf8(ask(&out).stderr)
            .unwrap()
            .contains("confidence")
    );
    let mut manifest = read(&out);
    manifest["calibration"]["fitted_on"]["model"] = json!("another");
    std::fs::write(out.join("sprat.json"), manifest.to_string()).unwrap();
    let errors = String::from_utf8(ask(&out).stderr).unwrap();
    assert!(errors.contains("fitted on another model"), "{errors}");

    // Too few for the bound: how many it takes.
    let few = calibrate(&pack, &dir.path().join("few"), "0.001");
    let errors = String::from_utf8(few.stderr).unwrap();
    assert!(
        !few.status.success() && errors.contains("questions at the least"),
        "{errors}"
    );
    assert!(!dir.path().join("few").exists());
}
