mod ways;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sprat_merge::{Dtype, Recipe, write_file};
use sprat_model::{Decoder, Device, ModelConfig};

use super::job::{Algorithm, Job, Metric};
use super::space::Genes;
use super::tasks::{Use, tasks};
use super::{EvolveOptions, Report, run};
use crate::split::{self, Side, side};
use crate::tokenizer;
use crate::train::Show;
use crate::{Error, Result};

/// A folder with random weights that follow from `seed`.
fn model(folder: &Path, seed: u64, hidden: usize) {
    fs::create_dir_all(folder).unwrap();
    let texts = [
        "turn on the light",
        "what is the capital of France",
        "set it to 40 percent",
    ];
    let vocabulary = tokenizer::train(texts.into_iter(), 300).unwrap();
    tokenizer::save(&vocabulary, &folder.join("tokenizer.json")).unwrap();
    for (name, content) in tokenizer::chat_files() {
        fs::write(folder.join(name), content).unwrap();
    }
    let json = format!(
        r#"{{"model_type": "llama", "vocab_size": 300, "hidden_size": {hidden}, "intermediate_size": 32,
        "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "initializer_range": 0.2,
        "max_position_embeddings": 128, "tie_word_embeddings": true}}"#
    );
    fs::write(folder.join("config.json"), &json).unwrap();
    let config = ModelConfig::from_json(json.as_bytes()).unwrap();
    let weights = Decoder::new(&config, seed, &Device::flex()).named_weights();
    let weights: Vec<(String, Vec<usize>, Vec<f32>)> = weights
        .into_iter()
        .map(|(name, data)| (name, data.shape().to_vec(), data.iter::<f32>().collect()))
        .collect();
    let shapes = weights.iter().map(|(name, shape, _)| (&**name, &**shape));
    write_file(
        &folder.join("model.safetensors"),
        shapes,
        Dtype::Float32,
        |writer| {
            weights
                .iter()
                .try_for_each(|(name, _, values)| writer.write(name, values))
        },
    )
    .unwrap();
}

/// A folder with three models of one shape.
fn family() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (seed, name) in ["base", "left", "right"].into_iter().enumerate() {
        model(&dir.path().join(name), seed as u64, 16);
    }
    dir
}

fn job(more: &str) -> Job {
    let text = format!(
        r#"
        name = "child"
        models = {{ base = "base", parents = ["left", "right"], storage = "f32" }}
        space = {{ method = "task_arithmetic", layer_groups = 2, genes = {{ weight = [0.0, 1.5] }} }}
        search = {{ generations = 4, population = 5 }}
        final = {{ finalists = 2, selection = 4, test = 5 }}
        [fitness]
        questions = 6
        max_tokens = 4
        rungs = [0.5, 1.0]
        tasks = [{{ skill = "home", metric = "likelihood" }}, {{ skill = "words", metric = "likelihood", weight = 2.0 }}]
        {more}
        "#
    );
    toml::from_str(&text).unwrap()
}

fn evolve(job: Job, dir: &Path, out: &str, resume: bool, stop: bool) -> Result<Option<Report>> {
    let resolve = |path: &Path| -> Result<PathBuf> {
        let folder = dir.join(path);
        let missing = || Error::job("models", format!("has {}", path.display()));
        folder.exists().then_some(folder).ok_or_else(missing)
    };
    run(EvolveOptions {
        job,
        out: dir.join(out),
        resume,
        stop: Arc::new(AtomicBool::new(stop)),
        device: Device::flex(),
        show: Show::Nothing,
        resolve: &resolve,
    })
}

#[test]
fn a_run_ends_with_a_model_a_recipe_and_a_report() {
    let dir = family();
    let report = evolve(job(""), dir.path(), "run", false, false)
        .unwrap()
        .unwrap();
    let out = dir.path().join("run");
    assert_eq!(report.generations.len(), 4);
    assert_eq!(report.evaluations, 20);
    assert_eq!(report.genes.len(), 4);
    // Winner, base, two parents, four untuned merges.
    assert_eq!(report.models.len(), 8);
    assert!(
        report
            .models
            .iter()
            .all(|model| model.skills.len() == 2 && model.skills[0].n == 5)
    );
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("TIES, weight 1") && !page.contains("NaN"));
    let json: serde_json::Value =
        serde_json::from_slice(&fs::read(out.join("result.json")).unwrap()).unwrap();
    assert_eq!(json["models"][0]["kind"], "winner");
    assert!(json["generations"][3]["best"].as_f64().unwrap() > 0.0);

    // The recipe, followed from the run's folder, gives the model.
    let recipe = Recipe::parse(&fs::read_to_string(out.join("recipe.yml")).unwrap()).unwrap();
    let open = |name: &str| {
        let folder = sprat_merge::ModelFolder::open(&out.join(name))?;
        Ok(Box::new(folder) as Box<dyn sprat_merge::TensorReader>)
    };
    let mut winner = sprat_merge::ModelFolder::open(&out.join("model")).unwrap();
    let same = |name: &str, _: &[usize], values: Vec<f32>| {
        assert_eq!(
            sprat_merge::TensorReader::read(&mut winner, name)?,
            values,
            "{name}"
        );
        Ok(())
    };
    sprat_merge::merge(&recipe, open, same, |_| {}).unwrap();
}

