//! `sprat families`, `sprat logits`, `sprat render`, `sprat tokenize`: what goes on inside.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use sprat_model::{
    ChatTemplate, Extras, Family, KvCache, TemplateValue, Tokenizer, open_checkpoint,
};

use crate::device::DeviceName;
use crate::folder;

/// Prints one `model_type` per line.
pub(crate) fn families() -> Result<()> {
    let mut out = std::io::stdout();
    for family in Family::ALL {
        writeln!(out, "{}", family.model_type())?;
    }
    Ok(())
}

#[derive(clap::Args)]
pub(crate) struct LogitsArgs {
    /// A Hugging Face folder, a .gguf file or a pack
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Token ids, separated by commas
    #[arg(long, value_delimiter = ',', required = true, value_name = "IDS")]
    tokens: Vec<u32>,
    /// What the model runs on
    #[arg(long, value_enum, default_value_t)]
    device: DeviceName,
}

/// Prints the last position's logits as JSON.
pub(crate) fn logits(args: &LogitsArgs) -> Result<()> {
    let (config, decoder) = folder::load_decoder(&args.model, args.device)?;
    if let Some(id) = args
        .tokens
        .iter()
        .find(|&&id| id as usize >= config.vocab_size)
    {
        bail!(
            "token {id} is outside the vocabulary of {}",
            config.vocab_size
        );
    }
    let device = args.device.open()?;
    let mut cache = KvCache::new(&config, &device);
    let logits = decoder.last_logits(&args.tokens, &mut cache, &device)?;
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&logits)?)?;
    Ok(())
}

#[derive(clap::Args)]
pub(crate) struct RenderArgs {
    /// A Hugging Face folder, a .gguf file or a pack
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// A JSON file with messages, [{"role": "user", "content": "Hello"}], or with an object of
    /// messages, tools and documents
    messages: PathBuf,
    /// Leave out what begins the assistant's next answer
    #[arg(long)]
    no_generation_prompt: bool,
}

/// Messages as templates get them: whatever fields they have.
#[derive(Deserialize)]
#[serde(untagged)]
enum Conversation {
    Messages(Vec<TemplateValue>),
    Whole(WholeConversation),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WholeConversation {
    messages: Vec<TemplateValue>,
    tools: Option<Vec<TemplateValue>>,
    documents: Option<Vec<TemplateValue>>,
}

/// Prints the prompt that a model's chat template makes of messages.
pub(crate) fn render(args: &RenderArgs) -> Result<()> {
    let path = &args.messages;
    let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let conversation: Conversation = serde_json::from_slice(&text)
        .with_context(|| format!("{} is no list of messages", path.display()))?;
    let (messages, extras) = match conversation {
        Conversation::Messages(messages) => (messages, Extras::default()),
        Conversation::Whole(whole) => {
            let (tools, documents) = (whole.tools, whole.documents);
            (whole.messages, Extras { tools, documents })
        }
    };
    let template = template(&folder::resolve(&args.model)?)?;
    let prompt = template.render_with(&messages, &extras, !args.no_generation_prompt)?;
    write!(std::io::stdout(), "{prompt}")?;
    Ok(())
}

fn template(folder: &Path) -> Result<ChatTemplate> {
    let chat = match folder.is_file() {
        true => open_checkpoint(folder)?.chat()?,
        false => sprat_model::chat_settings(folder)?,
    };
    let text = chat.template.with_context(|| {
        format!(
            "{} has no chat template: neither a chat_template.jinja nor one in tokenizer_config.json",
            folder.display()
        )
    })?;
    Ok(ChatTemplate::new(&text, &chat.bos_token, &chat.eos_token)?)
}

#[derive(clap::Args)]
pub(crate) struct TokenizeArgs {
    /// A Hugging Face folder, a .gguf file or a pack
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// The text
    text: String,
    /// Add the special tokens that the tokenizer puts around a text
    #[arg(long)]
    special: bool,
}

/// Prints the token ids of a text as JSON.
pub(crate) fn tokenize(args: &TokenizeArgs) -> Result<()> {
    let path = match args.model.join("tokenizer.json").exists() {
        // A tokenizer alone is enough here.
        true => args.model.clone(),
        false => folder::resolve(&args.model)?,
    };
    let json = match path.is_file() {
        true => sprat_model::gguf_tokenizer(&path)?,
        false => sprat_model::folder_tokenizer(&path)?,
    };
    let tokenizer = Tokenizer::from_json(&json)?;
    let ids = match args.special {
        true => tokenizer.encode_plain(&args.text)?,
        false => tokenizer.encode(&args.text)?,
    };
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&ids)?)?;
    Ok(())
}
