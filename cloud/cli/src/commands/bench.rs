//! `sprat bench`: speed and memory of one pack on this machine.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, bail};
use sprat_model::{KvCache, Model, Options};

use crate::device::DeviceName;
use crate::folder::load_model;
use crate::memory::peak_bytes;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The model to measure: a pack, a Hugging Face folder, a .gguf file, a model of the hub
    #[arg(default_value = "web/models/sprat-tiny")]
    model: PathBuf,
    /// What the model runs on
    #[arg(long, value_enum, default_value_t)]
    device: DeviceName,
    /// Prompt tokens
    #[arg(long, default_value_t = 128)]
    prompt: usize,
    /// Tokens to generate
    #[arg(long, default_value_t = 64)]
    tokens: usize,
    /// Repetitions after one untimed warm-up
    #[arg(long, default_value_t = 5)]
    repeat: usize,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let start = Instant::now();
    let model = load_model(&args.model, args.device)?;
    let load = start.elapsed();
    if args.prompt == 0 || args.tokens < 2 || args.repeat == 0 {
        bail!("prompt and repeat must be at least 1, tokens at least 2");
    }
    let mut prefill = Vec::new();
    let mut decode = Vec::new();
    for round in 0..=args.repeat {
        let (first, step) = measure(&model, args, round)?;
        if round > 0 {
            prefill.push(args.prompt as f64 / first);
            decode.push(1.0 / step);
        }
    }
    let manifest = model.manifest();
    println!(
        "model    {} ({} parameters, {:?})",
        manifest.name, manifest.parameters, manifest.storage
    );
    println!("load     {:.0} ms", load.as_secs_f64() * 1e3);
    println!(
        "prefill  {} tokens/s ({} tokens)",
        spread(&mut prefill),
        args.prompt
    );
    println!(
        "decode   {} tokens/s ({} tokens, median step)",
        spread(&mut decode),
        args.tokens
    );
    let cache = KvCache::new(model.config(), model.device());
    println!("cache    {} bytes per token", cache.bytes_per_token());
    if let Some(peak) = peak_bytes() {
        println!("memory   {:.1} MB peak", peak as f64 / 1e6);
    }
    Ok(())
}

/// Seconds to the first token, and the median step after it.
fn measure(model: &Model, args: &Args, salt: usize) -> Result<(f64, f64)> {
    // Other tokens each round, so that no cache can help.
    let vocab = model.config().vocab_size;
    let prompt: Vec<u32> = (0..args.prompt)
        .map(|i| (100 + (i * 37 + salt * 101) % (vocab - 100)) as u32)
        .collect();
    let options = Options {
        max_tokens: args.tokens,
        ..Options::default()
    };
    let mut session = model.session();
    let start = Instant::now();
    let mut generation = session.generate(model, &prompt, options)?;
    let mut times = Vec::new();
    while let Some(token) = pollster::block_on(generation.next()) {
        token?;
        times.push(start.elapsed().as_secs_f64());
    }
    let mut steps: Vec<f64> = times.windows(2).map(|t| t[1] - t[0]).collect();
    if steps.is_empty() {
        bail!("the model ended its answer at once; there is no step to measure");
    }
    steps.sort_by(f64::total_cmp);
    Ok((times[0], steps[steps.len() / 2]))
}

/// Median, with minimum and maximum.
fn spread(values: &mut [f64]) -> String {
    values.sort_by(f64::total_cmp);
    let (first, last) = (values[0], values[values.len() - 1]);
    format!("{:.0} [{first:.0} to {last:.0}]", values[values.len() / 2])
}