#[test]
fn a_stopped_run_goes_on_as_if_it_had_not_been() {
    let dir = family();
    let whole = evolve(job(""), dir.path(), "whole", false, false)
        .unwrap()
        .unwrap();
    assert!(
        evolve(job(""), dir.path(), "parts", false, true)
            .unwrap()
            .is_none()
    );
    let history = fs::read_to_string(dir.path().join("whole/history.jsonl")).unwrap();
    // The job, two generations, and a part of the third.
    let cut = history.match_indices('\n').nth(2).unwrap().0 + 100;
    fs::write(dir.path().join("parts/history.jsonl"), &history[..cut]).unwrap();
    let parts = evolve(job(""), dir.path(), "parts", true, false)
        .unwrap()
        .unwrap();
    let values =
        |report: &Report| -> Vec<f64> { report.genes.iter().map(|gene| gene.value).collect() };
    assert_eq!(values(&parts), values(&whole));
    assert_eq!(parts.recipe, whole.recipe);
    // Another job's history is not gone on with, and neither is one of other candidates.
    let other = Job { seed: 9, ..job("") };
    let error = evolve(other, dir.path(), "parts", true, false).unwrap_err();
    assert!(matches!(error, Error::Resume { .. }), "{error}");
    let changed = history.replacen("\"point\":[0.", "\"point\":[1.", 1);
    fs::write(dir.path().join("parts/history.jsonl"), changed).unwrap();
    let error = evolve(job(""), dir.path(), "parts", true, false).unwrap_err();
    assert!(error.to_string().contains("not those"), "{error}");
}

#[test]
fn every_algorithm_runs() {
    let dir = family();
    for (i, algorithm) in [
        Algorithm::SeparableCmaEs,
        Algorithm::Genetic,
        Algorithm::Random,
        Algorithm::Niches,
    ]
    .into_iter()
    .enumerate()
    {
        let mut job = job("");
        job.search.algorithm = algorithm;
        job.search.generations = 2;
        let report = evolve(job, dir.path(), &format!("run{i}"), false, false).unwrap();
        let report = report.unwrap();
        assert_eq!(
            report.recipe.is_none(),
            algorithm == Algorithm::Niches,
            "{algorithm:?}"
        );
        assert!(
            dir.path()
                .join(format!("run{i}/model/model.safetensors"))
                .is_file()
        );
    }
}

#[test]
fn a_fitness_that_chooses_nothing_is_an_error() {
    let dir = family();
    let mut job = job("");
    for task in &mut job.fitness.tasks {
        task.metric = Metric::Accuracy;
    }
    let error = evolve(job, dir.path(), "run", false, false).unwrap_err();
    assert!(error.to_string().contains("have the fitness 0"), "{error}");
    assert!(!dir.path().join("run/result.json").exists());
}

#[test]
fn weights_that_leave_the_numbers_are_an_error() {
    let dir = family();
    let mut job = job("");
    job.space.genes = [("weight".to_owned(), [1e38, 3e38])].into();
    let error = evolve(job, dir.path(), "run", false, false).unwrap_err();
    let words = error.to_string();
    assert!(
        words.contains("merge a candidate") || words.contains("left the numbers"),
        "{words}"
    );
}

#[test]
fn models_that_do_not_go_together_are_named() {
    let dir = family();
    model(&dir.path().join("wide"), 1, 32);
    let fails = |parents: &[&str]| {
        let mut job = job("");
        job.models.parents = parents.iter().map(PathBuf::from).collect();
        evolve(job, dir.path(), "run", false, false)
            .unwrap_err()
            .to_string()
    };
    assert!(fails(&["left", "wide"]).contains("base and wide, whose configs differ"));
    assert!(fails(&["left", "left"]).contains("left twice"));
    assert!(fails(&["left", "gone"]).contains("gone"));
    let mut rivalled = job("");
    rivalled.last.rivals = vec!["no-rival".into()];
    let error = evolve(rivalled, dir.path(), "run", false, false).unwrap_err();
    assert!(error.to_string().contains("no-rival"), "{error}");
    let settings = dir.path().join("right/chat_template.jinja");
    fs::write(settings, "other").unwrap();
    assert!(fails(&["left", "right"]).contains("chat templates differ"));
    assert!(!dir.path().join("run").exists(), "nothing is begun");
}

