//! `sprat eval router --edge PACK --cloud URL`: records of both sides, asked now.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use sprat_lab::eval::Question;
use sprat_lab::eval::router::{EdgeAnswer, GateCost, Record, ask_edge, gate, read_records, unseen};
use sprat_lab::train::Show;
use sprat_wire::{ChatRequest, FinishReason, Message, Role};

use crate::commands::bench::serve::{Client, Failure};
use crate::commands::calibrate::Source;
use crate::device::DeviceName;

/// How often a question is sent before it counts as failed, and the first pause between.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_millis(500);

#[derive(clap::Args)]
pub(super) struct Sides {
    /// Ask this pack, whose gate gives the confidence ...
    #[arg(long, value_name = "PACK", group = "source", requires = "cloud")]
    edge: Option<PathBuf>,
    /// ... and this OpenAI-compatible server
    #[arg(long, value_name = "URL", requires = "edge")]
    cloud: Option<String>,
    /// The server's model [default: the first that it lists]
    #[arg(long, value_name = "ID", requires = "cloud")]
    cloud_model: Option<String>,
    /// Environment variable with the server's API key; not set is no key
    #[arg(long, default_value = "SPRAT_CLOUD_KEY", value_name = "NAME")]
    cloud_key_env: String,
    /// What the server is told before each question, such as to give the answer alone
    #[arg(long, value_name = "TEXT", requires = "cloud")]
    cloud_system: Option<String>,
    /// Questions that the server is asked at once
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    parallel: u8,
    /// Dollars for a million tokens of prompt; without prices a call costs 1
    #[arg(long, value_name = "USD", requires = "cloud_completion_price")]
    cloud_prompt_price: Option<f64>,
    /// Dollars for a million tokens of answer
    #[arg(long, value_name = "USD", requires = "cloud_prompt_price")]
    cloud_completion_price: Option<f64>,
    /// What an answer of the device costs, in the unit of the cloud's
    #[arg(long, default_value_t = 0.0, value_name = "COST")]
    edge_cost: f64,
    #[command(flatten)]
    questions: Source,
    /// Longest answer in tokens, of both sides; a longer one counts as wrong
    #[arg(long, default_value_t = 96, value_name = "N")]
    max_tokens: usize,
    /// What the pack runs on
    #[arg(long, value_enum, default_value_t)]
    device: DeviceName,
}

/// What comes of asking both sides.
pub(super) struct Measured {
    pub(super) records: Vec<Record>,
    /// The gate's own, where there is one.
    pub(super) threshold: Option<f64>,
    /// None where all records were there already.
    pub(super) gate: Option<GateCost>,
}

impl Sides {
    /// Whether it is asked for.
    pub(super) fn pack(&self) -> Option<&Path> {
        self.edge.as_deref()
    }

    /// Asks both sides and gives their records, the gate's threshold and what it took. Records are written to
    /// `file` as they come; those that are there already are not asked for again.
    pub(super) fn records(&self, pack: &Path, file: Option<&Path>) -> Result<Measured> {
        let bad = |value: f64| !value.is_finite() || value < 0.0;
        let costs = [
            Some(self.edge_cost),
            self.cloud_prompt_price,
            self.cloud_completion_price,
        ];
        if let Some(cost) = costs.into_iter().flatten().find(|cost| bad(*cost)) {
            bail!("a cost of {cost} is none; give 0 or more");
        }
        let cloud = Cloud::new(self)?;
        let gate = gate(pack)?;
        let (questions, _) = self.questions.read()?;
        let all = questions.len();
        let questions = unseen(questions, &gate);
        if questions.len() < all {
            eprintln!(
                "The gate was fitted on these {all} questions: only its test part is asked, {} of them.",
                questions.len()
            );
        }
        let known = known(file, &questions)?;
        let new: Vec<Question> = questions
            .iter()
            .filter(|q| !known.contains_key(&id(q)))
            .cloned()
            .collect();
        let device = self.device.open()?;
        let edge = ask_edge(pack, &gate, &new, self.max_tokens, &device, Show::Auto)?;
        let asked = ask_cloud(&cloud, self, &new, &edge, file)?;
        let mut records: HashMap<String, Record> = known;
        records.extend(asked.into_iter().map(|record| (record.id.clone(), record)));
        let of = |question: &Question| records.remove(&id(question));
        let records = questions.iter().filter_map(of).collect();
        Ok(Measured {
            records,
            threshold: Some(f64::from(gate.threshold())),
            gate: GateCost::new(&gate, &edge),
        })
    }
}

