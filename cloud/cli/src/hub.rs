//! Models of Hugging Face's hub: what files of them are fetched, to where, and what is said when that
//! does not work. `HF_ENDPOINT`, `HF_HOME`, `HF_TOKEN` and `HF_HUB_OFFLINE` mean what they mean to
//! Hugging Face's own tools, and files are kept in the folder that those use.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use hf_hub::api::Progress;
use hf_hub::api::sync::{Api, ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};
use indicatif::ProgressBar;
use sha2::{Digest, Sha256};

use crate::folder::progress_bar;

/// A model of the hub, as written on a command line: `OWNER/NAME`, `OWNER/NAME@REVISION`,
/// `OWNER/NAME/FILE.gguf`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HubId {
    /// `OWNER/NAME`
    repo: String,
    revision: String,
    /// One GGUF file of several in the repository.
    file: Option<String>,
}

const INDEX: &str = "model.safetensors.index.json";
const SINGLE: &str = "model.safetensors";
/// What stands beside the weights, as far as it is there.
const COMPANIONS: [&str; 6] = [
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "tokenizer.model",
    "README.md",
];
/// Times that a broken download is taken up again where it stopped.
const RETRIES: usize = 4;

impl HubId {
    /// Reads an id; none in a text that is a path.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let word = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        };
        let (owner, rest) = text.split_once('/')?;
        let (name, file) = match rest.split_once('/') {
            Some((name, file)) => (name, Some(file)),
            None => (rest, None),
        };
        let (name, revision) = name.split_once('@').unwrap_or((name, "main"));
        let file_fits = file.is_none_or(|file| file.split('/').all(word) && is_gguf(file));
        (word(owner) && word(name) && word(revision) && file_fits).then(|| Self {
            repo: format!("{owner}/{name}"),
            revision: revision.to_owned(),
            file: file.map(str::to_owned),
        })
    }

    /// The repository's name without its owner.
    pub(crate) fn name(&self) -> &str {
        self.repo
            .split_once('/')
            .map_or(&self.repo, |(_, name)| name)
    }

    fn at(&self, revision: &str) -> Repo {
        Repo::with_revision(self.repo.clone(), RepoType::Model, revision.to_owned())
    }
}

impl std::fmt::Display for HubId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.repo)?;
        if self.revision != "main" {
            write!(f, "@{}", self.revision)?;
        }
        match &self.file {
            Some(file) => write!(f, "/{file}"),
            None => Ok(()),
        }
    }
}

fn is_gguf(file: &str) -> bool {
    file.to_ascii_lowercase().ends_with(".gguf")
}

/// Fetches a model, or what of it is not here yet, and returns its folder or GGUF file.
pub(crate) fn fetch(id: &HubId) -> Result<PathBuf> {
    let cache = Cache::from_env();
    let offline = std::env::var("HF_HUB_OFFLINE").is_ok_and(|v| !["", "0"].contains(&v.as_str()));
    if offline {
        return cached(&cache, id).with_context(|| {
            format!(
                "HF_HUB_OFFLINE is set and {id} is not in {}",
                cache.path().display()
            )
        });
    }
    let api = api(cache.clone())?;
    let info = match api.repo(id.at(&id.revision)).info() {
        Ok(info) => info,
        Err(error) => {
            let local = cached(&cache, id).filter(|_| !is_answer(&error));
            let Some(local) = local else {
                return Err(explain(id, &error));
            };
            eprintln!(
                "the hub cannot be reached; using the copy of {id} in {}",
                local.display()
            );
            return Ok(local);
        }
    };
    // All files of one commit, whatever happens to the branch meanwhile.
    let download = Download {
        id,
        remote: api.repo(id.at(&info.sha)),
        cache: &cache,
        commit: &info.sha,
    };
    let names: Vec<&str> = info
        .siblings
        .iter()
        .map(|file| file.rfilename.as_str())
        .collect();
    let path = download.model(&names)?;
    let named = cache.repo(id.at(&id.revision));
    named
        .create_ref(&info.sha)
        .context("cannot write to the hub's folder")?;
    Ok(path)
}

