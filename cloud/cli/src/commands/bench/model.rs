//! `sprat bench decode`, `prefill` and `load`.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, bail};
use serde::Serialize;
use sprat_model::{Message, Model, Options, bytes_per_token, gpu_dispatches};

use super::machine::Machine;
use super::{Common, Spread};
use crate::device::DeviceName;
use crate::folder::load_model;
use crate::memory::peak_bytes;
use crate::quant::Quant;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A pack, a Hugging Face folder, a .gguf file, a model of the hub, or random:SHAPE for random
    /// weights of a well-known shape, such as random:smollm2-135m
    #[arg(default_value = "web/models/sprat-tiny")]
    model: PathBuf,
    /// Quantize what is no pack
    #[arg(long, value_enum, default_value_t = Quant::F32)]
    quant: Quant,
    /// What the model runs on
    #[arg(long, value_enum, default_value_t)]
    device: DeviceName,
    /// Prompt tokens
    #[arg(long, default_value_t = 128, value_name = "N")]
    prompt: usize,
    /// Tokens to generate
    #[arg(long, default_value_t = 64, value_name = "N")]
    tokens: usize,
    /// Guess tokens, from the text so far and by the pack's draft model, as answers on a CPU do. Random weights go round in circles, where
    /// guesses come true more often than in any text
    #[arg(long)]
    lookup: bool,
    /// Measure the answer to this instead of random tokens
    #[arg(long, value_name = "QUESTION")]
    ask: Option<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Serialize)]
struct Results {
    model: String,
    parameters: u64,
    storage: String,
    prompt: usize,
    tokens: usize,
    load_seconds: f64,
    prefill_tokens_per_second: Option<Spread>,
    decode_tokens_per_second: Option<Spread>,
    /// Bytes of weights that a token reads.
    bytes_per_token: u64,
    /// Launches of our own kernels for each token of the answer, on a GPU.
    dispatches_per_token: Option<f64>,
    /// Tokens of the answer for each pass of the model, where they are guessed.
    tokens_per_pass: Option<f64>,
    /// Bytes that a position takes in the cache.
    cache_bytes_per_position: usize,
    share_of_bandwidth: Option<f64>,
    peak_bytes: Option<u64>,
}

pub(crate) fn decode(args: &Args) -> Result<()> {
    run(args, true, true)
}

pub(crate) fn prefill(args: &Args) -> Result<()> {
    run(args, true, false)
}

pub(crate) fn load(args: &Args) -> Result<()> {
    run(args, false, false)
}

fn run(args: &Args, prefill: bool, decode: bool) -> Result<()> {
    args.common.start()?;
    let start = Instant::now();
    let model = load_model(&args.model, args.quant, args.device)?;
    let load_seconds = start.elapsed().as_secs_f64();
    if args.prompt == 0 || args.tokens < 2 || args.common.repeat == 0 {
        bail!("prompt and repeat must be at least 1, tokens at least 2");
    }
    if args.prompt + args.tokens > model.context() {
        bail!("the model's context holds {} tokens", model.context());
    }
    let (mut firsts, mut steps) = (Vec::new(), Vec::new());
    let (mut dispatches, mut tokens_per_pass) = (None, None);
    let mut prompt = args.prompt;
    let rounds = if prefill { args.common.repeat + 1 } else { 0 };
    for round in 0..rounds {
        let (first, step);
        (prompt, first, step) = measure(&model, args, round, decode)?;
        if round > 0 {
            firsts.push(prompt as f64 / first);
            steps.extend(step.map(|step| 1.0 / step.seconds));
            dispatches = step.map(|step| step.dispatches);
            tokens_per_pass = step.map(|step| step.tokens_per_pass);
        }
    }
    let peak_bytes = peak_bytes();
    let machine = Machine::read(args.device)?;
    let manifest = model.manifest();
    let bytes = bytes_per_token(model.config(), manifest.storage);
    let decoded = if decode {
        Some(Spread::of(steps)?)
    } else {
        None
    };
    let results = Results {
        model: manifest.name.clone(),
        parameters: manifest.parameters,
        storage: format!("{:?}", manifest.storage).to_lowercase(),
        prompt,
        tokens: args.tokens,
        load_seconds,
        prefill_tokens_per_second: if prefill {
            Some(Spread::of(firsts)?)
        } else {
            None
        },
        decode_tokens_per_second: decoded,
        bytes_per_token: bytes,
        tokens_per_pass: tokens_per_pass.filter(|_| args.lookup),
        dispatches_per_token: dispatches.filter(|d| *d > 0.0),
        cache_bytes_per_position: model.cache_bytes_per_token(),
        share_of_bandwidth: decoded.map(|d| d.median * bytes as f64 / machine.bandwidth()),
        peak_bytes,
    };
    let table = table(&results);
    args.common.print(&machine, &results, table)
}

