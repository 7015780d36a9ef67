//! The run's log: one JSON object per line.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::schedule::Plan;
use crate::{Error, Result};

/// What happens in a run.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(crate) enum Event<'a> {
    Start {
        step: usize,
        parameters: u64,
        device: &'a str,
        data: &'a str,
        rows: usize,
    },
    Plan(Plan),
    Step {
        step: usize,
        loss: f32,
        rate: f64,
        norm: f32,
        seconds: f64,
    },
    Validation {
        step: usize,
        loss: f32,
        perplexity: f32,
    },
    Checkpoint {
        step: usize,
        folder: &'a Path,
    },
    End {
        step: usize,
        finished: bool,
        seconds: f64,
        tokens: u64,
    },
}

pub(crate) struct Log {
    file: File,
    path: PathBuf,
}

impl Log {
    /// Appends to `<run>/log.jsonl`.
    pub(crate) fn open(run: &Path) -> Result<Self> {
        let path = run.join("log.jsonl");
        let file = OpenOptions::new().create(true).append(true).open(&path);
        Ok(Self {
            file: file.map_err(Error::io("open", &path))?,
            path,
        })
    }

    pub(crate) fn write(&mut self, event: &Event<'_>) -> Result<()> {
        let mut line =
            serde_json::to_vec(event).map_err(|e| Error::format(&self.path, e.to_string()))?;
        line.push(b'\n');
        self.file
            .write_all(&line)
            .map_err(Error::io("write", &self.path))
    }
}
