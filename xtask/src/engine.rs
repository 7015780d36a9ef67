//! The browser's engine: two WebAssembly modules of one crate, one that mixes models, one that has the network; and the
//! scripts around them.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use crate::{Result, run, say, tools};

/// Where the package is put together; the page copies it from here.
pub(crate) const PACKAGE: &str = "edge/pkg";
const TARGET: &str = "wasm32-unknown-unknown";
/// A WebAssembly module of the package.
pub(crate) struct Module {
    /// Its folder in the package.
    pub(crate) folder: &'static str,
    /// Its crate.
    pub(crate) package: &'static str,
    /// What it is called in the package.
    file: &'static str,
    /// The crate's cargo feature, if it has several builds.
    pub(crate) feature: Option<&'static str>,
    /// What it runs models on.
    runs_on: Processor,
}

/// What a module runs models on, which decides how it is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Processor {
    /// There is a second build for browsers with relaxed SIMD.
    Cpu,
    /// Much of what kernels are compiled with is never used, and taken out (snip.mjs).
    Gpu,
    /// It runs none.
    None,
}

/// What the kernels may use of a browser's SIMD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Simd {
    /// What all that Sprat supports have; as in .cargo/config.toml.
    Plain,
    /// A dot product of bytes, too.
    Relaxed,
}

impl Simd {
    /// A cargo command that compiles for it.
    pub(crate) fn cargo(self, wasm: &tools::WasmCompiler) -> Command {
        let mut cargo = wasm.cargo();
        if self == Simd::Relaxed {
            cargo.env(
                "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS",
                "-C target-feature=+simd128,+relaxed-simd",
            );
        }
        cargo
    }
}

/// The engine's two builds, of which the CPU one is small and starts at once, and the other is fetched only where there
/// is a GPU; what mixes models, fetched by whoever does; and the one with the network, which the engine has not.
pub(crate) const MODULES: [Module; 4] = [
    Module {
        folder: "cpu",
        package: "sprat-edge-module",
        file: "sprat_edge",
        feature: Some("cpu"),
        runs_on: Processor::Cpu,
    },
    Module {
        folder: "webgpu",
        package: "sprat-edge-module",
        file: "sprat_edge",
        feature: Some("webgpu"),
        runs_on: Processor::Gpu,
    },
    Module {
        folder: "mix",
        package: "sprat-mix",
        file: "sprat_mix",
        feature: None,
        runs_on: Processor::None,
    },
    Module {
        folder: "link",
        package: "sprat-link",
        file: "sprat_link",
        feature: None,
        runs_on: Processor::None,
    },
];

impl Module {
    /// The crate and its features, for cargo.
    pub(crate) fn selection(&self) -> Vec<&'static str> {
        let mut arguments = vec!["--package", self.package, "--lib", "--no-default-features"];
        if let Some(feature) = self.feature {
            arguments.extend(["--features", feature]);
        }
        arguments
    }

    /// What it is compiled for.
    pub(crate) fn builds(&self) -> &'static [Simd] {
        match self.runs_on {
            Processor::Cpu => &[Simd::Plain, Simd::Relaxed],
            Processor::Gpu | Processor::None => &[Simd::Plain],
        }
    }
}

/// What browsers of the last years know. Never `--all-features`: Chromium refuses what that writes.
const WASM_FEATURES: [&str; 9] = [
    "--enable-simd",
    "--enable-bulk-memory",
    "--enable-bulk-memory-opt",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-multivalue",
    "--enable-sign-ext",
    "--enable-mutable-globals",
    "--enable-call-indirect-overlong",
];

/// How the modules are built; the profiles are in the workspace's Cargo.toml.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Minutes: no link-time optimization, no wasm-opt. For tests and a first look.
    Dev,
    /// As published.
    Release,
}

impl Profile {
    /// `WASM_PROFILE`, or the quick one.
    pub(crate) fn from_env() -> Result<Self> {
        match env::var("WASM_PROFILE").as_deref() {
            Err(_) | Ok("" | "wasm-dev") => Ok(Profile::Dev),
            Ok("wasm-release") => Ok(Profile::Release),
            Ok(other) => {
                Err(format!("WASM_PROFILE is `{other}`: use wasm-dev or wasm-release").into())
            }
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Profile::Dev => "wasm-dev",
            Profile::Release => "wasm-release",
        }
    }
}

/// Builds the modules, and puts them into the package with its JavaScript.
pub(crate) fn build(profile: Profile) -> Result {
    let wasm = tools::wasm_compiler()?;
    let bindgen = tools::wasm_bindgen()?;
    fs::create_dir_all(PACKAGE)?;
    copy_scripts()?;
    for module in &MODULES {
        make(profile, module, &wasm, &bindgen)?;
    }
    publish_scripts()
}

/// The scripts as they are published; the engine's worker as one file: sealed, it may load no other.
fn publish_scripts() -> Result {
    tools::npm_program("esbuild", "makes one file of the engine's worker")?;
    run(Command::new("node").args(["xtask/scripts.mjs", PACKAGE]))
}

