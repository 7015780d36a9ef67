//! `sprat merge`

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sprat_merge::{Dtype, Recipe, TensorReader};

use crate::folder;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A mergekit-style recipe (YAML); model paths in it are relative to the recipe
    recipe: PathBuf,
    /// Model folder to write
    out: PathBuf,
    /// Print what would be done to each tensor, and write nothing
    #[arg(long)]
    dry_run: bool,
}

/// Name, shape and values of one tensor.
type Tensor = (String, Vec<usize>, Vec<f32>);

pub(crate) fn run(args: &Args) -> Result<()> {
    let text = std::fs::read_to_string(&args.recipe)
        .with_context(|| format!("cannot read {}", args.recipe.display()))?;
    let recipe =
        Recipe::parse(&text).with_context(|| format!("cannot use {}", args.recipe.display()))?;
    let root = args.recipe.parent().unwrap_or(Path::new("."));
    // Beside the recipe, or a model of the hub.
    let locate = |name: &str| {
        let beside = root.join(name);
        folder::resolve(if beside.exists() {
            &beside
        } else {
            Path::new(name)
        })
    };
    let reference = locate(recipe.reference())?;
    // Every path is looked up before any tensor is read.
    for name in recipe.inputs() {
        locate(name)?;
    }
    let open = |name: &str| {
        let path = locate(name).map_err(|e| e.to_string());
        let reader = path.and_then(|p| folder::open_weights(&p).map_err(|e| e.to_string()));
        reader
            .map(|r| Box::new(r) as Box<dyn TensorReader>)
            .map_err(|problem| sprat_merge::Error::Format {
                what: name.to_owned(),
                problem,
            })
    };
    let mut merge = sprat_merge::Merge::open(&recipe, open)?;
    if args.dry_run {
        for tensor in &merge.plan().tensors {
            println!("{} {:?}: {:?}", tensor.name, tensor.shape, tensor.step);
        }
        return Ok(());
    }
    if args.out.exists() {
        bail!(
            "{} exists; remove it or name another folder",
            args.out.display()
        );
    }
    let mut tensors: Vec<Tensor> = Vec::new();
    let report = merge.run(
        |name, shape, values| {
            tensors.push((name.to_owned(), shape.to_vec(), values));
            Ok(())
        },
        |_| {},
    )?;
    write(
        &args.out,
        &reference,
        &locate(recipe.tokenizer())?,
        &tensors,
        &text,
    )?;
    println!(
        "{}: {} tensors by {}",
        args.out.display(),
        tensors.len(),
        report.method.name()
    );
    Ok(())
}

/// A model folder: config of the reference model, the tokenizer's files, weights in f32 and the
/// recipe. Built beside `out` and renamed when whole.
fn write(
    out: &Path,
    reference: &Path,
    tokenizer: &Path,
    tensors: &[Tensor],
    recipe: &str,
) -> Result<()> {
    let name = out
        .file_name()
        .context("the merge needs a folder name")?
        .to_string_lossy();
    let draft = out.with_file_name(format!("{name}.part"));
    if draft.exists() {
        std::fs::remove_dir_all(&draft)?;
    }
    std::fs::create_dir_all(&draft)
        .with_context(|| format!("cannot create {}", draft.display()))?;
    std::fs::copy(reference.join("config.json"), draft.join("config.json"))?;
    for file in [
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
    ] {
        let path = tokenizer.join(file);
        if path.exists() {
            std::fs::copy(path, draft.join(file))?;
        }
    }
    std::fs::write(draft.join("merge.yml"), recipe)?;
    let shapes = tensors
        .iter()
        .map(|(name, shape, _)| (name.as_str(), shape.as_slice()));
    let file = std::fs::File::create(draft.join("model.safetensors"))?;
    let file = std::io::BufWriter::new(file);
    let mut writer = sprat_merge::SafetensorsWriter::new(file, shapes, Dtype::Float32)?;
    for (name, _, values) in tensors {
        writer.write(name, values)?;
    }
    writer.finish()?;
    std::fs::rename(&draft, out).with_context(|| format!("cannot write {}", out.display()))
}
