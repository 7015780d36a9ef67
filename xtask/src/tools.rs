//! What the commands need: found, or installed with one line that says what and why.
//!
//! Nothing here changes a person's other tools: programs from crates.io go into a cache folder by
//! name and version, those from npm into `xtask/node_modules`. Only rustup's target and Debian's
//! packages are installed for the whole machine.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{env, fs};

use crate::{Result, cargo, output, read, run, say};

const WASM: &str = "wasm32-unknown-unknown";
/// What playwright-core and the node test runner need.
const OLDEST_NODE: u32 = 20;

/// Held by whoever installs something: steps run side by side, and may want the same.
static INSTALLING: Mutex<()> = Mutex::new(());

fn installing() -> MutexGuard<'static, ()> {
    // It guards nothing that a panic could leave half done.
    INSTALLING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Checks for what only a person can choose how to install.
pub(crate) fn check_basics() -> Result {
    if on_path("cc").is_none() && on_path("gcc").is_none() && on_path("clang").is_none() {
        return Err(
            "there is no C compiler: on Debian or Ubuntu, `apt install build-essential`".into(),
        );
    }
    let node = output(Command::new("node").arg("--version"))
        .ok_or("there is no Node.js: install version 20 or later, with npm")?;
    let major = node
        .trim_start_matches('v')
        .split('.')
        .next()
        .and_then(|n| n.parse().ok());
    if major.is_some_and(|major: u32| major < OLDEST_NODE) {
        return Err(format!("Node.js {node} is too old: install {OLDEST_NODE} or later").into());
    }
    on_path("npm")
        .map(drop)
        .ok_or_else(|| "there is no npm: install it with Node.js".into())
}

/// A way to compile for the browser.
pub(crate) enum WasmCompiler {
    /// The toolchain that runs us, with rustup's target.
    Rustup,
    /// Debian's compiler and the standard library's source, where rustup can't fetch a target.
    Debian,
}

impl WasmCompiler {
    /// A cargo command for wasm32.
    pub(crate) fn cargo(&self) -> Command {
        match self {
            WasmCompiler::Rustup => {
                let mut cargo = cargo();
                cargo.env("CARGO_TARGET_DIR", self.target());
                // They would take the place of the target's own, without which there is no SIMD.
                cargo
                    .env_remove("RUSTFLAGS")
                    .env_remove("CARGO_ENCODED_RUSTFLAGS");
                cargo
            }
            WasmCompiler::Debian => {
                let mut cargo = Command::new("/usr/bin/cargo");
                cargo
                    .args(["-Zbuild-std=std,panic_abort", "--target-dir"])
                    .arg(self.target());
                // Not the libraries of the toolchain that runs us.
                cargo
                    .env_remove("LD_LIBRARY_PATH")
                    .env_remove("RUSTUP_TOOLCHAIN");
                cargo.env_remove("RUSTFLAGS");
                cargo
                    .env("RUSTC", "/usr/bin/rustc")
                    .env("RUSTC_BOOTSTRAP", "1");
                cargo.env(
                    "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER",
                    debian_linker(),
                );
                cargo
            }
        }
    }

    /// Where it builds: a folder of its own, so that native builds need not wait for it. Two compilers must not share one.
    pub(crate) fn target(&self) -> PathBuf {
        match self {
            WasmCompiler::Rustup => crate::target().join("wasm"),
            WasmCompiler::Debian => crate::target().join("debian"),
        }
    }

    /// Whether it comes with clippy.
    pub(crate) fn has_clippy(&self) -> bool {
        matches!(self, WasmCompiler::Rustup)
    }
}

/// Finds or installs a compiler for wasm32. `SPRAT_WASM=debian` skips rustup's.
pub(crate) fn wasm_compiler() -> Result<WasmCompiler> {
    let debian_wanted = env::var("SPRAT_WASM").is_ok_and(|way| way == "debian");
    if !debian_wanted {
        if target_is_there(WASM) {
            return Ok(WasmCompiler::Rustup);
        }
        say("Installing the wasm32 target with rustup: the page's engine is compiled for it");
        if run(Command::new("rustup").args(["target", "add", WASM])).is_ok()
            && target_is_there(WASM)
        {
            return Ok(WasmCompiler::Rustup);
        }
    }
    if !debian_is_there() {
        let why =
            "rustup could not add the wasm32 target, so Debian's compiler builds the page's engine";
        apt(&["rustc-web", "cargo-web", "rust-web-src", "lld"], why)?;
    }
    Ok(WasmCompiler::Debian)
}

fn target_is_there(target: &str) -> bool {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(rustc);
    output(command.args(["--print", "target-libdir", "--target", target]))
        .is_some_and(|folder| Path::new(&folder).is_dir())
}

