//! `sprat ask`

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use sprat_model::{Adapter, Message, Options, Sampling};
use sprat_route::gate::Gate;
use sprat_route::signals::{Signals, TokenSignal};

use crate::device::DeviceName;
use crate::folder::load_model;
use crate::quant::Quant;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The question
    question: String,
    /// The model that answers: a pack, a Hugging Face folder, a .gguf file, a model of the hub
    #[arg(long, default_value = "web/models/sprat-tiny", value_name = "DIR")]
    model: PathBuf,
    /// Quantize what is no pack, to save memory
    #[arg(long, value_enum, default_value_t = Quant::F32)]
    quant: Quant,
    /// A LoRA adapter of PEFT to answer with: a folder with adapter_config.json and adapter_model.safetensors
    #[arg(long, value_name = "DIR")]
    adapter: Option<PathBuf>,
    /// How much of the adapter is added, as a multiple of it: 0 is the model alone, and a negative number takes the adapter away
    #[arg(
        long,
        default_value_t = 1.0,
        value_name = "X",
        requires = "adapter",
        allow_negative_numbers = true
    )]
    adapter_scale: f64,
    /// What the model runs on
    #[arg(long, value_enum, default_value_t)]
    device: DeviceName,
    /// Most tokens to answer with
    #[arg(long, default_value_t = 128, value_name = "N")]
    max_tokens: usize,
    /// 0 always takes the likeliest token
    #[arg(long, default_value_t = 0.0, value_name = "T")]
    temperature: f32,
    /// The same seed draws the same answer
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print each token with its log-probability, margin and entropy
    #[arg(long)]
    tokens: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut model = load_model(&args.model, args.quant, args.device)?;
    if let Some(folder) = &args.adapter {
        let adapter = Adapter::open(folder)?.scaled(args.adapter_scale)?;
        model.set_adapter(Some(&adapter))?;
    }
    let message = Message {
        role: "user".to_owned(),
        content: args.question.clone(),
    };
    let prompt = model.prompt(&[message])?;
    let sampling = Sampling {
        temperature: args.temperature,
        seed: args.seed,
        ..Sampling::default()
    };
    let options = Options {
        sampling,
        max_tokens: args.max_tokens,
        ..Options::default()
    };
    let mut session = model.session();
    let mut generation = session.generate(&model, &prompt, options)?;
    let mut signals = Signals::new();
    let mut out = std::io::stdout();
    let start = Instant::now();
    while let Some(token) = pollster::block_on(generation.next()) {
        let token = token?;
        signals.push(TokenSignal {
            logprob: token.logprob,
            margin: token.margin,
            entropy: token.entropy,
        });
        if args.tokens {
            let (logprob, margin, entropy) = (token.logprob, token.margin, token.entropy);
            let text = &token.text;
            writeln!(
                out,
                "{:>6} {logprob:8.3} {margin:6.3} {entropy:6.3} {text:?}",
                token.id
            )?;
        } else {
            write!(out, "{}", token.text)?;
            out.flush()?;
        }
    }
    if !args.tokens {
        writeln!(out)?;
    }
    let (tokens, seconds) = (generation.generated_tokens(), start.elapsed().as_secs_f64());
    eprintln!(
        "{} · {} prompt tokens · {tokens} tokens in {:.0} ms · {:.0} tokens/s",
        args.model.file_name().unwrap_or_default().to_string_lossy(),
        prompt.len(),
        seconds * 1e3,
        tokens as f64 / seconds
    );
    // The gate was fitted for the model without an adapter.
    if let Some(gate) = &model.manifest().calibration
        && args.adapter.is_none()
    {
        let gate = Gate::from_json(gate.to_string().as_bytes())?;
        gate.check_model(&model.manifest().fingerprint())?;
        let confidence = gate.confidence(&signals);
        let verdict = match gate.keeps(confidence) {
            true => "a page keeps this answer",
            false => "a page hands this question over",
        };
        eprintln!(
            "confidence {confidence:.2}, threshold {:.2}: {verdict}",
            gate.threshold()
        );
    }
    Ok(())
}