/// The package's scripts, and nothing that an older build has left beside the modules.
fn copy_scripts() -> Result {
    for old in fs::read_dir(PACKAGE)?.flatten() {
        let is_module = MODULES.iter().any(|m| old.file_name() == m.folder);
        if old.path().is_file() {
            fs::remove_file(old.path())?;
        } else if !is_module {
            fs::remove_dir_all(old.path())?;
        }
    }
    copy_folder(Path::new("edge/js"), Path::new(PACKAGE))
}

/// The scripts of a folder and of those in it, but for tests.
fn copy_folder(from: &Path, to: &Path) -> Result {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        if path.is_dir() && name != "tests" {
            copy_folder(&path, &to.join(name))?;
        } else if path.extension().is_some_and(|extension| extension == "js") {
            fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}

fn make(profile: Profile, module: &Module, wasm: &tools::WasmCompiler, bindgen: &Path) -> Result {
    let folder = Path::new(PACKAGE).join(module.folder);
    let bound = folder.join(format!("{}_bg.wasm", module.file));
    // What the present files were made from; outside of the package, which is published whole.
    // Cargo would not know: all builds of the engine have one output file, and each finds the others'.
    let stamp_file = crate::target().join(format!("xtask-{}.stamp", module.folder));
    let stamp = stamp(profile)?;
    if bound.exists() && fs::read_to_string(&stamp_file).is_ok_and(|old| old == stamp) {
        return Ok(());
    }
    // In this order: what is stopped in the middle was not built.
    let _ = fs::remove_file(&stamp_file);
    let _ = fs::remove_dir_all(&folder);
    compile(profile, module, Simd::Plain, wasm, bindgen, &folder)?;
    if module.builds().contains(&Simd::Relaxed) {
        // Beside the other, as the script that goes with it is the same.
        let aside = folder.join("relaxed");
        compile(profile, module, Simd::Relaxed, wasm, bindgen, &aside)?;
        let script = format!("{}.js", module.file);
        if fs::read(folder.join(&script))? != fs::read(aside.join(script))? {
            return Err("the module for relaxed SIMD wants another script than the other".into());
        }
        check_relaxed(&aside.join(format!("{}_bg.wasm", module.file)))?;
        let relaxed = folder.join(format!("{}_relaxed_bg.wasm", module.file));
        fs::rename(aside.join(format!("{}_bg.wasm", module.file)), relaxed)?;
        fs::remove_dir_all(aside)?;
    }
    Ok(fs::write(stamp_file, stamp)?)
}

/// That the module for relaxed SIMD has the dot product for which it is there, and nothing that computes other numbers from
/// one processor to the next: `RUSTFLAGS` in the environment would take the place of ours, and a compiler may choose more.
/// It may choose relaxed minima and maxima, which differ only for what is not a number (`vector::exp` takes care of that).
fn check_relaxed(module: &Path) -> Result {
    let wasm_dis = tools::npm_program("wasm-dis", "reads which instructions a module has")?;
    let mut command = Command::new(wasm_dis);
    command.args(["--enable-relaxed-simd"]).args(WASM_FEATURES);
    let text = crate::output(command.arg(module)).ok_or("wasm-dis could not read the module")?;
    let found = |name: &str| text.contains(&format!(".{name}"));
    let dot = "relaxed_dot_i8x16_i7x16_add_s";
    if !found(dot) {
        return Err(format!("the module for relaxed SIMD has no {dot}: is RUSTFLAGS set?").into());
    }
    for other in [
        "relaxed_madd",
        "relaxed_nmadd",
        "relaxed_laneselect",
        "relaxed_trunc",
    ] {
        if found(other) {
            return Err(format!(
                "the module for relaxed SIMD has {other}: answers would depend on the processor"
            )
            .into());
        }
    }
    Ok(())
}

/// One module, with its script, into `folder`.
fn compile(
    profile: Profile,
    module: &Module,
    simd: Simd,
    wasm: &tools::WasmCompiler,
    bindgen: &Path,
    folder: &Path,
) -> Result {
    let name = match simd {
        Simd::Plain => module.folder.to_owned(),
        Simd::Relaxed => format!("{} (relaxed SIMD)", module.folder),
    };
    say(&format!(
        "Building the engine's {name} module ({})",
        profile.name()
    ));
    // As a cdylib only: beside an rlib, cargo would leave link-time optimization out.
    let mut cargo = simd.cargo(wasm);
    cargo
        .arg("rustc")
        .args(module.selection())
        .args(["--crate-type", "cdylib"]);
    run(cargo.args(["--profile", profile.name(), "--target", TARGET]))?;

    let built = wasm
        .target()
        .join(TARGET)
        .join(profile.name())
        .join(format!("{}.wasm", module.package.replace('-', "_")));
    run(Command::new(bindgen)
        .args(["--target", "web", "--no-typescript"])
        .args(["--out-name", module.file, "--out-dir"])
        .arg(folder)
        .arg(&built))?;
    let bound = folder.join(format!("{}_bg.wasm", module.file));
    if profile == Profile::Release {
        if module.runs_on == Processor::Gpu {
            snip(&bound)?;
        }
        optimize(&bound, simd)?;
    }
    let bytes = fs::metadata(&bound)?.len();
    say(&format!(
        "The {name} module is {:.2} MB",
        bytes as f64 / 1e6
    ));
    Ok(())
}

/// What the modules are made of, besides the compiler: the crates, what they lock, the profiles.
const SOURCES: [&str; 25] = [
    "xtask/snip.mjs",
    ".cargo/config.toml",
    "edge/src",
    "edge/Cargo.toml",
    "edge/module/src",
    "edge/module/Cargo.toml",
    "edge/link/src",
    "edge/link/Cargo.toml",
    "edge/mix/src",
    "edge/mix/Cargo.toml",
    "shared/merge/src",
    "shared/merge/Cargo.toml",
    "shared/kernels/src",
    "shared/kernels/Cargo.toml",
    "shared/model/src",
    "shared/model/Cargo.toml",
    "shared/template/src",
    "shared/template/Cargo.toml",
    "shared/tensor",
    "shared/tokenizer/src",
    "shared/tokenizer/Cargo.toml",
    "shared/route",
    "shared/wire",
    "Cargo.toml",
    "Cargo.lock",
];

/// Tells one build of a module from another: the profile, the compiler, and every source.
fn stamp(profile: Profile) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    for source in SOURCES {
        hash_file(Path::new(source), &mut hasher)?;
    }
    let bindgen = tools::locked_version("wasm-bindgen")?;
    let rustc = crate::output(Command::new("rustc").arg("--version")).unwrap_or_default();
    let sources = hasher.finish();
    Ok(format!("{} {sources:x} {bindgen} {rustc}", profile.name()))
}

