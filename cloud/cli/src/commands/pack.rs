//! `sprat pack`

mod adapter;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use indicatif::HumanBytes;
use sprat_lab::eval::Comparison;
use sprat_model::{
    ChatSettings, ChatTemplate, Checkpoint, Decoder, DirSource, DraftContents, Manifest, Message,
    Model, ModelConfig, PackContents, Storage, Tokenizer, write_pack,
};

use crate::device::DeviceName;
use crate::folder;
use crate::memory::peak_bytes;
use crate::quant::Quant;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A folder with config.json, tokenizer.json and safetensors; a .gguf file; a training run; a folder
    /// with a LoRA adapter of PEFT; or the id of a model on Hugging Face's hub: OWNER/NAME, OWNER/NAME@REVISION or OWNER/NAME/FILE.gguf
    source: PathBuf,
    /// The pack to write; its folder's name is the model's id
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How matrices are stored
    #[arg(long, value_enum, default_value_t = Quant::Q8)]
    quant: Quant,
    /// What the model is good at, for a person
    #[arg(long, default_value = "")]
    description: String,
    /// SPDX expression of the weights' license
    #[arg(long, default_value = "MIT OR Apache-2.0")]
    license: String,
    /// A question that shows what the model can do; may be repeated
    #[arg(long = "example", value_name = "QUESTION")]
    examples: Vec<String>,
    /// A smaller model of the same vocabulary, from the same kinds of sources: it goes into the pack and
    /// guesses tokens for this one to check, several at once
    #[arg(long, value_name = "SOURCE")]
    draft: Option<PathBuf>,
    /// Of an adapter: a pack that it can be put over; may be repeated
    #[arg(long = "base", value_name = "PACK")]
    bases: Vec<PathBuf>,
    /// Tokens of prompt and answer together [default: the config's]
    #[arg(long)]
    context: Option<usize>,
    /// Chat template [default: the folder's own]
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
    /// Token that begins a text [default: the folder's own]
    #[arg(long, value_name = "TOKEN")]
    bos_token: Option<String>,
    /// Token that ends an answer [default: the folder's own]
    #[arg(long, value_name = "TOKEN")]
    eos_token: Option<String>,
    /// Model card to put beside the pack's files as README.md
    #[arg(long, value_name = "FILE")]
    card: Option<PathBuf>,
    /// Compare the pack with the source on this text: divergence, agreement, perplexity
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
    /// Leave out the known value that proves devices; saves loading the whole model
    #[arg(long)]
    no_check: bool,
}

/// Tokens of a text that a pack is compared with its source on.
const COMPARED_TOKENS: usize = 4096;
/// Tokens in the pack's known value: enough to run the prompt and the step after it.
const CHECK_TOKENS: usize = 8;

/// Packs a folder as it is.
pub(crate) fn pack(source: PathBuf, out: PathBuf, quant: Quant) -> Result<()> {
    run(&Args {
        source,
        out,
        quant,
        description: String::new(),
        license: "MIT OR Apache-2.0".to_owned(),
        examples: vec![],
        draft: None,
        bases: vec![],
        context: None,
        template: None,
        bos_token: None,
        eos_token: None,
        card: None,
        text: None,
        no_check: false,
    })
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if adapter::is_one(&args.source) {
        return adapter::pack(args);
    }
    let start = Instant::now();
    let mut source = folder::open(&args.source)
        .with_context(|| format!("cannot pack {}", args.source.display()))?;
    let tokenizer = source.tokenizer()?;
    let chat = chat(args, source.as_mut())?;
    warn_of_pages(&tokenizer, chat.template.as_deref())?;
    let mut config = source.config().clone();
    config.add_eos_token_ids(&chat.eos_token_ids);
    let name = args.out.file_name();
    let manifest = Manifest {
        format: sprat_model::FORMAT,
        name: name
            .context("the pack needs a folder name")?
            .to_string_lossy()
            .into_owned(),
        description: args.description.clone(),
        license: args.license.clone(),
        context: args.context.unwrap_or(config.context()),
        parameters: config.parameters(),
        storage: args.quant.into(),
        bos_token: chat.bos_token,
        eos_token: chat.eos_token,
        examples: args.examples.clone(),
        files: vec![],
        calibration: None,
        largest_buffer: None,
        check: None,
        bases: vec![],
    };
    let card = args.card.as_deref().map(std::fs::read).transpose();
    let card = card.context("cannot read the card")?;
    let mut draft = args
        .draft
        .as_deref()
        .map(|path| draft(path, &config))
        .transpose()?;
    let draft_config = draft.as_ref().map(|draft| draft.config().clone());
    let mut read_draft = |name: &str, shape: &[usize]| match &mut draft {
        Some(draft) => draft.read_tensor(name, shape),
        None => Err(sprat_model::Error::TensorMissing(name.to_owned())),
    };
    let contents = PackContents {
        manifest,
        config: &config,
        tokenizer: &tokenizer,
        template: &chat.template.unwrap_or_default(),
        draft: draft_config.as_ref().map(|config| DraftContents {
            config,
            read: &mut read_draft,
        }),
        extra: card.map(|card| ("README.md", card)).into_iter().collect(),
    };
    let bar = folder::progress_bar("Packing")?;
    let mut progress = |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    };
    let mut read = |name: &str, shape: &[usize]| source.read_tensor(name, shape);
    let manifest = write_pack(&args.out, contents, &mut read, &mut progress)?;
    bar.finish_and_clear();
    println!(
        "{}: {} parameters, {} in {} files, {:.1} s, at most {} of memory",
        args.out.display(),
        manifest.parameters,
        HumanBytes(manifest.total_bytes()),
        manifest.files.len(),
        start.elapsed().as_secs_f64(),
        peak_bytes().map_or("an unknown amount".into(), |bytes| HumanBytes(bytes)
            .to_string()),
    );
    if !args.no_check {
        add_check(&args.out, manifest)?;
    }
    if let Some(text) = &args.text {
        println!("{}", compare(source.as_mut(), &tokenizer, &args.out, text)?);
    }
    Ok(())
}

