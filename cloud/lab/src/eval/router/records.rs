//! Records: one question each, answered by both sides.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::{Error, Result};

/// One question, answered by both sides: a line of a file of records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Names the question; no two records have the same. A text or a number.
    #[serde(deserialize_with = "id")]
    pub id: String,
    /// Whether the device's answer is right. `true`, `false`, 1 or 0.
    #[serde(deserialize_with = "yes")]
    pub edge_correct: bool,
    /// Whether the cloud's answer is right.
    #[serde(deserialize_with = "yes")]
    pub cloud_correct: bool,
    /// The device's confidence in its answer, 0 to 1.
    pub confidence: f64,
    /// What the device's answer costs, in any unit.
    pub edge_cost: f64,
    /// What the cloud's answer costs, in the same unit.
    pub cloud_cost: f64,
    /// Seconds until the device's answer is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edge_seconds: Option<f64>,
    /// Seconds until the cloud's answer is there, from when it is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloud_seconds: Option<f64>,
    /// Length of the question, in any unit: for the baseline that sends long ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<f64>,
    /// The kind of question or the data set, for figures of each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}

fn id<'de, D: Deserializer<'de>>(value: D) -> std::result::Result<String, D::Error> {
    match serde_json::Value::deserialize(value)? {
        serde_json::Value::String(text) => Ok(text),
        serde_json::Value::Number(number) => Ok(number.to_string()),
        _ => Err(de::Error::custom("`id` is neither a text nor a number")),
    }
}

fn yes<'de, D: Deserializer<'de>>(value: D) -> std::result::Result<bool, D::Error> {
    let value = serde_json::Value::deserialize(value)?;
    match (value.as_bool(), value.as_f64()) {
        (Some(yes), _) => Ok(yes),
        (_, Some(0.0)) => Ok(false),
        (_, Some(1.0)) => Ok(true),
        _ => Err(de::Error::custom(
            "whether an answer is right is true, false, 1 or 0",
        )),
    }
}

impl Record {
    /// What is wrong with its numbers, if anything is.
    fn problem(&self) -> Option<String> {
        if !(0.0..=1.0).contains(&self.confidence) {
            return Some(format!(
                "`confidence` is {}; bring it to between 0 and 1",
                self.confidence
            ));
        }
        let numbers = [
            ("edge_cost", Some(self.edge_cost)),
            ("cloud_cost", Some(self.cloud_cost)),
            ("edge_seconds", self.edge_seconds),
            ("cloud_seconds", self.cloud_seconds),
            ("length", self.length),
        ];
        let bad = |value: f64| !value.is_finite() || value < 0.0;
        let mut numbers = numbers.into_iter();
        let (name, value) = numbers.find_map(|(name, value)| {
            let value = value.filter(|value| bad(*value))?;
            Some((name, value))
        })?;
        Some(format!("`{name}` is {value}; it must be 0 or more"))
    }
}

/// Reads records, a JSON object a line. Fields that are not known are passed over, and so are
/// blank lines.
///
/// # Errors
/// [`Error::Line`] for the first line that is no record or that has the id of another;
/// [`Error::Format`] where there are none; [`Error::Io`] where the file cannot be read.
pub fn read_records(path: &Path) -> Result<Vec<Record>> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let records = read_lines(path, |line, record: &Record| {
        if let Some(problem) = record.problem() {
            return Err(problem);
        }
        match seen.insert(record.id.clone(), line) {
            Some(before) => Err(format!("it has the id of line {before}")),
            None => Ok(()),
        }
    })?;
    Ok(records)
}

/// Writes records as [`read_records`] reads them.
///
/// # Errors
/// [`Error::Io`] where the file cannot be written.
pub fn write_records(path: &Path, records: &[Record]) -> Result<()> {
    let file = File::create(path).map_err(Error::io("create", path))?;
    let mut file = BufWriter::new(file);
    for record in records {
        let line = serde_json::to_string(record).map_err(|e| Error::format(path, e.to_string()))?;
        writeln!(file, "{line}").map_err(Error::io("write", path))?;
    }
    file.flush().map_err(Error::io("write", path))
}

