//! Every method against mergekit's own answers, made by `tests/goldens/merge/make.py`.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};

use sprat_merge::{
    MaskSource, MemoryTensors, Merge, Method, Recipe, Result, SafetensorsReader, TensorReader,
    methods::linear,
};

const TOLERANCE: f32 = 1e-6;

/// mergekit's sums and angles are f32, ours f64: where a small angle or a ratio far outside of [0, 1] makes
/// much of that, the difference is larger.
fn tolerance(recipe: &str) -> f32 {
    match recipe {
        "model-stock-rows" | "varied-model-stock" | "slices-of-model-stock" | "nuslerp-rows" => {
            5e-6
        }
        _ => TOLERANCE,
    }
}

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens/merge")
}

fn open(name: &str) -> Result<Box<dyn TensorReader>> {
    Ok(Box::new(SafetensorsReader::open(
        &goldens().join(format!("{name}.safetensors")),
    )?))
}

/// The masks that the script gave to mergekit.
struct Injected;

impl MaskSource for Injected {
    fn numbers(&self, _tensor: &str, model: usize, len: usize) -> Vec<u32> {
        let number = |index: usize| {
            (index as u64 * 2_654_435_761 + model as u64 * 40_503 + 12_345) % (1 << 32)
        };
        (0..len).map(|index| number(index) as u32).collect()
    }
}

fn run(recipe: &Recipe, masks: impl MaskSource + 'static) -> MemoryTensors {
    run_in("", recipe, masks)
}

/// The same with the parents in one folder of the goldens.
fn run_in(folder: &str, recipe: &Recipe, masks: impl MaskSource + 'static) -> MemoryTensors {
    let mut merged = MemoryTensors::default();
    Merge::open(recipe, |name| open(&format!("{folder}{name}")))
        .unwrap()
        .with_masks(masks)
        .run(
            |name, shape, values| merged.insert(name, shape.to_vec(), values),
            |_| {},
        )
        .unwrap();
    merged
}

