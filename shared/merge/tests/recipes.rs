//! What recipes mean, and what is said about those that are wrong.
#![allow(clippy::unwrap_used, missing_docs)]

use proptest::prelude::*;
use sprat_merge::{
    Dtype, Error, MemoryTensors, Merge, Method, Parameter, Recipe, SafetensorsReader, Setting,
    TensorReader, merge,
};

#[test]
fn the_documented_form_is_read() {
    let recipe = Recipe::parse(
        "models:
  - model: orca
    parameters:
      density: [1, 0.7, 0.1] # density gradient
      weight: 1.0
  - model: platypus
    parameters:
      density: 0.5
      weight: [0, 0.3, 0.7, 1]
  - model: wizard
    parameters:
      density: 0.33
      weight:
        - filter: mlp
          value: 0.5
        - value: 0
merge_method: ties
base_model: llama
parameters:
  normalize: true
  int8_mask: true
dtype: float16
tokenizer_source: base
",
    )
    .unwrap();
    assert_eq!(recipe.method, Method::Ties);
    assert_eq!(recipe.inputs(), ["orca", "platypus", "wizard", "llama"]);
    assert_eq!(
        (recipe.reference(), recipe.tokenizer_model()),
        ("llama", "llama")
    );
    assert_eq!(recipe.storage(), Some(Dtype::Float16));
    let wizard = &recipe.models[2].parameters;
    assert_eq!(wizard[&Parameter::Density], Setting::Number(0.33));
    assert_eq!(
        wizard[&Parameter::Weight].at("model.layers.0.mlp.w", 0.0),
        Some(0.5)
    );
    assert_eq!(
        wizard[&Parameter::Weight].at("model.norm.w", 0.0),
        Some(0.0)
    );
    assert_eq!(
        recipe.parameters[&Parameter::Normalize],
        Setting::Number(1.0)
    );
}

