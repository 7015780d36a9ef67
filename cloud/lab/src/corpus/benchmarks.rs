//! Questions that benchmarks ask, which no training run may see.

use std::collections::HashSet;
use std::path::Path;

use serde_json::Value;

use super::{files, text};
use crate::{Error, Result, split};

/// Files and folders below the data root that are asked in evaluation or calibration.
const BENCHMARKS: &[&str] = &[
    "aqua_rat",
    "bbh/bbh",
    "dmath_en_ko",
    "eval_gauntlet",
    "gsm8k/test.jsonl",
    "hard_math",
    "home_assistant_intents/tests/en",
    "hwu64/test",
    "hwu64/valid",
    "mawps_family",
    "math_hendrycks_test",
    "mgsm",
    "svamp/SVAMP.json",
    "svamp/data/mawps-asdiv-a_svamp",
];

/// A text with fewer words is an answer or a label, not a question.
const WORDS: usize = 4;

/// The hashes ([`split::hash`]) of all texts in the benchmarks below `root`.
///
/// # Errors
/// [`Error::Io`] for a benchmark that is there but cannot be read; one that is not there is left
/// out, since it cannot be asked either.
pub fn hashes(root: &Path) -> Result<HashSet<u64>> {
    let mut hashes = HashSet::new();
    for benchmark in BENCHMARKS {
        let path = root.join(benchmark);
        if path.is_dir() {
            for extension in ["json", "jsonl", "tsv", "csv", "yaml", "in"] {
                for file in files(&path, extension)? {
                    collect(&file, &mut hashes)?;
                }
            }
        } else if path.is_file() {
            collect(&path, &mut hashes)?;
        }
    }
    Ok(hashes)
}

/// Adds every text of a file that is long enough to be a question.
fn collect(path: &Path, hashes: &mut HashSet<u64>) -> Result<()> {
    let content = text(path)?;
    let mut add = |text: &str| {
        if text.split_whitespace().count() >= WORDS {
            hashes.insert(split::hash(text));
        }
    };
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("json" | "jsonl") => {
            // Some sets call a file of one value per line ".json".
            let values = serde_json::Deserializer::from_str(&content).into_iter::<Value>();
            for value in values {
                let value = value.map_err(|error| Error::format(path, error.to_string()))?;
                strings(&value, &mut add);
            }
        }
        Some("yaml") => {
            for line in content.lines() {
                add(line.trim().trim_start_matches("- "));
            }
        }
        _ => {
            for line in content.lines() {
                line.split('\t').for_each(&mut add);
            }
        }
    }
    Ok(())
}

/// Visits every string in a JSON value.
fn strings(value: &Value, add: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => add(text),
        Value::Array(values) => values.iter().for_each(|value| strings(value, add)),
        Value::Object(fields) => fields.values().for_each(|value| strings(value, add)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn questions_of_every_file_kind_are_found() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, content: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        };
        write(
            "gsm8k/test.jsonl",
            "{\"question\":\"How many goats are there?\",\"answer\":\"4\"}\n{}",
        );
        write(
            "svamp/SVAMP.json",
            "[{\"Question\":\"How many sheep are left?\"}]",
        );
        write("hwu64/test/seq.in", "switch on the big lamp\n");
        write(
            "home_assistant_intents/tests/en/a.yaml",
            "tests:\n  - \"dim the small lamp now\"\n",
        );
        write("mgsm/mgsm_en.tsv", "What is the price of six pens?\t12\n");
        let hashes = hashes(root.path()).unwrap();
        for question in [
            "how many goats are there",
            "How many sheep are left",
            "Switch on the big lamp!",
            "dim the small lamp now",
            "what is the price of six pens",
        ] {
            assert!(hashes.contains(&split::hash(question)), "{question}");
        }
        write("svamp/SVAMP.json", "[");
        assert!(matches!(
            super::hashes(root.path()),
            Err(Error::Format { .. })
        ));
    }
}
