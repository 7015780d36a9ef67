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

    // Other divisions are asked of nobody anew, and change nothing of the gate.
    let (divided, more) = (dir.path().join("divided"), ["--divisions", "10", "--json"]);
    let args = [
        "calibrate",
        "--model",
        text(&pack),
        "--data",
        text(&file),
        "--out",
        text(&divided),
    ];
    let bound = ["--alpha", "0.7", "--delta", "0.3"];
    let tried = printed(&sprat(&[&args[..], &bound, &more].concat()));
    assert_eq!(
        (&tried["divisions"]["n"], &tried["kept"]),
        (&json!(10), &fitted["kept"])
    );
    assert!(tried["divisions"]["coverage"].as_f64().unwrap() > 0.0);
    // Both calibrations were tried on the same parts; none was drawn, so nothing is outside.
    let kinds = tried["divisions"]["test"].as_array().unwrap();
    assert_eq!(
        [&kinds[0]["kind"], &kinds[1]["kind"]],
        ["logistic", "isotonic"]
    );
    assert_eq!(kinds[0]["auroc"], kinds[1]["auroc"]);
    assert!(
        kinds
            .iter()
            .all(|k| k["ece"].as_f64() >= k["rmsce"].as_f64()),
        "{kinds:?}"
    );
    assert!(tried["divisions"].get("outside").is_none());

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

/// A chat server that answers every question about a light with this many words.
struct Cloud {
    address: String,
    asked: std::sync::Arc<std::sync::atomic::AtomicUsize>,
}

impl Cloud {
    /// From request `until` on it answers HTTP 403.
    fn start(answer: &'static str, until: usize) -> Self {
        use std::io::{BufRead, BufReader, Read, Write};
        use std::sync::atomic::Ordering;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = std::sync::Arc::<std::sync::atomic::AtomicUsize>::default();
        let count = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let (mut length, mut key) = (0, false);
                loop {
                    let mut line = String::new();
                    reader.read_line(&mut line).unwrap();
                    let line = line.trim().to_ascii_lowercase();
                    if line.is_empty() {
                        break;
                    }
                    key |= line == "authorization: bearer test-key";
                    if let Some(value) = line.strip_prefix("content-length: ") {
                        length = value.parse().unwrap();
                    }
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                let request: Value = serde_json::from_slice(&body).unwrap();
                assert!(key && request["model"] == "large" && request["temperature"] == 0.0);
                let (status, body) = match count.fetch_add(1, Ordering::SeqCst) < until {
                    true => (
                        "200 OK",
                        json!({"choices": [{"message": {"role": "assistant", "content": answer},
                        "finish_reason": "stop"}], "usage": {"prompt_tokens": 1000, "completion_tokens": 500,
                        "total_tokens": 1500}}),
                    ),
                    false => (
                        "403 Forbidden",
                        json!({"error": {"message": "enough", "type": "x"}}),
                    ),
                };
                let body = body.to_string();
                let head = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                stream.write_all((head + &body).as_bytes()).unwrap();
            }
        });
        Self { address, asked }
    }

    fn measure(&self, pack: &Path, file: &Path, records: &Path) -> Output {
        let mut sprat = Command::new(env!("CARGO_BIN_EXE_sprat"));
        sprat.args([
            "eval",
            "router",
            "--edge",
            text(pack),
            "--cloud",
            &self.address,
        ]);
        sprat.args([
            "--cloud-model",
            "large",
            "--data",
            text(file),
            "--write-records",
            text(records),
        ]);
        sprat.args([
            "--cloud-prompt-price",
            "1",
            "--cloud-completion-price",
            "2",
            "--edge-cost",
            "0.001",
        ]);
        sprat
            .args(["--json", "--resamples", "20"])
            .env("SPRAT_CLOUD_KEY", "test-key");
        sprat.output().unwrap()
    }
}

#[test]
fn a_pack_and_a_server_are_measured_together() {
    use std::sync::atomic::Ordering;
    let dir = tempfile::tempdir().unwrap();
    let file = questions(dir.path(), 30);
    let records = dir.path().join("records.jsonl");
    // The device never says this, the server always: half of the answers are that.
    let cloud = Cloud::start("Nobody says this.", 20);
    let stopped = cloud.measure(&tiny(), &file, &records);
    let errors = String::from_utf8(stopped.stderr).unwrap();
    assert!(
        !stopped.status.success() && errors.contains("goes on from there"),
        "{errors}"
    );
    assert!(
        errors.contains("SPRAT_CLOUD_KEY") && !errors.contains("test-key"),
        "{errors}"
    );
    assert_eq!(
        std::fs::read_to_string(&records).unwrap().lines().count(),
        20
    );

    let cloud = Cloud::start("Nobody says this.", 1000);
    let mut report = printed(&cloud.measure(&tiny(), &file, &records));
    assert_eq!(cloud.asked.load(Ordering::SeqCst), 10);
    assert_eq!(
        (report["n"].as_u64(), report["cloud_accuracy"].as_f64()),
        (Some(30), Some(0.5))
    );
    let number = |name: &str| report.pointer(name).and_then(Value::as_f64).unwrap();
    assert!((number("/cost/always_cloud") - 0.002).abs() < 1e-9);
    assert!((number("/cost/always_edge") - 0.001).abs() < 1e-9);
    // A gate adds less than 100 KB.
    assert!((100.0..1e5).contains(&number("/gate/bytes")) && number("/gate/nanoseconds") >= 0.0);
    assert!(number("/seconds/always_edge") > 0.0 && number("/at_threshold/threshold") > 0.0);

    // The same command again asks nobody, the pack neither, and another file's records are not mixed in.
    let again = printed(&cloud.measure(&tiny(), &file, &records));
    report.as_object_mut().unwrap().remove("gate");
    assert_eq!(again, report);
    assert_eq!(cloud.asked.load(Ordering::SeqCst), 10);
    let other = dir.path().join("other");
    std::fs::create_dir(&other).unwrap();
    let other = questions(&other, 6);
    let errors = String::from_utf8(cloud.measure(&tiny(), &other, &records).stderr).unwrap();
    assert!(errors.contains("of another question"), "{errors}");
}

#[test]
fn a_gate_is_measured_on_what_it_has_not_seen() {
    let dir = tempfile::tempdir().unwrap();
    let (file, pack) = (questions(dir.path(), 120), dir.path().join("pack"));
    let model = tiny();
    let args = [
        "calibrate",
        "--model",
        text(&model),
        "--data",
        text(&file),
        "--out",
        text(&pack),
    ];
    let fitted = printed(&sprat(
        &[&args[..], &["--alpha", "0.7", "--delta", "0.3", "--json"]].concat(),
    ));
    let cloud = Cloud::start("Nobody says this.", 1000);
    let report = printed(&cloud.measure(&pack, &file, &dir.path().join("records.jsonl")));
    assert_eq!(report["n"], fitted["test"]["n"]);
    assert_eq!(report["auroc"], fitted["test"]["auroc"]);
    // Without a gate there is no confidence.
    let mut manifest: Value =
        serde_json::from_slice(&std::fs::read(pack.join("sprat.json")).unwrap()).unwrap();
    manifest["calibration"] = Value::Null;
    std::fs::write(pack.join("sprat.json"), manifest.to_string()).unwrap();
    let errors = cloud
        .measure(&pack, &file, &dir.path().join("none.jsonl"))
        .stderr;
    assert!(
        String::from_utf8(errors)
            .unwrap()
            .contains("sprat calibrate --model")
    );
}
