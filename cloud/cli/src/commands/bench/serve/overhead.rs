//! What a request spends in the HTTP server rather than in a model: an echo in place of the model, asked over HTTP and
//! directly. Whoever asks runs on the same machine, so that its own work is in the times over HTTP too.

use std::fmt::{self, Display, Formatter};
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde::Serialize;
use sprat_service::{Echo, EchoOptions, Engine, Event, Job, Prompt, ServeConfig, serve_until};
use sprat_wire::{ChatRequest, Message, Role};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use super::answer::{Answer, Failure};
use super::arrivals::closed_loop;
use super::client::Client;
use super::report::nearest_rank;

/// Streams at once, where nothing is said.
const STREAMS: [usize; 3] = [1, 16, 64];
/// Answers of one token of a level, and of [`TOKENS`], at least, where nothing is said.
const ANSWERS: [usize; 2] = [1000, 10];
/// Tokens of a paced answer, and the time between two.
const TOKENS: usize = 50;
const PACE: Duration = Duration::from_millis(10);

/// Times in milliseconds that half and all but one percent do not exceed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Times {
    p50: f64,
    p99: f64,
}

impl Times {
    fn of(mut ms: Vec<f64>) -> Result<Self> {
        ms.sort_by(f64::total_cmp);
        let rank = |percent| nearest_rank(&ms, percent).context("nothing was measured");
        Ok(Self {
            p50: rank(50)?,
            p99: rank(99)?,
        })
    }
}

/// The same work over HTTP and by the engine alone.
#[derive(Clone, Copy, Debug, Serialize)]
struct Both {
    http: Times,
    engine: Times,
}

#[derive(Debug, Serialize)]
struct Level {
    streams: usize,
    /// Answers of one token.
    answers: usize,
    /// From before one is asked for to its end, in milliseconds; the echo takes no time of its own.
    answer_ms: Both,
    /// Between two tokens, less the pace that the echo was told, in milliseconds. The timer that it waits by is late too:
    /// that is all there is in the engine's.
    over_pace_ms: Both,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pace_ms: f64,
    tokens: usize,
    levels: Vec<Level>,
}

