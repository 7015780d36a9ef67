//! A merge that is not complete yet: a folder beside the one it will be, which a later run goes on with.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use sprat_merge::{Dtype, Merge, Report, SafetensorsWriter};

/// What the weights are made from: with the same, they are the same.
const STAMP: &str = "merging.json";

/// The folder, whose name is not one that anything reads.
pub(super) struct Draft {
    pub(super) folder: PathBuf,
}

impl Draft {
    /// Goes on with what an earlier run made of the same, or begins.
    pub(super) fn begin(out: &Path, stamp: &serde_json::Value) -> Result<Self> {
        let name = out.file_name().context("--out needs a folder's name")?;
        let folder = out.with_file_name(format!("{}.merging", name.to_string_lossy()));
        let draft = Self { folder };
        let stamp = format!("{stamp:#}\n");
        if fs::read_to_string(draft.folder.join(STAMP)).is_ok_and(|old| old == stamp) {
            return Ok(draft);
        }
        draft.remove()?;
        let cannot = || format!("cannot write {}", draft.folder.display());
        fs::create_dir_all(&draft.folder).with_context(cannot)?;
        fs::write(draft.folder.join(STAMP), stamp).with_context(cannot)?;
        Ok(draft)
    }

    /// Makes the tensors that are missing, one after the other, so that memory is one's of each model.
    pub(super) fn write_weights(&self, merge: Merge, dtype: Dtype) -> Result<Report> {
        let path = self.folder.join("model.safetensors");
        let tensors = &merge.plan().tensors;
        let elements = tensors.iter().map(|t| t.elements() as u64).sum();
        let shapes: Vec<(String, Vec<usize>)> = tensors
            .iter()
            .map(|tensor| (tensor.name.clone(), tensor.shape.clone()))
            .collect();
        let shapes = shapes.iter().map(|(name, shape)| (&**name, &**shape));
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let file = options.open(&path);
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        let (mut writer, done) = SafetensorsWriter::resume(file, shapes, dtype)?;
        if done > 0 {
            let all = tensors.len();
            eprintln!("going on behind tensor {done} of {all}, which an earlier run made");
        }
        let bar = ProgressBar::new(elements);
        bar.set_style(
            ProgressStyle::with_template("{bar:30} {percent:>3} % {wide_msg} {eta} left")
                .unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        let report = merge.after(done).run(
            |name, _, values| writer.write(name, &values),
            |progress| {
                bar.set_position(progress.elements);
                bar.set_message(progress.tensor.to_owned());
            },
        );
        bar.finish_and_clear();
        let report = report?;
        let mut file = writer.finish()?;
        file.flush()
            .and_then(|()| file.get_ref().sync_all())
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(report)
    }

    /// Gives the folder its name, without what is only for going on.
    pub(super) fn publish(&self, out: &Path) -> Result<()> {
        let cannot = || format!("cannot write {}", out.display());
        fs::remove_file(self.folder.join(STAMP)).with_context(cannot)?;
        fs::rename(&self.folder, out).with_context(cannot)
    }

    /// Takes all of it away.
    pub(super) fn remove(&self) -> Result<()> {
        if !self.folder.exists() {
            return Ok(());
        }
        let cannot = || format!("cannot remove {}", self.folder.display());
        fs::remove_dir_all(&self.folder).with_context(cannot)
    }
}
