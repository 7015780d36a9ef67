//! A run: search, choose, measure, report.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use sprat_merge::evolve::{
    Bounds, CmaEs, Genetic, Niches, NichesOptions, Optimizer, Random, Restarts, Shape, Start,
};
use sprat_model::Device;

use super::arena::{Arena, Candidate};
use super::contest::{contest, costs};
use super::finish::Finish;
use super::flow::Ways;
use super::history::{Generation, History, Tried};
use super::job::{self, Algorithm, Flow, Job};
use super::parents::Parents;
use super::progress::Progress;
use super::report::Report;
use super::space::Genes;
use super::tasks::{Task, Use, tasks};
use crate::train::Show;
use crate::{Error, Result};

/// What to evolve, where, and how to report it.
pub struct EvolveOptions<'a> {
    /// The job, checked.
    pub job: Job,
    /// The run's folder.
    pub out: PathBuf,
    /// Go on with the run in `out`.
    pub resume: bool,
    /// When it becomes true (Ctrl-C), the run stops; the generation under way is done again when it goes on.
    pub stop: Arc<AtomicBool>,
    /// Where candidates are asked.
    pub device: Device,
    /// How to report progress.
    pub show: Show,
    /// The folder of a model by the path that the job gives it.
    pub resolve: &'a dyn Fn(&Path) -> Result<PathBuf>,
}

/// A candidate worth asking again.
pub(super) struct Finalist {
    pub(super) candidate: Candidate,
    pub(super) fitness: f64,
    /// Its genes in the unit cube; nothing for a child of niches.
    pub(super) point: Vec<f64>,
}

/// Generations in which nothing but one fitness was seen before that is taken for what there is.
const FLAT: usize = 3;

/// Runs a job, or goes on with it. None if it was stopped before its end.
///
/// # Errors
/// [`Error::Job`], [`Error::Merge`] and [`Error::Model`] for models that can't be combined; [`Error::RunExists`] and
/// [`Error::Resume`]; [`Error::Evolution`] when all candidates are equally good, or none can be asked;
/// [`Error::Io`].
pub fn run(options: EvolveOptions<'_>) -> Result<Option<Report>> {
    let job = &options.job;
    job.check()?;
    let genes = Genes::new(job)?;
    let parents = Parents::read(job, options.resolve)?;
    // What can't be merged is found before the first question.
    parents.merge(&genes.recipe(&vec![0.5; genes.len()]))?;
    // And so is a rival that is not there, which would be missed at the end only.
    for rival in &job.last.rivals {
        (options.resolve)(rival)?;
    }
    let asked = tasks(job, Use::Fitness)?;
    let history = History::open(&options.out, job, options.resume)?;
    let (storage, max_tokens) = (job.models.storage, job.fitness.max_tokens);
    let arena = Arena::new(
        &parents,
        storage,
        &options.device,
        max_tokens,
        &options.stop,
    )?;
    let began = Instant::now();
    let mut search = Search {
        job,
        genes: &genes,
        arena: &arena,
        tasks: &asked,
        history,
        progress: Progress::new(options.show, job.search.generations),
        generations: Vec::new(),
        finalists: Vec::new(),
        stop: &options.stop,
    };
    let finished = match job.search.algorithm {
        Algorithm::Niches => search.niches(&parents)?,
        _ => search.recipes()?,
    };
    if !finished {
        return Ok(None);
    }
    let finish = Finish {
        job,
        genes: &genes,
        parents: &parents,
        arena: &arena,
        out: &options.out,
        resolve: options.resolve,
    };
    let finalists = std::mem::take(&mut search.finalists);
    let Some(mut winner) = finish.choose(finalists, &search.progress)? else {
        return Ok(None);
    };
    let mut first = None;
    if let Some(flow) = &job.flow {
        let weights = finish.weights(&winner.candidate)?;
        let ways = Ways::new(flow, finish.pool(flow, &weights), parents.config())?;
        let Some(found) = search.ways(flow, &ways, &finish)? else {
            return Ok(None);
        };
        first = Some((winner, ways.names()));
        winner = found;
    }
    let report = finish.report(search.generations, winner, first, &search.progress, began)?;
    search.progress.finish();
    Ok(report)
}

/// A search under way.
struct Search<'a> {
    job: &'a Job,
    genes: &'a Genes,
    arena: &'a Arena<'a>,
    tasks: &'a [Task],
    history: History,
    progress: Progress,
    generations: Vec<Generation>,
    finalists: Vec<Finalist>,
    stop: &'a AtomicBool,
}

