//! Many candidates, asked on all cores.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::ThreadPool;
use sprat_merge::Recipe;
use sprat_model::{Device, Storage};

use super::flow::Way;
use super::parents::{Parents, Weights};
use super::tasks::{Task, scores};
use crate::eval::load;
use crate::{Error, Result, threads};

/// What can be asked: a recipe, or weights that are there.
pub(super) enum Candidate {
    Recipe(Box<Recipe>),
    Weights(Weights),
    /// A way through layers of several models; none where no hop is in it.
    Way(Option<Box<Way>>),
    /// A model that is not made of the parents.
    Folder(PathBuf),
}

/// A candidate's scores: of each task, of each question asked. None for a candidate that cannot be asked, such
/// as one whose weights have left the numbers.
pub(super) type Scores = Option<Vec<Vec<f32>>>;

/// Where candidates are asked.
pub(super) struct Arena<'a> {
    parents: &'a Parents,
    storage: Storage,
    device: Device,
    max_tokens: usize,
    pools: Vec<ThreadPool>,
    stop: &'a AtomicBool,
}

impl<'a> Arena<'a> {
    pub(super) fn new(
        parents: &'a Parents,
        storage: Storage,
        device: &Device,
        max_tokens: usize,
        stop: &'a AtomicBool,
    ) -> Result<Self> {
        Ok(Self {
            parents,
            storage,
            max_tokens,
            pools: threads::pools(device)?,
            device: device.clone(),
            stop,
        })
    }

    /// Asks all candidates the part of each task's questions between two shares. None if the run was stopped
    /// meanwhile.
    pub(super) fn ask(
        &self,
        candidates: &[&Candidate],
        tasks: &[Task],
        shares: Range<f64>,
    ) -> Result<Option<Vec<Scores>>> {
        let ask = |(): &mut (), i: usize| match self.stop.load(Ordering::Relaxed) {
            true => Ok(None),
            false => self.ask_one(candidates[i], tasks, &shares).map(Some),
        };
        threads::share_out(&self.pools, candidates.len(), || Ok(()), ask)
    }

    fn ask_one(
        &self,
        candidate: &Candidate,
        tasks: &[Task],
        shares: &Range<f64>,
    ) -> Result<Scores> {
        let asked = || {
            let of_parents = |weights| {
                let config = self.parents.config();
                self.parents
                    .model(weights, config, self.storage, &self.device)
            };
            let model = match candidate {
                Candidate::Recipe(recipe) => of_parents(self.parents.merge(recipe)?)?,
                Candidate::Weights(weights) => of_parents(weights.clone())?,
                Candidate::Way(None) => return Ok(None),
                Candidate::Way(Some(way)) => {
                    let weights = way.weights.clone();
                    self.parents
                        .model(weights, &way.config, self.storage, &self.device)?
                }
                Candidate::Folder(folder) => load::model(folder, self.storage, &self.device)?,
            };
            let of = |task: &Task| {
                let place = |share: f64| (share * task.questions.len() as f64).round() as usize;
                let questions = &task.questions[place(shares.start)..place(shares.end)];
                scores(&model, task.metric, questions, self.max_tokens)
            };
            tasks.iter().map(of).collect::<Result<Vec<_>>>().map(Some)
        };
        match asked() {
            Ok(scores) => Ok(scores),
            Err(error) if is_bad_candidate(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Whether an error is a candidate's own fault: its numbers went too far.
fn is_bad_candidate(error: &Error) -> bool {
    use sprat_merge::Error as Merge;
    use sprat_model::Error as Model;
    match error {
        Error::Merge { source, .. } => {
            matches!(**source, Merge::Overflow { .. } | Merge::Parameter { .. })
        }
        Error::Model { source, .. } => matches!(
            source,
            Model::WeightNotFinite { .. } | Model::LogitsNotFinite { .. }
        ),
        _ => false,
    }
}
