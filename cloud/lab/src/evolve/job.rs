//! What to evolve, from what, by what measure: the job file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sprat_merge::methods::Range;
use sprat_merge::{Method, Parameter};
use sprat_model::Storage;

use crate::skills::Skill;
use crate::{Error, Result};

/// A job, as `sprat evolve` reads it (TOML).
///
/// ```toml
/// name = "sprat-tiny"
/// seed = 1
///
/// [models]                       # folders beside the job, or whatever `sprat merge` takes
/// base = "base"
/// parents = ["arithmetic", "home"]
///
/// [space]
/// method = "dare_ties"
/// layer_groups = 2               # each gene has so many values from the first layer to the last
/// genes = { weight = [0.0, 1.0], density = [0.1, 1.0] }
///
/// [search]
/// algorithm = "cma-es"
/// generations = 40
///
/// [fitness]
/// questions = 40
///
/// [[fitness.tasks]]
/// skill = "arithmetic"
/// ```
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// What the result is called.
    pub name: String,
    /// Draws points, masks and questions.
    #[serde(default = "one")]
    pub seed: u64,
    /// What is combined.
    pub models: Models,
    /// Which recipes there are.
    pub space: Space,
    /// How they are searched.
    #[serde(default)]
    pub search: Search,
    /// A second search, of ways through the layers of the winner and its parents.
    pub flow: Option<Flow>,
    /// What makes one better than another.
    pub fitness: Fitness,
    /// How the winner is chosen and measured.
    #[serde(default, rename = "final")]
    pub last: Final,
}

/// The models that are combined.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Models {
    /// What task vectors are differences from, for methods that have a base.
    pub base: Option<PathBuf>,
    /// The others.
    pub parents: Vec<PathBuf>,
    /// How candidates' matrices are stored when they are asked: as those of the pack that the winner becomes.
    #[serde(default = "q8")]
    pub storage: Storage,
}

/// The recipes that are tried: one method, with some parameters open.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Space {
    /// The merge method's name.
    pub method: String,
    /// Values of each gene at equal distances from the first layer to the last, with straight lines between them.
    #[serde(default = "one_group")]
    pub layer_groups: usize,
    /// Texts in tensors' names; each has genes of its own, and so have the tensors with none of them.
    #[serde(default)]
    pub filters: Vec<String>,
    /// Parameters with their lowest and highest value. One per model where models have their own.
    pub genes: BTreeMap<String, [f64; 2]>,
    /// Parameters that stay as they are.
    #[serde(default)]
    pub fixed: BTreeMap<String, f64>,
}

/// A way to search.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// CMA-ES.
    #[default]
    CmaEs,
    /// CMA-ES with a diagonal covariance, for hundreds of genes and more.
    SeparableCmaEs,
    /// A plain genetic algorithm.
    Genetic,
    /// Random search.
    Random,
    /// M2N2: whole models in niches, without a recipe; the archive begins with the parents.
    Niches,
}

/// How recipes are searched.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Search {
    /// The algorithm.
    pub algorithm: Algorithm,
    /// Generations at most.
    pub generations: usize,
    /// Recipes a generation; for CMA-ES 4 + ⌊3 ln n⌋ of n genes unless given.
    pub population: Option<usize>,
    /// The first step size of CMA-ES, in parts of each gene's interval.
    pub sigma: f64,
    /// Whether CMA-ES begins anew, with twice the population, where it has come to its end.
    pub restarts: bool,
}

impl Default for Search {
    fn default() -> Self {
        Self {
            algorithm: Algorithm::CmaEs,
            generations: 40,
            population: None,
            sigma: 1.0 / 6.0,
            restarts: false,
        }
    }
}

/// Search in data flow space (arXiv 2403.13187, §3.2): weights stay as they are, and a text's way through the layers
/// of several models is searched. The layers of all models in turn, `repetitions` times over, are the longest way; each
/// of its hops is in or out, and what comes into a hop may be scaled. Embeddings, the last norm and the head are the
/// winner's.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Flow {
    /// Which of the parents' layers there are beside the winner's; all of them unless given.
    pub parents: Option<Vec<PathBuf>>,
    /// How often all layers stand in the longest way.
    #[serde(default = "two")]
    pub repetitions: usize,
    /// The lowest and highest scale of a hop; 1 lies between them. None leaves all at 1.
    pub scales: Option<[f64; 2]>,
    /// How ways are searched.
    #[serde(default)]
    pub search: Search,
}

