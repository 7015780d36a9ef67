//! `sprat merge`

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use sprat_merge::methods::Range;
use sprat_merge::{
    ChatTemplateSource, Dtype, Merge, Method, Plan, Recipe, Report, SafetensorsWriter, TensorReader,
};
use sprat_model::chat_settings;

use super::pack;
use crate::folder;
use crate::quant::Quant;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A recipe as mergekit reads them (YAML); models in it are folders beside the recipe, or
    /// models of the hub
    #[arg(required_unless_present = "methods")]
    recipe: Option<PathBuf>,
    /// The folder to write: Hugging Face's files, and the recipe
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
    let root = path.parent().unwrap_or(Path::new("."));
    // Every path is looked up before any tensor is read.
    for name in recipe.inputs() {
        locate(root, name)?;
    }
    let mut merge = Merge::open(&recipe, |name: &str| {
        let path = locate(root, name).map_err(|e| e.to_string());
        let reader = path.and_then(|p| folder::open_weights(&p).map_err(|e| e.to_string()));
        reader
            .map(|r| Box::new(r) as Box<dyn TensorReader>)
            .map_err(|problem| sprat_merge::Error::Format {
                what: name.to_owned(),
                problem,
            })
    })?;
    if args.dry_run {
        return tell(merge.plan());
    }
    let out = args.out.as_deref().context("there is no --out")?;
    if out.exists() {
        bail!("{} exists; remove it or name another folder", out.display());
    }
    let name = out.file_name().context("--out needs a folder's name")?;
    // Built beside `out` under another name, which is none of a pack's either, so that nothing half-written
    // looks finished.
    let draft = out.with_file_name(format!("{}.merging", name.to_string_lossy()));
    if draft.exists() {
        std::fs::remove_dir_all(&draft)
            .with_context(|| format!("cannot remove {}", draft.display()))?;
    }
    std::fs::create_dir_all(&draft)
        .with_context(|| format!("cannot create {}", draft.display()))?;
    let written = write(&recipe, &text, &mut merge, root, &draft);
    let finished = written.and_then(|report| {
        match args.pack {
            true => pack::pack(draft.clone(), out.to_owned(), args.quant)?,
            false => std::fs::rename(&draft, out)
                .with_context(|| format!("cannot write {}", out.display()))?,
        }
        Ok(report)
    });
    if draft.exists() {
        std::fs::remove_dir_all(&draft)
            .with_context(|| format!("cannot remove {}", draft.display()))?;
    }
    let report = finished?;
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

/// The files of a model.
fn write(
    recipe: &Recipe,
    text: &str,
    merge: &mut Merge,
    root: &Path,
    out: &Path,
) -> Result<Report> {
    let dtype = recipe.storage().unwrap_or(Dtype::Float32);
    let report = write_weights(merge, &out.join("model.safetensors"), dtype)?;
    write_config(
        &locate(root, recipe.reference())?,
        out,
        dtype,
        &merge.plan().layers,
    )?;
    copy_tokenizer(&locate(root, recipe.tokenizer())?, out)?;
    if let Some(source) = &recipe.chat_template {
        write_chat_template(source, recipe, root, out)?;
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

/// A model of a recipe: beside it, or of the hub.
fn locate(root: &Path, name: &str) -> Result<PathBuf> {
    let beside = root.join(name);
    folder::resolve(if beside.exists() {
        &beside
    } else {
        Path::new(name)
    })
}

/// Tensor by tensor, so that memory is a tensor's of each model.
fn write_weights(merge: &mut Merge, path: &Path, dtype: Dtype) -> Result<Report> {
    let tensors = &merge.plan().tensors;
    let elements = tensors.iter().map(|t| t.elements() as u64).sum();
    let shapes: Vec<(String, Vec<usize>)> = tensors
        .iter()
        .map(|tensor| (tensor.name.clone(), tensor.shape.clone()))
        .collect();
    let shapes = shapes.iter().map(|(name, shape)| (&**name, &**shape));
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    let mut writer = SafetensorsWriter::new(BufWriter::new(file), shapes, dtype)?;
    let bar = ProgressBar::new(elements);
    bar.set_style(
        ProgressStyle::with_template("{bar:30} {percent:>3} % {wide_msg} {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let report = merge.run(
        |name, _, values| writer.write(name, &values),
        |progress| {
            bar.set_position(progress.elements);
            bar.set_message(progress.tensor.to_owned());
        },
    );
    bar.finish_and_clear();
    let report = report?;
    let mut file = writer.finish()?;
    file.flush()
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(report)
}

/// Keys of configs that are lists with an entry for each layer.
const PER_LAYER: [&str; 2] = ["layer_types", "no_rope_layers"];

/// The reference's config with the result's storage type and, of a recipe with slices, its layers: lists with an
/// entry for each layer get those of the layers that the new ones are like.
fn write_config(
    reference: &Path,
    out: &Path,
    dtype: Dtype,
    layers: &[(usize, usize)],
) -> Result<()> {
    let path = reference.join("config.json");
    let text = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut config: serde_json::Value =
        serde_json::from_slice(&text).with_context(|| format!("{} is not JSON", path.display()))?;
    if let Some(map) = config.as_object_mut() {
        // transformers 5 calls it `dtype`.
        for key in ["torch_dtype", "dtype"] {
            if map.contains_key(key) {
                map.insert(key.to_owned(), dtype.name().into());
            }
        }
    }
    if let Some(map) = config.as_object_mut().filter(|_| !layers.is_empty()) {
        for key in PER_LAYER {
            let Some(list) = map.get_mut(key).and_then(serde_json::Value::as_array_mut) else {
                continue;
            };
            let like = layers.iter().map(|(_, layer)| list.get(*layer).cloned());
            let like: Option<Vec<_>> = like.collect();
            *list = like.with_context(|| format!("`{key}` of {} is too short", path.display()))?;
        }
        map.insert("num_hidden_layers".to_owned(), layers.len().into());
    }
    std::fs::write(out.join("config.json"), format!("{config:#}\n"))?;
    Ok(())
}

/// The chat template that a recipe wants, over the one that came with the tokenizer.
fn write_chat_template(
    source: &ChatTemplateSource,
    recipe: &Recipe,
    root: &Path,
    out: &Path,
) -> Result<()> {
    let template = match source {
        ChatTemplateSource::Text(text) => text.clone(),
        ChatTemplateSource::MostCommon => {
            let of = |name: &&str| Ok(chat_settings(&locate(root, name)?)?.template);
            let inputs = recipe.inputs();
            let templates = inputs.iter().map(of).collect::<Result<Vec<_>>>()?;
            let templates: Vec<String> = templates.into_iter().flatten().collect();
            let count = |text: &String| templates.iter().filter(|other| *other == text).count();
            // Of equals the first.
            let best = templates.iter().rev().max_by_key(|text| count(text));
            let missing = "`chat_template: auto`, but none of the models has one";
            best.context(missing)?.clone()
        }
    };
    std::fs::write(out.join("chat_template.jinja"), template)?;
    Ok(())
}

fn copy_tokenizer(from: &Path, out: &Path) -> Result<()> {
    for file in [
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "generation_config.json",
        "chat_template.jinja",
    ] {
        let path = from.join(file);
        if path.exists() {
            std::fs::copy(&path, out.join(file))
                .with_context(|| format!("cannot copy {}", path.display()))?;
        }
    }
    Ok(())
}
