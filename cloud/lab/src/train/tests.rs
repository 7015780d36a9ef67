use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use sprat_model::{Decoder, ModelConfig};

use super::checkpoint;
use super::gradient::Workers;
use super::loss::Micro;
use super::{Recipe, Report, Show, TrainOptions, latest, load_model, run};
use crate::Error;
use crate::dataset::Batch;

/// A model that learns something in twenty steps on generated text.
fn tiny(steps: usize) -> Recipe {
    let toml = format!(
        r#"
        name = "tiny"
        [train]
        seed = 3
        batch = 4
        time = 32
        micro_batch = 2
        steps = {steps}
        learning_rate = 1e-2
        warmup_steps = 4
        validate_every = 10
        validation_batches = 1
        checkpoint_every = 5
        [model]
        hidden_size = 16
        intermediate_size = 32
        num_hidden_layers = 1
        num_attention_heads = 2
        num_key_value_heads = 1
        head_dim = 8
        max_position_embeddings = 32
        tie_word_embeddings = true
        [[data.parts]]
        source = "generator:home"
        weight = 1.0
        limit = 300
        "#
    );
    toml::from_str(&toml).unwrap()
}

fn options(recipe: Recipe, out: PathBuf) -> TrainOptions {
    TrainOptions {
        show: Show::Nothing,
        ..TrainOptions::new(recipe, out, Device::flex())
    }
}

fn weights(report: &Report) -> Vec<u8> {
    std::fs::read(report.checkpoint.join("model.safetensors")).unwrap()
}

#[test]
fn stopped_and_resumed_is_the_same_run_bit_for_bit() {
    let dir = tempfile::tempdir().unwrap();
    let straight = run(options(tiny(20), dir.path().join("straight"))).unwrap();
    assert!(straight.finished && straight.steps == 20);

    let out = dir.path().join("broken");
    let mut first = options(tiny(20), out.clone());
    first.pause_at = Some(9);
    let half = run(first).unwrap();
    assert!(!half.finished && half.steps == 9);
    let mut second = options(tiny(20), out);
    second.resume = true;
    let whole = run(second).unwrap();

    assert_eq!(whole.losses, straight.losses);
    assert_eq!(whole.validations, straight.validations);
    assert_eq!(weights(&whole), weights(&straight));
    let (start, end) = (straight.losses[0], straight.losses[19]);
    assert!(end < start - 1.0, "the loss did not drop: {start} to {end}");
}

#[test]
fn the_trial_run_learns_and_resumes_and_can_be_repeated() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let report = super::smoke(dir.path(), &Device::flex(), Show::Nothing).unwrap();
        assert!(report.finished);
    }
}

#[test]
fn a_run_leaves_what_others_need() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let report = run(options(tiny(12), out.clone())).unwrap();
    assert_eq!(
        checkpoint::list(&out).unwrap().len(),
        2,
        "older ones are removed"
    );
    assert_eq!(latest(&out).unwrap().unwrap(), report.checkpoint);
    assert!(
        std::fs::read_to_string(out.join("curve.svg"))
            .unwrap()
            .contains("tiny")
    );
    let log = std::fs::read_to_string(out.join("log.jsonl")).unwrap();
    let events: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(events.iter().filter(|e| e["event"] == "step").count(), 12);
    assert_eq!(events.last().unwrap()["finished"], true);
    assert_eq!(
        Recipe::read(&out.join("recipe.toml")).unwrap().train.plan[0].total,
        12
    );

    // Fine-tuning starts from the weights and the tokenizer, and refuses another shape.
    let mut tuned = tiny(2);
    tuned.train.init = Some(report.checkpoint.clone());
    tuned.model.clear();
    let tuned_report = run(options(tuned.clone(), dir.path().join("tuned"))).unwrap();
    assert!(tuned_report.losses[0] < report.losses[0] - 1.0);
    tuned.model.insert("hidden_size".into(), 8.into());
    let refused = run(options(tuned, dir.path().join("refused"))).unwrap_err();
    assert!(
        matches!(refused, Error::Recipe { .. } | Error::Model { .. }),
        "{refused}"
    );
}