/// What makes one candidate better than another.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Fitness {
    /// What they are asked about.
    pub tasks: Vec<TaskSpec>,
    /// Questions per task, unless it has a number of its own.
    #[serde(default = "forty")]
    pub questions: usize,
    /// Longest answer in tokens; a longer one counts as wrong.
    #[serde(default = "forty")]
    pub max_tokens: usize,
    /// Shares of the questions, growing up to 1. After each share but the last the worse half of a generation is
    /// dropped.
    #[serde(default = "all_at_once")]
    pub rungs: Vec<f64>,
}

/// One skill, and what it counts.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct TaskSpec {
    /// A skill of `sprat eval`.
    pub skill: String,
    /// How much it counts beside the others.
    #[serde(default = "whole")]
    pub weight: f64,
    /// How answers are scored.
    #[serde(default)]
    pub metric: Metric,
    /// Questions, if not as many as for the others.
    pub questions: Option<usize>,
}

/// How an answer is scored, from 0 to 1.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// 1 if the greedy answer is right, as `sprat eval` counts.
    #[default]
    Accuracy,
    /// The geometric mean of the probabilities of the right answer's tokens. Smooth, and quicker: answers are
    /// read, not written.
    Likelihood,
}

/// How the winner is chosen and measured.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Final {
    /// How many of the best candidates are asked again.
    pub finalists: usize,
    /// Fresh questions per task that choose among them.
    pub selection: usize,
    /// Held-out questions per task that winner and parents are measured with.
    pub test: usize,
    /// Further models to measure beside them: of any shape, with tokenizers of their own.
    pub rivals: Vec<PathBuf>,
}

impl Default for Final {
    fn default() -> Self {
        Self {
            finalists: 6,
            selection: 150,
            test: 300,
            rivals: Vec::new(),
        }
    }
}

fn one() -> u64 {
    1
}

fn two() -> usize {
    2
}

fn q8() -> Storage {
    Storage::Q8
}

fn one_group() -> usize {
    1
}

fn forty() -> usize {
    40
}

fn whole() -> f64 {
    1.0
}

fn all_at_once() -> Vec<f64> {
    vec![1.0]
}

