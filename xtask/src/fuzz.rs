//! A minute of libFuzzer over every parser of strangers' files; the targets are in tests/fuzz.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::{env, fs};

use crate::{Result, cargo, output, run, say, steps, target, tools};

/// Seconds for all targets together. `FUZZ_SECONDS` sets another number.
const SECONDS: u64 = 60;
/// What one input may take; the largest seed needs a hundredth of it. The same inputs in every run, so
/// that a run that passed says something of the next; `FUZZ_SECONDS` hunts with other ones.
const LIMITS: [&str; 4] = [
    "-timeout=20",
    "-rss_limit_mb=3072",
    "-malloc_limit_mb=1024",
    "-max_len=131072",
];

pub(crate) fn fuzz() -> Result {
    tools::cpp_compiler()?;
    let folder = target().join("fuzz");
    let wrapper = fs::canonicalize("tests/fuzz/rustc.sh")?;
    let features = format!("{},sprat-fuzz/libfuzzer", steps::NATIVE);
    // The dependencies are those of the tests; only our own crates are compiled anew.
    let build = |program| {
        let mut cargo = cargo();
        cargo
            .arg("build")
            .args(features.split(' '))
            .args(["--bin", program]);
        cargo
    };
    run(&mut build("seeds"))?;
    run(build("fuzz").env("RUSTC_WORKSPACE_WRAPPER", wrapper))?;
    let program = |name: &str| target().join("debug").join(name);
    let names = output(Command::new(program("seeds")).arg(folder.join("seeds")));
    let names = names.ok_or("the fuzz targets' seeds could not be gathered")?;
    let names: Vec<&str> = names.lines().collect();

    // Side by side in pairs, so that both cores of a small machine work.
    let seconds: Option<u64> = env::var("FUZZ_SECONDS").ok().and_then(|s| s.parse().ok());
    let seed = if seconds.is_some() { 0 } else { 1 };
    let each = (2 * seconds.unwrap_or(SECONDS) / names.len().max(1) as u64).max(1);
    let mut failed = Vec::new();
    for pair in names.chunks(2) {
        say(&format!("Fuzzing {} for {each} s", pair.join(" and ")));
        let started = pair
            .iter()
            .map(|name| start(&program("fuzz"), &folder, name, each, seed));
        let children = started.collect::<Result<Vec<_>>>()?;
        for (name, mut child) in pair.iter().zip(children) {
            if !child.wait()?.success() {
                say(&format!("{name} failed; what libFuzzer said:"));
                eprintln!("{}", tail(&fs::read_to_string(log(&folder, name))?));
                failed.push(*name);
            }
        }
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "{}: the inputs that did it are in {}; put them into tests/fuzz/regressions/TARGET",
            failed.join(", "),
            folder.display()
        )
        .into()),
    }
}

fn start(program: &Path, folder: &Path, name: &str, seconds: u64, seed: u8) -> Result<Child> {
    // Empty at the start: what an earlier run found would make this one another.
    let found = folder.join("found").join(name);
    if seed != 0 {
        let _ = fs::remove_dir_all(&found);
    }
    fs::create_dir_all(&found)?;
    let log = fs::File::create(log(folder, name))?;
    let mut fuzzer = Command::new(program);
    fuzzer
        .arg(&found)
        .arg(folder.join("seeds").join(name))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-seed={seed}"))
        .arg(format!("-artifact_prefix={}/{name}-", folder.display()))
        .args(LIMITS)
        .env("SPRAT_FUZZ", name)
        .stdout(Stdio::null())
        .stderr(log);
    Ok(fuzzer.spawn()?)
}

fn log(folder: &Path, name: &str) -> std::path::PathBuf {
    folder.join(format!("{name}.log"))
}

/// The end of a log.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