#[test]
fn a_folder_with_a_run_is_neither_overwritten_nor_misread() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let missing = TrainOptions {
        resume: true,
        ..options(tiny(2), out.clone())
    };
    assert!(matches!(run(missing), Err(Error::Resume { .. })));
    let report = run(options(tiny(2), out.clone())).unwrap();
    assert!(matches!(
        run(options(tiny(2), out.clone())),
        Err(Error::RunExists { .. })
    ));

    let mut other = tiny(4);
    other.train.learning_rate = 1e-3;
    let resume = |recipe| {
        run(TrainOptions {
            resume: true,
            ..options(recipe, out.clone())
        })
    };
    assert!(matches!(resume(other), Err(Error::Resume { .. })));
    let longer = resume(tiny(4)).unwrap();
    assert_eq!(longer.steps, 4);

    std::fs::write(longer.checkpoint.join("state.json"), b"{").unwrap();
    assert!(matches!(resume(tiny(6)), Err(Error::Format { .. })));
    assert!(!report.checkpoint.join("no").exists());
}

#[test]
fn a_diverging_run_says_so_and_keeps_the_last_good_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let mut recipe = tiny(50);
    recipe.train.learning_rate = 1e38;
    recipe.train.checkpoint_every = 1;
    recipe.train.validate_every = 50;
    let error = run(options(recipe, dir.path().join("run"))).unwrap_err();
    let Error::NotFinite {
        step, checkpoint, ..
    } = &error
    else {
        panic!("{error}")
    };
    assert!(*step > 1);
    assert!(checkpoint.as_ref().unwrap().exists(), "{error}");
}

#[test]
fn asked_to_stop_it_stops_with_a_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(tiny(20), dir.path().join("run"));
    options.stop.store(true, Ordering::Relaxed);
    let report = run(options).unwrap();
    assert!(!report.finished && report.steps == 0 && report.checkpoint.exists());
}

#[test]
fn a_time_budget_becomes_a_number_of_steps() {
    let dir = tempfile::tempdir().unwrap();
    let mut timed = options(tiny(0), dir.path().join("run"));
    timed.minutes = Some(0.02);
    let report = run(timed).unwrap();
    assert!(report.finished && report.steps > 5);
    let recipe = Recipe::read(&dir.path().join("run/recipe.toml")).unwrap();
    assert_eq!(recipe.train.plan.last().unwrap().total, report.steps);

    // The recipe it left behind repeats it by steps.
    let mut again = options(recipe, dir.path().join("again"));
    again.recipe.train.max_minutes = None;
    let repeated = run(again).unwrap();
    assert_eq!(repeated.losses, report.losses);
}

#[test]
fn values_that_cannot_work_are_named() {
    type Change = fn(&mut Recipe);
    let set: [(&str, Change); 5] = [
        ("train.batch", |r| r.train.batch = 0),
        ("train.learning_rate", |r| r.train.learning_rate = f64::NAN),
        ("train.steps", |r| r.train.steps = 0),
        ("train.time", |r| r.train.time = 33),
        ("name", |r| r.name = "../x".into()),
    ];
    for (name, change) in set {
        let dir = tempfile::tempdir().unwrap();
        let mut recipe = tiny(1);
        change(&mut recipe);
        let error = run(options(recipe, dir.path().join("run"))).unwrap_err();
        let Error::Recipe { field, .. } = &error else {
            panic!("{name}: {error}")
        };
        assert_eq!(field, name);
    }
    for broken in ["", "name = 1", "name = 'x'\n[train]\nbatch = -1"] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("recipe.toml");
        std::fs::write(&path, broken).unwrap();
        assert!(matches!(Recipe::read(&path), Err(Error::Format { .. })));
    }
}

