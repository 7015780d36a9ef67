//! The searches: CMA-ES against pycma, and what holds for all of them.
#![cfg(feature = "evolve")]
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde::Deserialize;
use sprat_merge::Error;
use sprat_merge::evolve::{
    Bounds, CmaEs, Genetic, Niches, NichesOptions, Optimizer, Random, Restarts, Shape, Start, Stop,
    slerp_split,
};

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
    bounds: Vec<[f64; 4]>,
}

#[derive(Deserialize)]
struct Case {
    function: String,
    dimension: usize,
    diagonal: bool,
    population: usize,
    /// The mean, then the step size, then the lowest cost.
    generations: Vec<Vec<f64>>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../../../tests/goldens/evolve/cmaes.json")).unwrap()
}

fn sphere(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum()
}

fn rosenbrock(x: &[f64]) -> f64 {
    let of = |pair: &[f64]| 100.0 * (pair[1] - pair[0].powi(2)).powi(2) + (1.0 - pair[0]).powi(2);
    x.windows(2).map(of).sum()
}

fn ellipsoid(x: &[f64]) -> f64 {
    let last = (x.len() - 1) as f64;
    let of = |(i, x): (usize, &f64)| 10f64.powf(6.0 * i as f64 / last) * x * x;
    x.iter().enumerate().map(of).sum()
}

/// The numbers of the script that made the golden file.
fn numbers() -> impl FnMut() -> f64 + Send + 'static {
    let mut state: u64 = 7;
    let mut even = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / 2f64.powi(53)
    };
    move || (0..12).map(|_| even()).sum::<f64>() - 6.0
}

#[test]
fn cma_es_goes_where_pycma_goes() {
    for case in golden().cases {
        let (n, name) = (case.dimension, &*case.function);
        let cost = match name {
            "sphere" => sphere,
            "rosenbrock" => rosenbrock,
            _ => ellipsoid,
        };
        let start = Start {
            population: Some(case.population),
            shape: if case.diagonal {
                Shape::Diagonal
            } else {
                Shape::Full
            },
            ..Start::new(vec![0.5; n], 1.0 / 6.0, 0)
        };
        let mut search = CmaEs::with_normals(start, numbers()).unwrap();
        assert_eq!(case.generations.len(), 50);
        for (i, expected) in case.generations.iter().enumerate() {
            let costs: Vec<f64> = search.ask().iter().map(|x| cost(x)).collect();
            let best = costs.iter().copied().fold(f64::INFINITY, f64::min);
            search.tell(&costs).unwrap();
            let actual = [search.mean(), vec![search.sigma(), best]].concat();
            for (a, e) in actual.iter().zip(expected) {
                let off = (a - e).abs() / e.abs().max(1e-3);
                assert!(
                    off < 1e-10,
                    "{name} {n} (diagonal {}), generation {i}: {a} for {e}",
                    case.diagonal
                );
            }
        }
    }
}

#[test]
fn the_default_population_is_pycmas() {
    let of = |n: usize| {
        CmaEs::new(Start::new(vec![0.0; n], 1.0, 0))
            .unwrap()
            .population()
    };
    assert_eq!([1, 2, 6, 40].map(of), [4, 6, 9, 15]);
}

#[test]
fn bounds_are_pycmas() {
    for [low, high, x, expected] in golden().bounds {
        let bounds = Bounds::cube(1, low, high).unwrap();
        let y = bounds.into_box(&[x])[0];
        assert!(
            (y - expected).abs() < 1e-12 * (1.0 + high.abs()),
            "{low} {high} {x}: {y} {expected}"
        );
    }
}

/// Generations until the cost is below `goal`, at most `most`.
fn solve(search: &mut dyn Optimizer, cost: fn(&[f64]) -> f64, goal: f64, most: usize) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..most {
        let costs: Vec<f64> = search.ask().iter().map(|x| cost(x)).collect();
        best = costs.iter().copied().fold(best, f64::min);
        if best < goal || search.is_done() {
            break;
        }
        search.tell(&costs).unwrap();
    }
    best
}

#[test]
fn an_optimum_on_an_edge_of_the_box_is_found() {
    // The best point of the box is (0, .., 0), a corner.
    let mut search = CmaEs::new(Start::unit_cube(5, 3)).unwrap();
    let points = search.ask();
    assert!(points.iter().flatten().all(|x| (0.0..=1.0).contains(x)));
    assert!(solve(&mut search, |x| x.iter().sum(), 1e-6, 400) < 1e-6);
}

