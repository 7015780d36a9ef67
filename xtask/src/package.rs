//! What is published: the npm package as one file, and the page for webviews as a folder and as one file.
//!
//! Nothing here builds the engine: [`engine::build`] has put it into the package's folder.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

use crate::engine::{MODULES, PACKAGE, Profile};
use crate::{Options, Result, engine, output, page, read, run, say, tools};

/// Where the files for npm go.
const NPM: &str = "dist/npm";

/// `cargo xtask package`: builds the engine as published, and packs it; with `--webview`, the page too.
pub(crate) fn command(args: &[String]) -> Result {
    let (webviews, args): (Vec<_>, Vec<_>) = args.iter().partition(|arg| *arg == "--webview");
    let args: Vec<String> = args.into_iter().cloned().collect();
    let mut options = Options::parse(&args)?.no_rest()?;
    if env::var_os("WASM_PROFILE").is_none() {
        options.profile = Profile::Release;
    }
    tools::check_basics()?;
    engine::build(options.profile)?;
    if !webviews.is_empty() {
        page::gather()?;
        webview()?;
    }
    npm()
}

/// Completes the package around the built engine, and packs it.
pub(crate) fn npm() -> Result {
    complete()?;
    let destination = env::current_dir()?.join(NPM);
    // A file of an older version would be taken for this one's.
    let _ = fs::remove_dir_all(&destination);
    fs::create_dir_all(&destination)?;
    let mut npm = Command::new("npm");
    npm.args(["pack", "--ignore-scripts", "--silent", "--pack-destination"])
        .arg(&destination)
        .arg(format!("./{PACKAGE}"));
    let file = output(&mut npm).ok_or("`npm pack` failed")?;
    let bytes = fs::metadata(destination.join(&file))?.len();
    say(&format!(
        "{NPM}/{file} is {:.2} MB: `npm install` takes it",
        bytes as f64 / 1e6
    ));
    Ok(())
}

/// Adds what npm wants: package.json with the workspace's version, types, README and licences.
fn complete() -> Result {
    for module in &MODULES {
        if !Path::new(PACKAGE).join(module.folder).is_dir() {
            return Err(
                format!("{PACKAGE} has no {} module: build it first", module.folder).into(),
            );
        }
    }
    let manifest = read("edge/package.json")?;
    let version = workspace_version(&read("Cargo.toml")?)?;
    let manifest = with_version(&manifest, &version)?;
    fs::write(Path::new(PACKAGE).join("package.json"), manifest)?;
    for (from, to) in [
        ("edge/README.md", "README.md"),
        ("LICENSE-MIT", "LICENSE-MIT"),
        ("LICENSE-APACHE", "LICENSE-APACHE"),
    ] {
        fs::copy(from, Path::new(PACKAGE).join(to)).map_err(|error| format!("{from}: {error}"))?;
    }
    let tsc = tools::npm_program("tsc", "writes the types of the package's functions")?;
    run(Command::new(tsc)
        .args([
            "--project",
            "edge/js/jsconfig.json",
            "--noEmit",
            "false",
            "--allowJs",
            "--declaration",
        ])
        .args(["--emitDeclarationOnly", "--outDir", PACKAGE]))
}

/// Makes `dist/webview/` and `dist/webview-single.html` of the built page.
pub(crate) fn webview() -> Result {
    tools::npm_program(
        "esbuild",
        "makes the page's modules classic scripts, for webviews",
    )?;
    run(Command::new("node").arg("xtask/webview.mjs"))
}

/// The version that all crates have.
fn workspace_version(manifest: &str) -> Result<String> {
    let section = manifest
        .split("[workspace.package]")
        .nth(1)
        .unwrap_or_default();
    let line = section
        .lines()
        .find_map(|line| line.strip_prefix("version = "));
    let version = line.map(|version| version.trim().trim_matches('"').to_owned());
    version.ok_or_else(|| "Cargo.toml has no version under [workspace.package]".into())
}

/// A package.json with another `version`.
fn with_version(manifest: &str, version: &str) -> Result<String> {
    let key = "\"version\":";
    let start = manifest
        .find(key)
        .ok_or("edge/package.json has no version")?
        + key.len();
    let length = manifest[start..]
        .find([',', '\n'])
        .ok_or("edge/package.json is cut off")?;
    Ok(format!(
        "{} \"{version}\"{}",
        &manifest[..start],
        &manifest[start + length..]
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_has_the_workspace_version() {
        let manifest = "[workspace.package]\nversion = \"1.2.3\"\nedition = \"2024\"\n";
        assert_eq!(workspace_version(manifest).unwrap(), "1.2.3");
        let json = "{\n  \"version\": \"0.0.0\",\n  \"name\": \"sprat\"\n}\n";
        let expected = "{\n  \"version\": \"1.2.3\",\n  \"name\": \"sprat\"\n}\n";
        assert_eq!(with_version(json, "1.2.3").unwrap(), expected);
        assert!(with_version("{}", "1.2.3").is_err());
    }
}