/// A recipe, the line that is wrong in it (0 if none can be told), and a part of the message.
const WRONG: &[(&str, usize, &str)] = &[
    ("", 0, "recipe"),
    ("models: [", 0, ""),
    ("just text", 0, "recipe"),
    ("models: []\nmerge_method: linear", 0, "no models"),
    ("models:\n- model: a\n", 0, "`merge_method`"),
    ("merge_method: linear\n", 0, "`models`"),
    (
        "models:\n- model: a\nmerge_method: blend\n",
        3,
        "unknown merge method `blend`",
    ),
    (
        "models:\n- model: a\nmerge_method: linear\nmerge: 1\n",
        4,
        "unknown key `merge`",
    ),
    ("merge_method: linear\nmerge_method: linear\n", 2, "twice"),
    (
        "merge_method: linear\nslices:\n- sources: []\n",
        0,
        "slice 1: it has no sources",
    ),
    (
        "models:\n- model: a\nmerge_method: linear\nchat_template: alpaca\n",
        4,
        "`auto`, or the template itself",
    ),
    ("merge_method: linear\nslices: []\n", 0, "`slices` is empty"),
    (
        "merge_method: linear\nmodels: [{model: a}]\nslices:\n- sources: [{model: a, layer_range: [0, 1]}]\n",
        0,
        "one of `models`, `slices` and `modules`",
    ),
    (
        "merge_method: linear\nmodules:\n  text: {models: [{model: a}]}\n  vision: {models: [{model: a}]}\n",
        0,
        "a second module, `vision`",
    ),
    ("merge_method: linear\nmodules: {}\n", 0, "names no module"),
    (
        "merge_method: linear\nmodules: {text: {}}\n",
        0,
        "one of `models` and `slices`",
    ),
    (
        "merge_method: passthrough\nslices:\n- sources:\n  - model: a\n",
        4,
        "no `layer_range`",
    ),
    (
        "merge_method: passthrough\nslices:\n- sources:\n  - {model: a, layer_range: [1, 1]}\n",
        0,
        "slice 1: `layer_range: [1, 1]` of `a` has no layers",
    ),
    (
        "merge_method: linear\nslices:\n- sources:\n  - {model: a, layer_range: [0, 2]}\n  - {model: b, layer_range: [0, 1]}\n",
        0,
        "2 layers of `a` but 1 of `b`",
    ),
    (
        "merge_method: passthrough\nslices:\n- sources: [{model: a, layer_range: [0, 1]}, {model: b, layer_range: [0, 1]}]\n",
        0,
        "slice 1: needs one model",
    ),
    (
        "merge_method: slerp\nbase_model: c\nslices:\n- sources: [{model: a, layer_range: [0, 1]}, {model: b, layer_range: [0, 1]}]\n",
        0,
        "slice 1: `base_model` is missing",
    ),
    (
        "models:\n- model: a\n  weight: 1\n",
        3,
        "unknown key `weight` in a model",
    ),
    (
        "models:\n- model: a\n  parameters:\n    weigth: 1\n",
        4,
        "unknown key `weigth`",
    ),
    (
        "models:\n- model: a\n  parameters:\n    lambda: 1\n",
        4,
        "`lambda` in a model's",
    ),
    (
        "models:\n- model: a\n  parameters:\n    weight: heavy\n",
        4,
        "`heavy`",
    ),
    (
        "models:\n- model: a\n  parameters:\n    weight: .nan\n",
        4,
        "NaN",
    ),
    (
        "models:\n- model: a\n  parameters:\n    weight: 1.0e+300\n",
        4,
        "`weight`",
    ),
    (
        "models:\n- model: a\n  parameters:\n    weight: []\n",
        4,
        "empty",
    ),
    (
        "models:\n- model: a\n  parameters:\n    weight:\n    - 1\n    - value: 2\n",
        5,
        "mixes",
    ),
    (
        "models:\n- model: a\n  parameters:\n    weight:\n    - filter: mlp\n",
        5,
        "no `value`",
    ),
    (
        "models:\n- model: a\n  parameters:\n    weight:\n    - filtr: mlp\n",
        5,
        "`filtr`",
    ),
    ("models:\n- model: ''\n", 2, "empty"),
    (
        "models:\n- model: a\n- model: a\nmerge_method: linear\n",
        0,
        "listed twice",
    ),
    (
        "models:\n- model: a\nmerge_method: ties\n",
        0,
        "`base_model` is missing",
    ),
    (
        "models:\n- model: a\nmerge_method: ties\nbase_model: a\n",
        0,
        "beside the base",
    ),
    (
        "models:\n- model: a\nmerge_method: slerp\nbase_model: a\n",
        0,
        "one other",
    ),
    (
        "models:\n- model: a\n- model: b\nmerge_method: passthrough\n",
        0,
        "needs one model",
    ),
    (
        "models:\n- model: a\nmerge_method: model_stock\nbase_model: b\n",
        0,
        "needs 2 models beside the base, not 1",
    ),
    (
        "models:\n- model: a\n- model: b\n- model: c\nmerge_method: nuslerp\n",
        0,
        "needs 2 models beside the base, not 3",
    ),
    (
        "models:\n- model: a\nmerge_method: linear\ncompat: none\n",
        4,
        "`compat` is `mergekit`",
    ),
    (
        "models:\n- model: a\nmerge_method: linear\ndtype: int4\n",
        4,
        "unknown dtype `int4`",
    ),
    (
        "models:\n- model: a\nmerge_method: linear\ntokenizer_source: union\ntokenizer: {}\n",
        0,
        "both `tokenizer_source` and `tokenizer`",
    ),
    (
        "models:\n- model: a\nmerge_method: linear\ntokenizer: {pad_to_multiple_of: 0}\n",
        4,
        "`pad_to_multiple_of` is 0",
    ),
    (
        "models:\n- model: a\nmerge_method: linear\ntokenizer:\n  tokens:\n    x: {source: {kind: none}}\n",
        6,
        "`kind` is `zero` or `model_token`",
    ),
    (
        "models:\n- model: a\nmerge_method: linear\ntokenizer:\n  tokens:\n    x: {force: true}\n",
        6,
        "`force` without a `source`",
    ),
    (
        "models:\n- model: a\nmerge_method: linear\ntokenizer: {tokens: {x: {source: b}}}\n",
        0,
        "none of the models",
    ),
    (
        "models:\n- model: a\nmerge_method: linear\ntokenizer_source: b\n",
        0,
        "none of the models",
    ),
    (
        "models:\n- model: a\nmerge_method: linear\nseed: -1\n",
        4,
        "",
    ),
    (
        "models:\n- model: a\nmerge_method: linear\n---\nmodels: []\n",
        0,
        "document",
    ),
];

#[test]
fn a_wrong_recipe_is_told_where_and_why() {
    for (yaml, wrong_line, part) in WRONG {
        let error = Recipe::parse(yaml).unwrap_err();
        let line = match &error {
            Error::Recipe { line, .. } => *line,
            _ => None,
        };
        let message = error.to_string();
        assert!(message.contains(part), "{yaml:?}: {message}");
        if *wrong_line > 0 {
            assert_eq!(line, Some(*wrong_line), "{yaml:?}: {message}");
        }
    }
}

/// A model of so many layers.
fn layers(count: usize) -> Box<dyn TensorReader> {
    let mut model = MemoryTensors::default();
    for layer in 0..count {
        let name = format!("model.layers.{layer}.w");
        model.insert(name, vec![1], vec![layer as f32]).unwrap();
    }
    model
        .insert("model.embed_tokens.weight", vec![1], vec![9.0])
        .unwrap();
    Box::new(model)
}