fn api(cache: Cache) -> Result<Api> {
    let token = std::env::var("HF_TOKEN")
        .ok()
        .filter(|token| !token.is_empty());
    let token = token.or_else(|| cache.token());
    let endpoint = endpoint();
    if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
        bail!("HF_ENDPOINT is {endpoint:?}, which is no http or https address");
    }
    let builder = ApiBuilder::from_cache(cache)
        .with_endpoint(endpoint)
        .with_token(token)
        .with_progress(false)
        .with_retries(RETRIES);
    builder.build().context("cannot make a client for the hub")
}

fn endpoint() -> String {
    let endpoint = std::env::var("HF_ENDPOINT").ok().filter(|e| !e.is_empty());
    let endpoint = endpoint.unwrap_or_else(|| "https://huggingface.co".to_owned());
    endpoint.trim_end_matches('/').to_owned()
}

/// The model in the hub's folder, fetched earlier.
fn cached(cache: &Cache, id: &HubId) -> Option<PathBuf> {
    let repo = cache.repo(id.at(&id.revision));
    match &id.file {
        Some(file) => repo.get(file),
        None => Some(repo.get("config.json")?.parent()?.to_owned()),
    }
}

struct Download<'a> {
    id: &'a HubId,
    remote: ApiRepo,
    cache: &'a Cache,
    commit: &'a str,
}

impl Download<'_> {
    /// Fetches what a repository with these files has to offer.
    fn model(&self, names: &[&str]) -> Result<PathBuf> {
        let id = self.id;
        let has = |name: &str| names.contains(&name);
        let ggufs: Vec<&str> = names.iter().copied().filter(|name| is_gguf(name)).collect();
        if let Some(file) = &id.file {
            if !has(file) {
                bail!("{} has no file {file}; it has {}", id.repo, listed(&ggufs));
            }
            return self.gguf(file, &ggufs);
        }
        if has("config.json") && (has(SINGLE) || has(INDEX)) {
            return self.folder(names);
        }
        match *ggufs {
            [file] => self.gguf(file, &ggufs),
            [] => bail!(
                "{id} has neither {SINGLE} nor a GGUF file, so it holds no weights that can be read; \
                 transformers' save_pretrained makes safetensors of other kinds"
            ),
            _ => bail!(
                "{id} has several GGUF files; name one, as {id}/FILE: {}",
                listed(&ggufs)
            ),
        }
    }

    /// A Hugging Face folder; returns its place.
    fn folder(&self, names: &[&str]) -> Result<PathBuf> {
        let config = self.file("config.json")?;
        let tiktoken = |name: &&&str| name.ends_with(".tiktoken") && !name.contains('/');
        let companions = names.iter().filter(|name| COMPANIONS.contains(name));
        for name in companions.chain(names.iter().filter(tiktoken)) {
            self.file(name)?;
        }
        if names.contains(&INDEX) {
            let index = std::fs::read(self.file(INDEX)?)?;
            for shard in shards(&index).with_context(|| format!("{INDEX} of {}", self.id))? {
                self.file(&shard)?;
            }
        } else {
            self.file(SINGLE)?;
        }
        let folder = config.parent().context("a file has a folder")?;
        Ok(folder.to_owned())
    }

    /// A GGUF file with its other parts; returns its place.
    fn gguf(&self, file: &str, all: &[&str]) -> Result<PathBuf> {
        if let Some((stem, count)) = sprat_model::gguf_parts(Path::new(file)) {
            let folder = file
                .rsplit_once('/')
                .map_or(String::new(), |(folder, _)| format!("{folder}/"));
            let belongs = |name: &&&str| {
                sprat_model::gguf_parts(Path::new(name)).as_ref() == Some(&(stem.clone(), count))
                    && name.starts_with(&folder)
            };
            for part in all.iter().filter(belongs) {
                self.file(part)?;
            }
        }
        self.file(file)
    }

    /// Fetches one file, unless it is here; a download that was cut off goes on where it stopped.
    fn file(&self, name: &str) -> Result<PathBuf> {
        let here = self.cache.repo(self.id.at(self.commit)).get(name);
        if let Some(path) = here {
            return Ok(path);
        }
        let bar = Bar(progress_bar("Fetching")?);
        let path = self.remote.download_with_progress(name, bar.clone());
        bar.0.finish_and_clear();
        let path = path.map_err(|error| explain(self.id, &error))?;
        verify(&path).with_context(|| format!("{name} of {}", self.id))?;
        Ok(path)
    }
}

/// The client's progress as the bar that all long work here has.
#[derive(Clone)]
struct Bar(ProgressBar);

