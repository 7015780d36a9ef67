//! Writes `src/unicode/table.rs`: `cargo run -p sprat-tokenizer --example categories > table.rs`.
//!
//! The categories are those that the `regex` crate knows, so that patterns mean here what they mean there.

use regex::Regex;

/// Unicode's version in `regex-syntax`; a newer one is told by the test beside the table.
const VERSION: &str = "16.0.0";

/// In the order of `Category`, after the first.
const CLASSES: [&str; 12] = [
    r"\p{Lu}", r"\p{Ll}", r"\p{Lt}", r"\p{Lm}", r"\p{Lo}", r"\p{M}", r"\p{Nd}", r"\p{Nl}",
    r"\p{No}", r"\p{Pc}", r"\p{P}", r"\p{S}",
];

fn main() -> Result<(), regex::Error> {
    let classes = CLASSES.map(|class| Regex::new(&format!("^{class}$")));
    let classes = classes.into_iter().collect::<Result<Vec<_>, _>>()?;
    let category = |code: u32| {
        let Some(character) = char::from_u32(code) else {
            return 0;
        };
        let text = character.to_string();
        let found = classes.iter().position(|class| class.is_match(&text));
        found.map_or(0, |index| index as u8 + 1)
    };
    let mut runs: Vec<(u8, u32)> = Vec::new();
    for code in 0..=char::MAX as u32 {
        let category = category(code);
        match runs.last_mut() {
            Some((last, length)) if *last == category => *length += 1,
            _ => runs.push((category, 1)),
        }
    }
    let mut bytes = Vec::new();
    for (category, length) in runs {
        if length < 16 {
            bytes.push(category | (length as u8) << 4);
            continue;
        }
        bytes.push(category);
        let mut rest = length;
        while rest >= 0x80 {
            bytes.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        bytes.push(rest as u8);
    }
    println!("//! Made by `examples/categories.rs`; do not edit. Unicode {VERSION}.");
    println!();
    println!("/// Runs of characters of one category; `runs` says how they are written.");
    println!("#[rustfmt::skip]");
    println!("pub(super) static RUNS: &[u8] = &[");
    for line in bytes.chunks(20) {
        let line: Vec<String> = line.iter().map(|byte| byte.to_string()).collect();
        println!("    {},", line.join(", "));
    }
    println!("];");
    Ok(())
}