#[test]
fn slices_that_do_not_fit_their_models_are_named() {
    let slices = |ranges: &str| {
        let yaml = format!("{{merge_method: passthrough, slices: [{ranges}]}}");
        let recipe = Recipe::parse(&yaml).unwrap();
        assert_eq!(Recipe::parse(&recipe.to_string()).unwrap(), recipe);
        let mut merged = Vec::new();
        let sink = |name: &str, _: &[usize], values: Vec<f32>| {
            merged.push((name.to_owned(), values[0]));
            Ok(())
        };
        merge(&recipe, |_| Ok(layers(3)), sink, |_| {}).map(|_| merged)
    };
    let slice = |start, end| format!("{{sources: [{{model: a, layer_range: [{start}, {end}]}}]}}");
    let twice = slices(&format!("{}, {}", slice(1, 3), slice(0, 1))).unwrap();
    let expected = [
        ("model.embed_tokens.weight", 9.0),
        ("model.layers.0.w", 1.0),
        ("model.layers.1.w", 2.0),
        ("model.layers.2.w", 0.0),
    ];
    assert_eq!(
        twice,
        expected.map(|(name, value)| (name.to_owned(), value))
    );
    let error = slices(&slice(1, 4)).unwrap_err().to_string();
    assert!(
        error.contains("slice 1") && error.contains("which has 3 layers"),
        "{error}"
    );
}

fn model(values: &[f32]) -> Box<dyn TensorReader> {
    let mut model = MemoryTensors::default();
    model
        .insert("w", vec![values.len()], values.to_vec())
        .unwrap();
    Box::new(model)
}

const TWO: &str =
    "{models: [{model: a}, {model: b}], merge_method: linear, parameters: {weight: 1}}";

#[test]
fn broken_weights_are_named() {
    let recipe = Recipe::parse(TWO).unwrap();
    let open = |name: &str| {
        Ok(model(if name == "a" {
            &[1.0, 2.0]
        } else {
            &[1.0, f32::NAN]
        }))
    };
    let error = merge(&recipe, open, |_, _, _| Ok(()), |_| {}).unwrap_err();
    assert_eq!(
        error.to_string(),
        "tensor `w` of model `b` holds NaN at element 1"
    );
}

#[test]
fn a_result_that_overflows_is_named() {
    let recipe = Recipe::parse(TWO).unwrap();
    let open = |_: &str| Ok(model(&[f32::MAX]));
    let error = merge(&recipe, open, |_, _, _| Ok(()), |_| {})
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("merging `w` gives inf at element 0"),
        "{error}"
    );
}

#[test]
fn a_sink_can_refuse_and_progress_counts() {
    let recipe = Recipe::parse(TWO).unwrap();
    let mut merge = Merge::open(&recipe, |_| Ok(model(&[1.0, 2.0]))).unwrap();
    let mut seen = Vec::new();
    let report = merge
        .run(
            |_, _, _| Ok(()),
            |p| seen.push((p.tensors, p.total_tensors, p.elements)),
        )
        .unwrap();
    assert_eq!(seen, [(1, 1, 2)]);
    assert_eq!(
        (report.tensors, report.elements, report.models.len()),
        (1, 2, 2)
    );
    let full = |name: &str, _: &[usize], _| Err(Error::sink(name, "the disk is full"));
    let error = merge.run(full, |_| {}).unwrap_err().to_string();
    assert_eq!(error, "storing merged tensor `w`: the disk is full");
}

fn yaml_like() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-z_]{1,8}",
        "(models|model|parameters|weight|density|filter|value|merge_method|ties|linear|seed)",
        "[-:,{}\\[\\]&*!|>#'\" \n0-9.]{1,4}",
        "(: |\n- |\n  |\n    )",
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_a_recipe_or_an_error(text in any::<String>()) {
        let _ = Recipe::parse(&text);
    }

    #[test]
    fn anything_like_a_recipe_is_one_or_an_error(text in yaml_like()) {
        let _ = Recipe::parse(&text);
    }

    #[test]
    fn any_bytes_are_safetensors_or_an_error(
        length in 0u64..200,
        header in "\\{(\"[a-z]\":\\{\"dtype\":\"(F32|BF16|I8|X)\",\"shape\":\\[[0-9]{0,20}\\],\
                   \"data_offsets\":\\[[0-9]{1,20},[0-9]{1,20}\\]\\},?){0,2}\\}",
        tail in prop::collection::vec(any::<u8>(), 0..64),
        honest in any::<bool>(),
    ) {
        let length = if honest { header.len() as u64 } else { length };
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.extend(header.bytes());
        bytes.extend(&tail);
        if let Ok(mut reader) = SafetensorsReader::from_bytes(bytes, "test") {
            for name in reader.names() {
                let _ = reader.read(&name);
            }
        }
        let _ = SafetensorsReader::from_bytes(tail, "test");
    }
}
