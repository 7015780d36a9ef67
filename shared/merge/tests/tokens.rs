//! Models of different vocabularies against mergekit's own answers, made by `tests/goldens/merge/tokens/make.py`.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::{Value, json};
use sprat_merge::{
    MemoryTensors, Merge, ModelFolder, Recipe, Result, TensorReader, Tokenizer, Unified, unify,
};

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens/merge/tokens")
}

fn tokenizer(model: &str) -> Tokenizer {
    let bytes = fs::read(goldens().join(model).join("tokenizer.json")).unwrap();
    Tokenizer::parse(model, &bytes).unwrap()
}

fn unified(recipe: &Recipe) -> Result<Unified> {
    let open = |model: &str| -> (Tokenizer, Box<dyn TensorReader>) {
        let weights = ModelFolder::open(&goldens().join(model)).unwrap();
        (tokenizer(model), Box::new(weights))
    };
    let models = recipe.inputs().into_iter().map(open).collect();
    unify(recipe, recipe.tokenizer.as_ref().unwrap(), models)
}

fn merged(recipe: &Recipe, readers: Vec<Box<dyn TensorReader>>) -> MemoryTensors {
    let mut readers = readers.into_iter();
    let mut merged = MemoryTensors::default();
    Merge::open(recipe, |_| Ok(readers.next().unwrap()))
        .unwrap()
        .run(
            |name, shape, values| merged.insert(name, shape.to_vec(), values),
            |_| {},
        )
        .unwrap();
    merged
}

fn yaml(text: &str) -> Recipe {
    Recipe::parse(text).unwrap()
}

#[test]
fn every_recipe_gives_what_mergekit_gives() {
    let mut recipes = 0;
    for entry in fs::read_dir(goldens().join("recipes")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let recipe = yaml(&fs::read_to_string(&path).unwrap());
        let Unified {
            readers,
            tokenizer,
            rows,
        } = unified(&recipe).unwrap();
        let expected = goldens().join("expected").join(&name);
        let vocabulary: BTreeMap<String, usize> =
            serde_json::from_slice(&fs::read(expected.join("vocabulary.json")).unwrap()).unwrap();
        let tokens = tokenizer.tokens().into_iter();
        let ours: BTreeMap<String, usize> = tokens.map(|(id, token)| (token.into(), id)).collect();
        // Whose added tokens come first is chance in mergekit, and without a base also whose tokens do. Ours are in the
        // models' order.
        assert!(ours.keys().eq(vocabulary.keys()), "{name}");
        let place = |row: usize| {
            let token = ours.iter().find(|(_, id)| **id == row);
            token.map_or(row, |(token, _)| vocabulary[token])
        };
        // What is written reads as what it was.
        let again = Tokenizer::parse(&name, &tokenizer.to_json()).unwrap();
        assert_eq!(again.tokens(), tokenizer.tokens());

        let merged = merged(&recipe, readers);
        let mut expected = ModelFolder::open(&expected).unwrap();
        assert_eq!(merged.shape("lm_head.weight").unwrap()[0], rows);
        for tensor in expected.names() {
            assert_eq!(
                merged.shape(&tensor),
                expected.shape(&tensor),
                "{name}: {tensor}"
            );
            let theirs = expected.read(&tensor).unwrap();
            let of_tokens = tensor.contains("embed") || tensor.contains("head");
            for (at, ours) in merged.get(&tensor).unwrap().iter().enumerate() {
                let row = at / 4;
                let row = if of_tokens { place(row) } else { row };
                let theirs = theirs[row * 4 + at % 4];
                assert!(
                    (ours - theirs).abs() <= 1e-6,
                    "{name}: {tensor}: {ours} {theirs}"
                );
            }
        }
        recipes += 1;
    }
    assert_eq!(recipes, 7);
}

#[test]
fn tokens_of_others_can_come_out_of_a_text() {
    let union = tokenizer("base")
        .united(&[tokenizer("left"), tokenizer("right")])
        .unwrap();
    let json: Value = serde_json::from_slice(&union.to_json()).unwrap();
    assert_eq!(
        json["model"]["merges"],
        json!([["a", "b"], ["c", "d"], ["b", "c"]])
    );
    let added: Vec<&str> = json["added_tokens"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t["content"].as_str().unwrap())
        .collect();
    assert_eq!(added, ["<s>", "</s>", "<x>", "<y>"]);
}

