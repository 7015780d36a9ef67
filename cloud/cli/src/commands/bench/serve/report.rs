//! What the answers of each level come to.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::answer::{Answer, Failure, Outcome};

/// How much is asked at once.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Level {
    /// Closed loop: so many streams, each of which asks again when it is answered.
    Streams {
        /// Their number.
        streams: usize,
    },
    /// Open loop: requests come at random moments.
    Rate {
        /// Requests per second on average.
        rate: f64,
    },
}

impl Level {
    /// The number that levels are told apart by.
    pub(super) fn value(self) -> f64 {
        match self {
            Self::Streams { streams } => streams as f64,
            Self::Rate { rate } => rate,
        }
    }

    /// What its number counts.
    pub(super) fn unit(self) -> &'static str {
        match self {
            Self::Streams { .. } => "streams",
            Self::Rate { .. } => "requests/s",
        }
    }
}

/// A time that so many percent of the measured ones do not exceed, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Percentiles {
    pub(super) p50: f64,
    pub(super) p95: f64,
    pub(super) p99: f64,
}

impl Percentiles {
    /// Percentiles by nearest rank; none of nothing.
    fn of(times: impl Iterator<Item = Duration>) -> Option<Self> {
        let mut sorted: Vec<f64> = times.map(|time| time.as_secs_f64() * 1e3).collect();
        sorted.sort_by(f64::total_cmp);
        Some(Self {
            p50: nearest_rank(&sorted, 50)?,
            p95: nearest_rank(&sorted, 95)?,
            p99: nearest_rank(&sorted, 99)?,
        })
    }
}