#[test]
fn every_recipe_gives_what_mergekit_gives() {
    let (mut methods, mut wrong) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(goldens().join("recipes")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let recipe = Recipe::parse(&fs::read_to_string(&path).unwrap()).unwrap();
        let merged = run(&recipe, Injected);
        let mut expected = open(&format!("expected/{name}")).unwrap();
        let mut names = (expected.names(), merged.names());
        names.0.sort();
        names.1.sort();
        assert_eq!(names.0, names.1, "{name}");
        let mut worst = 0f32;
        for tensor in merged.names() {
            assert_eq!(
                merged.shape(&tensor),
                expected.shape(&tensor),
                "{name}: {tensor}"
            );
            let theirs = expected.read(&tensor).unwrap();
            for (ours, theirs) in merged.get(&tensor).unwrap().iter().zip(theirs) {
                let off = (ours - theirs).abs();
                worst = if off.is_nan() { off } else { worst.max(off) };
            }
        }
        println!("{name}: max abs difference {worst:e}");
        if worst.is_nan() || worst > tolerance(&name) {
            wrong.push(format!("{name}: off by {worst}"));
        }
        methods.push(recipe.method);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for method in Method::ALL {
        assert!(
            methods.contains(method),
            "no golden recipe for {}",
            method.name()
        );
    }
}

/// Parents with norms of queries and keys and a tied head, stored in bfloat16, and so the result.
#[test]
fn the_same_for_tied_models_of_another_kind_in_bfloat16() {
    let mut recipes = 0;
    for entry in fs::read_dir(goldens().join("qwen3/expected")).unwrap() {
        let name = entry.unwrap().path();
        let name = name.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(goldens().join(format!("recipes/{name}.yml"))).unwrap();
        let merged = run_in("qwen3/", &Recipe::parse(&text).unwrap(), Injected);
        let mut expected = open(&format!("qwen3/expected/{name}")).unwrap();
        assert_eq!(merged.names().len(), expected.names().len(), "{name}");
        assert_eq!(merged.shape("lm_head.weight"), None);
        let mut off = 0;
        for tensor in expected.names() {
            let theirs = expected.read(&tensor).unwrap();
            for (ours, theirs) in merged.get(&tensor).unwrap().iter().zip(theirs) {
                let ours = half::bf16::from_f32(*ours).to_f32();
                // What lies next to the middle of two numbers may be rounded to either.
                let next = theirs.abs() / 128.0 + tolerance(&name);
                off += usize::from((ours - theirs).abs() > next);
            }
        }
        // Changes of bfloat16 weights are often equally large, and which of two goes is then a matter of sorting.
        let by_size = name.starts_with("breadcrumbs") || name.starts_with("ties");
        assert!(off <= if by_size { 5 } else { 0 }, "{name}: {off} values");
        recipes += 1;
    }
    assert!(recipes >= 42, "{recipes}");
}

#[test]
fn the_golden_of_a_vote_by_count_tells_it_from_one_by_sum() {
    let text = fs::read_to_string(goldens().join("recipes/ties-count.yml")).unwrap();
    let count = run(&Recipe::parse(&text).unwrap(), Injected);
    let sum = run(
        &Recipe::parse(&text.replace("count", "sum")).unwrap(),
        Injected,
    );
    assert!(
        count
            .names()
            .iter()
            .any(|name| count.get(name) != sum.get(name))
    );
}

#[test]
fn stored_types_are_read_as_torch_reads_them() {
    let mut file = open("dtypes").unwrap();
    for dtype in ["f32", "f16", "bf16", "f64"] {
        let expected = file.read(&format!("{dtype}_as_f32")).unwrap();
        assert_eq!(file.read(dtype).unwrap(), expected, "{dtype}");
    }
}

/// Recipes for two models (`a`, `b`) and a base, by method.
fn recipe(method: Method, models: [(&str, f32); 2], density: f64) -> Recipe {
    let [a, b] = models.map(|(model, weight)| {
        let density = match method {
            Method::Ties | Method::DareTies | Method::DareLinear => format!(", density: {density}"),
            _ => String::new(),
        };
        format!("{{model: {model}, parameters: {{weight: {weight}{density}}}}}")
    });
    let base = if method == Method::Linear {
        ""
    } else {
        "base_model: base"
    };
    let method = method.name();
    Recipe::parse(&format!(
        "models: [{a}, {b}]\nmerge_method: {method}\n{base}\n"
    ))
    .unwrap()
}

fn assert_close(left: &MemoryTensors, right: &MemoryTensors, what: &str) {
    assert_eq!(left.names(), right.names());
    for name in left.names() {
        for (x, y) in left
            .get(&name)
            .unwrap()
            .iter()
            .zip(right.get(&name).unwrap())
        {
            assert!(
                (x - y).abs() <= 2.0 * TOLERANCE,
                "{what}: {name}: {x} and {y}"
            );
        }
    }
}

fn load(name: &str) -> MemoryTensors {
    let (mut file, mut model) = (open(name).unwrap(), MemoryTensors::default());
    for tensor in file.names() {
        let (shape, values) = (file.shape(&tensor).unwrap(), file.read(&tensor).unwrap());
        model.insert(tensor, shape, values).unwrap();
    }
    model
}

#[test]
fn weights_one_and_zero_give_the_first_model() {
    for method in [
        Method::Linear,
        Method::TaskArithmetic,
        Method::Ties,
        Method::DareTies,
    ] {
        let merged = run(
            &recipe(method, [("chat", 1.0), ("math", 0.0)], 1.0),
            Injected,
        );
        assert_close(&merged, &load("chat"), method.name());
    }
}

#[test]
fn the_order_of_models_does_not_matter_where_nothing_is_drawn() {
    for method in [Method::Linear, Method::TaskArithmetic, Method::Ties] {
        let one = run(
            &recipe(method, [("chat", 0.6), ("math", 0.3)], 0.5),
            Injected,
        );
        let other = run(
            &recipe(method, [("math", 0.3), ("chat", 0.6)], 0.5),
            Injected,
        );
        assert_close(&one, &other, method.name());
    }
}

#[test]
fn a_model_merged_with_itself_is_itself() {
    let chat = load("chat");
    for name in chat.names() {
        let x = chat.get(&name).unwrap();
        let merged = linear::merge(&[x, x, x], &[0.3, 0.5, 1.7], true).unwrap();
        assert!(
            merged
                .iter()
                .zip(x)
                .all(|(a, b)| (a - b).abs() <= TOLERANCE),
            "{name}"
        );
        let arc = sprat_merge::methods::slerp::merge(x, x, 0.37).unwrap();
        assert!(
            arc.iter().zip(x).all(|(a, b)| (a - b).abs() <= TOLERANCE),
            "{name}"
        );
    }
}

#[test]
fn ties_of_one_whole_model_is_task_arithmetic() {
    let text = |method: &str, more: &str| {
        Recipe::parse(&format!(
            "models: [{{model: chat, parameters: {{weight: 0.7}}}}]\nmerge_method: {method}\n\
             base_model: base\nparameters: {{{more}}}\n"
        ))
        .unwrap()
    };
    let ties = run(&text("ties", "density: 1, normalize: false"), Injected);
    assert_close(&ties, &run(&text("task_arithmetic", ""), Injected), "ties");
}

#[test]
fn dare_repeats_for_a_seed_and_differs_between_seeds() {
    let masked = |seed: u64| {
        let mut recipe = recipe(Method::DareTies, [("chat", 0.6), ("math", 0.3)], 0.5);
        recipe.seed = seed;
        let mut all = Vec::new();
        let keep = |_: &str, _: &[usize], values: Vec<f32>| {
            all.extend(values);
            Ok(())
        };
        sprat_merge::merge(&recipe, open, keep, |_| {}).unwrap();
        all
    };
    assert_eq!(masked(7), masked(7));
    assert_ne!(masked(7), masked(8));
}
