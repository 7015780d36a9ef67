//! The developer's commands: `cargo xtask serve`, `cargo xtask test` and a few more.
//!
//! Each command is a function, in [`COMMANDS`]. What they need and is not there is installed by
//! [`tools`], with one line that says what and why. Only `std`, so that this builds in seconds.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod aside;
mod engine;
mod fuzz;
mod package;
mod page;
mod size;
mod steps;
mod tools;

use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use engine::Profile;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

type Run = fn(&[String]) -> Result;

const COMMANDS: &[(&str, &str, Run)] = &[
    (
        "serve",
        "build what is missing and serve page and API at http://127.0.0.1:8787",
        serve,
    ),
    (
        "test",
        "run everything that CI runs; `test WORD...` only the steps with a WORD in them",
        test,
    ),
    (
        "check",
        "format and lints of the native crates only, for before a commit",
        check,
    ),
    (
        "build",
        "build the page into web/dist and the server, without starting it",
        build,
    ),
    (
        "package",
        "make the package, dist/npm/sprat-VERSION.tgz; with --webview the page for apps too, dist/webview",
        package::command,
    ),
];

const HELP: &str = "
options of serve, build, package
  --release   the page's modules as published: link-time optimized, then `wasm-opt -O2`; takes
              several times as long (always on for package). The same as WASM_PROFILE=wasm-release
  --dev       serve and build only: the server in the dev profile, as `cargo xtask test` builds it
  other options of serve go to `sprat serve`, for example --port 9000";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let Some((name, rest)) = args.split_first() else {
        usage();
        return ExitCode::from(2);
    };
    if matches!(&**name, "help" | "--help" | "-h") {
        usage();
        return ExitCode::SUCCESS;
    }
    let Some((_, _, run)) = COMMANDS.iter().find(|(command, _, _)| command == name) else {
        eprintln!("error: there is no command `{name}`\n");
        usage();
        return ExitCode::from(2);
    };
    match enter_root().and_then(|()| run(rest)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn usage() {
    println!("usage: cargo xtask COMMAND\n");
    for (name, about, _) in COMMANDS {
        println!("  {name:<8} {about}");
    }
    println!("{HELP}");
}

/// All paths below are relative to the repository.
fn enter_root() -> Result {
    let own = env::var_os("CARGO_MANIFEST_DIR").ok_or("run this as `cargo xtask`")?;
    let root = Path::new(&own)
        .parent()
        .ok_or("xtask has no parent folder")?;
    Ok(env::set_current_dir(root)?)
}

/// What was typed after the command.
struct Options {
    profile: Profile,
    dev: bool,
    /// Everything else.
    rest: Vec<String>,
}

impl Options {
    fn parse(args: &[String]) -> Result<Self> {
        let mut options = Self {
            profile: Profile::from_env()?,
            dev: false,
            rest: Vec::new(),
        };
        for arg in args {
            match &**arg {
                "--release" => options.profile = Profile::Release,
                "--dev" => options.dev = true,
                "--" => {}
                _ => options.rest.push(arg.clone()),
            }
        }
        Ok(options)
    }

    /// For commands that pass nothing on.
    fn no_rest(self) -> Result<Self> {
        match self.rest.first() {
            None => Ok(self),
            Some(arg) => Err(format!("there is no option `{arg}` here").into()),
        }
    }
}

fn build(args: &[String]) -> Result {
    build_all(&Options::parse(args)?.no_rest()?)
}

fn build_all(options: &Options) -> Result {
    tools::check_basics()?;
    if !target()
        .join(if options.dev {
            "debug/sprat"
        } else {
            "release/sprat"
        })
        .exists()
    {
        say("The first build compiles some 600 crates: about half an hour on two cores.");
    }
    engine::build(options.profile)?;
    page::gather()?;
    server(options.dev)
}

fn server(dev: bool) -> Result {
    say("Building the server");
    let mut cargo = cargo();
    if dev {
        // With the features of the tests, so that nothing is built twice.
        let native = steps::NATIVE.split(' ');
        run(cargo.arg("build").args(native).args(["--bin", "sprat"]))
    } else {
        run(cargo.args(["build", "--release", "--package", "sprat"]))
    }
}

fn serve(args: &[String]) -> Result {
    let options = Options::parse(args)?;
    build_all(&options)?;
    let binary = target().join(if options.dev {
        "debug/sprat"
    } else {
        "release/sprat"
    });
    let (host, port) = address(&options.rest);
    let mut child = Command::new(binary)
        .arg("serve")
        .args(&options.rest)
        .spawn()?;
    wait_until_ready(&mut child, &host, &port)?;
    say(&format!(
        "Sprat is ready: open http://{host}:{port} (Ctrl-C stops it)"
    ));
    let status = child.wait()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("sprat serve ended with {status}").into())
    }
}

