//! Searches of ways through layers.

use std::fs;
use std::path::{Path, PathBuf};

use sprat_model::Device;

use super::{evolve, family, job};
use crate::Result;
use crate::evolve::{Report, job::Job};

const FLOW: &str = "\n[flow]\nrepetitions = 2\nscales = [0.5, 1.5]\nsearch = { generations = 3, population = 4 }\n";

/// A job and all ways through the layers of its base and of one parent.
fn ways(
    dir: &Path,
) -> (
    Job,
    crate::evolve::parents::Parents,
    crate::evolve::flow::Ways,
) {
    let job = job(FLOW);
    let resolve = |path: &Path| -> Result<PathBuf> { Ok(dir.join(path)) };
    let parents = crate::evolve::parents::Parents::read(&job, &resolve).unwrap();
    let pool = parents.models()[..2].to_vec();
    let ways =
        crate::evolve::flow::Ways::new(job.flow.as_ref().unwrap(), pool, parents.config()).unwrap();
    (job, parents, ways)
}

#[test]
fn the_first_way_is_the_first_model_bit_for_bit() {
    let dir = family();
    let (_, parents, ways) = ways(dir.path());
    // Two models of two layers, twice: 8 hops, each with a scale.
    assert_eq!(ways.len(), 16);
    let way = ways.way(&ways.first()).unwrap().unwrap();
    assert_eq!(way.config, *parents.config());
    let base = &parents.models()[0].1;
    assert_eq!(way.weights.iter().count(), base.iter().count());
    for (name, shape, values) in base.iter() {
        let found = way
            .weights
            .iter()
            .find(|(other, ..)| *other == name)
            .unwrap();
        assert_eq!((found.1, found.2), (shape, values), "{name}");
    }
}

#[test]
fn a_way_has_each_layer_once_and_every_hop() {
    let dir = family();
    let (_, parents, ways) = ways(dir.path());
    // In: layer 1 of the second model, then layer 0 of the first and layer 1 of the second again.
    let mut point = vec![0.0; 16];
    for hop in [3, 4, 7] {
        point[hop] = 1.0;
        point[8 + hop] = 0.5;
    }
    point[8 + 4] = 1.0;
    let way = ways.way(&point).unwrap().unwrap();
    assert_eq!(way.hops, [(1, 1, 1.0), (0, 0, 1.5), (1, 1, 1.0)]);
    assert_eq!(way.config.num_hidden_layers(), 2);
    let hops: Vec<(usize, f32)> = way
        .config
        .hops
        .iter()
        .map(|hop| (hop.layer, hop.scale))
        .collect();
    assert_eq!(hops, [(1, 1.0), (0, 1.5), (1, 1.0)]);
    let of = |weights: &crate::evolve::parents::Weights, name: &str| {
        let found = weights.iter().find(|(other, ..)| *other == name);
        found.unwrap().2.to_vec()
    };
    let name = |layer: usize| format!("model.layers.{layer}.mlp.up_proj.weight");
    assert_eq!(
        of(&way.weights, &name(1)),
        of(&parents.models()[1].1, &name(1))
    );
    assert_eq!(
        of(&way.weights, &name(0)),
        of(&parents.models()[0].1, &name(0))
    );
    assert!(ways.way(&[0.0; 16]).unwrap().is_none());
}

#[test]
fn recipes_then_ways_in_one_run_which_goes_on_where_it_was_stopped() {
    let dir = family();
    let whole = evolve(job(FLOW), dir.path(), "whole", false, false)
        .unwrap()
        .unwrap();
    assert_eq!(whole.generations.len(), 7);
    assert!(!whole.way.is_empty());
    assert!(whole.recipe.is_some() && whole.models[1].name == "before the search of ways");
    let out = dir.path().join("whole");
    assert!(
        fs::read_to_string(out.join("report.html"))
            .unwrap()
            .contains("Way through the layers")
    );
    // The winner runs like any other model.
    let load = crate::eval::load::model;
    let model = load(
        &out.join("model"),
        sprat_model::Storage::F32,
        &Device::flex(),
    )
    .unwrap();
    assert_eq!(model.config().hops.len(), whole.way.len());

    let history = fs::read_to_string(out.join("history.jsonl")).unwrap();
    let cut = history.match_indices('\n').nth(5).unwrap().0 + 1;
    fs::create_dir_all(dir.path().join("parts")).unwrap();
    fs::write(dir.path().join("parts/history.jsonl"), &history[..cut]).unwrap();
    let parts = evolve(job(FLOW), dir.path(), "parts", true, false)
        .unwrap()
        .unwrap();
    let hops = |report: &Report| -> Vec<(usize, f32)> {
        report
            .way
            .iter()
            .map(|hop| (hop.layer, hop.scale))
            .collect()
    };
    assert_eq!(hops(&parts), hops(&whole));
}

#[test]
fn searches_of_ways_that_make_no_sense_are_refused() {
    let cases = [
        ("repetitions = 0", "1 or more"),
        ("scales = [1.0, 2.0]", "no 1 between"),
        ("search = { algorithm = 'niches' }", "no ways"),
        ("search = { population = 1 }", "below 3"),
        ("parents = ['elsewhere']", "none of models.parents"),
    ];
    for (line, words) in cases {
        let error = job(&format!("\n[flow]\n{line}\n"))
            .check()
            .unwrap_err()
            .to_string();
        assert!(error.contains(words), "{error} lacks {words:?}");
    }
}
