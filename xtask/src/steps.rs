//! What `cargo xtask test` runs, one step after the other, to the end even when some fail.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use std::thread::{self, ScopedJoinHandle};
use std::time::Instant;
use std::{env, fs};

use crate::engine::{self, MODULES, Profile};
use crate::{Result, aside, cargo, package, say, target, tools};

/// One thing to check.
struct Step {
    name: &'static str,
    run: fn() -> Result,
    /// Steps without which it makes no sense.
    needs: &'static [&'static str],
    /// Runs beside the others, one after the other, until a step needs one of them: it builds in another folder.
    aside: bool,
}

const fn step(name: &'static str, run: fn() -> Result) -> Step {
    Step {
        name,
        run,
        needs: &[],
        aside: false,
    }
}

impl Step {
    const fn after(mut self, needs: &'static [&'static str]) -> Self {
        self.needs = needs;
        self
    }

    const fn aside(mut self) -> Self {
        self.aside = true;
        self
    }

    /// Runs it, unless what it needs has not passed.
    fn carry_out(&self, before: &[Row]) -> Row {
        let started = Instant::now();
        let broken = before.iter().find(|(name, outcome, _)| {
            self.needs.contains(name) && !matches!(outcome, Outcome::Passed)
        });
        let outcome = match broken {
            Some((name, _, _)) => Outcome::Skipped(name),
            None => {
                say(self.name);
                (self.run)().map_or_else(
                    |error| Outcome::Failed(error.to_string()),
                    |()| Outcome::Passed,
                )
            }
        };
        if let Outcome::Failed(error) = &outcome {
            say(&format!("error: {error}"));
        }
        (self.name, outcome, started.elapsed().as_secs())
    }
}

/// Quick ones first, so that a slip is known soon.
const STEPS: &[Step] = &[
    step("format", format),
    step("JavaScript types", javascript_types),
    step("JavaScript tests", javascript_tests),
    step("lint", lint),
    step("tests", tests),
    step("plain tensors", plain_tensors),
    step("ARM kernels", arm_kernels),
    step("WebAssembly kernels", wasm_kernels),
    step("doc tests", doc_tests),
    step("fuzz", crate::fuzz::fuzz),
    step("documentation", documentation),
    step("engine modules", modules).aside(),
    step("engine size", crate::size::check)
        .after(&["engine modules"])
        .aside(),
    step("engine lint", engine_lint).aside(),
    step("page", crate::page::gather).after(&["engine modules"]),
    step("package", package).after(&["page"]),
    step("package tests", package_tests).after(&["package"]),
    step("server", server),
    step("browser tests", browser_tests).after(&["page", "server"]),
];