impl Search<'_> {
    /// Searches recipes; false if it was stopped.
    fn recipes(&mut self) -> Result<bool> {
        let (genes, search) = (self.genes, &self.job.search);
        let mut optimizer = optimizer(search, vec![0.5; genes.len()], self.job.seed)?;
        let recipe = |point: &[f64]| Ok(Candidate::Recipe(Box::new(genes.recipe(point))));
        self.points(&mut *optimizer, search.generations, &recipe)
    }

    /// Searches ways, from the winner's own; none if it was stopped.
    fn ways(&mut self, flow: &Flow, ways: &Ways, finish: &Finish<'_>) -> Result<Option<Finalist>> {
        self.progress.say(&format!(
            "searching ways through the layers of {} models",
            ways.names().len()
        ));
        self.progress.add(flow.search.generations);
        let first = ways.first();
        let way = |point: &[f64]| ways.way(point).map(Candidate::Way);
        let mut optimizer = optimizer(&flow.search, first.clone(), self.job.seed)?;
        if !self.points(&mut *optimizer, flow.search.generations, &way)? {
            return Ok(None);
        }
        let mut finalists = std::mem::take(&mut self.finalists);
        // The winner as it was: what no way improves stays.
        finalists.insert(
            0,
            Finalist {
                candidate: way(&first)?,
                fitness: 0.0,
                point: first,
            },
        );
        finish.choose(finalists, &self.progress)
    }

    /// Searches points of the unit cube; false if it was stopped.
    fn points(
        &mut self,
        optimizer: &mut dyn Optimizer,
        generations: usize,
        candidate: &dyn Fn(&[f64]) -> Result<Candidate>,
    ) -> Result<bool> {
        for _ in 0..generations {
            let points = optimizer.ask();
            let candidates = points.iter().map(|point| candidate(point));
            let candidates: Vec<Candidate> = candidates.collect::<Result<_>>()?;
            let Some(tried) = self.generation(&candidates, &points)? else {
                return Ok(false);
            };
            optimizer
                .tell(&costs(&tried))
                .map_err(Error::merge("search"))?;
            self.remember(candidates, &tried);
            if optimizer.is_done() {
                let done = self.generations.len();
                self.progress.say(&format!(
                    "nothing more is to be found from here, after {done} generations"
                ));
                break;
            }
        }
        // Where fitness is noisy the middle of the distribution is as good a guess as its best point.
        if let Some(point) = optimizer.center() {
            self.finalists.push(Finalist {
                candidate: candidate(&point)?,
                fitness: 0.0,
                point,
            });
        }
        Ok(true)
    }

    /// Evolves whole models; false if it was stopped.
    fn niches(&mut self, parents: &Parents) -> Result<bool> {
        let weights = parents.models().iter().map(|(_, weights)| weights);
        let shape = weights.clone().next().cloned().unwrap_or_default();
        let first: Vec<Candidate> = weights.cloned().map(Candidate::Weights).collect();
        let nowhere = vec![Vec::new(); first.len()];
        let Some(tried) = self.generation(&first, &nowhere)? else {
            return Ok(false);
        };
        let population = self.job.search.population.unwrap_or(20);
        let options = NichesOptions {
            population,
            ..NichesOptions::new(self.job.seed)
        };
        let models = first
            .iter()
            .zip(&tried)
            .filter_map(|(candidate, tried)| match candidate {
                Candidate::Weights(weights) if tried.fitness.is_some() => {
                    Some((weights.flat(), tried.scores.clone()))
                }
                _ => None,
            });
        let models = models.collect();
        let mut niches = Niches::new(options, models).map_err(Error::merge("begin the archive"))?;
        self.remember(first, &tried);
        for _ in 1..self.job.search.generations {
            let children: Vec<Vec<f32>> = (0..population).map(|_| niches.ask().weights).collect();
            let candidate = |flat: &Vec<f32>| Candidate::Weights(shape.with_flat(flat));
            let candidates: Vec<Candidate> = children.iter().map(candidate).collect();
            let nowhere = vec![Vec::new(); candidates.len()];
            let Some(tried) = self.generation(&candidates, &nowhere)? else {
                return Ok(false);
            };
            for (child, tried) in children.into_iter().zip(&tried) {
                if tried.fitness.is_some() {
                    let told = niches.tell(child, tried.scores.clone());
                    told.map_err(Error::merge("take in a child"))?;
                }
            }
            self.remember(candidates, &tried);
        }
        Ok(true)
    }

    /// What comes of a generation: from the history, or asked and added to it. None if the run was stopped.
    fn generation(
        &mut self,
        candidates: &[Candidate],
        points: &[Vec<f64>],
    ) -> Result<Option<Vec<Tried>>> {
        let known = self.history.known();
        let new = known.is_none();
        let generation = match known {
            Some(known) => {
                let same = known.candidates.iter().map(|tried| &tried.point).eq(points);
                if !same {
                    return Err(self.history.foreign());
                }
                known
            }
            None => {
                let began = Instant::now();
                let niches = self.job.search.algorithm == Algorithm::Niches;
                let rungs = if niches {
                    &[1.0]
                } else {
                    &*self.job.fitness.rungs
                };
                let tried = contest(self.arena, candidates, self.tasks, rungs)?;
                let Some(mut tried) = tried.filter(|_| !self.stop.load(Ordering::Relaxed)) else {
                    return Ok(None);
                };
                for (tried, point) in tried.iter_mut().zip(points) {
                    tried.point.clone_from(point);
                    if !niches {
                        tried.scores = Vec::new();
                    }
                }
                let generation = Generation {
                    generation: self.generations.len(),
                    candidates: tried,
                    seconds: began.elapsed().as_secs_f64(),
                };
                self.history.add(&generation)?;
                generation
            }
        };
        self.progress.generation(&generation, new);
        let tried = generation.candidates.clone();
        self.generations.push(generation);
        self.check()?;
        Ok(Some(tried))
    }

    /// That there is something to choose by.
    fn check(&self) -> Result<()> {
        let all = self
            .generations
            .iter()
            .flat_map(|generation| &generation.candidates);
        let fitness: Vec<f64> = all.filter_map(|tried| tried.fitness).collect();
        let Some(first) = fitness.first() else {
            let problem = "no candidate can be asked: the weights of all of them have left the numbers. Narrow the \
                           intervals of space.genes";
            return Err(Error::Evolution(problem.to_owned()));
        };
        if self.generations.len() >= FLAT && fitness.iter().all(|other| other == first) {
            let problem = format!(
                "all {} candidates have the fitness {first}, so nothing can be chosen by it. Ask more or other \
                 questions, or widen the intervals of space.genes",
                fitness.len()
            );
            return Err(Error::Evolution(problem));
        }
        Ok(())
    }

    /// Keeps the best of all that were asked everything.
    fn remember(&mut self, candidates: Vec<Candidate>, tried: &[Tried]) {
        let rungs = tried.iter().map(|tried| tried.rung).max().unwrap_or(0);
        for (candidate, tried) in candidates.into_iter().zip(tried) {
            let known = |f: &Finalist| !f.point.is_empty() && f.point == tried.point;
            match tried.fitness {
                Some(fitness) if tried.rung == rungs && !self.finalists.iter().any(known) => {
                    self.finalists.push(Finalist {
                        candidate,
                        fitness,
                        point: tried.point.clone(),
                    });
                }
                _ => {}
            }
        }
        // Stable, so of equals the first found comes first.
        self.finalists
            .sort_by(|a, b| b.fitness.total_cmp(&a.fitness));
        self.finalists.truncate(self.job.last.finalists);
    }
}

/// The search that a job asks for, from a point of the unit cube.
fn optimizer(search: &job::Search, first: Vec<f64>, seed: u64) -> Result<Box<dyn Optimizer>> {
    let n = first.len();
    let start = |shape| Start {
        mean: first,
        sigma: search.sigma,
        population: search.population,
        shape,
        ..Start::unit_cube(n, seed)
    };
    let shape = match search.algorithm {
        Algorithm::SeparableCmaEs => Shape::Diagonal,
        _ => Shape::Full,
    };
    let population = search.population.unwrap_or(16);
    let cube = || Bounds::cube(n, 0.0, 1.0);
    let cube = || cube().ok_or_else(|| Error::job("space.genes", "is empty"));
    let failed = || Error::merge("begin the search");
    Ok(match search.algorithm {
        Algorithm::Genetic => Box::new(Genetic::new(cube()?, population, seed)),
        Algorithm::Random => Box::new(Random::new(cube()?, population, seed)),
        _ if search.restarts => Box::new(Restarts::new(start(shape)).map_err(failed())?),
        _ => Box::new(CmaEs::new(start(shape)).map_err(failed())?),
    })
}
