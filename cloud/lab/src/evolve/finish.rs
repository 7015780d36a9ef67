//! The end of a run: who wins, and by how much.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use sprat_merge::{Dtype, Recipe, write_file};

use super::arena::{Arena, Candidate, Scores};
use super::history::Generation;
use super::job::Job;
use super::parents::{Parents, Weights};
use super::progress::Progress;
use super::report::{Curve, Gain, GeneValue, Kind, Measured, Report};
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
    pub(super) progress: &'a Progress,
    pub(super) out: &'a Path,
    pub(super) resolve: &'a dyn Fn(&Path) -> Result<PathBuf>,
}

impl Finish<'_> {
    /// Chooses, measures, writes. None if the run was stopped meanwhile.
    pub(super) fn run(
        &self,
        generations: Vec<Generation>,
        finalists: Vec<Finalist>,
        began: Instant,
    ) -> Result<Option<Report>> {
        let Some(winner) = self.choose(finalists)? else {
            return Ok(None);
        };
        let recipe = match &winner.candidate {
            Candidate::Recipe(recipe) => Some((**recipe).clone()),
            Candidate::Weights(_) | Candidate::Folder(_) => None,
        };
        let weights = match winner.candidate {
            Candidate::Recipe(recipe) => self.parents.merge(&recipe)?,
            Candidate::Weights(weights) => weights,
            Candidate::Folder(_) => unreachable!("finalists are made of the parents"),
        };
        let Some((models, gain, rivals)) = self.measure(weights.clone())? else {
            return Ok(None);
        };
        let gene = |(gene, part): (&super::space::Gene, &f64)| {
            let (parameter, value) = self.genes.value(gene, *part);
            GeneValue {
                parameter: parameter.name(),
                model: gene
                    .parent
                    .map(|i| self.job.models.parents[i].display().to_string()),
                filter: self.genes.filter_name(gene.filter).to_owned(),
                group: gene.group,
                value,
            }
        };
        let evaluations = generations.iter().map(|g| g.candidates.len()).sum();
        let report = Report {
            name: self.job.name.clone(),
            job: self.job.clone(),
            evaluations,
            search_seconds: generations.iter().map(|g| g.seconds).sum(),
            generations: generations.iter().map(Curve::of).collect(),
            genes: self
                .genes
                .list()
                .iter()
                .zip(&winner.point)
                .map(gene)
                .collect(),
            selection: winner.fitness,
            gain,
            rivals,
            models,
            recipe: recipe
                .as_ref()
                .map(|recipe| self.from_out(recipe).to_string()),
            seconds: began.elapsed().as_secs_f64(),
        };
        self.write(&report, &weights)?;
        Ok(Some(report))
    }

    /// The finalist that does best on fresh questions, with its fitness on those.
    fn choose(&self, finalists: Vec<Finalist>) -> Result<Option<Finalist>> {
        let asked = tasks(self.job, Use::Selection)?;
        self.progress.say(&format!(
            "asking the best {} candidates fresh questions",
            finalists.len()
        ));
        let candidates: Vec<&Candidate> = finalists.iter().map(|f| &f.candidate).collect();
        let Some(scores) = self.arena.ask(&candidates, &asked, 0.0..1.0, &|| {})? else {
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

    /// Winner, parents and untuned merges on held-out questions.
    #[allow(
        clippy::type_complexity,
        reason = "it is taken apart where it is called"
    )]
    fn measure(&self, winner: Weights) -> Result<Option<(Vec<Measured>, Gain, Vec<Gain>)>> {
        let asked = tasks(self.job, Use::Test)?;
        let mut entries = vec![(
            self.job.name.clone(),
            Kind::Winner,
            Candidate::Weights(winner),
        )];
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
        self.progress.say(&format!(
            "measuring the winner and {} others on held-out questions",
            entries.len() - 1
        ));
        let candidates: Vec<&Candidate> = entries.iter().map(|(_, _, c)| c).collect();
        let Some(scores) = self.arena.ask(&candidates, &asked, 0.0..1.0, &|| {})? else {
            return Ok(None);
        };
        let measured = entries.iter().zip(&scores);
        let measured =
            measured.map(|((name, kind, _), scores)| measure(name, *kind, &asked, scores));
        let measured: Vec<Measured> = measured.collect();
        let gain = Gain::over_best(&measured, &scores);
        let rivals = Gain::over_rivals(&measured, &scores);
        Ok(Some((measured, gain, rivals)))
    }

    /// The recipe with models named as from the run's folder.
    fn from_out(&self, recipe: &Recipe) -> Recipe {
        let mut recipe = recipe.clone();
        let rename = |name: &mut String| {
            let found = (self.resolve)(Path::new(name));
            let folder = found
                .ok()
                .and_then(|folder| std::path::absolute(folder).ok());
            let out = std::path::absolute(self.out).ok();
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
    fn write(&self, report: &Report, weights: &Weights) -> Result<()> {
        let folder = self.out.join("model");
        fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
        for (name, bytes) in self.parents.files() {
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

fn measure(name: &str, kind: Kind, tasks: &[Task], scores: &Scores) -> Measured {
    let right = |scores: &[f32]| scores.iter().filter(|score| **score > 0.5).count();
    let skills = tasks.iter().zip(scores.iter().flatten());
    let skills = skills
        .filter_map(|(task, scores)| SkillResult::new(task.skill, scores.len(), right(scores)));
    Measured::new(name.to_owned(), kind, skills.collect())
}
