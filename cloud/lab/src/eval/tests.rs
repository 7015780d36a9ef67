use std::path::{Path, PathBuf};

use sprat_model::{Device, FORMAT, MANIFEST, Manifest, PackContents, Storage, write_pack};
use sprat_route::gate::FitOptions;

use super::{CalibrateOptions, EvalOptions, builtin_questions, calibrate, run};
use crate::Error;
use crate::dataset::Mixture;
use crate::skills::Skill;
use crate::tokenizer::CHAT_TEMPLATE;
use crate::train::{self, Recipe, Show, TrainOptions};

/// A checkpoint of a model that has learnt next to nothing.
fn trained(dir: &Path) -> PathBuf {
    let recipe: Recipe = toml::from_str(
        r#"
        name = "novice"
        [train]
        seed = 5
        batch = 4
        time = 32
        steps = 3
        learning_rate = 1e-2
        [model]
        hidden_size = 16
        intermediate_size = 32
        num_hidden_layers = 1
        num_attention_heads = 2
        num_key_value_heads = 1
        head_dim = 8
        max_position_embeddings = 96
        tie_word_embeddings = true
        [[data.parts]]
        source = "generator:home"
        weight = 1.0
        limit = 200
        "#,
    )
    .unwrap();
    let options = TrainOptions::new(recipe, dir.join("run"), Device::flex());
    train::run(TrainOptions {
        show: Show::Nothing,
        ..options
    })
    .unwrap()
    .checkpoint
}

fn packed(checkpoint: &Path, dir: PathBuf) -> PathBuf {
    let (config, decoder) = train::load_model(checkpoint, &Device::flex()).unwrap();
    let weights: std::collections::HashMap<_, _> = decoder.named_weights().into_iter().collect();
    let mut read = |name: &str, _: &[usize]| Ok(weights[name].iter::<f32>().collect());
    let manifest = Manifest {
        format: FORMAT,
        name: "novice-pack".into(),
        description: String::new(),
        license: "MIT".into(),
        context: 96,
        parameters: 0,
        storage: Storage::F16,
        bos_token: "<|start|>".into(),
        eos_token: "<|end|>".into(),
        examples: vec![],
        files: vec![],
        calibration: None,
        largest_buffer: None,
        check: None,
        bases: vec![],
    };
    let contents = PackContents {
        manifest,
        config: &config,
        tokenizer: &std::fs::read(checkpoint.join("tokenizer.json")).unwrap(),
        template: CHAT_TEMPLATE,
        draft: None,
        extra: vec![],
    };
    write_pack(&dir, contents, &mut read, &mut |_, _| {}).unwrap();
    dir
}

fn options(models: Vec<PathBuf>) -> EvalOptions {
    let home: Mixture =
        toml::from_str("[[parts]]\nsource = 'generator:home'\nweight = 1.0\nlimit = 200").unwrap();
    EvalOptions {
        skills: vec![Skill::Home, Skill::Chitchat],
        questions: 6,
        max_tokens: 8,
        validation: Some(home),
        show: Show::Nothing,
        ..EvalOptions::new(models, Device::flex())
    }
}

#[test]
fn checkpoints_and_packs_are_asked_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoint = trained(dir.path());
    let pack = packed(&checkpoint, dir.path().join("pack"));
    let details = dir.path().join("details.jsonl");
    let options = EvalOptions {
        details: Some(details.clone()),
        ..options(vec![checkpoint, pack])
    };
    let report = run(&options).unwrap();

    assert_eq!(report.models.len(), 2);
    assert!(report.models[0].name.starts_with("run/checkpoint-"));
    assert_eq!(report.models[1].name, "novice-pack");
    assert!(
        report.models[0].bytes > report.models[1].bytes,
        "f32 against f16"
    );
    for model in &report.models {
        assert_eq!((model.skills.len(), model.skills[0].n), (1, 6));
        let (perplexity, tokens) = model.perplexity.unwrap();
        assert!(perplexity > 1.0 && perplexity.is_finite() && tokens > 0);
    }
    assert!(
        report.skipped[0].contains("chitchat"),
        "{:?}",
        report.skipped
    );
    let lines = std::fs::read_to_string(details).unwrap();
    assert_eq!(lines.lines().count(), 12);
    assert_eq!(
        run(&options).unwrap().models[0].skills,
        report.models[0].skills
    );
}

fn calibration(model: &Path, out: &Path) -> CalibrateOptions {
    CalibrateOptions {
        model: model.to_path_buf(),
        out: out.to_path_buf(),
        fit: FitOptions {
            alpha: 0.5,
            delta: 0.5,
            ..FitOptions::default()
        },
        divisions: 0,
        sample: None,
        max_tokens: 8,
        device: Device::flex(),
        show: Show::Nothing,
    }
}

#[test]
fn a_gate_that_cannot_be_fitted_leaves_the_pack_alone() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoint = trained(dir.path());
    let pack = packed(&checkpoint, dir.path().join("pack"));
    let before = std::fs::read(pack.join(MANIFEST)).unwrap();
    let questions = builtin_questions(&[Skill::Home], 40, 1, None).unwrap();
    // A novice has everything wrong.
    let error = calibrate(&questions, &calibration(&pack, &pack))
        .err()
        .unwrap();
    assert!(
        matches!(error, Error::OneSided { right: false, .. }),
        "{error}"
    );
    // Three questions show nothing; that is known before any is asked.
    let mut options = calibration(&pack, &pack);
    (options.fit.alpha, options.fit.delta) = (0.05, 0.05);
    let error = calibrate(&questions[..3], &options).err().unwrap();
    let Error::TooFewQuestions {
        found: 3, needed, ..
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!(needed, 5 * 59);
    // A folder that is no pack is neither read nor replaced.
    let run = calibration(&checkpoint, &pack);
    assert!(matches!(calibrate(&questions, &run), Err(Error::Io { .. })));
    let taken = calibration(&pack, &checkpoint);
    assert!(matches!(
        calibrate(&questions, &taken),
        Err(Error::Exists { .. })
    ));
    assert_eq!(std::fs::read(pack.join(MANIFEST)).unwrap(), before);
}

#[test]
fn a_folder_that_is_no_model_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let error = run(&options(vec![dir.path().to_path_buf()])).unwrap_err();
    assert!(
        error
            .to_string()
            .contains(&dir.path().display().to_string()),
        "{error}"
    );
}
