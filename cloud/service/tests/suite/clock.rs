//! The wall clock may jump: it is set by hand, by the network, by whoever moves a machine. Nothing that waits, limits or
//! counts may read it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Who reads it, and how often: all of them for `created`, which says when an answer or an engine was made.
const READERS: [(&str, usize); 4] = [
    ("echo.rs", 1),
    ("engines/mod.rs", 1),
    ("routes/answer.rs", 1),
    ("upstream/mod.rs", 1),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

/// Reads of the wall clock below a folder, by file.
fn readers(folder: &Path) -> BTreeMap<String, usize> {
    let mut files = Vec::new();
    sources(folder, &mut files);
    assert!(files.len() > 3, "{} has no sources", folder.display());
    let mut readers = BTreeMap::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let clocks = ["SystemTime::now", "Utc::now", "Local::now"];
        let reads = clocks.iter().map(|clock| text.matches(clock).count()).sum();
        if reads > 0 {
            let name = file.strip_prefix(folder).unwrap();
            readers.insert(name.to_string_lossy().replace('\\', "/"), reads);
        }
    }
    readers
}

#[test]
fn nothing_but_dates_of_creation_reads_the_wall_clock() {
    let service = Path::new(env!("CARGO_MANIFEST_DIR"));
    let known = READERS.map(|(file, reads)| (file.to_owned(), reads));
    assert_eq!(readers(&service.join("src")), BTreeMap::from(known));
    let serve = service.join("../cli/src/commands/serve");
    assert_eq!(readers(&serve), BTreeMap::new());
}
