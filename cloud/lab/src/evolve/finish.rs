//! The end of a run: who wins, and by how much.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use sprat_merge::{Dtype, Recipe, write_file};
use sprat_model::ModelConfig;

use super::arena::{Arena, Candidate, Scores};
use super::history::Generation;
use super::job::{Flow, Job};
use super::parents::{Parents, Weights};
use super::progress::Progress;
use super::report::{Curve, Gain, GeneValue, HopValue, Kind, Measured, Report};
use super::run::Finalist;
use super::space::Genes;
use super::tasks::{Task, Use, tasks};
use crate::dataset::write_whole;
use crate::eval::SkillResult;
use crate::{Error, Result};

/// What the end of a run needs.
pub(super) struct Finish<'a> {
    pub(super) job: &'a Job,
    pub(super) genes: &'a Genes,
    pub(super) parents: &'a Parents,
    pub(super) arena: &'a Arena<'a>,
    pub(super) out: &'a Path,
    pub(super) resolve: &'a dyn Fn(&Path) -> Result<PathBuf>,
}

impl Finish<'_> {
    /// Measures the winner, and writes everything down. `first` is the winner of the search before that of ways, and
    /// the names of the models that the ways go through. None if the run was stopped meanwhile.
    pub(super) fn report(
        &self,
        generations: Vec<Generation>,
        winner: Finalist,
        first: Option<(Finalist, Vec<String>)>,
        progress: &Progress,
        began: Instant,
    ) -> Result<Option<Report>> {
        let of_recipe = first.as_ref().map_or(&winner, |(first, _)| first);
        let recipe = match &of_recipe.candidate {
            Candidate::Recipe(recipe) => Some(self.seen_from_out(recipe).to_string()),
            _ => None,
        };
        let point = of_recipe.point.clone();
        let before = match &first {
            Some((first, _)) => Some(self.weights(&first.candidate)?),
            None => None,
        };
        let (way, config) = match (&winner.candidate, &first) {
            (Candidate::Way(Some(way)), Some((_, names))) => {
                let hop = |(model, layer, scale): &(usize, usize, f32)| HopValue {
                    model: names[*model].clone(),
                    layer: *layer,
                    scale: *scale,
                };
                (way.hops.iter().map(hop).collect(), way.config.clone())
            }
            _ => (Vec::new(), self.parents.config().clone()),
        };
        let weights = self.weights(&winner.candidate)?;
        let fitness = winner.fitness;
        let candidate = match winner.candidate {
            way @ Candidate::Way(_) => way,
            _ => Candidate::Weights(weights.clone()),
        };
        let Some((models, scores)) = self.measure(candidate, before, progress)? else {
            return Ok(None);
        };
        let paths = self
            .job
            .models
            .parents
            .iter()
            .map(|path| path.display().to_string());
        let parents = short(&paths.collect::<Vec<_>>());
        let gene = |(gene, part): (&super::space::Gene, &f64)| {
            let (parameter, value) = self.genes.value(gene, *part);
            let model = gene.parent.map(|i| parents[i].clone());
            GeneValue {
                parameter: parameter.name(),
                model,
                filter: self.genes.filter_name(gene.filter).to_owned(),
                group: gene.group,
                value,
            }
        };
        let report = Report {
            name: self.job.name.clone(),
            job: self.job.clone(),
            evaluations: generations.iter().map(|g| g.candidates.len()).sum(),
            search_seconds: generations.iter().map(|g| g.seconds).sum(),
            generations: generations.iter().map(Curve::of).collect(),
            genes: self.genes.list().iter().zip(&point).map(gene).collect(),
            way,
            selection: fitness,
            gain: Gain::over_best(&models, &scores),
            rivals: Gain::over_rivals(&models, &scores),
            models,
            recipe,
            seconds: began.elapsed().as_secs_f64(),
        };
        self.write(&report, &weights, &config)?;
        Ok(Some(report))
    }

    /// The weights of a finalist.
    pub(super) fn weights(&self, candidate: &Candidate) -> Result<Weights> {
        match candidate {
            Candidate::Recipe(recipe) => self.parents.merge(recipe),
            Candidate::Weights(weights) => Ok(weights.clone()),
            Candidate::Way(Some(way)) => Ok(way.weights.clone()),
            Candidate::Way(None) | Candidate::Folder(_) => {
                unreachable!("finalists have been asked, and are made of the parents")
            }
        }
    }

    /// The winner and the parents that a search of ways goes through.
    pub(super) fn pool(&self, flow: &Flow, winner: &Weights) -> Vec<(String, Weights)> {
        let mut pool = vec![(self.job.name.clone(), winner.clone())];
        let parents = flow.parents.as_ref().unwrap_or(&self.job.models.parents);
        for path in parents {
            let name = path.display().to_string();
            let found = self
                .parents
                .models()
                .iter()
                .find(|(other, _)| *other == name);
            pool.extend(found.cloned());
        }
        pool
    }

    /// The finalist that does best on fresh questions, with its fitness on those.
    pub(super) fn choose(
        &self,
        finalists: Vec<Finalist>,
        progress: &Progress,
    ) -> Result<Option<Finalist>> {
        let asked = tasks(self.job, Use::Selection)?;
        progress.say(&format!(
            "asking the best {} candidates fresh questions",
            finalists.len()
        ));
        let candidates: Vec<&Candidate> = finalists.iter().map(|f| &f.candidate).collect();
        let Some(scores) = self.arena.ask(&candidates, &asked, 0.0..1.0)? else {
            return Ok(None);
        };
        let mut best: Option<Finalist> = None;
        for (mut finalist, scores) in finalists.into_iter().zip(scores) {
            finalist.fitness = super::contest::fitness(&asked, &scores).unwrap_or(0.0);
            if best
                .as_ref()
                .is_none_or(|best| finalist.fitness > best.fitness)
            {
                best = Some(finalist);
            }
        }
        let none = || Error::Evolution("no candidate was asked all questions".to_owned());
        best.ok_or_else(none).map(Some)
    }

    /// Winner, parents, untuned merges and rivals on held-out questions, with all scores.
    #[allow(
        clippy::type_complexity,
        reason = "it is taken apart where it is called"
    )]
    fn measure(
        &self,
        winner: Candidate,
        before: Option<Weights>,
        progress: &Progress,
    ) -> Result<Option<(Vec<Measured>, Vec<Scores>)>> {
        let asked = tasks(self.job, Use::Test)?;
        let mut entries = vec![(self.job.name.clone(), Kind::Winner, winner)];
        if let Some(weights) = before {
            let name = "before the search of ways".to_owned();
            entries.push((name, Kind::First, Candidate::Weights(weights)));
        }
        for (name, weights) in self.parents.models() {
            let candidate = Candidate::Weights(weights.clone());
            entries.push((name.clone(), Kind::Parent, candidate));
        }
        for (name, recipe) in self.genes.untuned() {
            let candidate = Candidate::Recipe(Box::new(recipe));
            entries.push((name.to_owned(), Kind::Untuned, candidate));
        }
        for path in &self.job.last.rivals {
            let folder = (self.resolve)(path)?;
            let name = path.display().to_string();
            entries.push((name, Kind::Rival, Candidate::Folder(folder)));
        }
        progress.say(&format!(
            "measuring the winner and {} others on held-out questions",
            entries.len() - 1
        ));
        let candidates: Vec<&Candidate> = entries.iter().map(|(_, _, c)| c).collect();
        let Some(scores) = self.arena.ask(&candidates, &asked, 0.0..1.0)? else {
            return Ok(None);
        };
        let paths: Vec<String> = entries.iter().map(|(name, ..)| name.clone()).collect();
        let names = short(&paths);
        let measured = entries.iter().zip(&names).zip(&scores);
        let measured =
            measured.map(|(((_, kind, _), name), scores)| measure(name, *kind, &asked, scores));
        let measured: Vec<Measured> = measured.collect();
        Ok(Some((measured, scores)))
    }

    /// The recipe with models named as from the run's folder.
    fn seen_from_out(&self, recipe: &Recipe) -> Recipe {
        let mut recipe = recipe.clone();
        let rename = |name: &mut String| {
            let found = (self.resolve)(Path::new(name)).ok();
            let folder = found.and_then(|folder| fs::canonicalize(folder).ok());
            let out = fs::canonicalize(self.out).ok();
            if let (Some(folder), Some(out)) = (folder, out)
                && let Some(relative) = pathdiff::diff_paths(folder, out)
            {
                *name = relative.display().to_string();
            }
        };
        recipe
            .models
            .iter_mut()
            .for_each(|source| rename(&mut source.model));
        recipe.base_model.iter_mut().for_each(rename);
        recipe
    }

    /// The model, the recipe, the report, and last `result.json`: when it is there, all is.
    fn write(&self, report: &Report, weights: &Weights, config: &ModelConfig) -> Result<()> {
        let folder = self.out.join("model");
        fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
        for (name, bytes) in self.parents.files(config) {
            write_whole(&folder.join(name), &bytes)?;
        }
        let shapes = weights.iter().map(|(name, shape, _)| (name, shape));
        let path = folder.join("model.safetensors");
        let written = write_file(&path, shapes, Dtype::Float32, |writer| {
            weights
                .iter()
                .try_for_each(|(name, _, values)| writer.write(name, values))
        });
        written.map_err(Error::merge("write the winner"))?;
        if let Some(recipe) = &report.recipe {
            write_whole(&self.out.join("recipe.yml"), recipe.as_bytes())?;
        }
        write_whole(&self.out.join("report.html"), report.to_html().as_bytes())?;
        let path = self.out.join("result.json");
        let mut json =
            serde_json::to_vec_pretty(report).map_err(|e| Error::format(&path, e.to_string()))?;
        json.push(b'\n');
        write_whole(&path, &json)
    }
}

/// Names that tell models apart, as short as they can be: the ends of their paths.
pub(super) fn short(paths: &[String]) -> Vec<String> {
    let end = |path: &str, parts: usize| {
        let all: Vec<&str> = path.split('/').collect();
        all[all.len().saturating_sub(parts)..].join("/")
    };
    let name = |path: &String| {
        let alone = |parts: &usize| {
            let same = |other: &&String| end(other, *parts) == end(path, *parts);
            paths.iter().filter(same).count() == 1
        };
        (1..8)
            .find(alone)
            .map_or_else(|| path.clone(), |parts| end(path, parts))
    };
    paths.iter().map(name).collect()
}

fn measure(name: &str, kind: Kind, tasks: &[Task], scores: &Scores) -> Measured {
    let right = |scores: &[f32]| scores.iter().filter(|score| **score > 0.5).count();
    let skills = tasks.iter().zip(scores.iter().flatten());
    let skills = skills
        .filter_map(|(task, scores)| SkillResult::new(task.skill, scores.len(), right(scores)));
    Measured::new(name.to_owned(), kind, skills.collect())
}
