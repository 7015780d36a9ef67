//! `RouteLLM`'s published labels (github.com/lm-sys/RouteLLM, routellm/evals): which of two models has
//! which question of MMLU or GSM8K right. With them the metrics themselves are checked.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Record;
use super::records::read_lines;
use crate::{Error, Result};

/// A question that a router was trained on.
#[derive(Deserialize)]
struct Contaminated {
    eval_prompt: String,
}

/// Records of a benchmark's folder (`mmlu` or `gsm8k`): its `*.csv`, also those in `responses`, with the columns `prompt`,
/// the weak model's and the strong one's; without the questions of `contaminated_prompts.jsonl`.
///
/// The labels hold no confidence, so every record has 0.5: its order is that of random sending. A
/// call costs 1, the weak model nothing; a question's length is its characters.
///
/// # Errors
/// [`Error::Io`] and [`Error::Format`] where the folder is not of this form.
pub fn labels(folder: &Path) -> Result<Vec<Record>> {
    let contaminated = folder.join("contaminated_prompts.jsonl");
    let contaminated: Vec<Contaminated> = match contaminated.exists() {
        true => read_lines(&contaminated, |_, _| Ok(()))?,
        false => Vec::new(),
    };
    let contaminated: HashSet<String> = contaminated
        .into_iter()
        .map(|line| line.eval_prompt)
        .collect();
    let mut records = Vec::new();
    for file in tables(folder)? {
        table(&file, &contaminated, &mut records)?;
    }
    match records.is_empty() {
        true => Err(Error::format(folder, "there are no labels in it")),
        false => Ok(records),
    }
}

fn tables(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut tables = Vec::new();
    for folder in [folder.to_path_buf(), folder.join("responses")] {
        if !folder.is_dir() && folder.ends_with("responses") {
            continue;
        }
        for entry in std::fs::read_dir(&folder).map_err(Error::io("read", &folder))? {
            let path = entry.map_err(Error::io("read", &folder))?.path();
            if path.extension().is_some_and(|e| e == "csv") {
                tables.push(path);
            }
        }
    }
    tables.sort();
    Ok(tables)
}

fn table(file: &Path, contaminated: &HashSet<String>, records: &mut Vec<Record>) -> Result<()> {
    let failed = |e: &csv::Error| Error::format(file, e.to_string());
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    let mut reader = csv::Reader::from_path(file).map_err(|e| failed(&e))?;
    for (i, row) in reader.records().enumerate() {
        let row = row.map_err(|e| failed(&e))?;
        let column = |at: usize| row.get(at).unwrap_or_default();
        let label = |at: usize| match column(at) {
            "True" => Ok(true),
            "False" => Ok(false),
            _ => {
                let problem = format!("column {} of row {} is not True or False", at + 1, i + 1);
                Err(Error::format(file, problem))
            }
        };
        let (edge_correct, cloud_correct) = (label(1)?, label(2)?);
        if contaminated.contains(column(0)) {
            continue;
        }
        records.push(Record {
            id: format!("{name}/{i}"),
            edge_correct,
            cloud_correct,
            confidence: 0.5,
            edge_cost: 0.0,
            cloud_cost: 1.0,
            edge_seconds: None,
            cloud_seconds: None,
            length: Some(column(0).chars().count() as f64),
            group: None,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_without_what_routers_were_trained_on() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        std::fs::create_dir(dir.path().join("responses")).unwrap();
        write(
            "responses/sums.csv",
            "prompt,weak,strong,weak_response\n\"One,\nor \"\"two\"\"?\",True,False,x\nSeen,False,True,y\n",
        );
        write(
            "contaminated_prompts.jsonl",
            "{\"train_prompt\":\"s\",\"eval_prompt\":\"Seen\"}\n",
        );
        write("other.csv", "prompt,weak,strong\nThree?,False,True\n");
        let records = labels(dir.path()).unwrap();
        let read: Vec<_> = records
            .iter()
            .map(|r| (r.id.as_str(), r.edge_correct, r.cloud_correct, r.length))
            .collect();
        let expected = [
            ("other/0", false, true, Some(6.0)),
            ("sums/0", true, false, Some(14.0)),
        ];
        assert_eq!(read, expected);
        write("other.csv", "prompt,weak,strong\nThree?,maybe,True\n");
        let error = labels(dir.path()).unwrap_err().to_string();
        assert!(error.contains("column 2 of row 1"), "{error}");
        assert!(matches!(
            labels(&dir.path().join("none")),
            Err(Error::Io { .. })
        ));
        let empty = tempfile::tempdir().unwrap();
        assert!(matches!(labels(empty.path()), Err(Error::Format { .. })));
    }
}
