//! What a page fetches before its first answer: the published modules' size, compressed as a server would.

use std::process::Command;
use std::thread;

use crate::engine::{PACKAGE, Profile};
use crate::{Result, output, say, tools};

/// What is fetched together, and the most that it may weigh, in bytes after brotli (quality 11): a little
/// above what it weighs, so that growth is a decision; for the first two it is the goal. That of the third is 1.3 MB.
const BUDGETS: [(&str, &[&str], u64); 4] = [
    (
        "CPU module, with all JavaScript",
        &[
            "sprat.js",
            "worker.js",
            "link.js",
            "link/sprat_link.js",
            "link/sprat_link_bg.wasm",
            "cpu/sprat_edge_bg.wasm",
        ],
        500_000,
    ),
    (
        "CPU module for relaxed SIMD, with all JavaScript",
        &[
            "sprat.js",
            "worker.js",
            "link.js",
            "link/sprat_link.js",
            "link/sprat_link_bg.wasm",
            "cpu/sprat_edge_relaxed_bg.wasm",
        ],
        500_000,
    ),
    (
        "WebGPU module, fetched later where there is a GPU",
        &["webgpu/sprat_edge_bg.wasm"],
        1_260_000,
    ),
    (
        "Mixing module, fetched by whoever mixes",
        &["mix/sprat_mix_bg.wasm"],
        160_000,
    ),
];

/// Files' size after compression, with all that the scripts among them import at once.
const COMPRESS: &str = r#"
const zlib = require("node:zlib"), fs = require("node:fs"), path = require("node:path"), c = zlib.constants;
const files = new Set(process.argv.slice(1));
for (const file of files) {
  if (!file.endsWith(".js")) continue;
  const imports = fs.readFileSync(file, "utf8").matchAll(/\b(?:import|export)\b[^;()]*?["'](\.[^"']+)["'];/g);
  for (const [, name] of imports) files.add(path.join(path.dirname(file), name));
}
const size = (file) => {
  const bytes = fs.readFileSync(file);
  const params = { [c.BROTLI_PARAM_QUALITY]: 11, [c.BROTLI_PARAM_LGWIN]: 24, [c.BROTLI_PARAM_SIZE_HINT]: bytes.length };
  return zlib.brotliCompressSync(bytes, { params }).length;
};
console.error([...files].map((file) => path.basename(file)).join(" "));
console.log([...files].map(size).reduce((a, b) => a + b));
"#;

/// Weighs the modules. The quick ones are not what anybody fetches, and are let pass.
pub(crate) fn check() -> Result {
    if Profile::from_env()? == Profile::Dev {
        say("Left out: only the published modules are weighed (WASM_PROFILE=wasm-release)");
        return Ok(());
    }
    tools::check_basics()?;
    // All at once: each takes one core, and the largest the longest.
    let weighing = BUDGETS.map(|(what, files, most)| {
        let mut node = Command::new("node");
        node.arg("-e").arg(COMPRESS);
        node.args(files.iter().map(|file| format!("{PACKAGE}/{file}")));
        (what, most, thread::spawn(move || output(&mut node)))
    });
    let mut heavy = Vec::new();
    for (what, most, size) in weighing {
        let size = size.join().ok().flatten();
        let size = size.ok_or("node could not compress the modules")?;
        let size: u64 = size.trim().parse()?;
        say(&format!("{what}: {size} bytes compressed, {most} allowed"));
        if size > most {
            heavy.push(format!("{what}: {size} bytes compressed, {most} allowed"));
        }
    }
    match heavy.is_empty() {
        true => Ok(()),
        false => Err(heavy.join("; ").into()),
    }
}