fn id(question: &Question) -> String {
    format!("{:016x}", question.hash())
}

/// Records of an earlier run that was stopped.
fn known(file: Option<&Path>, questions: &[Question]) -> Result<HashMap<String, Record>> {
    let Some(file) = file.filter(|file| std::fs::metadata(file).is_ok_and(|m| m.len() > 0)) else {
        return Ok(HashMap::new());
    };
    let ids: std::collections::HashSet<String> = questions.iter().map(id).collect();
    let records = read_records(file)?;
    if let Some(other) = records.iter().find(|record| !ids.contains(&record.id)) {
        bail!(
            "{} has the record {} of another question; go on with the same questions, or write to another file",
            file.display(),
            other.id
        );
    }
    if !records.is_empty() {
        eprintln!(
            "{} questions are in {} already.",
            records.len(),
            file.display()
        );
    }
    Ok(records
        .into_iter()
        .map(|record| (record.id.clone(), record))
        .collect())
}

/// The server, and what its answers cost.
struct Cloud {
    client: Client,
    model: String,
    /// Dollars per token of prompt and of answer.
    price: Option<[f64; 2]>,
}

/// What the server said to one question.
struct CloudAnswer {
    right: bool,
    cost: f64,
    seconds: f64,
}

impl Cloud {
    fn new(args: &Sides) -> Result<Self> {
        let url = args.cloud.as_deref().context("--edge needs --cloud")?;
        let key = std::env::var(&args.cloud_key_env)
            .ok()
            .filter(|key| !key.is_empty());
        let client = Client::new(url, key)?;
        let model = match &args.cloud_model {
            Some(model) => model.clone(),
            None => {
                let listed = client.models()?.into_iter().next();
                listed.with_context(|| format!("{} lists no model", client.url()))?
            }
        };
        let prices = args.cloud_prompt_price.zip(args.cloud_completion_price);
        Ok(Self {
            client,
            model,
            price: prices.map(|(prompt, answer)| [prompt * 1e-6, answer * 1e-6]),
        })
    }

    fn ask(&self, args: &Sides, question: &Question) -> Result<CloudAnswer, Failure> {
        let system = args
            .cloud_system
            .iter()
            .map(|text| Message::new(Role::System, text));
        let asked = question.messages().into_iter().map(|message| {
            let role = match message.role.as_str() {
                "system" => Role::System,
                "assistant" => Role::Assistant,
                _ => Role::User,
            };
            Message::new(role, message.content)
        });
        let request = ChatRequest {
            max_tokens: i64::try_from(args.max_tokens).ok(),
            temperature: Some(0.0),
            ..ChatRequest::new(&self.model, system.chain(asked).collect())
        };
        let body = serde_json::to_vec(&request).map_err(|_| Failure::NotSent)?;
        let mut pause = PAUSE;
        for _ in 1..TRIES {
            match self.once(&body, question) {
                Err(failure) if may_pass(&failure) => {
                    thread::sleep(pause);
                    pause *= 2;
                }
                outcome => return outcome,
            }
        }
        self.once(&body, question)
    }

    fn once(&self, body: &[u8], question: &Question) -> Result<CloudAnswer, Failure> {
        let began = Instant::now();
        let completion = self.client.complete(body)?;
        let seconds = began.elapsed().as_secs_f64();
        let usage = completion.usage.unwrap_or_default();
        let cost = match self.price {
            Some([prompt, answer]) => {
                prompt * f64::from(usage.prompt_tokens)
                    + answer * f64::from(usage.completion_tokens)
            }
            None => 1.0,
        };
        let choice = completion
            .choices
            .into_iter()
            .next()
            .ok_or(Failure::Malformed)?;
        let ended = !matches!(choice.finish_reason, Some(FinishReason::Length));
        let text = choice.message.content.unwrap_or_default();
        Ok(CloudAnswer {
            right: ended && question.is_right(&text),
            cost,
            seconds,
        })
    }
}