/// Reads a JSON object a line, each of which `check` may refuse.
pub(crate) fn read_lines<T: de::DeserializeOwned>(
    path: &Path,
    mut check: impl FnMut(usize, &T) -> std::result::Result<(), String>,
) -> Result<Vec<T>> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    let mut items = Vec::new();
    for (i, text) in BufReader::new(file).split(b'\n').enumerate() {
        let (line, text) = (i + 1, text.map_err(Error::io("read", path))?);
        if text.trim_ascii().is_empty() {
            continue;
        }
        let read = serde_json::from_slice(&text).map_err(|e| in_line(&e));
        let checked = read.and_then(|item| check(line, &item).map(|()| item));
        items.push(checked.map_err(|problem| Error::Line {
            path: path.to_path_buf(),
            line,
            problem,
        })?);
    }
    match items.is_empty() {
        true => Err(Error::format(path, "there is nothing in it")),
        false => Ok(items),
    }
}

/// What a JSON reader says, without its own count of lines.
fn in_line(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => format!("{}, at byte {}", &text[..end], error.column()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Record>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        read_records(file.path())
    }

    const GOOD: &str = r#"{"id":"a","edge_correct":true,"cloud_correct":0,"confidence":0.5,"edge_cost":0,"cloud_cost":1.5}"#;

    #[test]
    fn records_are_read_and_written() {
        let second = GOOD.replace("\"a\"", "7").replace(
            "\"confidence\"",
            "\"group\":\"sums\",\"length\":3,\"more\":[],\"confidence\"",
        );
        let records = read(&format!("{GOOD}\n\n{second}\r\n")).unwrap();
        assert_eq!(records.len(), 2);
        assert!(records[0].edge_correct && !records[0].cloud_correct);
        assert_eq!(
            (records[1].id.as_str(), records[1].length),
            ("7", Some(3.0))
        );
        let file = tempfile::NamedTempFile::new().unwrap();
        write_records(file.path(), &records).unwrap();
        assert_eq!(read_records(file.path()).unwrap(), records);
    }

    #[test]
    fn what_is_no_record_is_named_with_its_line() {
        for (old, new, problem) in [
            (GOOD, "not json", "expected"),
            (GOOD, "[1, 2]", ""),
            ("\"confidence\":0.5,", "", "missing field `confidence`"),
            (":0.5", ":NaN", "expected value"),
            (":0.5", ":1e999", "out of range"),
            (":0.5", ":null", "invalid type: null"),
            (":0.5", ":1.01", "bring it to between 0 and 1"),
            (":0.5", ":-0.01", "bring it to between 0 and 1"),
            (":1.5", ":-1.5", "`cloud_cost` is -1.5"),
            ("\"edge_cost\":0", "\"edge_cost\":-2", "`edge_cost` is -2"),
            ("true", "2", "true, false, 1 or 0"),
            ("true", "\"yes\"", "true, false, 1 or 0"),
            ("\"a\"", "[1]", "neither a text nor a number"),
            ("\"id\"", "\"length\":-1,\"id\"", "`length` is -1"),
            ("x", "x", "it has the id of line 1"),
        ] {
            let bad = GOOD.replace(old, new);
            let error = read(&format!("{GOOD}\n{bad}\n")).unwrap_err();
            let Error::Line {
                line, problem: got, ..
            } = &error
            else {
                panic!("{error}")
            };
            assert_eq!(*line, 2);
            assert!(got.contains(problem), "{new}: {got}");
            assert!(!got.contains("at line"), "{got}");
        }
        for empty in ["", "\n \n"] {
            assert!(matches!(read(empty), Err(Error::Format { .. })));
        }
        let error = read_records(Path::new("no/such/file")).unwrap_err();
        assert!(matches!(error, Error::Io { .. }));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), bytes).unwrap();
            let _ = read_records(file.path());
        }
    }
}