#[test]
fn a_rugged_function_needs_restarts() {
    // Rastrigin's function: many local optima.
    fn rugged(x: &[f64]) -> f64 {
        let of = |x: &f64| {
            let x = 10.0 * (x - 0.3);
            x * x + 10.0 * (1.0 - (std::f64::consts::TAU * x).cos())
        };
        x.iter().map(of).sum()
    }
    let mut search = Restarts::new(Start::unit_cube(4, 1)).unwrap();
    assert!(solve(&mut search, rugged, 1e-6, 3000) < 1e-6);
    assert!(search.restarts() > 0);
}

#[test]
fn plain_searches_find_what_is_easy() {
    let bounds = || Bounds::cube(3, -1.0, 1.0).unwrap();
    let random = solve(&mut Random::new(bounds(), 20, 1), sphere, 0.0, 50);
    let genetic = solve(&mut Genetic::new(bounds(), 20, 1), sphere, 0.0, 50);
    let cma = solve(
        &mut CmaEs::new(Start::new(vec![0.5; 3], 0.3, 1)).unwrap(),
        sphere,
        0.0,
        50,
    );
    assert!(
        random < 0.2 && genetic < random && cma < genetic,
        "{random} {genetic} {cma}"
    );
}

#[test]
fn a_search_ends_where_nothing_changes() {
    let mut flat = CmaEs::new(Start::unit_cube(3, 1)).unwrap();
    solve(&mut flat, |_| 1.0, 0.0, 1000);
    assert_eq!(flat.stop(), Some(Stop::Flat));
    let mut sharp = CmaEs::new(Start::new(vec![1.0; 3], 1.0, 1)).unwrap();
    solve(&mut sharp, sphere, 0.0, 2000);
    assert_eq!(sharp.stop(), Some(Stop::SmallSteps));
}

