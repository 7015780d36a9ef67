//! `sprat serve`: what is set, and by what.
#![allow(clippy::unwrap_used)]

#[cfg(unix)]
use std::io::{BufRead, BufReader, Read, Write};
#[cfg(unix)]
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
#[cfg(unix)]
use std::process::Stdio;

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
    let settings = "port = 1\nmax_tokens = 1\ncache_mb = 1\nmemory_mb = 1\nmodels = [\"a=b\"]\nengine = \"echo\"\n";
    std::fs::write(&file, settings).unwrap();
    let envs = [
        ("PORT", "2"),
        ("SPRAT_MAX_TOKENS", "2"),
        ("SPRAT_MEMORY_MB", "2"),
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
    assert!(from("memory_mb = 2 # environment"), "{printed}");
    assert!(from("# idle_seconds is not set # default"), "{printed}");
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

/// Engines of other servers and of several are in the file only, and are printed without their keys.
#[test]
fn engines_of_several_are_settings_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sprat.toml");
    let settings = r#"
        engine = "echo"
        [[upstreams]]
        id = "large"
        base_url = "https://api.example.org/v1"
        model = "their-model"
        key_env = "THEIR_KEY"
        budget_usd = 2.5
        [[cascades]]
        id = "both"
        engines = ["echo", "large"]
        min_logprob = -0.25
        [[votes]]
        id = "vote"
        engines = ["echo"]
        samples = 3
    "#;
    std::fs::write(&file, settings).unwrap();
    let (printed, errors, ok) = print_config(&file, &[("THEIR_KEY", "SECRET")], &[]);
    assert!(ok, "{errors}");
    for part in [
        "upstreams = [{",
        "their-model",
        "min_logprob = -0.25",
        "samples = 3",
    ] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
    assert!(!printed.contains("SECRET"), "{printed}");
    let again = folder.path().join("again.toml");
    std::fs::write(&again, &printed).unwrap();
    assert!(print_config(&again, &[], &[]).2);

    std::fs::write(&file, settings.replace("budget_usd", "budget_eur")).unwrap();
    let (_, errors, ok) = print_config(&file, &[], &[]);
    assert!(
        !ok && errors.contains("unknown field `budget_eur`"),
        "{errors}"
    );
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

/// The server does not start with a model that it could never load.
#[test]
fn a_model_that_is_larger_than_the_memory_for_all() {
    let pack = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web/models/sprat-tiny");
    let output = Command::new(env!("CARGO_BIN_EXE_sprat"))
        .args(["serve", "--port", "0", "--memory-mb", "1", "--model"])
        .arg(pack)
        .output()
        .unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(
        errors.contains("sprat-tiny") && errors.contains("may have 1 (--memory-mb)"),
        "{errors}"
    );
}

/// A server with an echo, on a port of its own choice.
#[cfg(unix)]
struct Server {
    process: std::process::Child,
    address: String,
}

#[cfg(unix)]
impl Server {
    fn start(options: &[&str], envs: &[(&str, &str)], errors: Stdio) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_sprat"))
            .args(["serve", "--engine", "echo", "--port", "0"])
            .args(options)
            .envs(envs.iter().copied())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let api = lines.find_map(|line| {
            let line = line.unwrap();
            line.strip_prefix("api     http://").map(str::to_owned)
        });
        let address = api.unwrap().trim_end_matches("/v1").to_owned();
        Self { process, address }
    }

    /// The whole response to a request with these headers, each with its line's end, and this body.
    fn chat(&self, headers: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
             Connection: close\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        reply
    }

    fn terminate(&self) {
        let kill = format!("kill {}", self.process.id());
        let sent = Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(sent.success());
    }

    fn ended(mut self) -> bool {
        self.process.wait().unwrap().success()
    }
}

/// A log that cannot be written to, because its disk is full, costs nothing but the log.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_for_logs_stops_nothing() {
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    for format in ["text", "json"] {
        let options = ["--log-format", format];
        let errors = Stdio::from(full.try_clone().unwrap());
        let server = Server::start(&options, &[("RUST_LOG", "trace")], errors);
        for _ in 0..3 {
            let body = r#"{"model":"echo","messages":[{"role":"user","content":"still here"}]}"#;
            let reply = server.chat("", body);
            assert!(
                reply.starts_with("HTTP/1.1 200 ") && reply.contains("still here"),
                "{reply}"
            );
        }
        server.terminate();
        assert!(server.ended());
    }
}

/// Told to stop in mid-answer, the server finishes it and ends.
#[cfg(unix)]
#[test]
fn an_answer_in_progress_is_finished_before_the_end() {
    let server = Server::start(
        &["--echo-pause", "20", "--echo-tokens", "30"],
        &[],
        Stdio::inherit(),
    );
    let body = r#"{"model":"echo","stream":true,"messages":[{"role":"user","content":"word"}]}"#;
    let mut stream = TcpStream::connect(&server.address).unwrap();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut begun = [0; 400];
    stream.read_exact(&mut begun).unwrap();
    server.terminate();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("[DONE]"), "{rest}");
    assert!(server.ended());
}

/// The body of one HTTP request, which is answered 200.
#[cfg(unix)]
fn received(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first).ok().filter(|read| *read > 0)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    stream
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        .unwrap();
    Some((first, body))
}

/// Traces say which model answered, how long and how much, and belong to the caller's; nothing of the text is in them.
#[cfg(unix)]
#[test]
fn traces_reach_a_collector_without_what_was_written() {
    let collector = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", collector.local_addr().unwrap());
    let server = Server::start(&["--otlp-endpoint", &endpoint], &[], Stdio::inherit());
    let body = r#"{"model":"echo","messages":[{"role":"user","content":"CANARY one two"}],"user":"CANARY"}"#;
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let more = format!("traceparent: 00-{trace}-b7ad6b7169203331-01\r\n");
    let reply = server.chat(&more, body);
    assert!(
        reply.starts_with("HTTP/1.1 200 ") && reply.contains("CANARY one two"),
        "{reply}"
    );
    // What is still here goes out when the server ends.
    server.terminate();
    let (line, sent) = received(&mut collector.accept().unwrap().0).unwrap();
    assert!(line.starts_with("POST /v1/traces "), "{line}");
    assert!(server.ended());
    let holds = |what: &[u8]| sent.windows(what.len()).any(|window| window == what);
    for what in [
        "request",
        "answer",
        "gen_ai.request.model",
        "echo",
        "http.route",
        "first_token_ms",
    ] {
        assert!(holds(what.as_bytes()), "{what}");
    }
    let id: Vec<u8> = (0..16)
        .map(|i| u8::from_str_radix(&trace[2 * i..2 * i + 2], 16).unwrap())
        .collect();
    assert!(holds(&id), "another trace");
    assert!(!holds(b"CANARY") && !holds(b"one two"));
}
