//! The file of API keys: one per line.
//!
//! ```text
//! # comments and empty lines are skipped
//! sk-plain-key
//! sk-another      name=team-a requests_per_minute=60 tokens_per_minute=100000
//! sha256:9f86d0…  name=team-b
//! ```

use std::path::Path;

use super::ApiKey;
use crate::ServiceError;

impl ApiKey {
    /// Reads a file of keys.
    ///
    /// # Errors
    /// [`ServiceError::KeysFile`] naming the line, never what is in it.
    pub fn read_file(path: &Path) -> Result<Vec<Self>, ServiceError> {
        let failed = |reason: String| ServiceError::KeysFile {
            path: path.to_path_buf(),
            reason,
        };
        let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        let mut keys = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let key = parse(line, number);
            keys.push(key.map_err(|problem| failed(format!("line {number} {problem}")))?);
        }
        match keys.is_empty() {
            // A file that was emptied by mistake must not open the door.
            true => Err(failed("it holds no key".to_owned())),
            false => Ok(keys),
        }
    }
}

fn parse(line: &str, number: usize) -> Result<ApiKey, String> {
    let mut words = line.split_ascii_whitespace();
    let secret = words.next().unwrap_or_default();
    let name = format!("key-{number}");
    let mut key = match secret.strip_prefix("sha256:") {
        Some(digits) => {
            let mut hash = [0; 32];
            hex::decode_to_slice(digits, &mut hash)
                .map_err(|_| "needs 64 hexadecimal digits after sha256:".to_owned())?;
            ApiKey::of_hash(&name, hash)
        }
        None => ApiKey::new(&name, secret)
            .map_err(|_| "has characters that a header cannot carry".to_owned())?,
    };
    for word in words {
        let problem = "must be KEY, then name=…, requests_per_minute=… or tokens_per_minute=…";
        let (option, value) = word.split_once('=').ok_or_else(|| problem.to_owned())?;
        let limit = || {
            let limit = value.parse().ok().filter(|limit| *limit > 0);
            limit.ok_or_else(|| format!("needs a whole number above 0 for {option}"))
        };
        match option {
            "name" => key.name = checked_name(value)?,
            "requests_per_minute" => key.requests_per_minute = Some(limit()?),
            "tokens_per_minute" => key.tokens_per_minute = Some(limit()?),
            _ => return Err(problem.to_owned()),
        }
    }
    Ok(key)
}

/// A name goes to logs, so it must be short and dull.
fn checked_name(name: &str) -> Result<String, String> {
    let dull = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    match (1..=64).contains(&name.len()) && name.chars().all(dull) {
        true => Ok(name.to_owned()),
        false => Err("has a name that is not 1 to 64 letters, digits, - _ or .".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<ApiKey>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        std::fs::write(&path, text).unwrap();
        ApiKey::read_file(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn keys_come_plain_or_as_hashes() {
        // SHA-256 of "test".
        let hash = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        let text = format!(
            "# ours\n\nsk-a\n  sk-b name=b requests_per_minute=60\r\nsha256:{hash} tokens_per_minute=5 name=c\n"
        );
        let keys = read(&text).unwrap();
        let expected = [
            ApiKey::new("key-3", "sk-a").unwrap(),
            ApiKey {
                requests_per_minute: Some(60),
                ..ApiKey::new("b", "sk-b").unwrap()
            },
            ApiKey {
                tokens_per_minute: Some(5),
                ..ApiKey::new("c", "test").unwrap()
            },
        ];
        assert_eq!(keys, expected);
    }

    #[test]
    fn mistakes_are_located_and_secrets_not_told() {
        for (text, problem) in [
            ("", "it holds no key"),
            ("# nothing\n", "it holds no key"),
            ("SECRET nam=x", "line 1 must be KEY"),
            ("SECRET SECRET", "line 1 must be KEY"),
            ("a\nSECRET name=\n", "line 2 has a name"),
            ("SECRET name=a/b", "line 1 has a name"),
            (
                "SECRET requests_per_minute=0",
                "line 1 needs a whole number above 0",
            ),
            (
                "SECRET tokens_per_minute=-5",
                "line 1 needs a whole number above 0",
            ),
            ("sha256:SECRET", "line 1 needs 64 hexadecimal digits"),
            ("SECRET\u{7}", "line 1 has characters"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(problem), "{text:?}: {error}");
            assert!(!error.contains("SECRET"), "{error}");
        }
        let missing = ApiKey::read_file(Path::new("/nowhere/keys")).unwrap_err();
        assert!(missing.to_string().contains("/nowhere/keys"));
    }
}
