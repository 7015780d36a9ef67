//! Packs of LoRA adapters: PEFT's files as they are, and the packs that they can be put over.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use indicatif::HumanBytes;
use sprat_model::{
    ADAPTER_CONFIG, ADAPTER_WEIGHTS, Adapter, Base, FORMAT, Manifest, Storage, write_files,
};

use super::Args;
use crate::device::DeviceName;
use crate::folder::load_model;
use crate::quant::Quant;

/// Whether a folder is an adapter of PEFT.
pub(super) fn is_one(folder: &Path) -> bool {
    folder.join(ADAPTER_CONFIG).is_file()
}

/// Packs it, after it was put over each of its bases.
pub(super) fn pack(args: &Args) -> Result<()> {
    let source = &args.source;
    if args.bases.is_empty() {
        bail!(
            "{} is an adapter: name the packs that it is for, --base PACK",
            source.display()
        );
    }
    let read = |file| {
        let path = source.join(file);
        std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    let (config, weights) = (read(ADAPTER_CONFIG)?, read(ADAPTER_WEIGHTS)?);
    let adapter = Adapter::from_peft(&config, &weights)
        .with_context(|| format!("cannot pack {}", source.display()))?;
    let mut bases = Vec::new();
    let mut context = usize::MAX;
    for path in &args.bases {
        let mut model = load_model(path, Quant::F32, DeviceName::Cpu)?;
        let manifest = model.manifest().clone();
        // What is no pack has no files, and no fingerprint of its own.
        ensure!(!manifest.files.is_empty(), "{} is no pack", path.display());
        model
            .set_adapter(Some(&adapter))
            .with_context(|| format!("{} does not fit {}", source.display(), path.display()))?;
        context = context.min(model.context());
        bases.push(Base {
            fingerprint: manifest.fingerprint(),
            name: manifest.name,
        });
    }
    let name = args.out.file_name();
    let manifest = Manifest {
        format: FORMAT,
        name: name
            .context("the pack needs a folder name")?
            .to_string_lossy()
            .into_owned(),
        description: args.description.clone(),
        license: args.license.clone(),
        context,
        parameters: adapter.parameters(),
        storage: Storage::F32,
        bos_token: String::new(),
        eos_token: String::new(),
        examples: args.examples.clone(),
        files: vec![],
        calibration: None,
        largest_buffer: None,
        check: None,
        bases,
    };
    let files = [(ADAPTER_CONFIG, &*config), (ADAPTER_WEIGHTS, &*weights)];
    let manifest = write_files(&args.out, manifest, &files)?;
    println!(
        "{}: an adapter of {} parameters, {}",
        args.out.display(),
        manifest.parameters,
        HumanBytes(manifest.total_bytes())
    );
    Ok(())
}
