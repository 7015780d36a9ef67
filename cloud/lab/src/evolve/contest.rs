//! A generation's contest: who is asked how much, and what comes of it.

use super::arena::{Arena, Candidate, Scores};
use super::history::Tried;
use super::tasks::Task;
use crate::Result;

/// Asks a generation rung by rung; the worse half of it is dropped after each but the last. None if the run was
/// stopped meanwhile.
pub(super) fn contest(
    arena: &Arena<'_>,
    candidates: &[Candidate],
    tasks: &[Task],
    rungs: &[f64],
) -> Result<Option<Vec<Tried>>> {
    let mut all: Vec<Scores> = vec![Some(vec![Vec::new(); tasks.len()]); candidates.len()];
    let mut last = vec![0; candidates.len()];
    let mut left: Vec<usize> = (0..candidates.len()).collect();
    let mut from = 0.0;
    for (rung, &to) in rungs.iter().enumerate() {
        let asked: Vec<&Candidate> = left.iter().map(|i| &candidates[*i]).collect();
        let Some(scores) = arena.ask(&asked, tasks, from..to)? else {
            return Ok(None);
        };
        for (&i, scores) in left.iter().zip(scores) {
            last[i] = rung;
            match (&mut all[i], scores) {
                (Some(known), Some(new)) => {
                    let pairs = known.iter_mut().zip(new);
                    pairs.for_each(|(known, new)| known.extend(new));
                }
                (slot, _) => *slot = None,
            }
        }
        let fitness = |i: &usize| fitness(tasks, &all[*i]).unwrap_or(-1.0);
        left.sort_by(|a, b| fitness(b).total_cmp(&fitness(a)).then(a.cmp(b)));
        left.truncate(left.len().div_ceil(2));
        from = to;
    }
    let tried = all.iter().zip(last).map(|(scores, rung)| Tried {
        point: Vec::new(),
        fitness: fitness(tasks, scores),
        rung,
        tasks: scores
            .iter()
            .flatten()
            .map(|of_task| mean(of_task))
            .collect(),
        scores: scores.iter().flatten().flatten().copied().collect(),
    });
    Ok(Some(tried.collect()))
}

/// Weighted mean over tasks; none for what could not be asked.
pub(super) fn fitness(tasks: &[Task], scores: &Scores) -> Option<f64> {
    let scores = scores.as_ref()?;
    let weights: f64 = tasks.iter().map(|task| task.weight).sum();
    let parts = tasks.iter().zip(scores);
    let sum: f64 = parts.map(|(task, scores)| task.weight * mean(scores)).sum();
    Some(sum / weights)
}

fn mean(scores: &[f32]) -> f64 {
    let sum: f64 = scores.iter().map(|score| f64::from(*score)).sum();
    sum / scores.len().max(1) as f64
}

/// What an optimizer is told: less is better, and whoever came further is better than all who did not.
pub(super) fn costs(tried: &[Tried]) -> Vec<f64> {
    let cost = |tried: &Tried| match tried.fitness {
        Some(fitness) => -fitness - 2.0 * tried.rung as f64,
        None => f64::NAN,
    };
    tried.iter().map(cost).collect()
}