fn debian_is_there() -> bool {
    let sysroot = output(
        Command::new("/usr/bin/rustc")
            .args(["--print", "sysroot"])
            .env_remove("LD_LIBRARY_PATH"),
    );
    let library = sysroot.map(|root| Path::new(&root).join("lib/rustlib/src/rust/library/std"));
    library.is_some_and(|library| library.is_dir())
        && Path::new("/usr/bin/cargo").exists()
        && on_path(&debian_linker()).is_some()
}

/// Debian names the linker by LLVM's version.
fn debian_linker() -> String {
    let versions = (14..40).rev().map(|version| format!("wasm-ld-{version}"));
    versions
        .into_iter()
        .find(|name| on_path(name).is_some())
        .unwrap_or_else(|| "wasm-ld".into())
}

/// The `wasm-bindgen` of exactly the version that the modules are compiled with.
pub(crate) fn wasm_bindgen() -> Result<PathBuf> {
    let version = locked_version("wasm-bindgen")?;
    let fits = |program: &Path| {
        let found = output(Command::new(program).arg("--version"));
        found.is_some_and(|found| found.split_whitespace().nth(1) == Some(&*version))
    };
    if let Some(program) = on_path("wasm-bindgen").filter(|program| fits(program)) {
        return Ok(program);
    }
    let why = "connects the page's engine to JavaScript, and must be of Cargo.lock's version";
    // At level 0 it would take minutes for a module of 20 MB.
    cargo_program("wasm-bindgen-cli", "wasm-bindgen", &version, "1", why)
}

/// The version of a crate in Cargo.lock.
pub(crate) fn locked_version(name: &str) -> Result<String> {
    let lock = read("Cargo.lock")?;
    version_in_lock(&lock, name).ok_or_else(|| format!("Cargo.lock has no `{name}`").into())
}

fn version_in_lock(lock: &str, name: &str) -> Option<String> {
    let entry = lock
        .split("[[package]]")
        .find(|entry| entry.contains(&format!("\nname = \"{name}\"\n")))?;
    let version = entry
        .lines()
        .find_map(|line| line.strip_prefix("version = "))?;
    Some(version.trim_matches('"').to_owned())
}

/// A program from crates.io, in a folder of its own: `~/.cache/sprat/NAME-VERSION/bin`.
fn cargo_program(
    package: &str,
    program: &str,
    version: &str,
    level: &str,
    why: &str,
) -> Result<PathBuf> {
    let root = cache()?.join(format!("{package}-{version}"));
    let binary = root
        .join("bin")
        .join(program)
        .with_extension(env::consts::EXE_EXTENSION);
    if binary.exists() {
        return Ok(binary);
    }
    say(&format!(
        "Installing {package} {version} from crates.io: it {why} (some minutes)"
    ));
    let install = |locked: &[&str]| {
        let version = format!("={version}");
        let mut cargo = cargo();
        cargo
            .args(["install", package, "--bin", program])
            .args(["--version", &version, "--root"])
            .arg(&root)
            .args(locked);
        // A tool that runs for a second need not be optimized for minutes.
        cargo
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", level);
        run(cargo.env_remove("CARGO_TARGET_DIR"))
    };
    // The locked versions are the tested ones, but one of them may be gone from the registry.
    if let Err(error) = install(&["--locked"]) {
        say(&format!(
            "{error}; trying again with the newest versions of what it needs"
        ));
        install(&[])?;
    }
    Ok(binary)
}

fn cache() -> Result<PathBuf> {
    let own = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || env::home_dir().map(|home| home.join(".cache"));
    let cache = own
        .or_else(home)
        .ok_or("there is no home folder for a cache")?;
    Ok(cache.join("sprat"))
}

/// A program of an npm package in xtask/package.json.
pub(crate) fn npm_program(program: &str, why: &str) -> Result<PathBuf> {
    npm_install("xtask", &format!("`{program}` {why}"))?;
    Ok(Path::new("xtask/node_modules/.bin").join(program))
}

/// Installs a folder's locked npm packages, if they are not those that are there.
pub(crate) fn npm_install(folder: &str, why: &str) -> Result {
    let _one = installing();
    let lock = read(Path::new(folder).join("package-lock.json"))?;
    let stamp = Path::new(folder).join("node_modules/.installed-lock.json");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    say(&format!("Installing the npm packages of {folder}: {why}"));
    run(Command::new("npm").args(["ci", "--no-audit", "--no-fund", "--prefix", folder]))?;
    Ok(fs::write(stamp, lock)?)
}

/// Makes sure that there is a Chromium for the browser tests.
pub(crate) fn chromium() -> Result {
    let named = env::var_os("CHROMIUM").is_some();
    if named
        || ["chromium", "chromium-browser", "google-chrome"]
            .into_iter()
            .any(|name| on_path(name).is_some())
    {
        return Ok(());
    }
    apt(
        &["chromium"],
        "the browser tests drive it; another one can be named in CHROMIUM",
    )
}