/// The smallest value that `percent` % of all do not exceed.
pub(super) fn nearest_rank(sorted: &[f64], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

/// One level on one server. Times and tokens are those of whole answers.
#[derive(Debug, Serialize)]
pub(super) struct LevelReport {
    #[serde(flatten)]
    pub(super) level: Level,
    /// Requests per second that were sent until the last was; open loops only.
    pub(super) offered: Option<f64>,
    /// Whole answers per second.
    pub(super) reached: f64,
    /// From the first request to the end of the last answer.
    pub(super) seconds: f64,
    pub(super) ok: usize,
    /// Requests that the server was too busy for (HTTP 429).
    pub(super) refused: usize,
    pub(super) failed: usize,
    /// What was refused or failed, by kind.
    pub(super) errors: BTreeMap<String, usize>,
    pub(super) prompt_tokens: u64,
    pub(super) cached_tokens: u64,
    pub(super) completion_tokens: u64,
    /// Answers whose tokens the server did not count; their chunks are counted instead.
    pub(super) without_usage: usize,
    pub(super) tokens_per_second: f64,
    /// Tokens per second as a multiple of the first level's.
    pub(super) of_first: Option<f64>,
    /// Time to the first token, in milliseconds.
    pub(super) ttft_ms: Option<Percentiles>,
    /// Between two chunks of an answer, in milliseconds.
    pub(super) itl_ms: Option<Percentiles>,
    pub(super) end_to_end_ms: Option<Percentiles>,
}

impl LevelReport {
    /// Sums up a level that took `elapsed`. `arrivals` are those of an open loop.
    pub(super) fn new(
        level: Level,
        arrivals: &[Duration],
        elapsed: Duration,
        outcomes: &[Outcome],
    ) -> Self {
        let answers: Vec<&Answer> = outcomes.iter().filter_map(|o| o.as_ref().ok()).collect();
        let mut errors = BTreeMap::new();
        let mut refused = 0;
        for failure in outcomes.iter().filter_map(|o| o.as_ref().err()) {
            refused += usize::from(matches!(failure, Failure::Refused(_)));
            *errors.entry(failure.kind()).or_default() += 1;
        }
        let seconds = elapsed.as_secs_f64();
        let sum = |tokens: fn(&Answer) -> u64| answers.iter().map(|a| tokens(a)).sum::<u64>();
        let completion_tokens = sum(|answer| answer.tokens);
        let gaps = answers.iter().flat_map(|a| a.gaps.iter().copied());
        Self {
            level,
            offered: arrivals
                .last()
                .and_then(|last| ratio(arrivals.len() as f64, last.as_secs_f64())),
            reached: ratio(answers.len() as f64, seconds).unwrap_or(0.0),
            seconds,
            ok: answers.len(),
            refused,
            failed: outcomes.len() - answers.len() - refused,
            errors,
            prompt_tokens: sum(|answer| answer.prompt_tokens),
            cached_tokens: sum(|answer| answer.cached_tokens),
            completion_tokens,
            without_usage: answers.iter().filter(|a| !a.has_usage).count(),
            tokens_per_second: ratio(completion_tokens as f64, seconds).unwrap_or(0.0),
            of_first: None,
            ttft_ms: Percentiles::of(answers.iter().filter_map(|a| a.first)),
            itl_ms: Percentiles::of(gaps),
            end_to_end_ms: Percentiles::of(answers.iter().map(|a| a.total)),
        }
    }
}

/// None where it would be no number.
fn ratio(a: f64, b: f64) -> Option<f64> {
    (b > 0.0).then(|| a / b)
}

/// What was asked of every server.
#[derive(Debug, Serialize)]
pub(super) struct Load {
    /// Requests of each stream, or at each rate.
    pub(super) requests: usize,
    pub(super) prompt_words: usize,
    pub(super) shared_prefix_words: usize,
    pub(super) max_tokens: u32,
    pub(super) temperature: f32,
    pub(super) seed: u64,
}

/// All levels of one server.
#[derive(Debug, Serialize)]
pub(super) struct ServerReport {
    pub(super) name: String,
    /// Has no credentials.
    pub(super) url: String,
    pub(super) model: String,
    pub(super) levels: Vec<LevelReport>,
}

impl ServerReport {
    /// A server of which nothing is measured yet.
    pub(super) fn new(name: &str, url: &str, model: &str) -> Self {
        Self {
            name: name.to_owned(),
            url: url.to_owned(),
            model: model.to_owned(),
            levels: Vec::new(),
        }
    }

    /// Adds a level, and how it compares to the first.
    pub(super) fn push(&mut self, mut level: LevelReport) {
        let first = self.levels.first();
        level.of_first =
            first.and_then(|first| ratio(level.tokens_per_second, first.tokens_per_second));
        self.levels.push(level);
    }
}

/// The first server's figures at a level as multiples of the second's.
#[derive(Debug, Serialize)]
pub(super) struct Ratios {
    #[serde(flatten)]
    pub(super) level: Level,
    pub(super) tokens_per_second: Option<f64>,
    pub(super) ttft_p50: Option<f64>,
    pub(super) itl_p50: Option<f64>,
}

impl Ratios {
    fn new((one, other): (&LevelReport, &LevelReport)) -> Self {
        let p50 =
            |one: Option<Percentiles>, other: Option<Percentiles>| ratio(one?.p50, other?.p50);
        Self {
            level: one.level,
            tokens_per_second: ratio(one.tokens_per_second, other.tokens_per_second),
            ttft_p50: p50(one.ttft_ms, other.ttft_ms),
            itl_p50: p50(one.itl_ms, other.itl_ms),
        }
    }
}

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) load: Load,
    /// The one asked for, and the one that it is compared to.
    pub(super) servers: Vec<ServerReport>,
    /// Empty without a second server.
    pub(super) ratios: Vec<Ratios>,
}

impl Report {
    /// Puts the servers' levels together.
    pub(super) fn new(load: Load, servers: Vec<ServerReport>) -> Self {
        let ratios = match servers.as_slice() {
            [one, other] => {
                let levels = one.levels.iter().zip(&other.levels);
                levels.map(Ratios::new).collect()
            }
            _ => Vec::new(),
        };
        Self {
            load,
            servers,
            ratios,
        }
    }