enum Outcome {
    Passed,
    Failed(String),
    Skipped(&'static str),
}

/// A step's name, what became of it, and the seconds that it took.
type Row = (&'static str, Outcome, u64);

/// Runs the steps whose names contain one of `words` (all, if there are none), or are equal to one.
/// Ends with a table; an error names the steps that failed.
pub(crate) fn run(words: &[&str], exactly: bool) -> Result {
    let fits = |name: &str, word: &str| {
        if exactly {
            name == word
        } else {
            name.contains(word)
        }
    };
    let chosen: Vec<&Step> = STEPS
        .iter()
        .filter(|step| words.is_empty() || words.iter().any(|word| fits(step.name, word)))
        .collect();
    if chosen.is_empty() {
        let all: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
        return Err(format!(
            "no step has {} in its name; there are: {}",
            words.join(" or "),
            all.join(", ")
        )
        .into());
    }
    let started = Instant::now();
    let rows = run_all(&chosen);
    report(&rows, started.elapsed().as_secs())
}

/// Runs all steps, those that go aside in a thread of their own.
fn run_all(steps: &[&Step]) -> Vec<Row> {
    let (aside, others): (Vec<&Step>, Vec<&Step>) = steps.iter().partition(|step| step.aside);
    if others.is_empty() {
        return in_order(&aside);
    }
    thread::scope(|scope| {
        let mut lane = (!aside.is_empty()).then(|| {
            let names: Vec<&str> = aside.iter().map(|step| step.name).collect();
            say(&format!("Meanwhile: {}", names.join(", ")));
            scope.spawn(|| {
                // Without a log its lines come between the others'.
                let _ = aside::begin();
                in_order(&aside)
            })
        });
        let mut rows = Vec::new();
        for step in others {
            if aside.iter().any(|other| step.needs.contains(&other.name)) {
                rows.extend(ended(lane.take()));
            }
            rows.push(step.carry_out(&rows));
        }
        rows.extend(ended(lane));
        rows
    })
}

fn in_order(steps: &[&Step]) -> Vec<Row> {
    let mut rows = Vec::new();
    for step in steps {
        rows.push(step.carry_out(&rows));
    }
    rows
}

/// What became of the steps that ran aside, when they have.
fn ended(lane: Option<ScopedJoinHandle<'_, Vec<Row>>>) -> Vec<Row> {
    let Some(lane) = lane else { return Vec::new() };
    let rows = lane.join();
    aside::show();
    rows.unwrap_or_else(|_| vec![("steps aside", Outcome::Failed("panicked".into()), 0)])
}

/// `total` seconds: less than the sum, since some steps run side by side.
fn report(rows: &[Row], total: u64) -> Result {
    println!("\n{:<18} {:<8} {:>7}", "step", "result", "seconds");
    let mut failed = Vec::new();
    for (name, outcome, seconds) in rows {
        let (result, why) = match outcome {
            Outcome::Passed => ("ok", String::new()),
            Outcome::Failed(error) => ("FAILED", format!("  {}", first_line(error))),
            Outcome::Skipped(needed) => ("skipped", format!("  because `{needed}` is not there")),
        };
        if !matches!(outcome, Outcome::Passed) {
            failed.push(*name);
        }
        println!("{name:<18} {result:<8} {seconds:>7}{why}");
    }
    println!("{:<18} {:<8} {total:>7}\n", "all", "");
    println!(
        "{} passed, {} failed",
        rows.len() - failed.len(),
        failed.len()
    );
    if failed.is_empty() {
        Ok(())
    } else {
        Err(format!("failed: {}", failed.join(", ")).into())
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn format() -> Result {
    run_cargo("fmt --all --check")
}

/// One set of features for all native steps, so that nothing with burn in it is built twice. With
/// wgpu, so that the model's suite runs on it too.
pub(crate) const NATIVE: &str = "--workspace --features sprat/wgpu";

/// What is only read, not built, is read with CUDA too. Lints and documentation have the same features, so that
/// dependencies are checked once for both.
const READ: &str = "--workspace --features sprat/wgpu,sprat/cuda";

/// Reads the code with cargo's `command`. `DOCS_RS` keeps a build script of CUDA's from fetching LLVM.
fn read(command: &str) -> Command {
    let mut cargo = cargo();
    cargo.arg(command).args(READ.split(' ')).env("DOCS_RS", "1");
    cargo
}

/// With it, that the CUDA build type-checks.
fn lint() -> Result {
    crate::run(read("clippy").args(["--all-targets", "--", "-D", "warnings"]))
}

fn tests() -> Result {
    tools::vulkan()?;
    run_cargo(&format!("test {NATIVE} --lib --bins --tests"))
}

/// The model's suite over the tensors that a page without a GPU has in the place of burn's.
fn plain_tensors() -> Result {
    let features = "plain,all-tokenizers,all-templates";
    let model = format!("--package sprat-model --no-default-features --features {features}");
    run_cargo(&format!("test {model} --lib --tests"))?;
    run_cargo(&format!("clippy {model} --all-targets -- -D warnings"))
}

/// The kernels for ARM, built for it and run by an emulator.
fn arm_kernels() -> Result {
    if cfg!(target_arch = "aarch64") || cfg!(not(target_os = "linux")) {
        say("Left out: this is for Linux on other processors; the tests have run the kernels here");
        return Ok(());
    }
    if !tools::arm()? {
        say("Left out: rustup could not add the aarch64 target");
        return Ok(());
    }
    let arguments = ["--package", "sprat-kernels", "--features", "threads"];
    let on_arm = |command: &str| {
        let mut cargo = cargo();
        cargo.arg(command).args(arguments);
        cargo.args(["--target", tools::ARM]);
        cargo.env(
            "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER",
            "aarch64-linux-gnu-gcc",
        );
        cargo.env(
            "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER",
            "qemu-aarch64 -L /usr/aarch64-linux-gnu",
        );
        cargo
    };
    crate::run(on_arm("test").arg("--lib"))?;
    crate::run(on_arm("clippy").args(["--all-targets", "--", "-D", "warnings"]))
}

/// Features that the kernels for WebAssembly are built with.
const WASM_KERNELS: [&str; 2] = ["+simd128", "+simd128,+relaxed-simd"];

/// The kernels for WebAssembly, without and with relaxed SIMD.
fn wasm_kernels() -> Result {
    if !tools::wasi()? {
        say("Left out: rustup could not add the WASI target");
        return Ok(());
    }
    // Node 20 runs relaxed SIMD only on request, and adds a dot product twice. Node 22 ends now and then in a system call
    // that it has made fast.
    let newer = tools::npm_program("node", "runs the kernels for WebAssembly")?;
    let (node, builds) = match newer.exists() {
        true => (env::current_dir()?.join(newer), &WASM_KERNELS[..]),
        false => {
            say("Left out: relaxed SIMD; its newer Node is for Linux on x86-64");
            (PathBuf::from("node"), &WASM_KERNELS[..1])
        }
    };
    let runner = env::current_dir()?.join("xtask/wasi.mjs");
    for features in builds {
        let mut cargo = cargo();
        cargo.args([
            "test",
            "--package",
            "sprat-kernels",
            "--lib",
            "--target",
            tools::WASI,
        ]);
        cargo.env(
            "CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS",
            format!("-C target-feature={features}"),
        );
        cargo.env(
            "CARGO_TARGET_WASM32_WASIP1_RUNNER",
            format!(
                "{} --no-warnings --no-turbo-fast-api-calls {}",
                node.display(),
                runner.display()
            ),
        );
        crate::run(&mut cargo)?;
    }
    Ok(())
}

fn doc_tests() -> Result {
    run_cargo(&format!("test {NATIVE} --doc"))
}

fn documentation() -> Result {
    let mut cargo = read("doc");
    cargo.args(["--no-deps", "--quiet"]);
    crate::run(cargo.env("RUSTDOCFLAGS", "-D warnings"))
}

fn modules() -> Result {
    tools::check_basics()?;
    engine::build(Profile::from_env()?)
}

/// The browser's half of the code, which native lints don't see. In the profile of the modules, so
/// that build scripts and macros are built once.
fn engine_lint() -> Result {
    let wasm = tools::wasm_compiler()?;
    if !wasm.has_clippy() {
        say("Left out: Debian's compiler comes without clippy");
        return Ok(());
    }
    let profile = Profile::from_env()?;
    for module in &MODULES {
        for simd in module.builds() {
            let mut cargo = simd.cargo(&wasm);
            cargo.arg("clippy").args(module.selection());
            cargo.args(["--profile", profile.name()]);
            cargo.args(["--target", "wasm32-unknown-unknown"]);
            crate::run(cargo.args(["--", "-D", "warnings"]))?;
        }
    }
    Ok(())
}

fn javascript_types() -> Result {
    let tsc = tools::npm_program("tsc", "checks the types in JavaScript's comments")?;
    for project in engine::type_projects() {
        crate::run(Command::new(&tsc).arg("--project").arg(project))?;
    }
    Ok(())
}

/// Tests of the page's own modules, without a browser.
fn javascript_tests() -> Result {
    tools::check_basics()?;
    let mut files: Vec<PathBuf> = Vec::new();
    for folder in ["web/tests", "edge/js/tests"] {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        files.extend(
            entries
                .map(|entry| entry.path())
                .filter(|path| is_test(path)),
        );
    }
    files.sort();
    crate::run(Command::new("node").arg("--test").args(files))
}

fn is_test(path: &std::path::Path) -> bool {
    path.to_string_lossy().ends_with(".test.mjs") || path.to_string_lossy().ends_with(".test.js")
}

/// What is published, of the modules and the page that the steps before have built.
fn package() -> Result {
    package::npm()?;
    package::webview()
}

/// Whoever takes the package: strangers' pages and apps, in a real headless Chromium.
fn package_tests() -> Result {
    tools::chromium()?;
    tools::npm_install("tests/browser", "they drive the browser in its tests")?;
    tools::npm_install("tests/package/vite", "a project that uses the package")?;
    tools::npm_install("tests/package/webpack", "another project that uses it")?;
    tools::npm_install("tests/package/ai-sdk", "the AI SDK, over our provider")?;
    crate::run(Command::new("npm").args(["test", "--prefix", "tests/package/ai-sdk"]))?;
    tools::npm_install(
        "tests/package/react-native",
        "types for the example of an app",
    )?;
    crate::run(Command::new("npm").args(["test", "--prefix", "tests/package/react-native"]))?;
    crate::run(Command::new("npm").args(["test", "--prefix", "tests/package"]))
}

fn server() -> Result {
    crate::server(true)
}

/// The page in a real headless Chromium, and a little of it in Firefox, against the real server.
fn browser_tests() -> Result {
    tools::vulkan()?;
    tools::chromium()?;
    tools::firefox()?;
    tools::npm_install("tests/browser", "they drive the browser in its tests")?;
    let root = env::current_dir()?;
    let binary: OsString = root.join(target()).join("debug/sprat").into();
    let mut npm = Command::new("npm");
    npm.args(["test", "--prefix", "tests/browser"]);
    crate::run(
        npm.env("SPRAT_BIN", binary)
            .env("SPRAT_WEB", root.join("web/dist")),
    )
}

/// Runs cargo with arguments that hold no spaces.
fn run_cargo(line: &str) -> Result {
    crate::run(cargo().args(line.split(' ')))
}

#[cfg(test)]
mod tests_of_steps {
    use super::*;
    use std::sync::Mutex;
    use std::time::Duration;

    #[test]
    fn a_step_needs_only_steps_before_it() {
        for (index, step) in STEPS.iter().enumerate() {
            for needed in step.needs {
                assert!(
                    STEPS[..index].iter().any(|before| before.name == *needed),
                    "{needed}"
                );
            }
        }
    }

    #[test]
    fn what_needs_a_step_that_runs_aside_waits_for_it() {
        static GATE: Mutex<bool> = Mutex::new(false);
        let slow = || {
            thread::sleep(Duration::from_millis(50));
            *GATE.lock().unwrap() = true;
            Ok(())
        };
        let after = || GATE.lock().unwrap().then_some(()).ok_or("too early".into());
        let steps = [
            step("first", || Ok(())),
            step("slow", slow).aside(),
            step("broken", || Err("no".into())).aside(),
            step("after", after).after(&["slow"]),
            step("not", || Ok(())).after(&["broken"]),
        ];
        let rows = run_all(&steps.iter().collect::<Vec<_>>());
        let of = |name| &rows.iter().find(|row| row.0 == name).unwrap().1;
        assert_eq!(rows.len(), 5);
        assert!(matches!(of("first"), Outcome::Passed));
        assert!(matches!(of("after"), Outcome::Passed));
        assert!(matches!(of("broken"), Outcome::Failed(_)));
        assert!(matches!(of("not"), Outcome::Skipped("broken")));
    }

    #[test]
    fn a_report_names_what_failed() {
        let rows = [
            ("one", Outcome::Passed, 1),
            ("two", Outcome::Failed("broken\nbadly".into()), 2),
            ("three", Outcome::Skipped("two"), 0),
        ];
        assert_eq!(
            report(&rows, 3).unwrap_err().to_string(),
            "failed: two, three"
        );
        assert!(report(&rows[..1], 1).is_ok());
        assert!(run(&["no such step"], false).is_err());
    }
}
