//! Copies each target's inputs into a folder of its own, which libFuzzer reads, and prints the targets'
//! names: `seeds FOLDER`, from the repository's root.

use std::error::Error;
use std::path::Path;

use sprat_fuzz::TARGETS;

fn main() -> Result<(), Box<dyn Error>> {
    let out = std::env::args().nth(1).ok_or("usage: seeds FOLDER")?;
    for target in TARGETS {
        let folder = Path::new(&out).join(target.name);
        std::fs::create_dir_all(&folder)?;
        for (number, input) in target.inputs(Path::new("."))?.iter().enumerate() {
            std::fs::copy(input, folder.join(format!("seed-{number}")))?;
        }
        println!("{}", target.name);
    }
    Ok(())
}