fn table(r: &Results) -> String {
    let mut lines = vec![format!(
        "model    {} ({} parameters, {})",
        r.model, r.parameters, r.storage
    )];
    lines.push(format!("load     {:.0} ms", r.load_seconds * 1e3));
    if let Some(prefill) = r.prefill_tokens_per_second {
        lines.push(format!("prefill  {prefill} tokens/s ({} tokens)", r.prompt));
    }
    if let (Some(decode), Some(share)) = (r.decode_tokens_per_second, r.share_of_bandwidth) {
        let megabytes = r.bytes_per_token as f64 / 1e6;
        lines.push(format!(
            "decode   {decode} tokens/s ({} tokens, median step); {megabytes:.1} MB of weights a token, \
             {:.0} % of memory's bandwidth",
            r.tokens,
            share * 100.0
        ));
    }
    if let Some(tokens) = r.tokens_per_pass {
        lines.push(format!("lookup   {tokens:.2} tokens per pass"));
    }
    if let Some(dispatches) = r.dispatches_per_token {
        lines.push(format!("launches {dispatches:.1} kernels per token"));
    }
    lines.push(format!(
        "cache    {} bytes per token",
        r.cache_bytes_per_position
    ));
    if let Some(peak) = r.peak_bytes {
        lines.push(format!("memory   {:.1} MB peak", peak as f64 / 1e6));
    }
    lines.join("\n")
}

/// What a token after the first one costs.
#[derive(Clone, Copy)]
struct Step {
    /// The median.
    seconds: f64,
    /// The mean.
    dispatches: f64,
    tokens_per_pass: f64,
}

/// Tokens whose time is taken together: a GPU's come several at once.
const TOGETHER: usize = 4;

/// Tokens of the prompt, seconds to the first token, and what the others cost.
fn measure(
    model: &Model,
    args: &Args,
    salt: usize,
    decode: bool,
) -> Result<(usize, f64, Option<Step>)> {
    // Other tokens each round, so that no cache can help.
    let prompt = match &args.ask {
        Some(question) => model.prompt(&[Message {
            role: "user".to_owned(),
            content: question.clone(),
        }])?,
        None => {
            let vocab = model.config().vocab_size;
            let ids = (0..args.prompt).map(|i| 100 + (i * 37 + salt * 101) % (vocab - 100));
            ids.map(|id| id as u32).collect()
        }
    };
    let options = Options {
        lookup: args.lookup,
        max_tokens: if decode { args.tokens } else { 1 },
        ..Options::default()
    };
    let mut session = model.session();
    let start = Instant::now();
    let mut generation = session.generate(model, &prompt, options)?;
    let mut times = Vec::new();
    let mut dispatches = 0;
    while let Some(token) = pollster::block_on(generation.next()) {
        token?;
        if times.is_empty() {
            dispatches = gpu_dispatches();
        }
        times.push(start.elapsed().as_secs_f64());
    }
    let together = TOGETHER.min(times.len().saturating_sub(1)).max(1);
    let steps = times.windows(together + 1);
    let mut steps: Vec<f64> = steps
        .map(|t| (t[together] - t[0]) / together as f64)
        .collect();
    steps.sort_by(f64::total_cmp);
    let dispatches = (gpu_dispatches() - dispatches) as f64;
    let step = steps.get(steps.len() / 2).map(|seconds| Step {
        seconds: *seconds,
        tokens_per_pass: times.len() as f64 / generation.passes().max(1) as f64,
        // Those of the first flight are launched with the first token's.
        dispatches: dispatches / times.len().saturating_sub(1 + TOGETHER).max(1) as f64,
    });
    match (times.first(), step) {
        (Some(first), step) if step.is_some() == decode => Ok((prompt.len(), *first, step)),
        _ => bail!("the model ended its answer at once; there is no step to measure"),
    }
}