#[test]
fn recipes_in_the_repository_are_usable() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.ends_with(".evolve.toml") {
            crate::evolve::Job::read(&path).unwrap_or_else(|e| panic!("{e}"));
        }
        if name.ends_with(".evolve.toml") || !name.ends_with(".toml") {
            continue;
        }
        let recipe = Recipe::read(&path).unwrap_or_else(|e| panic!("{e}"));
        if recipe.train.init.is_none() {
            recipe
                .model_config(4096, 2)
                .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        }
        seen += 1;
    }
    assert!(seen >= 3);
}

fn small_decoder(device: &Device) -> Decoder {
    let json = serde_json::json!({
        "model_type": "qwen3", "vocab_size": 40, "hidden_size": 16, "intermediate_size": 24,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "tie_word_embeddings": true, "initializer_range": 0.2
    });
    let config = ModelConfig::from_json(json.to_string().as_bytes()).unwrap();
    Decoder::new(&config, 5, device)
}

fn small_batch(rows: usize, time: usize) -> Batch {
    let ids = |salt: usize| {
        (0..rows * time)
            .map(|i| ((i * 31 + salt * 17) % 40) as i32)
            .collect()
    };
    let mask = (0..rows * time).map(|i| i % 3 != 0).collect();
    Batch {
        inputs: ids(1),
        targets: ids(2),
        mask,
    }
}

struct Flatten<'a>(&'a GradientsParams, Vec<f32>);

impl ModuleVisitor for Flatten<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let gradient = self.0.get::<D>(param.id).unwrap();
        self.1.extend(gradient.into_data().iter::<f32>());
    }
}

fn flat(decoder: &Decoder, gradients: &GradientsParams) -> Vec<f32> {
    let mut flatten = Flatten(gradients, Vec::new());
    decoder.visit(&mut flatten);
    flatten.1
}

fn assert_close(a: &[f32], b: &[f32], tolerance: f32) {
    assert_eq!(a.len(), b.len());
    let worst = a
        .iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max);
    assert!(worst <= tolerance, "differ by {worst}");
}

/// On the CPU the model trains through operations of its own; a device that does not have them
/// would compute what the plain ones do.
#[test]
fn the_training_path_computes_what_inference_does() {
    let plain = Device::flex();
    let (decoder, trained) = (
        small_decoder(&plain),
        small_decoder(&plain.clone().autodiff()),
    );
    let batch = small_batch(3, 7);
    let loss = |decoder: &Decoder, device: &Device| {
        let micro = Micro::new(&batch, 0..3, 7, device);
        micro.loss(decoder).into_scalar::<f32>() / micro.count as f32
    };
    let (a, b) = (
        loss(&decoder, &plain),
        loss(&trained, &plain.clone().autodiff()),
    );
    assert!((a - b).abs() < 1e-5, "{a} and {b}");
}

#[test]
fn parts_add_up_to_the_whole() {
    let device = Device::flex().autodiff();
    let decoder = small_decoder(&device);
    let batch = small_batch(6, 7);
    let gradient = |micro_rows| {
        let workers = Workers::new(&device, micro_rows, 7).unwrap();
        let (loss, gradients) = workers.gradient(&decoder, &batch);
        let (sum, count) = workers.loss(&decoder, &batch);
        assert!((sum / count as f64 - f64::from(loss)).abs() < 1e-5);
        (loss, flat(&decoder, &gradients))
    };
    let (loss, whole) = gradient(6);
    for rows in [1, 2, 4] {
        let (part_loss, parts) = gradient(rows);
        assert!((part_loss - loss).abs() < 1e-5);
        assert_close(&parts, &whole, 1e-5);
    }
}

#[test]
fn a_checkpoint_reads_back_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let report = run(options(tiny(3), dir.path().join("run"))).unwrap();
    let (config, decoder) = load_model(&report.checkpoint, &Device::flex()).unwrap();
    let names: Vec<String> = decoder
        .named_weights()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    let expected: Vec<String> = config.tensors().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, expected);
    assert_eq!(
        checkpoint::read_moments(&report.checkpoint).unwrap().len(),
        names.len()
    );
    assert_eq!(
        checkpoint::read_state(&report.checkpoint).unwrap().losses,
        report.losses
    );
}
