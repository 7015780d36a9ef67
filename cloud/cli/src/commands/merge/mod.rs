//! `sprat merge`

mod draft;
mod files;
mod parents;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sprat_merge::methods::Range;
use sprat_merge::{Dtype, Method, Plan, Recipe, Report};

use self::draft::Draft;
use self::parents::{Opened, Place};
use super::pack;
use crate::quant::Quant;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A recipe as mergekit reads them (YAML); models in it are folders beside the recipe, or
    /// models of the hub, or such a MODEL+ADAPTER, a folder with a LoRA of PEFT's
    #[arg(required_unless_present = "methods")]
    recipe: Option<PathBuf>,
    /// The folder to write: Hugging Face's files, and the recipe. A run that was stopped is gone on
    /// with by the same command
    #[arg(long, value_name = "DIR", required_unless_present_any = ["methods", "dry_run"])]
    out: Option<PathBuf>,
    /// Write a pack for pages and services instead
    #[arg(long)]
    pack: bool,
    /// How a pack's matrices are stored
    #[arg(long, value_enum, default_value_t = Quant::Q8, requires = "pack")]
    quant: Quant,
    /// Print what would be done to each tensor, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Print the merge methods, one a line
    #[arg(long)]
    methods: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if args.methods {
        Method::ALL
            .iter()
            .for_each(|method| println!("{}", method.name()));
        return Ok(());
    }
    let path = args.recipe.as_deref().context("there is no recipe")?;
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let recipe = Recipe::parse(&text).with_context(|| format!("cannot use {}", path.display()))?;
    let opened = parents::open(&recipe, path.parent().unwrap_or(Path::new(".")))?;
    if args.dry_run {
        return tell(opened.merge.plan());
    }
    let out = args.out.as_deref().context("there is no --out")?;
    if out.exists() {
        bail!("{} exists; remove it or name another folder", out.display());
    }
    let draft = Draft::begin(out, &stamp(&text, &opened)?)?;
    let written = write(&recipe, &text, opened, &draft);
    let written = written.and_then(|report| {
        match args.pack {
            true => pack::pack(draft.folder.clone(), out.to_owned(), args.quant)?,
            false => draft.publish(out)?,
        }
        Ok(report)
    });
    let report = match written {
        Ok(report) => report,
        Err(error) if is_of_the_disk(&error) => {
            return Err(error.context(format!(
                "what was merged is in {}: the same command goes on from there",
                draft.folder.display()
            )));
        }
        Err(error) => {
            draft.remove()?;
            return Err(error);
        }
    };
    draft.remove()?;
    for warning in &report.warnings {
        eprintln!("warning: {warning}");
    }
    println!(
        "{}: {} tensors of {} models by {}",
        out.display(),
        report.tensors,
        report.models.len(),
        report.method.name()
    );
    Ok(())
}

/// What decides about every byte of the result.
fn stamp(text: &str, opened: &Opened) -> Result<serde_json::Value> {
    let inputs = opened.places.iter().map(Place::stamp);
    let inputs = inputs.collect::<Result<Vec<_>>>()?;
    Ok(serde_json::json!({"sprat": env!("CARGO_PKG_VERSION"), "recipe": text, "inputs": inputs}))
}

/// Whether the same could go well another time: the disk was full, or the folder not writable.
fn is_of_the_disk(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.is::<std::io::Error>())
}

/// The files of a model.
fn write(recipe: &Recipe, text: &str, opened: Opened, draft: &Draft) -> Result<Report> {
    let out = &*draft.folder;
    let Opened {
        merge,
        places,
        tokenizer,
    } = opened;
    let dtype = recipe.storage().unwrap_or(Dtype::Float32);
    let layers = merge.plan().layers.clone();
    let report = draft.write_weights(merge, dtype)?;
    let inputs = recipe.inputs();
    let place = |name: &str| {
        let found = inputs.iter().position(|input| *input == name);
        &places[found.unwrap_or(0)]
    };
    let reference = recipe.reference();
    let mut config = files::Config::read(&place(reference).model)?;
    config.set_storage(dtype);
    config.set_layers(&layers)?;
    files::copy_tokenizer(&place(recipe.tokenizer_model()).model, out)?;
    if let Some((tokenizer, rows)) = tokenizer {
        let old = parents::read_tokenizer(reference, place(reference))?;
        config.set_tokens(&tokenizer, rows, &old);
        std::fs::write(out.join("tokenizer.json"), tokenizer.to_json())?;
    }
    config.write(out)?;
    if let Some(source) = &recipe.chat_template {
        let models = places.iter().map(|place| &*place.model);
        files::write_chat_template(source, models, out)?;
    }
    std::fs::write(out.join("merge.yml"), text)?;
    Ok(report)
}

/// Prints what a plan does with each tensor.
fn tell(plan: &Plan) -> Result<()> {
    let mut out = std::io::stdout().lock();
    for tensor in &plan.tensors {
        let step = &tensor.step;
        let names = step.models.iter().map(|model| &*plan.models[*model]);
        let names = names.collect::<Vec<&str>>().join(", ");
        let base = step
            .base
            .map(|base| format!(" from {}", plan.models[base]))
            .unwrap_or_default();
        let numbers = plan.method.parameters().iter();
        let numbers = numbers.filter(|spec| spec.range != Range::Word);
        let values = numbers.map(|spec| {
            let values = step.each(spec.parameter).iter().map(f64::to_string);
            let values = values.collect::<Vec<_>>().join(" ");
            format!("; {} {values}", spec.parameter.name())
        });
        let others = tensor.inputs.iter();
        let others = others.map(|(model, name)| format!("; of {} {name}", plan.models[*model]));
        let written = writeln!(
            out,
            "{} {:?}: {} of {names}{base}{}{}",
            tensor.name,
            tensor.shape,
            plan.method.name(),
            others.collect::<String>(),
            values.collect::<String>()
        );
        match written {
            // Whoever reads it has seen enough.
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
            other => other?,
        }
    }
    Ok(())
}
