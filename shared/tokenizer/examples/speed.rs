//! Ours beside Hugging Face's library: `cargo run --release -p sprat-tokenizer --example speed -- TOKENIZER.json TEXT...`.
//!
//! Prints milliseconds, the best of many: reading the file, and encoding each text for the first time and again, when the
//! library has its words in a cache.

use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut arguments = std::env::args().skip(1);
    let file = std::fs::read(arguments.next().ok_or("a tokenizer.json is wanted")?)?;
    let texts = arguments
        .map(std::fs::read_to_string)
        .collect::<Result<Vec<_>, _>>()?;
    let ours = || sprat_tokenizer::Tokenizer::from_json(&file);
    let theirs = || tokenizers::Tokenizer::from_bytes(&file);
    println!(
        "read: {:.1} ms, the library {:.1} ms",
        best(5, || ours().is_ok()),
        best(5, || theirs().is_ok())
    );
    let (ours, theirs) = (ours()?, theirs()?);
    for text in &texts {
        let first = Instant::now();
        let ids = theirs.encode_fast(text.as_str(), false)?;
        let first = first.elapsed().as_secs_f64() * 1e3;
        if ours.encode(text, false)? != ids.get_ids() {
            return Err("they differ".into());
        }
        println!(
            "{} tokens: {:.3} ms, the library {first:.3} ms, and {:.3} ms again",
            ids.len(),
            best(50, || ours.encode(text, false).is_ok()),
            best(50, || theirs.encode_fast(text.as_str(), false).is_ok()),
        );
    }
    Ok(())
}

/// Milliseconds of the fastest run.
fn best(runs: usize, run: impl Fn() -> bool) -> f64 {
    let time = |_| {
        let start = Instant::now();
        std::hint::black_box(run());
        start.elapsed().as_secs_f64() * 1e3
    };
    (0..runs).map(time).fold(f64::INFINITY, f64::min)
}
