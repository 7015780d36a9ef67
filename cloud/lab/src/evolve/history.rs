//! What a search has been told: the run's log, and its checkpoint.
//!
//! A search draws everything from its seed, so it is where it was once it has been told again what it was told:
//! one line a generation is all that a run needs to go on.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::job::Job;
use crate::{Error, Result};

/// The file in the run's folder.
const FILE: &str = "history.jsonl";

/// One generation, evaluated.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
pub struct Generation {
    /// Counted from 0.
    pub generation: usize,
    /// The candidates.
    pub candidates: Vec<Tried>,
    /// Seconds it took.
    pub seconds: f64,
}

/// One candidate of a generation.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
pub struct Tried {
    /// Its genes in the unit cube; nothing for a child of niches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub point: Vec<f64>,
    /// Weighted mean of the tasks' scores, 0 to 1; none if it could not be asked.
    pub fitness: Option<f64>,
    /// The last rung that it was asked on: its fitness is on the questions up to there.
    pub rung: usize,
    /// The mean score of each task.
    pub tasks: Vec<f64>,
    /// Every score, where the search needs them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scores: Vec<f32>,
}

/// The history of a run: what is on disk is given back first, then new generations are added.
pub(super) struct History {
    path: PathBuf,
    file: File,
    known: std::vec::IntoIter<Generation>,
}

impl History {
    /// Begins a history, or goes on with the one in `folder`.
    ///
    /// # Errors
    /// [`Error::RunExists`] without `resume` where there is one, [`Error::Resume`] where there is none or another
    /// job's.
    pub(super) fn open(folder: &Path, job: &Job, resume: bool) -> Result<Self> {
        let path = folder.join(FILE);
        let job = serde_json::to_string(job).map_err(|e| Error::format(&path, e.to_string()))?;
        let known = match (path.exists(), resume) {
            (true, false) => {
                let path = folder.to_owned();
                return Err(Error::RunExists { path });
            }
            (true, true) => Self::read(&path, &job)?,
            (false, true) => {
                let problem = format!("there is no {FILE} in it; start without --resume");
                let path = folder.to_owned();
                return Err(Error::Resume { path, problem });
            }
            (false, false) => {
                fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
                fs::write(&path, format!("{job}\n")).map_err(Error::io("write", &path))?;
                Vec::new()
            }
        };
        let file = OpenOptions::new().append(true).open(&path);
        Ok(Self {
            file: file.map_err(Error::io("open", &path))?,
            path,
            known: known.into_iter(),
        })
    }

    /// The generations on disk; a last line that was cut off is removed.
    fn read(path: &Path, job: &str) -> Result<Vec<Generation>> {
        let resume = |problem: &str| Error::Resume {
            path: path.to_owned(),
            problem: problem.to_owned(),
        };
        let text = fs::read_to_string(path).map_err(Error::io("read", path))?;
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        let mut lines = whole.lines();
        if lines.next() != Some(job) {
            return Err(resume(
                "it was begun with another job; start in another folder",
            ));
        }
        let mut generations = Vec::new();
        for line in lines {
            let generation: Generation = serde_json::from_str(line)
                .map_err(|e| resume(&format!("line {} is broken: {e}", generations.len() + 2)))?;
            if generation.generation != generations.len() {
                return Err(resume("a generation is missing from it"));
            }
            generations.push(generation);
        }
        if whole.len() < text.len() {
            let file = OpenOptions::new().write(true).open(path);
            let cut = file.and_then(|file| file.set_len(whole.len() as u64));
            cut.map_err(Error::io("cut", path))?;
        }
        Ok(generations)
    }

    /// The next generation that is on disk.
    pub(super) fn known(&mut self) -> Option<Generation> {
        self.known.next()
    }

    /// Adds a generation, and waits until it is on disk.
    pub(super) fn add(&mut self, generation: &Generation) -> Result<()> {
        let mut line =
            serde_json::to_vec(generation).map_err(|e| Error::format(&self.path, e.to_string()))?;
        line.push(b'\n');
        let written = self.file.write_all(&line);
        let written = written.and_then(|()| self.file.sync_data());
        written.map_err(Error::io("write", &self.path))
    }

    /// What is on disk is not what this search would have done.
    pub(super) fn foreign(&self) -> Error {
        let problem =
            "its candidates are not those that this version of the search would try".to_owned();
        Error::Resume {
            path: self.path.clone(),
            problem,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> Job {
        toml::from_str(
            "name = 'x'\nmodels = { parents = ['a'] }\nspace = { method = 'linear', genes = { weight = [0.0, 1.0] } }\n\
             fitness = { tasks = [{ skill = 'home' }] }",
        )
        .unwrap()
    }

    fn generation(generation: usize) -> Generation {
        let tried = Tried {
            point: vec![0.1, 1.0 / 3.0],
            fitness: Some(0.25),
            ..Tried::default()
        };
        Generation {
            generation,
            candidates: vec![tried],
            seconds: 1.5,
        }
    }

    #[test]
    fn a_line_that_was_cut_off_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        let mut history = History::open(&run, &job(), false).unwrap();
        history.add(&generation(0)).unwrap();
        history.add(&generation(1)).unwrap();
        drop(history);
        let path = run.join(FILE);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, &text[..text.len() - 5]).unwrap();

        let mut history = History::open(&run, &job(), true).unwrap();
        assert_eq!(history.known(), Some(generation(0)));
        assert_eq!(history.known(), None);
        history.add(&generation(1)).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }

    #[test]
    fn a_history_belongs_to_its_job() {
        let dir = tempfile::tempdir().unwrap();
        let fails = |job: &Job, resume| match History::open(dir.path(), job, resume) {
            Err(error) => error.to_string(),
            Ok(_) => panic!("it opened"),
        };
        assert!(fails(&job(), true).contains("without --resume"));
        History::open(dir.path(), &job(), false).unwrap();
        assert!(fails(&job(), false).contains("already holds a run"));
        let other = Job { seed: 2, ..job() };
        assert!(fails(&other, true).contains("another job"));
        let path = dir.path().join(FILE);
        let mut text = fs::read_to_string(&path).unwrap();
        text.push_str("{\"generation\": 1, \"candidates\": [], \"seconds\": 0}\n");
        fs::write(&path, &text).unwrap();
        assert!(fails(&job(), true).contains("is missing"));
        fs::write(&path, text + "no json\n").unwrap();
        assert!(History::open(dir.path(), &job(), true).is_err());
    }
}
