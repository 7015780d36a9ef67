//! What came of a run, in numbers and as a page.

mod html;

use serde::Serialize;

use super::arena::Scores;
use super::history::Generation;
use super::job::Job;
use crate::eval::SkillResult;

/// What came of a run: `result.json`.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The job's name.
    pub name: String,
    /// The job.
    pub job: Job,
    /// Fitness of each generation.
    pub generations: Vec<Curve>,
    /// Candidates tried.
    pub evaluations: usize,
    /// Seconds of search, over all resumes.
    pub search_seconds: f64,
    /// Seconds of this program, measuring included.
    pub seconds: f64,
    /// The winner's parameters.
    pub genes: Vec<GeneValue>,
    /// The winner's way through the layers, if ways were searched.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub way: Vec<HopValue>,
    /// The winner's fitness on the questions that chose it.
    pub selection: f64,
    /// How much better the winner is than the best of the others, on the same held-out questions.
    pub gain: Gain,
    /// The same against each rival.
    pub rivals: Vec<Gain>,
    /// Winner, parents and untuned merges on held-out questions.
    pub models: Vec<Measured>,
    /// The winner's recipe, for `sprat merge` in the run's folder; none for a child of niches.
    pub recipe: Option<String>,
}

/// Fitness of one generation.
#[derive(Clone, Debug, Serialize)]
pub struct Curve {
    /// Counted from 0.
    pub generation: usize,
    /// Candidates.
    pub candidates: usize,
    /// The best fitness of those that were asked everything.
    pub best: Option<f64>,
    /// The median fitness of all that could be asked.
    pub median: Option<f64>,
}

/// One parameter of the winner.
#[derive(Clone, Debug, Serialize)]
pub struct GeneValue {
    /// The parameter's name.
    pub parameter: &'static str,
    /// The parent that it is of, if it is one's own.
    pub model: Option<String>,
    /// Which tensors it is of: a text in their names, "rest" or "all".
    pub filter: String,
    /// Place from the first layer to the last.
    pub group: usize,
    /// Its value.
    pub value: f64,
}

/// One hop of the winner's way.
#[derive(Clone, Debug, Serialize)]
pub struct HopValue {
    /// The model whose layer it is; the job's name for the winner of the search before.
    pub model: String,
    /// The layer, counted from 0.
    pub layer: usize,
    /// What comes in is multiplied with this.
    pub scale: f32,
}

/// What a measured model is.
#[derive(Clone, Copy, Debug, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The result.
    Winner,
    /// The winner of the search before that of ways.
    First,
    /// A model that it was made of.
    Parent,
    /// A merge of the same that nobody tuned.
    Untuned,
    /// Another model that the job names.
    Rival,
}

/// A model on held-out questions.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Its skills.
    pub skills: Vec<SkillResult>,
    /// The mean of their accuracies.
    pub mean: f64,
    /// The ends of its 95 % interval.
    pub low: f64,
    /// See `low`.
    pub high: f64,
}

/// The winner against the best of the others.
#[derive(Clone, Debug, Serialize)]
pub struct Gain {
    /// Whom.
    pub over: String,
    /// The difference of the means over skills.
    pub difference: f64,
    /// The ends of its 95 % interval, from differences question by question.
    pub low: f64,
    /// See `low`.
    pub high: f64,
}

/// Of the normal distribution, 95 % are this far from the mean at most, in standard deviations.
const TWO_SIDED: f64 = 1.96;

impl Curve {
    pub(super) fn of(generation: &Generation) -> Self {
        let rung = generation.candidates.iter().map(|t| t.rung).max();
        let all = || generation.candidates.iter().filter(|t| t.fitness.is_some());
        let furthest = all().filter(|tried| Some(tried.rung) == rung);
        let mut fitness: Vec<f64> = all().filter_map(|tried| tried.fitness).collect();
        fitness.sort_by(f64::total_cmp);
        Self {
            generation: generation.generation,
            candidates: generation.candidates.len(),
            best: furthest.filter_map(|t| t.fitness).max_by(f64::total_cmp),
            median: fitness.get(fitness.len() / 2).copied(),
        }
    }
}

impl Measured {
    /// The mean's interval is that of independent questions: each skill's variance is p(1 − p)/n.
    pub(super) fn new(name: String, kind: Kind, skills: Vec<SkillResult>) -> Self {
        let count = skills.len().max(1) as f64;
        let mean = skills.iter().map(SkillResult::accuracy).sum::<f64>() / count;
        let variance = |skill: &SkillResult| {
            let p = skill.accuracy();
            p * (1.0 - p) / skill.n as f64
        };
        let spread = TWO_SIDED * skills.iter().map(variance).sum::<f64>().sqrt() / count;
        Self {
            name,
            kind,
            skills,
            mean,
            low: (mean - spread).max(0.0),
            high: (mean + spread).min(1.0),
        }
    }
}

impl Gain {
    /// The first model against the best of its parents and of their untuned merges.
    pub(super) fn over_best(models: &[Measured], scores: &[Scores]) -> Self {
        let others = models.iter().enumerate().skip(1);
        let others = others.filter(|(_, m)| matches!(m.kind, Kind::Parent | Kind::Untuned));
        let best = others.max_by(|a, b| a.1.mean.total_cmp(&b.1.mean));
        Self::over(best.map_or(0, |(i, _)| i), models, scores)
    }

    /// The first model against each rival.
    pub(super) fn over_rivals(models: &[Measured], scores: &[Scores]) -> Vec<Self> {
        let all = models.iter().enumerate();
        let rivals = all.filter(|(_, model)| model.kind == Kind::Rival);
        rivals.map(|(i, _)| Self::over(i, models, scores)).collect()
    }

    fn over(index: usize, models: &[Measured], scores: &[Scores]) -> Self {
        let (Some(Some(winner)), Some(Some(other))) = (scores.first(), scores.get(index)) else {
            return Self {
                over: String::new(),
                difference: 0.0,
                low: 0.0,
                high: 0.0,
            };
        };
        let (mut difference, mut variance) = (0.0, 0.0);
        for (winner, other) in winner.iter().zip(other) {
            let n = winner.len().max(1) as f64;
            let pairs = winner.iter().zip(other);
            let differences: Vec<f64> = pairs.map(|(w, o)| f64::from(w - o)).collect();
            let mean = differences.iter().sum::<f64>() / n;
            let squares = differences.iter().map(|d| (d - mean).powi(2)).sum::<f64>();
            difference += mean;
            variance += squares / (n - 1.0).max(1.0) / n;
        }
        let count = winner.len().max(1) as f64;
        let spread = TWO_SIDED * variance.sqrt() / count;
        let difference = difference / count;
        Self {
            over: models[index].name.clone(),
            difference,
            low: difference - spread,
            high: difference + spread,
        }
    }
}