    /// Whether its levels are rates.
    pub(super) fn is_open(&self) -> bool {
        let mut levels = self.servers.iter().flat_map(|server| &server.levels);
        levels.any(|level| matches!(level.level, Level::Rate { .. }))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A level with one whole answer for each of `first`, in milliseconds, and one refused request.
    pub(in super::super) fn level(streams: usize, seconds: f64, first: &[u64]) -> LevelReport {
        let answer = |ms: &u64| {
            Ok(Answer {
                first: Some(Duration::from_millis(*ms)),
                gaps: vec![Duration::from_millis(ms / 2); 3],
                total: Duration::from_millis(ms * 4),
                tokens: 10,
                has_usage: true,
                ..Answer::default()
            })
        };
        let mut outcomes: Vec<Outcome> = first.iter().map(answer).collect();
        outcomes.push(Err(Failure::Refused(String::new())));
        let elapsed = Duration::from_secs_f64(seconds);
        LevelReport::new(Level::Streams { streams }, &[], elapsed, &outcomes)
    }

    pub(in super::super) fn report(servers: Vec<(&str, Vec<LevelReport>)>) -> Report {
        let load = Load {
            requests: 4,
            prompt_words: 24,
            shared_prefix_words: 0,
            max_tokens: 100,
            temperature: 0.0,
            seed: 0,
        };
        let servers = servers.into_iter().map(|(name, levels)| {
            let mut server = ServerReport::new(name, "http://127.0.0.1:8787", "echo");
            levels.into_iter().for_each(|level| server.push(level));
            server
        });
        Report::new(load, servers.collect())
    }

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let ten: Vec<f64> = (1..=10).map(f64::from).collect();
        assert_eq!(nearest_rank(&ten, 50), Some(5.0));
        assert_eq!(nearest_rank(&ten, 95), Some(10.0));
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(nearest_rank(&hundred, 95), Some(95.0));
        assert_eq!(nearest_rank(&hundred, 99), Some(99.0));
        assert_eq!(nearest_rank(&[3.0], 99), Some(3.0));
        assert_eq!(nearest_rank(&[], 50), None);
        let times = [30, 10, 20].map(Duration::from_millis).into_iter();
        assert_eq!(Percentiles::of(times).unwrap().p50, 20.0);
    }

    #[test]
    fn a_level_counts_whole_answers() {
        let outcomes = vec![
            Err(Failure::Refused("full".to_owned())),
            Err(Failure::Status(500, "a".to_owned())),
            Err(Failure::Status(500, "b".to_owned())),
            Err(Failure::CutOff),
            Ok(Answer {
                tokens: 10,
                ..Answer::default()
            }),
        ];
        let arrivals = [1, 2, 2, 3, 4].map(Duration::from_secs);
        let level = Level::Rate { rate: 1.0 };
        let level = LevelReport::new(level, &arrivals, Duration::from_secs(5), &outcomes);
        assert_eq!((level.ok, level.refused, level.failed), (1, 1, 3));
        assert_eq!(level.errors["HTTP 500"], 2);
        assert_eq!((level.tokens_per_second, level.reached), (2.0, 0.2));
        assert_eq!((level.offered, level.without_usage), (Some(1.25), 1));
        assert_eq!((level.ttft_ms, level.itl_ms), (None, None));
    }

    #[test]
    fn levels_and_servers_are_compared() {
        let one = vec![level(1, 1.0, &[10]), level(4, 0.5, &[10; 4])];
        let other = vec![level(1, 2.0, &[20]), level(4, 1.0, &[])];
        let report = report(vec![("one", one), ("other", other)]);
        assert_eq!(report.servers[0].levels[0].of_first, None);
        assert_eq!(report.servers[0].levels[1].of_first, Some(8.0));
        assert_eq!(report.ratios[0].tokens_per_second, Some(2.0));
        assert_eq!(report.ratios[0].ttft_p50, Some(0.5));
        // Nothing was answered: no ratio rather than an endless one.
        assert_eq!(report.ratios[1].tokens_per_second, None);
        assert_eq!(report.ratios[1].itl_p50, None);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["servers"][1]["levels"][1]["streams"], 4);
        assert_eq!(json["ratios"][0]["streams"], 1);
    }
}
