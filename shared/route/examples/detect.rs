//! Counts what the detector finds in lines that nobody else should see: `detect < FILE` prints how
//! many lines hold each kind, and no line.

use std::collections::BTreeMap;
use std::io::BufRead;

use sprat_route::{detect::detect, privacy::Level};

fn main() -> std::io::Result<()> {
    let (mut lines, mut kinds, mut levels) = (0, BTreeMap::new(), BTreeMap::new());
    for line in std::io::stdin().lock().lines() {
        let findings = detect(&line?);
        lines += 1;
        *levels.entry(findings.level()).or_insert(0) += 1;
        for kind in findings.kinds() {
            *kinds.entry(kind).or_insert(0) += 1;
        }
    }
    let open = levels.get(&Level::Open).copied().unwrap_or(0);
    println!(
        "{lines} lines, {} with a finding: {levels:?} {kinds:?}",
        lines - open
    );
    Ok(())
}
