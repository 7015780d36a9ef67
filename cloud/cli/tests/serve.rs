//! `sprat serve`: what is set, and by what.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

/// Output, errors and whether it went well.
fn print_config(file: &Path, envs: &[(&str, &str)], options: &[&str]) -> (String, String, bool) {
    let mut sprat = Command::new(env!("CARGO_BIN_EXE_sprat"));
    sprat
        .args(["serve", "--print-config", "--config"])
        .arg(file);
    sprat.args(options).env_clear().envs(envs.iter().copied());
    let output = sprat.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        text(output.stdout),
        text(output.stderr),
        output.status.success(),
    )
}

#[test]
fn options_win_over_the_environment_and_that_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sprat.toml");
    let settings =
        "port = 1\nmax_tokens = 1\ncache_mb = 1\nmodels = [\"a=b\"]\nengine = \"echo\"\n";
    std::fs::write(&file, settings).unwrap();
    let envs = [
        ("PORT", "2"),
        ("SPRAT_MAX_TOKENS", "2"),
        ("SPRAT_CORS_ORIGINS", "https://a.example,https://b.example"),
        ("SPRAT_API_KEY", "SECRET"),
    ];
    let (printed, errors, ok) = print_config(&file, &envs, &["--max-tokens", "3", "--model", "c"]);
    assert!(ok && errors.is_empty(), "{errors}");
    let from = |line: &str| printed.lines().any(|printed| printed == line);
    let by_file = format!("# {}", file.display());
    assert!(from("port = 2 # environment"), "{printed}");
    assert!(from("max_tokens = 3 # option"), "{printed}");
    assert!(from("models = [\"c\"] # option"), "{printed}");
    assert!(from(&format!("cache_mb = 1 {by_file}")), "{printed}");
    assert!(from(&format!("engine = \"echo\" {by_file}")), "{printed}");
    assert!(from(
        "cors_origins = [\"https://a.example\", \"https://b.example\"] # environment"
    ));
    assert!(from("host = \"127.0.0.1\" # default") && from("# api_keys_file is not set # default"));
    assert!(!printed.contains("SECRET") && printed.contains("SPRAT_API_KEY is set"));

    // What is printed is a file of settings that says the same.
    let again = folder.path().join("again.toml");
    std::fs::write(&again, &printed).unwrap();
    let (second, _, _) = print_config(&again, &[], &[]);
    let values = |printed: &str| {
        let lines = printed.lines().filter(|line| !line.starts_with('#'));
        lines
            .map(|line| line.split(" # ").next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(values(&second), values(&printed));
}

#[test]
fn mistakes_are_located_and_keys_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sprat.toml");
    for (settings, mistake) in [
        (
            "port = 1\napi_key = \"SECRET\"\n",
            "line 2: unknown field `api_key`",
        ),
        ("port = \"x\"\n", "line 1: invalid type"),
        ("port = 70000\n", "line 1: invalid value"),
        ("device = \"tpu\"\n", "line 1: unknown variant `tpu`"),
        ("port = \n", "line 1: "),
    ] {
        std::fs::write(&file, settings).unwrap();
        let (_, errors, ok) = print_config(&file, &[], &[]);
        assert!(!ok && errors.contains(mistake), "{settings}: {errors}");
        assert!(!errors.contains("SECRET"), "{errors}");
    }
    let (_, errors, ok) = print_config(&folder.path().join("none.toml"), &[], &[]);
    assert!(!ok && errors.contains("none.toml"), "{errors}");
}