/// Name and content of a file, or of all files in a folder, in order.
fn hash_file(path: &Path, hasher: &mut DefaultHasher) -> Result {
    path.hash(hasher);
    if path.is_dir() {
        let entries = fs::read_dir(path)?.collect::<std::io::Result<Vec<_>>>()?;
        let mut paths: Vec<PathBuf> = entries.iter().map(fs::DirEntry::path).collect();
        paths.sort();
        return paths.iter().try_for_each(|path| hash_file(path, hasher));
    }
    fs::read(path)?.hash(hasher);
    Ok(())
}

/// Takes out what is never used, by the functions' names.
fn snip(module: &Path) -> Result {
    tools::npm_program("wasm-opt", "makes the published modules half as large")?;
    run(Command::new("node").arg("xtask/snip.mjs").arg(module))
}

fn optimize(module: &Path, simd: Simd) -> Result {
    let wasm_opt = tools::npm_program("wasm-opt", "makes the published modules half as large")?;
    say(&format!(
        "Optimizing {} with wasm-opt -O2 (a minute for the large one)",
        module.display()
    ));
    let smaller = module.with_extension("opt");
    let mut wasm_opt = Command::new(wasm_opt);
    if simd == Simd::Relaxed {
        wasm_opt.arg("--enable-relaxed-simd");
    }
    run(wasm_opt
        // Smaller after compression than -Oz, and the kernels lose nothing.
        .arg("-O2")
        // One hundredth less: large functions that one place alone calls stay functions.
        .args([
            "--shrink-level",
            "1",
            "--one-caller-inline-max-function-size",
            "20",
        ])
        // Functions that are called most get the shortest numbers.
        .arg("--reorder-functions")
        // What made it, for what, and its functions' names, no browser needs.
        .args([
            "--strip-debug",
            "--strip-producers",
            "--strip-target-features",
        ])
        .args(WASM_FEATURES)
        .arg(module)
        .arg("-o")
        .arg(&smaller))?;
    Ok(fs::rename(smaller, module)?)
}

/// The built page's and package's scripts that `tsc` can check, by their project files.
pub(crate) fn type_projects() -> Vec<PathBuf> {
    ["edge/js", "web"]
        .map(|folder| Path::new(folder).join("jsconfig.json"))
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_copied_with_their_folders_and_without_tests() {
        let root = env::temp_dir().join(format!("sprat-xtask-scripts-{}", std::process::id()));
        let (from, to) = (root.join("from"), root.join("to"));
        for file in ["a.js", "deep/b.js", "deep/b.json", "tests/c.js"] {
            let file = from.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        copy_folder(&from, &to).unwrap();
        assert!(to.join("a.js").exists() && to.join("deep/b.js").exists());
        assert!(!to.join("deep/b.json").exists() && !to.join("tests").exists());
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn a_changed_file_changes_the_hash() {
        let folder = env::temp_dir().join(format!("sprat-xtask-{}", std::process::id()));
        fs::create_dir_all(folder.join("deep")).unwrap();
        let file = folder.join("deep/a.rs");
        let hash = |text: &str| {
            fs::write(&file, text).unwrap();
            let mut hasher = DefaultHasher::new();
            hash_file(&folder, &mut hasher).unwrap();
            hasher.finish()
        };
        let first = hash("one");
        assert_ne!(first, hash("two"));
        assert_eq!(first, hash("one"));
        fs::remove_dir_all(&folder).unwrap();
    }
}