impl Job {
    /// Reads and checks a job.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Format`] with the line for what is no job, [`Error::Job`] for values that can't be.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        let job: Self = toml::from_str(&text).map_err(|e| Error::format(path, e.to_string()))?;
        job.check()?;
        Ok(job)
    }

    /// Checks every value.
    ///
    /// # Errors
    /// [`Error::Job`], naming the key.
    pub fn check(&self) -> Result<()> {
        let positive = [
            ("search.generations", self.search.generations),
            ("space.layer_groups", self.space.layer_groups),
            ("fitness.questions", self.fitness.questions),
            ("fitness.max_tokens", self.fitness.max_tokens),
            ("final.finalists", self.last.finalists),
            ("final.selection", self.last.selection),
            ("final.test", self.last.test),
        ];
        if let Some((key, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(Error::job(key, "is 0; it must be 1 or more"));
        }
        if self.models.parents.is_empty() {
            return Err(Error::job(
                "models.parents",
                "is empty; name at least one model",
            ));
        }
        if !(self.search.sigma > 0.0 && self.search.sigma <= 1.0) {
            return Err(Error::job("search.sigma", "must be above 0 and at most 1"));
        }
        if self.search.population.is_some_and(|n| n < 3) {
            return Err(Error::job("search.population", "must be 3 or more"));
        }
        let rungs = &self.fitness.rungs;
        let grow = rungs.windows(2).all(|pair| pair[0] < pair[1]);
        if !grow || rungs.first().is_none_or(|first| *first <= 0.0) || rungs.last() != Some(&1.0) {
            let problem = "must grow from above 0 and end with 1.0";
            return Err(Error::job("fitness.rungs", problem));
        }
        self.check_tasks()?;
        self.check_flow()?;
        self.check_space()
    }

    fn check_flow(&self) -> Result<()> {
        let Some(flow) = &self.flow else {
            return Ok(());
        };
        if flow.repetitions == 0 || flow.search.generations == 0 {
            let problem = "has no repetitions or no generations; both must be 1 or more";
            return Err(Error::job("flow", problem));
        }
        if flow.search.algorithm == Algorithm::Niches {
            return Err(Error::job(
                "flow.search.algorithm",
                "is niches, which has no ways",
            ));
        }
        let sigma = flow.search.sigma;
        if !(sigma > 0.0 && sigma <= 1.0) || flow.search.population.is_some_and(|n| n < 3) {
            let problem = "has a sigma that is not above 0 and at most 1, or a population below 3";
            return Err(Error::job("flow.search", problem));
        }
        if flow
            .scales
            .is_some_and(|[low, high]| !(low < 1.0 && 1.0 < high && high.is_finite()))
        {
            return Err(Error::job("flow.scales", "has no 1 between its ends"));
        }
        let parents = flow.parents.iter().flatten();
        if let Some(other) = parents
            .into_iter()
            .find(|path| !self.models.parents.contains(path))
        {
            let problem = format!("has {}, which is none of models.parents", other.display());
            return Err(Error::job("flow.parents", problem));
        }
        Ok(())
    }

    fn check_tasks(&self) -> Result<()> {
        if self.fitness.tasks.is_empty() {
            return Err(Error::job(
                "fitness.tasks",
                "is empty; name at least one skill",
            ));
        }
        for task in &self.fitness.tasks {
            task.skill()?;
            if !(task.weight > 0.0 && task.weight.is_finite()) || task.questions == Some(0) {
                let problem = format!(
                    "has a weight or number of questions for {:?} that is not above 0",
                    task.skill
                );
                return Err(Error::job("fitness.tasks", problem));
            }
        }
        Ok(())
    }

    fn check_space(&self) -> Result<()> {
        let method = self.space.method()?;
        if self.space.genes.is_empty() && self.search.algorithm != Algorithm::Niches {
            return Err(Error::job(
                "space.genes",
                "is empty, so there is nothing to search",
            ));
        }
        let both = self.space.genes.keys().chain(self.space.fixed.keys());
        for name in both {
            let known = method.parameters().iter();
            let known = known.filter(|spec| spec.range != Range::Word);
            if !known.clone().any(|spec| spec.parameter.name() == name) {
                let known: Vec<&str> = known.map(|spec| spec.parameter.name()).collect();
                let problem = format!("has `{name}`; {} has {}", method.name(), known.join(", "));
                return Err(Error::job("space", problem));
            }
        }
        for (name, [low, high]) in &self.space.genes {
            if !(low < high && low.is_finite() && high.is_finite()) {
                let problem = format!("has `{name} = [{low}, {high}]`, which is no interval");
                return Err(Error::job("space.genes", problem));
            }
        }
        Ok(())
    }
}

impl Space {
    /// The merge method.
    ///
    /// # Errors
    /// [`Error::Job`] for one that is not known.
    pub fn method(&self) -> Result<Method> {
        Method::from_name(&self.method).ok_or_else(|| {
            let known: Vec<&str> = Method::ALL.iter().map(|method| method.name()).collect();
            let problem = format!("is {:?}; known are {}", self.method, known.join(", "));
            Error::job("space.method", problem)
        })
    }

    /// The open parameters with their intervals, in a fixed order.
    pub(super) fn open(&self) -> Vec<(Parameter, [f64; 2])> {
        let find = |name: &str| Parameter::ALL.iter().copied().find(|p| p.name() == name);
        let genes = self.genes.iter();
        genes
            .filter_map(|(name, ends)| Some((find(name)?, *ends)))
            .collect()
    }
}

impl TaskSpec {
    /// The skill.
    ///
    /// # Errors
    /// [`Error::Job`] for one that is not known, and for one whose only questions are a test set.
    pub fn skill(&self) -> Result<Skill> {
        let Some(skill) = Skill::from_name(&self.skill) else {
            let known: Vec<&str> = Skill::ALL.iter().map(|skill| skill.name()).collect();
            let problem = format!(
                "has the skill {:?}; known are {}",
                self.skill,
                known.join(", ")
            );
            return Err(Error::job("fitness.tasks", problem));
        };
        if skill == Skill::Chitchat {
            let problem = "has the skill \"chitchat\", all of whose questions are a benchmark's test set: what is \
                           optimised on it can't be measured by it";
            return Err(Error::job("fitness.tasks", problem));
        }
        Ok(skill)
    }
}
