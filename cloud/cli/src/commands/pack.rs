//! `sprat pack`

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::ValueEnum;
use sprat_model::{
    DirSource, Manifest, Message, Model, PackContents, Storage, Tokenizer, write_pack,
};

use crate::device::DeviceName;
use crate::folder;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A folder with config.json, tokenizer.json and safetensors, or a training run
    model: PathBuf,
    /// The pack to write; its folder's name is the model's id
    out: PathBuf,
    /// How matrices are stored
    #[arg(long, value_enum, default_value_t = StorageName::Q8)]
    storage: StorageName,
    /// What the model is good at, for a person
    #[arg(long, default_value = "")]
    description: String,
    /// SPDX expression of the weights' license
    #[arg(long, default_value = "MIT OR Apache-2.0")]
    license: String,
    /// A question that shows what the model can do; may be repeated
    #[arg(long = "example", value_name = "QUESTION")]
    examples: Vec<String>,
    /// Tokens of prompt and answer together [default: the config's]
    #[arg(long)]
    context: Option<usize>,
    /// Chat template [default: the folder's chat_template.jinja, else Sprat's own]
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
    /// Token that begins a conversation
    #[arg(long, default_value = "<|start|>")]
    bos_token: String,
    /// Token that ends an answer
    #[arg(long, default_value = "<|end|>")]
    eos_token: String,
    /// Model card to put beside the pack's files as README.md
    #[arg(long, value_name = "FILE")]
    card: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum StorageName {
    /// 32-bit floats
    F32,
    /// 16-bit floats
    F16,
    /// 8-bit integers in blocks of 32
    Q8,
}

/// Tokens in the pack's known value: enough to run the prompt and the step after it.
const CHECK_TOKENS: usize = 8;

pub(crate) fn run(args: &Args) -> Result<()> {
    let folder = folder::resolve(&args.model)?;
    let (config, tensors) = folder::read_weights(&folder)?;
    let tokenizer = folder::read(&folder, "tokenizer.json")?;
    Tokenizer::from_json(&tokenizer)?;
    let template = template(args, &folder)?;
    let storage = match args.storage {
        StorageName::F32 => Storage::F32,
        StorageName::F16 => Storage::F16,
        StorageName::Q8 => Storage::Q8,
    };
    let name = args
        .out
        .file_name()
        .context("the pack needs a folder name")?;
    let manifest = Manifest {
        format: sprat_model::FORMAT,
        name: name.to_string_lossy().into_owned(),
        description: args.description.clone(),
        license: args.license.clone(),
        context: args.context.unwrap_or(config.max_position_embeddings),
        parameters: config.parameters(),
        storage,
        bos_token: args.bos_token.clone(),
        eos_token: args.eos_token.clone(),
        examples: args.examples.clone(),
        files: vec![],
        calibration: None,
        check: None,
    };
    let card = args
        .card
        .as_deref()
        .map(std::fs::read)
        .transpose()
        .context("cannot read the card")?;
    let contents = PackContents {
        manifest,
        config: &config,
        tokenizer: &tokenizer,
        template: &template,
        tensors: &tensors,
        extra: card.map(|card| ("README.md", card)).into_iter().collect(),
    };
    let manifest = write_pack(&args.out, contents)?;
    let manifest = add_check(&args.out, manifest)?;
    println!(
        "{}: {} parameters, {} bytes in {} files",
        args.out.display(),
        manifest.parameters,
        manifest.total_bytes(),
        manifest.files.len()
    );
    Ok(())
}

fn template(args: &Args, folder: &Path) -> Result<String> {
    let own = folder.join("chat_template.jinja");
    let path = match &args.template {
        Some(path) => path.clone(),
        None if own.exists() => own,
        None => return Ok(sprat_lab::tokenizer::CHAT_TEMPLATE.to_owned()),
    };
    std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// Loads the pack as written and stores what it answers, so that every device can be checked
/// against it before the first question.
fn add_check(pack: &Path, mut manifest: Manifest) -> Result<Manifest> {
    let source = DirSource(pack.to_owned());
    let device = DeviceName::Cpu.open()?;
    let model = pollster::block_on(Model::load(&source, &device, &mut |_| {}))
        .context("the pack that was written does not load")?;
    let content = manifest
        .examples
        .first()
        .cloned()
        .unwrap_or_else(|| "Hello".to_owned());
    let prompt = model.prompt(&[Message {
        role: "user".to_owned(),
        content,
    }])?;
    manifest.check = Some(pollster::block_on(model.make_check(&prompt, CHECK_TOKENS))?);
    manifest.save(pack)?;
    Ok(manifest)
}