impl Progress for Bar {
    fn init(&mut self, size: usize, filename: &str) {
        self.0.set_length(size as u64);
        self.0.set_position(0);
        self.0.set_prefix(filename.to_owned());
    }

    fn update(&mut self, size: usize) {
        self.0.inc(size as u64);
    }

    fn finish(&mut self) {}
}

/// The plain file names in an index of shards.
fn shards(index: &[u8]) -> Result<Vec<String>> {
    let index: serde_json::Value = serde_json::from_slice(index)?;
    let map = index["weight_map"]
        .as_object()
        .context("it has no weight_map")?;
    let mut files = Vec::new();
    for file in map.values() {
        let file = file.as_str().context("it names no files")?;
        if file.is_empty() || file.contains(['/', '\\']) {
            bail!("{file:?} is not a plain file name");
        }
        files.push(file.to_owned());
    }
    files.sort();
    files.dedup();
    Ok(files)
}

/// Large files are kept under their SHA-256: compares it, so that what a server cut off or sent twice
/// is not taken for the model.
fn verify(path: &Path) -> Result<()> {
    let blob = path.canonicalize()?;
    let expected = blob
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    if expected.len() != 64 || !expected.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(());
    }
    let mut hasher = Sha256::new();
    std::io::copy(&mut std::fs::File::open(&blob)?, &mut hasher)?;
    if hex::encode(hasher.finalize()) == expected.to_ascii_lowercase() {
        return Ok(());
    }
    std::fs::remove_file(path)?;
    std::fs::remove_file(&blob)?;
    bail!("what arrived is not what the hub announced; it was removed, try again")
}

/// Whether the hub answered, if only to refuse.
fn is_answer(error: &ApiError) -> bool {
    status(error).is_some()
}

fn status(error: &ApiError) -> Option<u16> {
    match error {
        ApiError::RequestError(error) => match **error {
            ureq::Error::StatusCode(status) => Some(status),
            _ => None,
        },
        ApiError::TooManyRetries(error) => status(error),
        _ => None,
    }
}

/// What went wrong, and what to do about it.
fn explain(id: &HubId, error: &ApiError) -> anyhow::Error {
    let endpoint = endpoint();
    match status(error) {
        Some(401 | 403) => anyhow!(
            "{endpoint} does not give {id} to you: it may be spelled wrong, private or behind terms \
             of use; accept those on its page, and name a token in HF_TOKEN"
        ),
        Some(404) => anyhow!("{id} is neither a file or folder here nor a model on {endpoint}"),
        Some(416) => anyhow!(
            "{endpoint} cannot go on with the unfinished download of {id}; remove the .part files in \
             {} and try again",
            Cache::from_env().path().display()
        ),
        Some(status) => anyhow!("{endpoint} answered {status} for {id}; try again later"),
        None => anyhow!(
            "{id} is no file or folder here, and the hub at {endpoint} cannot be reached, or says \
             what it should not ({error}); name a local folder or .gguf file, or set HF_ENDPOINT to a mirror"
        ),
    }
}

fn listed(files: &[&str]) -> String {
    match files {
        [] => "none".to_owned(),
        _ => files.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_told_from_paths() {
        let id = |text: &str| HubId::parse(text).map(|id| (id.repo, id.revision, id.file));
        let main = || "main".to_owned();
        assert_eq!(id("a/b-1.5"), Some(("a/b-1.5".into(), main(), None)));
        assert_eq!(id("a/b@v2"), Some(("a/b".into(), "v2".into(), None)));
        let file = Some("q8/m.GGUF".to_owned());
        assert_eq!(id("a/b/q8/m.GGUF"), Some(("a/b".into(), main(), file)));
        for path in [
            "a", "./a", "../a/b", "a/../b", "/a/b", "a/b/c", "a//b", "a/b@", "a b/c", "",
        ] {
            assert_eq!(id(path), None, "{path:?}");
        }
    }

    #[test]
    fn an_index_names_plain_files() {
        let two = br#"{"weight_map": {"x": "b.st", "y": "a.st", "z": "b.st"}}"#;
        assert_eq!(shards(two).unwrap(), ["a.st", "b.st"]);
        for wrong in [
            &b"{}"[..],
            b"[",
            br#"{"weight_map": {"x": "../b"}}"#,
            br#"{"weight_map": {"x": 1}}"#,
        ] {
            assert!(shards(wrong).is_err());
        }
    }
}