/// Says so where a page cannot read the tokenizer, or render the template. A server can, by other libraries.
fn warn_of_pages(tokenizer: &[u8], template: Option<&str>) -> Result<()> {
    use sprat_model::Error::{TemplateUnsupported, TokenizerUnsupported};
    let for_servers = |error| {
        eprintln!("Warning: this pack runs on a server, not in a page: {error}");
    };
    match Tokenizer::check_page(tokenizer) {
        Err(error @ TokenizerUnsupported { .. }) => for_servers(error),
        other => other?,
    }
    match template.map_or(Ok(()), ChatTemplate::check_page) {
        Err(error @ TemplateUnsupported(_)) => for_servers(error),
        // It may want more than a question: tools, or a message of the system.
        Err(error) => eprintln!("Warning: a plain question in a page is refused: {error}"),
        Ok(()) => {}
    }
    Ok(())
}

/// The model that is to guess for one of this config.
fn draft(path: &Path, config: &ModelConfig) -> Result<Box<dyn Checkpoint>> {
    let draft = folder::open(path)
        .with_context(|| format!("cannot pack {} as a draft model", path.display()))?;
    if draft.config().vocab_size != config.vocab_size {
        bail!(
            "{} has {} tokens and the model {}: a draft model must have the same vocabulary",
            path.display(),
            draft.config().vocab_size,
            config.vocab_size
        );
    }
    Ok(draft)
}

/// Template and special tokens: those given, else the folder's own.
fn chat(args: &Args, source: &mut dyn Checkpoint) -> Result<ChatSettings> {
    let mut chat = source.chat()?;
    if let Some(path) = &args.template {
        let template = std::fs::read_to_string(path);
        let template = template.with_context(|| format!("cannot read {}", path.display()));
        chat.template = Some(template?);
    }
    if let Some(token) = &args.bos_token {
        chat.bos_token.clone_from(token);
    }
    if let Some(token) = &args.eos_token {
        chat.eos_token.clone_from(token);
    }
    if chat.template.is_none() {
        bail!(
            "{} has no chat template, so nothing says how a conversation becomes a prompt; \
             give one with --template",
            args.source.display()
        );
    }
    Ok(chat)
}

/// What quantization costs on a text.
fn compare(
    source: &mut dyn Checkpoint,
    tokenizer: &[u8],
    pack: &Path,
    text: &Path,
) -> Result<Comparison> {
    let words =
        std::fs::read_to_string(text).with_context(|| format!("cannot read {}", text.display()))?;
    let mut ids = Tokenizer::from_json(tokenizer)?.encode(&words)?;
    ids.truncate(COMPARED_TOKENS);
    let device = DeviceName::Cpu.open()?;
    let mut tensors = source.load_tensors(Storage::F32, &device, &mut |_| {})?;
    let original = Decoder::from_tensors(source.config(), &mut tensors)?;
    let (_, packed) = folder::load_decoder(pack, DeviceName::Cpu)?;
    let comparison = sprat_lab::eval::compare(&original, &packed, &ids, &device)?;
    comparison.with_context(|| format!("{} is too short to compare on", text.display()))
}

/// Loads the pack as written and stores what it answers, so that every device can be checked
/// against it before the first question.
fn add_check(pack: &Path, mut manifest: Manifest) -> Result<()> {
    let source = DirSource(pack.to_owned());
    let device = DeviceName::Cpu.open()?;
    let model = pollster::block_on(Model::load(&source, &device, &mut |_| {}))
        .context("the pack that was written does not load")?;
    let content = manifest.examples.first().cloned();
    let prompt = model.prompt(&[Message {
        role: "user".to_owned(),
        content: content.unwrap_or_else(|| "Hello".to_owned()),
    }])?;
    manifest.check = Some(pollster::block_on(model.make_check(&prompt, CHECK_TOKENS))?);
    manifest.save(pack)?;
    Ok(())
}