fn fails(result: Result<impl Sized, Error>) -> String {
    match result {
        Err(error @ Error::Search { .. }) => error.to_string(),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it did not fail"),
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    assert!(fails(CmaEs::new(Start::new(vec![], 1.0, 0))).contains("[]"));
    assert!(fails(CmaEs::new(Start::new(vec![f64::NAN], 1.0, 0))).contains("NaN"));
    assert!(fails(CmaEs::new(Start::new(vec![0.0], 0.0, 0))).contains("not positive"));
    let few = Start {
        population: Some(2),
        ..Start::new(vec![0.0], 1.0, 0)
    };
    assert!(fails(CmaEs::new(few)).contains("too few"));
    let other = Start {
        bounds: Bounds::cube(2, 0.0, 1.0),
        ..Start::new(vec![0.0], 1.0, 0)
    };
    assert!(fails(CmaEs::new(other)).contains("dimension 1"));

    let mut search = CmaEs::new(Start::unit_cube(2, 0)).unwrap();
    let n = search.ask().len();
    assert!(fails(search.tell(&[1.0])).contains("1 costs"));
    assert!(fails(search.tell(&vec![f64::NAN; n])).contains("no point"));
    // One that fails is the worst; the generation is still the same.
    let asked = search.ask();
    let mut costs: Vec<f64> = asked.iter().map(|x| sphere(x)).collect();
    costs[0] = f64::NAN;
    search.tell(&costs).unwrap();
    assert!(search.mean().iter().all(|x| x.is_finite()));
}

proptest! {
    /// What the same seed and the same costs give is the same; ask gives the same until tell.
    #[test]
    fn searches_repeat(seed: u64, n in 1usize..5) {
        let bounds = Bounds::cube(n, 0.0, 1.0).unwrap();
        let make = || -> Vec<Box<dyn Optimizer>> {
            vec![
                Box::new(Restarts::new(Start::unit_cube(n, seed)).unwrap()),
                Box::new(Genetic::new(bounds.clone(), 6, seed)),
                Box::new(Random::new(bounds.clone(), 6, seed)),
            ]
        };
        for (mut a, mut b) in make().into_iter().zip(make()) {
            for _ in 0..5 {
                let points = a.ask();
                prop_assert_eq!(&points, &a.ask());
                prop_assert_eq!(&points, &b.ask());
                prop_assert!(points.iter().flatten().all(|x| (0.0..=1.0).contains(x)));
                let costs: Vec<f64> = points.iter().map(|x| sphere(x)).collect();
                a.tell(&costs).unwrap();
                b.tell(&costs).unwrap();
            }
        }
    }

    /// Turning nowhere gives the parents, and every mix has a length between theirs where they are at right angles.
    #[test]
    fn a_turn_of_nothing_is_a_parent(
        a in proptest::collection::vec(-2.0f32..2.0, 6), b in proptest::collection::vec(-2.0f32..2.0, 6),
        split in 0usize..7,
    ) {
        let child = slerp_split(&a, &b, split, 0.0);
        let expected: Vec<f32> = (0..6).map(|i| if i < split { a[i] } else { b[i] }).collect();
        for (c, e) in child.iter().zip(&expected) {
            prop_assert!((c - e).abs() < 1e-4, "{child:?} {expected:?}");
        }
    }
}

#[test]
fn a_straight_line_where_there_is_no_angle() {
    assert_eq!(slerp_split(&[1.0, 2.0], &[2.0, 4.0], 2, 0.25), [1.25, 2.5]);
    assert_eq!(slerp_split(&[0.0, 0.0], &[0.0, 2.0], 1, 0.5), [0.0, 1.0]);
    let quarter = slerp_split(&[1.0, 0.0], &[0.0, 1.0], 2, 0.5);
    assert!((quarter[0] - 0.5f32.sqrt()).abs() < 1e-6 && quarter[0] == quarter[1]);
}

fn niches(population: usize, models: &[(f32, &[f32])]) -> Niches {
    let options = NichesOptions {
        population,
        ..NichesOptions::new(1)
    };
    let models = models.iter().map(|(w, s)| (vec![*w, 1.0], s.to_vec()));
    Niches::new(options, models.collect()).unwrap()
}

#[test]
fn who_is_right_alone_lives_on() {
    // Three models know the first two points, one knows only the third. A fourth of the many arrives.
    let many: &[f32] = &[1.0, 1.0, 0.0];
    let alone: &[f32] = &[0.0, 0.0, 1.0];
    let mut archive = niches(4, &[(1.0, many), (2.0, many), (3.0, many), (4.0, alone)]);
    assert!(archive.tell(vec![5.0, 1.0], many.to_vec()).unwrap());
    let kept: Vec<f32> = archive.models().map(|(w, _)| w[0]).collect();
    assert_eq!(kept, [5.0, 2.0, 3.0, 4.0], "the oldest of the crowd goes");
    // Without sharing the one that knows least goes.
    let options = NichesOptions {
        population: 2,
        alpha: 0.0,
        ..NichesOptions::new(1)
    };
    let models = vec![(vec![1.0], many.to_vec()), (vec![4.0], alone.to_vec())];
    let mut plain = Niches::new(options, models).unwrap();
    assert!(plain.tell(vec![5.0], many.to_vec()).unwrap());
    assert_eq!(
        plain.models().map(|(w, _)| w[0]).collect::<Vec<_>>(),
        [1.0, 5.0]
    );
    // What is worse than all is not taken.
    assert!(!plain.tell(vec![6.0], vec![0.0, 0.0, 0.5]).unwrap());
    assert_eq!(plain.best().0, [1.0]);
}

#[test]
fn the_matchmaker_finds_who_is_better_elsewhere() {
    let [left, right]: [&[f32]; 2] = [&[1.0, 1.0, 0.0], &[0.0, 0.0, 1.0]];
    let mut archive = niches(3, &[(1.0, left), (2.0, left), (3.0, right)]);
    for _ in 0..50 {
        let [first, second] = archive.ask().parents;
        assert_eq!(first == 2, second != 2, "{first} {second}");
    }
}

#[test]
fn niches_refuse_what_does_not_fit() {
    let options = NichesOptions::new(1);
    assert!(fails(Niches::new(options, vec![])).contains("models to begin with"));
    let one = NichesOptions {
        population: 1,
        ..options
    };
    assert!(fails(Niches::new(one, vec![(vec![1.0], vec![1.0])])).contains("two models"));
    let mut archive = niches(3, &[(1.0, &[1.0])]);
    assert!(fails(archive.tell(vec![1.0], vec![1.0])).contains("models have 2 and 1"));
    assert!(fails(archive.tell(vec![1.0, 1.0], vec![-1.0])).contains("below 0"));
    assert!(fails(archive.tell(vec![1.0, 1.0], vec![f32::NAN])).contains("numbers"));
    assert!(fails(archive.tell(vec![], vec![])).contains("without weights"));
}
