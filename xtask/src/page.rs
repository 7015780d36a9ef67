//! Gathers the page: what `trunk build` does with this page, without Trunk, which takes longer to build than the page.
//!
//! `web/index.html` names the files by Trunk's own links, so that `trunk serve` works for whoever has it.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::{Result, read, say};

const PAGE: &str = "web/index.html";
/// Where Trunk.toml says, too.
const DIST: &str = "web/dist";

/// Copies the page and everything that it names into web/dist, in the place of what was there.
pub(crate) fn gather() -> Result {
    say("Gathering the page in web/dist");
    gather_into(Path::new(PAGE), Path::new(DIST))
}

fn gather_into(page: &Path, dist: &Path) -> Result {
    let folder = page.parent().ok_or("the page has no folder")?;
    let text = read(page)?;
    // Beside it, so that a page that is being served is never half there for long.
    let new = dist.with_extension("new");
    let _ = fs::remove_dir_all(&new);
    fs::create_dir_all(&new)?;
    let mut html = String::new();
    for line in text.lines() {
        match Asset::in_line(line)? {
            None => html = html + line + "\n",
            Some(asset) => {
                let from = folder.join(asset.href);
                copy(&from, &new.join(asset.target()?))
                    .map_err(|error| format!("copying {}: {error}", from.display()))?;
            }
        }
    }
    fs::write(new.join("index.html"), html)?;
    let _ = fs::remove_dir_all(dist);
    Ok(fs::rename(new, dist)?)
}

/// A file or folder that goes with the page.
#[derive(Debug, PartialEq)]
struct Asset<'a> {
    /// Seen from the page.
    href: &'a str,
    target: Option<&'a str>,
}

impl<'a> Asset<'a> {
    /// The one that a line of the page names, as Trunk writes it; an error for what only Trunk can do.
    fn in_line(line: &'a str) -> Result<Option<Self>> {
        let line = line.trim();
        if !line.contains("data-trunk") {
            return Ok(None);
        }
        let value = |name: &str| {
            let (_, rest) = line.split_once(&format!(" {name}=\""))?;
            rest.split_once('"').map(|(value, _)| value)
        };
        match (value("rel"), value("href")) {
            (Some("copy-file" | "copy-dir"), Some(href)) => Ok(Some(Self {
                href,
                target: value("data-target-path"),
            })),
            _ => Err(format!("{PAGE}: only copy-file and copy-dir are known here: {line}").into()),
        }
    }

    /// Where it goes in the built page.
    fn target(&self) -> Result<PathBuf> {
        if let Some(target) = self.target {
            return Ok(target.into());
        }
        let name = Path::new(self.href).file_name();
        Ok(name.ok_or("an asset needs a name")?.into())
    }
}

/// A file, or a folder with all that is in it.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent)?;
        }
        return fs::copy(from, to).map(drop);
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_gathered_as_its_links_say() {
        let root = std::env::temp_dir().join(format!("sprat-xtask-page-{}", std::process::id()));
        for file in [
            "web/a.css",
            "web/js/deep/b.js",
            "models/c.bin",
            "web/dist/old.js",
        ] {
            let file = root.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "x").unwrap();
        }
        let page = root.join("web/index.html");
        let text = r#"<link rel="stylesheet" href="a.css">
<link data-trunk rel="copy-file" href="a.css">
  <link data-trunk rel="copy-dir" href="js">
<link data-trunk rel="copy-dir" href="../models" data-target-path="m/own">
<p>text</p>
"#;
        fs::write(&page, text).unwrap();
        let dist = root.join("web/dist");
        gather_into(&page, &dist).unwrap();
        for file in ["a.css", "js/deep/b.js", "m/own/c.bin"] {
            assert!(dist.join(file).is_file(), "{file}");
        }
        assert!(!dist.join("old.js").exists());
        let html = fs::read_to_string(dist.join("index.html")).unwrap();
        assert_eq!(
            html,
            "<link rel=\"stylesheet\" href=\"a.css\">\n<p>text</p>\n"
        );
        // A file that is not there: what was gathered before stays.
        fs::remove_file(root.join("web/a.css")).unwrap();
        assert!(gather_into(&page, &dist).is_err());
        assert!(dist.join("a.css").is_file());
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn what_only_trunk_can_do_is_an_error() {
        assert!(Asset::in_line(r#"<link data-trunk rel="rust" href="x">"#).is_err());
        assert_eq!(Asset::in_line("<p>").unwrap(), None);
    }
}