/// Asks `requests` times in each stream; without, so often that percentiles mean something.
pub(super) fn measure(streams: &[usize], requests: Option<usize>) -> Result<Report> {
    let streams = match streams {
        [] => &STREAMS,
        streams => streams,
    };
    let at_once = Echoing::start(options(1, Duration::ZERO))?;
    let paced = Echoing::start(options(TOKENS, PACE))?;
    let level = |&streams: &usize| {
        let [short, long] = ANSWERS.map(|all| requests.unwrap_or(all.div_ceil(streams).max(4)));
        let (answers, gaps) = (at_once.ask(streams, short)?, paced.ask(streams, long)?);
        let alone = at_once.ask_alone(streams, short)?;
        let alone_paced = paced.ask_alone(streams, long)?;
        let total = |answers: &[Answer]| answers.iter().map(|a| ms(a.total)).collect();
        let over = |answers: &[Answer]| {
            let gaps = answers.iter().flat_map(|answer| &answer.gaps);
            gaps.map(|gap| ms(*gap) - ms(PACE)).collect()
        };
        let both = |http: Vec<f64>, engine: Vec<f64>| {
            let (http, engine) = (Times::of(http)?, Times::of(engine)?);
            anyhow::Ok(Both { http, engine })
        };
        Ok(Level {
            streams,
            answers: answers.len(),
            answer_ms: both(total(&answers), total(&alone))?,
            over_pace_ms: both(over(&gaps), over(&alone_paced))?,
        })
    };
    let levels = streams.iter().map(level).collect::<Result<_>>()?;
    Ok(Report {
        pace_ms: ms(PACE),
        tokens: TOKENS,
        levels,
    })
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn options(tokens: usize, pause: Duration) -> EchoOptions {
    EchoOptions {
        tokens: Some(tokens),
        pause,
        ..EchoOptions::default()
    }
}

/// A server in this process whose model is an echo, until it is dropped.
struct Echoing {
    client: Client,
    options: EchoOptions,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Echoing {
    fn start(options: EchoOptions) -> Result<Self> {
        let mut config = ServeConfig {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            echo: Some(options.clone()),
            ..ServeConfig::default()
        };
        config.limits.requests = config.limits.requests.max(super::MAX_STREAMS);
        let runtime = Runtime::new().context("cannot start the server's threads")?;
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, address) = std::sync::mpsc::channel();
        let until = async move {
            // Told to, or left alone: both end it.
            let _ = stopped.await;
        };
        let thread = spawn(move || {
            let failed = ready.clone();
            // Nobody waiting for the address is no failure.
            let begun = move |address| drop(ready.send(Ok(address)));
            if let Err(error) = runtime.block_on(serve_until(config, begun, until)) {
                let _ = failed.send(Err(error));
            }
        });
        let address = address.recv().context("the server ended at once")??;
        Ok(Self {
            client: Client::new(&format!("http://{address}"), None)?,
            options,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Over HTTP. The first request of each stream opens its connection, and does not count.
    fn ask(&self, streams: usize, requests: usize) -> Result<Vec<Answer>> {
        let request = ChatRequest {
            stream: true,
            ..ChatRequest::new(&self.options.id, vec![Message::new(Role::User, "word")])
        };
        let body = serde_json::to_vec(&request)?;
        let ask = |_, due: Instant| self.client.ask(&body, due);
        let warm = closed_loop(streams, 1, ask);
        let outcomes = closed_loop(streams, requests, ask);
        let answers = warm.into_iter().chain(outcomes).skip(streams);
        let answers = answers.collect::<Result<Vec<_>, Failure>>();
        let answers = answers.map_err(|failure| anyhow!("the echo failed: {failure}"))?;
        let tokens = self.options.tokens.unwrap_or_default();
        if answers.iter().any(|answer| answer.tokens != tokens as u64) {
            bail!("the echo did not write {tokens} tokens");
        }
        Ok(answers)
    }

    /// The same of an engine that is nobody's server.
    fn ask_alone(&self, streams: usize, requests: usize) -> Result<Vec<Answer>> {
        let runtime = Runtime::new().context("cannot start the engine's threads")?;
        let engine = Arc::new(Echo::new(self.options.clone()));
        runtime.block_on(async {
            let streams = (0..streams).map(|_| tokio::spawn(stream(Arc::clone(&engine), requests)));
            let mut answers = Vec::new();
            for stream in streams.collect::<Vec<_>>() {
                answers.extend(stream.await.context("a stream panicked")??);
            }
            Ok(answers)
        })
    }
}

impl Drop for Echoing {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It reports its own panics.
            let _ = thread.join();
        }
    }
}

/// One answer after the other.
async fn stream(engine: Arc<Echo>, requests: usize) -> Result<Vec<Answer>> {
    let mut answers = Vec::with_capacity(requests);
    for _ in 0..requests {
        let began = Instant::now();
        let mut handle = engine.start(Job {
            prompt: Prompt::Chat(vec![Message::new(Role::User, "word")]),
            ..Job::default()
        })?;
        let (mut answer, mut last) = (Answer::default(), None);
        loop {
            let stamped = handle.next().await?;
            match stamped.event {
                Event::Token(_) => {
                    answer.tokens += 1;
                    // When it is read, as over HTTP.
                    let now = Instant::now();
                    answer.gaps.extend(last.map(|last| now - last));
                    last = Some(now);
                }
                Event::Finished(_) => break,
                _ => {}
            }
        }
        answer.total = began.elapsed();
        answers.push(answer);
    }
    Ok(answers)
}

impl Display for Times {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:.3}/{:.3}", self.p50, self.p99))
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self {
            pace_ms, tokens, ..
        } = self;
        writeln!(
            f,
            "an echo over HTTP, and alone: answers of 1 token, and of {tokens} tokens with {pace_ms} ms between two\n"
        )?;
        write!(
            f,
            "{:>7} {:>8} {:>20} {:>15} {:>24} {:>15}",
            "streams", "answers", "answer ms p50/p99", "alone", "over pace ms p50/p99", "alone"
        )?;
        for level in &self.levels {
            let (answer, over) = (&level.answer_ms, &level.over_pace_ms);
            write!(
                f,
                "\n{:>7} {:>8} {:>20} {:>15} {:>24} {:>15}",
                level.streams, level.answers, answer.http, answer.engine, over.http, over.engine
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_is_measured_over_http_and_alone() {
        let report = measure(&[2], Some(2)).unwrap();
        let json = serde_json::to_value(&report).unwrap();
        let level = &json["levels"][0];
        assert_eq!(
            (&level["streams"], &level["answers"]),
            (&2.into(), &4.into())
        );
        for what in ["answer_ms", "over_pace_ms"] {
            for who in ["http", "engine"] {
                let [p50, p99] = ["p50", "p99"].map(|p| level[what][who][p].as_f64().unwrap());
                assert!(p50 <= p99, "{level}");
                assert!(what == "over_pace_ms" || p50 > 0.0, "{level}");
            }
        }
        let text = report.to_string();
        let rows: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].len(), rows[1].len(), "{text}");
    }

    #[test]
    fn percentiles_are_of_all_times() {
        let times = Times::of((1..=200).rev().map(f64::from).collect()).unwrap();
        assert_eq!((times.p50, times.p99), (100.0, 198.0));
        assert!(Times::of(vec![]).is_err());
    }
}