#[test]
fn numbers_in_configs_follow_their_tokens() {
    let config = json!({"bos_token_id": 6, "eos_token_id": [7, 8], "pad_token_id": null, "unk_token_id": 99, "vocab_size": 9});
    let mut config = config.as_object().unwrap().clone();
    tokenizer("base").renumber(&mut config, &tokenizer("right"));
    let expected =
        json!({"bos_token_id": 5, "eos_token_id": [6], "pad_token_id": null, "vocab_size": 9});
    assert_eq!(Value::from(config), expected);
}

#[test]
fn what_cannot_be_brought_together_is_told() {
    let of = |tokenizer: &str| {
        let models = "models: [{model: left, parameters: {weight: 1}}, {model: right, parameters: {weight: 1}}]";
        let recipe = yaml(&format!(
            "{{{models}, merge_method: linear, tokenizer: {tokenizer}}}"
        ));
        unified(&recipe).map(|_| ()).unwrap_err().to_string()
    };
    let unknown = of("{source: union, tokens: {zzz: {source: left}}}");
    assert!(unknown.contains("\"zzz\""), "{unknown}");
    for source in [
        "left",
        "{kind: model_token, model: right, token: <x>}",
        "{kind: model_token, model: right, token_id: 9}",
    ] {
        let lacks = of(&format!(
            "{{source: union, tokens: {{<y>: {{source: {source}}}}}}}"
        ));
        assert!(lacks.contains("\"<y>\""), "{lacks}");
    }
    let kind = |model: &str, json: &Value| Tokenizer::parse(model, json.to_string().as_bytes());
    let unigram = kind(
        "u",
        &json!({"model": {"type": "Unigram", "vocab": [["a", -1.0]]}}),
    )
    .unwrap();
    let more = kind(
        "v",
        &json!({"model": {"type": "Unigram", "vocab": [["a", -1.0], ["b", -2.0]]}}),
    )
    .unwrap();
    let kinds = tokenizer("base")
        .united(std::slice::from_ref(&unigram))
        .unwrap_err()
        .to_string();
    assert!(
        kinds.contains("BPE") && kinds.contains("Unigram"),
        "{kinds}"
    );
    assert!(
        unigram
            .united(std::slice::from_ref(&more))
            .unwrap_err()
            .to_string()
            .contains("\"b\"")
    );
    assert_eq!(more.united(&[unigram]).unwrap().tokens().len(), 2);
    for broken in [
        json!({}),
        json!({"model": {"vocab": {"a": -1}}}),
        json!({"model": {"vocab": {"a": 1, "b": 1}}}),
        json!({"model": {"vocab": {"a": u64::MAX}}}),
    ] {
        assert!(kind("m", &broken).is_err(), "{broken}");
    }
    // Without a word about tokenizers, other vocabularies are other shapes.
    let recipe = yaml(
        "{models: [{model: left, parameters: {weight: 1}}, {model: base, parameters: {weight: 1}}], merge_method: linear}",
    );
    let open = |model: &str| -> Result<Box<dyn TensorReader>> {
        Ok(Box::new(ModelFolder::open(&goldens().join(model))?))
    };
    let refused = Merge::open(&recipe, open)
        .map(|_| ())
        .unwrap_err()
        .to_string();
    assert!(refused.contains("tokenizer_source"), "{refused}");
}

proptest! {
    /// Whatever a file holds: no panic, and no token without a number of its own.
    #[test]
    fn any_two_tokenizers_unite_or_are_refused(
        one in proptest::collection::btree_map("[ab<>]{0,2}", 0usize..9, 0..6),
        other in proptest::collection::btree_map("[ab<>]{0,2}", 0usize..9, 0..6),
        special in proptest::collection::vec(("[ab<>]{1,2}", 0usize..12), 0..3),
    ) {
        let make = |vocab: &BTreeMap<String, usize>, added: &[(String, usize)]| {
            let added: Vec<Value> = added.iter().map(|(content, id)| json!({"content": content, "id": id})).collect();
            let json = json!({"model": {"type": "BPE", "vocab": vocab, "merges": ["a b", ["b", "a"]]}, "added_tokens": added});
            Tokenizer::parse("m", json.to_string().as_bytes())
        };
        if let (Ok(one), Ok(other)) = (make(&one, &[]), make(&other, &special)) {
            let union = one.united(std::slice::from_ref(&other)).unwrap();
            let again = Tokenizer::parse("m", &union.to_json()).unwrap();
            prop_assert_eq!(again.tokens(), union.tokens());
            for (id, token) in one.tokens() {
                prop_assert_eq!(union.id(token), Some(id));
            }
            for token in other.tokens().values() {
                prop_assert!(union.id(token).is_some());
            }
        }
    }
}