/// Where the server will listen: by its own options, `PORT`, or its defaults.
fn address(args: &[String]) -> (String, String) {
    let option = |name: &str| {
        let assigned = |arg: &String| arg.strip_prefix(name)?.strip_prefix('=').map(str::to_owned);
        let next = || args.iter().skip_while(|arg| *arg != name).nth(1).cloned();
        args.iter().find_map(assigned).or_else(next)
    };
    let host = option("--host").unwrap_or_else(|| "127.0.0.1".into());
    let port = option("--port").or_else(|| env::var("PORT").ok());
    // A server that listens everywhere is reached here.
    let host = if host == "0.0.0.0" {
        "127.0.0.1".into()
    } else {
        host
    };
    (host, port.unwrap_or_else(|| "8787".into()))
}

/// Asks until the server can answer, or has ended.
fn wait_until_ready(child: &mut Child, host: &str, port: &str) -> Result {
    let Ok(address) = format!("{host}:{port}").parse::<SocketAddr>() else {
        // A host by name: the server itself says when it is ready.
        return Ok(());
    };
    loop {
        if let Some(status) = child.try_wait()? {
            return Err(format!("sprat serve ended with {status} before it was ready").into());
        }
        if ready(address).unwrap_or(false) {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(100));
    }
}

fn ready(address: SocketAddr) -> std::io::Result<bool> {
    let second = Duration::from_secs(1);
    let mut stream = TcpStream::connect_timeout(&address, second)?;
    stream.set_read_timeout(Some(second))?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut status = [0; 12];
    stream.read_exact(&mut status)?;
    Ok(&status == b"HTTP/1.1 200")
}

fn check(_: &[String]) -> Result {
    steps::run(&["format", "lint"], true)
}

fn test(args: &[String]) -> Result {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    steps::run(&words, false)
}

/// The cargo that runs us.
fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Where cargo builds.
fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from)
}

/// One line about what happens now.
fn say(line: &str) {
    match aside::log() {
        // Whoever reads a log has it in one piece; that it could not be written is no reason to stop.
        Some(mut log) => drop(writeln!(log, "\n== {line}")),
        // To the same stream as cargo's own progress, so that the order is right.
        None => eprintln!("\n== {line}"),
    }
}

/// Runs a command to its end; an error names it.
fn run(command: &mut Command) -> Result {
    let line = describe(command);
    let started = Instant::now();
    if let Some(log) = aside::log() {
        command.stdout(log.try_clone()?).stderr(log);
    }
    let status = command
        .status()
        .map_err(|error| format!("`{line}` could not start: {error}"))?;
    if status.success() {
        return Ok(());
    }
    let seconds = started.elapsed().as_secs();
    Err(format!("`{line}` failed after {seconds} s ({status})").into())
}

/// What a command prints on its standard output; none if it fails or is not there.
fn output(command: &mut Command) -> Option<String> {
    let output = command
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The command as one would type it, without the folders.
fn describe(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program
        .file_name()
        .unwrap_or(command.get_program())
        .to_string_lossy();
    let args = command.get_args().map(|arg| arg.to_string_lossy());
    std::iter::once(program)
        .chain(args)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Reads a file; an error names it.
fn read(path: impl AsRef<Path>) -> Result<String> {
    let path = path.as_ref();
    fs::read_to_string(path).map_err(|error| format!("reading {}: {error}", path.display()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn options_are_told_from_those_of_the_server() {
        let options = Options::parse(&args("--dev --port 9000 --release -- --device cpu")).unwrap();
        assert!(options.dev && options.profile == Profile::Release);
        assert_eq!(options.rest, args("--port 9000 --device cpu"));
        assert!(
            Options::parse(&args("--port 1"))
                .unwrap()
                .no_rest()
                .is_err()
        );
    }

    #[test]
    fn the_address_follows_the_options() {
        assert_eq!(address(&args("--port 9000")).1, "9000");
        assert_eq!(address(&args("--device cpu --port=9001")).1, "9001");
        assert_eq!(address(&args("--host 0.0.0.0 --port 1")).0, "127.0.0.1");
    }

    #[test]
    fn a_command_is_described_without_folders() {
        let mut command = Command::new("/usr/bin/cargo");
        assert_eq!(
            describe(command.args(["build", "--release"])),
            "cargo build --release"
        );
    }

    #[test]
    fn a_server_is_ready_when_it_says_so() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            for answer in ["503 Service Unavailable", "200 OK"] {
                let mut stream = listener.accept().unwrap().0;
                // All of it: closing on unread bytes would reset the connection.
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    request.push(byte[0]);
                }
                assert!(request.starts_with(b"GET /readyz HTTP"));
                // At once: whoever asks leaves after the status.
                let answer = format!("HTTP/1.1 {answer}\r\n\r\n");
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        assert!(!ready(address).unwrap());
        assert!(ready(address).unwrap());
        server.join().unwrap();
        assert!(ready(address).is_err());
    }
}