/// Whether another try may go better.
fn may_pass(failure: &Failure) -> bool {
    match failure {
        Failure::Refused(_) | Failure::Connection(_) | Failure::TimedOut | Failure::CutOff => true,
        Failure::Status(status, _) => *status >= 500,
        _ => false,
    }
}

/// Asks the server what the device was asked, and writes each record as it comes.
fn ask_cloud(
    cloud: &Cloud,
    args: &Sides,
    questions: &[Question],
    edge: &[EdgeAnswer],
    file: Option<&Path>,
) -> Result<Vec<Record>> {
    let bar = sprat_lab::eval::progress_bar(Show::Auto, questions.len());
    let mut writer = match file {
        Some(path) => {
            let file = OpenOptions::new().create(true).append(true).open(path);
            Some(file.with_context(|| format!("cannot write {}", path.display()))?)
        }
        None => None,
    };
    let mut records = Vec::with_capacity(questions.len());
    let taken = ask_each(cloud, args, questions, |i, answer| {
        bar.inc(1);
        let record = record(&questions[i], edge[i], &answer, args.edge_cost);
        if let Some(writer) = &mut writer {
            writeln!(writer, "{}", serde_json::to_string(&record)?)?;
        }
        records.push(record);
        Ok(())
    });
    bar.finish_and_clear();
    taken.with_context(|| match file {
        Some(file) => format!(
            "not every question was answered; what was is in {}, and the same command goes on from there",
            file.display()
        ),
        None => "not every question was answered; with --write-records what was is kept".to_owned(),
    })?;
    Ok(records)
}

/// Asks from several threads and hands each answer to `take` in this one. Stops at the first failure, but takes what
/// was asked before.
fn ask_each(
    cloud: &Cloud,
    args: &Sides,
    questions: &[Question],
    mut take: impl FnMut(usize, CloudAnswer) -> Result<()>,
) -> Result<()> {
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let mut failed = None;
    thread::scope(|scope| {
        let (sender, answers) = mpsc::channel();
        for _ in 0..args.parallel {
            let (sender, next, stop) = (sender.clone(), &next, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    let Some(question) = questions.get(i) else {
                        return;
                    };
                    // The receiver outlives the scope's threads.
                    let _ = sender.send((i, cloud.ask(args, question)));
                }
            });
        }
        drop(sender);
        for (i, answer) in answers {
            let answer = answer.map_err(|failure| explain(&failure, args));
            if let Err(error) = answer.and_then(|answer| take(i, answer)) {
                stop.store(true, Ordering::Relaxed);
                failed.get_or_insert(error);
            }
        }
    });
    failed.map_or(Ok(()), Err)
}

/// What a failure is, and what to do about it.
fn explain(failure: &Failure, args: &Sides) -> anyhow::Error {
    let server = args.cloud.as_deref().unwrap_or_default();
    match failure {
        Failure::Status(401 | 403, _) => anyhow::anyhow!(
            "{server} says {failure}; put the key into the environment variable {}",
            args.cloud_key_env
        ),
        failure => anyhow::anyhow!("{server} does not answer: {failure}"),
    }
}

fn record(question: &Question, edge: EdgeAnswer, cloud: &CloudAnswer, edge_cost: f64) -> Record {
    Record {
        id: id(question),
        edge_correct: edge.right,
        cloud_correct: cloud.right,
        confidence: edge.confidence,
        edge_cost,
        cloud_cost: cloud.cost,
        edge_seconds: Some(edge.seconds),
        cloud_seconds: Some(cloud.seconds),
        length: Some(question.question.chars().count() as f64),
        group: question.group.clone(),
    }
}