#[test]
fn jobs_that_make_no_sense_are_refused() {
    let fails = |change: &dyn Fn(&mut Job)| {
        let mut job = job("");
        change(&mut job);
        job.check().unwrap_err().to_string()
    };
    type Change<'a> = &'a dyn Fn(&mut Job);
    let cases: [(Change<'_>, &str); 11] = [
        (&|job| job.space.method = "blend".into(), "known are linear"),
        (&|job| job.space.layer_groups = 0, "layer_groups"),
        (&|job| job.space.genes.clear(), "nothing to search"),
        (
            &|job| {
                job.space.genes.insert("density".into(), [0.0, 1.0]);
            },
            "has weight",
        ),
        (
            &|job| {
                job.space.genes.insert("weight".into(), [1.0, 1.0]);
            },
            "no interval",
        ),
        (&|job| job.fitness.rungs = vec![0.5, 0.4, 1.0], "must grow"),
        (&|job| job.fitness.rungs = vec![0.5], "end with 1.0"),
        (&|job| job.fitness.tasks.clear(), "name at least one skill"),
        (
            &|job| job.fitness.tasks[0].skill = "chitchat".into(),
            "test set",
        ),
        (&|job| job.fitness.tasks[0].weight = 0.0, "not above 0"),
        (&|job| job.search.population = Some(2), "3 or more"),
    ];
    for (change, words) in cases {
        let error = fails(change);
        assert!(error.contains(words), "{error} lacks {words:?}");
    }
    let unknown: std::result::Result<Job, _> = toml::from_str("name = 'x'\ncolour = 1");
    assert!(unknown.unwrap_err().to_string().contains("colour"));
}

#[test]
fn genes_become_gradients_and_filters() {
    let mut job = job("");
    job.space.method = "ties".into();
    job.space.filters = vec!["mlp".into()];
    job.space.genes = [
        ("weight".to_owned(), [0.0, 2.0]),
        ("lambda".to_owned(), [1.0, 2.0]),
    ]
    .into();
    job.space.fixed = [("density".to_owned(), 0.5)].into();
    let genes = Genes::new(&job).unwrap();
    // lambda: 2 filters × 2 groups; weight: the same for each of 2 models.
    assert_eq!(genes.len(), 12);
    let point: Vec<f64> = (0..12).map(|i| f64::from(i) / 12.0).collect();
    let yaml = genes.recipe(&point).to_string();
    let recipe = Recipe::parse(&yaml).unwrap();
    assert_eq!(recipe, genes.recipe(&point));
    assert!(yaml.contains("density: 0.5"), "{yaml}");
    assert!(yaml.contains("- filter: \"mlp\""), "{yaml}");
    assert!(yaml.contains("value: [1.0, 1.0833333333333333]"), "{yaml}");
}

#[test]
fn no_question_has_two_uses() {
    let mut job = job("");
    job.fitness.questions = 60;
    job.last.selection = 60;
    job.last.test = 60;
    let of = |purpose| -> Vec<HashSet<u64>> {
        let key = |task: super::tasks::Task| {
            let asked = task.questions.iter();
            if purpose == Use::Test {
                assert!(task.questions.iter().all(|q| side(&q.key) == Side::HeldOut));
            } else {
                assert!(task.questions.iter().all(|q| side(&q.key) != Side::HeldOut));
            }
            asked
                .map(|question| split::hash(question.question()))
                .collect()
        };
        tasks(&job, purpose).unwrap().into_iter().map(key).collect()
    };
    let [fitness, selection, test] = [Use::Fitness, Use::Selection, Use::Test].map(of);
    for ((fitness, selection), test) in fitness.iter().zip(&selection).zip(&test) {
        assert!(fitness.len() >= 55 && !selection.is_empty() && !test.is_empty());
        assert!(fitness.is_disjoint(selection));
        assert!(fitness.is_disjoint(test) && selection.is_disjoint(test));
    }
}

#[test]
fn a_stop_in_mid_search_is_heard() {
    let dir = family();
    let stop = Arc::new(AtomicBool::new(false));
    let mut long = job("");
    long.search.generations = 1000;
    let resolve = |path: &Path| -> Result<PathBuf> { Ok(dir.path().join(path)) };
    let switch = stop.clone();
    let history = dir.path().join("run/history.jsonl");
    let watch = std::thread::spawn(move || {
        // Until a generation is on disk.
        for _ in 0..3000 {
            if fs::read_to_string(&history).is_ok_and(|text| text.lines().count() > 1) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        switch.store(true, Ordering::Relaxed);
    });
    let report = run(EvolveOptions {
        job: long,
        out: dir.path().join("run"),
        resume: false,
        stop,
        device: Device::flex(),
        show: Show::Nothing,
        resolve: &resolve,
    });
    watch.join().unwrap();
    assert!(report.unwrap().is_none());
}

#[test]
fn models_are_told_apart_by_the_ends_of_their_paths() {
    let paths = ["../a/run/model", "../b/run/model", "x", "../home"].map(str::to_owned);
    let names = super::finish::short(&paths);
    assert_eq!(names, ["a/run/model", "b/run/model", "x", "home"]);
    let same = ["x", "x"].map(str::to_owned);
    assert_eq!(super::finish::short(&same), same);
}