/// Makes sure that there is a Firefox, for the tests of the CPU path in it.
pub(crate) fn firefox() -> Result {
    let named = env::var_os("FIREFOX").is_some();
    if named
        || ["firefox-esr", "firefox"]
            .into_iter()
            .any(|name| on_path(name).is_some())
    {
        return Ok(());
    }
    apt(
        &["firefox-esr"],
        "the browser tests run the page in it too; another one can be named in FIREFOX",
    )
}

/// Makes sure that there is a Vulkan device in software, lavapipe: the tests do not depend on a GPU.
pub(crate) fn vulkan() -> Result {
    let folders = ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d"];
    let drivers = folders
        .into_iter()
        .flat_map(fs::read_dir)
        .flatten()
        .flatten();
    let software = |driver: &fs::DirEntry| driver.file_name().to_string_lossy().starts_with("lvp");
    if drivers.into_iter().any(|driver| software(&driver)) || cfg!(not(target_os = "linux")) {
        return Ok(());
    }
    apt(
        &["mesa-vulkan-drivers", "libvulkan1"],
        "code for GPUs is tested on a software device",
    )
}

/// Rust's name of 64-bit ARM.
pub(crate) const ARM: &str = "aarch64-unknown-linux-gnu";

/// Makes sure that programs for ARM can be built and run here; false where they can't be built.
pub(crate) fn arm() -> Result<bool> {
    if !target_is_there(ARM) {
        say(
            "Installing the aarch64 target with rustup: the kernels for ARM are tested by an emulator",
        );
        let added = run(Command::new("rustup").args(["target", "add", ARM])).is_ok();
        if !added || !target_is_there(ARM) {
            return Ok(false);
        }
    }
    if ["aarch64-linux-gnu-gcc", "qemu-aarch64"]
        .into_iter()
        .any(|name| on_path(name).is_none())
    {
        apt(
            &[
                "gcc-aarch64-linux-gnu",
                "libc6-dev-arm64-cross",
                "qemu-user",
            ],
            "the kernels for ARM are linked and run by them",
        )?;
    }
    Ok(true)
}

/// Rust's name of WebAssembly with a system's interface, in which tests can run.
pub(crate) const WASI: &str = "wasm32-wasip1";

/// Makes sure that programs for WASI can be built; false where they can't be.
pub(crate) fn wasi() -> Result<bool> {
    if !target_is_there(WASI) {
        say(
            "Installing the WASI target with rustup: the kernels for WebAssembly are tested with it",
        );
        let added = run(Command::new("rustup").args(["target", "add", WASI])).is_ok();
        return Ok(added && target_is_there(WASI));
    }
    Ok(true)
}

/// Makes sure that there is a C++ compiler.
pub(crate) fn cpp_compiler() -> Result {
    if env::var_os("CXX").is_some() || on_path("c++").is_some() {
        return Ok(());
    }
    apt(&["g++"], "libFuzzer, which runs the fuzz targets, is C++")
}

/// Installs Debian packages where we may, or says what to type.
fn apt(packages: &[&str], why: &str) -> Result {
    let _one = installing();
    let names = packages.join(" ");
    if output(Command::new("id").arg("-u")).as_deref() != Some("0") || on_path("apt-get").is_none()
    {
        return Err(format!(
            "missing: {names} ({why}). Install them, on Debian or Ubuntu with \
                            `sudo apt install {names}`, and start this again"
        )
        .into());
    }
    say(&format!("Installing {names} with apt: {why}"));
    let install = || {
        let mut apt = Command::new("apt-get");
        apt.args(["install", "--yes", "--no-install-recommends", "-qq"])
            .args(packages);
        run(apt.env("DEBIAN_FRONTEND", "noninteractive"))
    };
    // On a new machine there are no lists yet; on an old one they may name files that are gone.
    install().or_else(|_| {
        run(Command::new("apt-get").args(["update", "-qq"]))?;
        install()
    })
}

/// The file that a program's name stands for.
fn on_path(name: &str) -> Option<PathBuf> {
    let file = format!("{name}{}", env::consts::EXE_SUFFIX);
    let folders = env::var_os("PATH")?;
    env::split_paths(&folders)
        .map(|folder| folder.join(&file))
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_a_lock() {
        let lock = "version = 4\n\n[[package]]\nname = \"wasm-bindgen-futures\"\nversion = \"0.4.1\"\n\
                    \n[[package]]\nname = \"wasm-bindgen\"\nversion = \"0.2.130\"\ndependencies = [\n";
        assert_eq!(
            version_in_lock(lock, "wasm-bindgen").as_deref(),
            Some("0.2.130")
        );
        assert_eq!(version_in_lock(lock, "wasm"), None);
    }

    #[test]
    fn programs_are_found_on_the_path() {
        assert!(on_path("cargo").is_some_and(|path| path.is_absolute()));
        assert!(on_path("no-such-program-14").is_none());
    }
}
