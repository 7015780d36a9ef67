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
use super::finish;
use super::history::{Generation, History, Tried};
use super::job::{Algorithm, Job};
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
        _ => search.points()?,
    };
    if !finished {
        return Ok(None);
    }
    let Search {
        generations,
        finalists,
        progress,
        ..
    } = search;
    let finish = finish::Finish {
        job,
        genes: &genes,
        parents: &parents,
        arena: &arena,
        progress: &progress,
        out: &options.out,
        resolve: options.resolve,
    };
    let report = finish.run(generations, finalists, began)?;
    progress.finish();
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
    fn points(&mut self) -> Result<bool> {
        let mut optimizer = self.optimizer()?;
        for number in 0..self.job.search.generations {
            let points = optimizer.ask();
            let recipe = |point: &Vec<f64>| Candidate::Recipe(Box::new(self.genes.recipe(point)));
            let candidates: Vec<Candidate> = points.iter().map(recipe).collect();
            let Some(tried) = self.generation(number, &candidates, &points)? else {
                return Ok(false);
            };
            optimizer
                .tell(&costs(&tried))
                .map_err(Error::merge("search"))?;
            self.remember(candidates, &tried);
            if optimizer.is_done() {
                let why = "nothing more is to be found from here";
                self.progress
                    .say(&format!("{why}, after {} generations", number + 1));
                break;
            }
        }
        // Where fitness is noisy the middle of the distribution is as good a guess as its best point.
        if let Some(point) = optimizer.center() {
            self.finalists.push(Finalist {
                candidate: Candidate::Recipe(Box::new(self.genes.recipe(&point))),
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
        let Some(tried) = self.generation(0, &first, &nowhere)? else {
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
        for number in 1..self.job.search.generations {
            let children: Vec<Vec<f32>> = (0..population).map(|_| niches.ask().weights).collect();
            let candidate = |flat: &Vec<f32>| Candidate::Weights(shape.with_flat(flat));
            let candidates: Vec<Candidate> = children.iter().map(candidate).collect();
            let nowhere = vec![Vec::new(); candidates.len()];
            let Some(tried) = self.generation(number, &candidates, &nowhere)? else {
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

    fn optimizer(&self) -> Result<Box<dyn Optimizer>> {
        let (job, n) = (self.job, self.genes.len());
        let start = |shape| Start {
            sigma: job.search.sigma,
            population: job.search.population,
            shape,
            ..Start::unit_cube(n, job.seed)
        };
        let shape = match job.search.algorithm {
            Algorithm::SeparableCmaEs => Shape::Diagonal,
            _ => Shape::Full,
        };
        let population = job.search.population.unwrap_or(16);
        let cube = || Bounds::cube(n, 0.0, 1.0);
        let cube = || cube().ok_or_else(|| Error::job("space.genes", "is empty"));
        let failed = || Error::merge("begin the search");
        Ok(match job.search.algorithm {
            Algorithm::Genetic => Box::new(Genetic::new(cube()?, population, job.seed)),
            Algorithm::Random => Box::new(Random::new(cube()?, population, job.seed)),
            _ if job.search.restarts => Box::new(Restarts::new(start(shape)).map_err(failed())?),
            _ => Box::new(CmaEs::new(start(shape)).map_err(failed())?),
        })
    }

    /// What comes of a generation: from the history, or asked and added to it. None if the run was stopped.
    fn generation(
        &mut self,
        number: usize,
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
                let tried = contest(self.arena, candidates, self.tasks, rungs, &|| {})?;
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
                    generation: number,
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
