//! Which models `--model` means.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sprat_service::ModelSource;

use crate::folder;
use crate::hub::HubId;

/// Where packs are looked for when none is named.
const DEFAULT_MODELS: [&str; 2] = ["web/models", "cloud/models"];

/// The models of these names; without any, the packs of the default folders, where there may be none if `none_is_fine`.
pub(super) fn find(named: &[String], none_is_fine: bool) -> Result<Vec<ModelSource>> {
    let found = if named.is_empty() && none_is_fine {
        Vec::new()
    } else if named.is_empty() {
        let folders = DEFAULT_MODELS.iter().map(Path::new);
        packs_in(folders.filter(|path| path.is_dir()))?
    } else {
        let each = named.iter().map(|named| models(named));
        each.collect::<Result<Vec<_>>>()?.concat()
    };
    if found.is_empty() && !none_is_fine {
        let places = match named.is_empty() {
            true => DEFAULT_MODELS.join(" or "),
            false => named.join(", "),
        };
        bail!("no pack found in {places}; name a model with --model");
    }
    Ok(found)
}

/// The models that one `--model` means.
fn models(named: &str) -> Result<Vec<ModelSource>> {
    let (id, place) = match named.split_once('=') {
        Some((id, place)) if !id.is_empty() => (Some(id.to_owned()), place),
        _ => (None, named),
    };
    let path = Path::new(place);
    if id.is_none() && path.is_dir() && !is_model(path) {
        return packs_in([path].into_iter());
    }
    // The hub's folders are called by their commits.
    let hub = (!path.exists()).then(|| HubId::parse(place)).flatten();
    let id = id.or_else(|| Some(hub?.name().to_owned()));
    let path = folder::resolve(path)?;
    Ok(vec![ModelSource { id, path }])
}

fn is_pack(path: &Path) -> bool {
    path.join(sprat_model::MANIFEST).is_file()
}

fn is_model(path: &Path) -> bool {
    is_pack(path) || path.join("config.json").is_file()
}

/// The packs in some folders, by name.
fn packs_in<'a>(roots: impl Iterator<Item = &'a Path>) -> Result<Vec<ModelSource>> {
    let mut found = Vec::new();
    for root in roots {
        let entries = std::fs::read_dir(root)
            .with_context(|| format!("cannot look for packs in {}", root.display()))?;
        let inside = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let mut inside: Vec<PathBuf> = inside.filter(|path| is_pack(path)).collect();
        inside.sort();
        found.extend(inside.into_iter().map(ModelSource::from));
    }
    Ok(found)
}
