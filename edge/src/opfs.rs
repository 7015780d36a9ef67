//! Packs in the origin private file system, one folder per manifest.
//!
//! ```text
//! sprat/packs/<first 32 hex digits of sprat.json's SHA-256>/
//!     about.json     which addresses it came from, its name and size: written first
//!     sprat.json     the manifest, to work without a network
//!     <files>        '/' and other signs that a file name may not hold are written %2F
//!     published      empty, written last: the pack is whole
//! ```

use futures::channel::oneshot;
use js_sys::{AsyncIterator, Function, Object, Reflect, Uint8Array};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{
    FileSystemDirectoryHandle, FileSystemFileHandle, FileSystemGetDirectoryOptions,
    FileSystemGetFileOptions, FileSystemReadWriteOptions, FileSystemRemoveOptions,
    FileSystemSyncAccessHandle,
};

use crate::net::words;
use crate::shelf::{Refused, Shelf};
use crate::web;

const MANIFEST: &str = "sprat.json";
const ABOUT: &str = "about.json";
const PUBLISHED: &str = "published";

/// A stored pack, as `Sprat.stored()` lists it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct About {
    /// Name in the manifest.
    pub(crate) name: String,
    /// Bytes of its files.
    pub(crate) bytes: u64,
    /// Addresses it was loaded from.
    pub(crate) urls: Vec<String>,
}

/// All stored packs.
pub(crate) struct Library {
    packs: FileSystemDirectoryHandle,
}

/// The folder of the pack that has these bytes as its manifest.
pub(crate) fn key(manifest: &[u8]) -> String {
    let mut hex = hex::encode(Sha256::digest(manifest));
    hex.truncate(32);
    hex
}

impl Library {
    /// Opens the store, making it where there is none.
    pub(crate) async fn open() -> Result<Self, Refused> {
        let storage = web::storage().ok_or_else(|| Refused("it offers no file system".into()))?;
        let root: FileSystemDirectoryHandle = wait(storage.get_directory()).await?;
        let sprat = folder(&root, "sprat", true).await?;
        Ok(Self {
            packs: folder(&sprat, "packs", true).await?,
        })
    }

    /// Bytes that may still be stored, where the browser says so.
    pub(crate) async fn room() -> Option<u64> {
        let estimate: web_sys::StorageEstimate =
            wait(web::storage()?.estimate().ok()?).await.ok()?;
        let room = estimate.get_quota()? - estimate.get_usage()?;
        // Negative when over quota; saturates to 0.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Some(room as u64)
    }

    /// The folder for `manifest`, made where there is none.
    pub(crate) async fn pack(&self, manifest: &[u8], about: &About) -> Result<Opfs, Refused> {
        let key = key(manifest);
        let mut pack = Opfs {
            folder: folder(&self.packs, &key, true).await?,
            open: None,
        };
        let mut known = pack.about().await.unwrap_or_default();
        if about.urls.iter().all(|url| known.urls.contains(url)) && pack.is_published().await {
            return Ok(pack);
        }
        let urls = std::mem::take(&mut known.urls).into_iter();
        let others = urls.filter(|url| !about.urls.contains(url));
        let about = About {
            urls: about.urls.iter().cloned().chain(others).collect(),
            ..about.clone()
        };
        let text = serde_json::to_vec(&about).map_err(|e| Refused(e.to_string()))?;
        pack.write_whole(ABOUT, &text).await?;
        pack.write_whole(MANIFEST, manifest).await?;
        Ok(pack)
    }

    /// The manifest of the whole pack that was loaded from `url` before.
    pub(crate) async fn manifest_of(&self, url: &str) -> Option<Vec<u8>> {
        for (_, mut pack) in self.all().await.ok()? {
            let from_url = pack
                .about()
                .await
                .is_ok_and(|about| about.urls.iter().any(|u| u == url));
            if from_url && pack.is_published().await {
                return pack.read_whole(MANIFEST).await.ok();
            }
        }
        None
    }

    /// All whole packs.
    pub(crate) async fn list(&self) -> Result<Vec<About>, Refused> {
        let mut list = Vec::new();
        for (_, mut pack) in self.all().await? {
            if pack.is_published().await
                && let Ok(about) = pack.about().await
            {
                list.push(about);
            }
        }
        Ok(list)
    }

    /// Removes what was loaded from `url`, whole or not, except the pack of this key.
    /// Returns whether there was anything.
    pub(crate) async fn remove(&self, url: &str, except: Option<&str>) -> Result<bool, Refused> {
        let mut found = false;
        for (name, mut pack) in self.all().await? {
            let about = pack.about().await.unwrap_or_default();
            if Some(name.as_str()) != except && about.urls.iter().any(|u| u == url) {
                let recursive = FileSystemRemoveOptions::new();
                recursive.set_recursive(true);
                let removed = self.packs.remove_entry_with_options(&name, &recursive);
                JsFuture::from(removed).await.map_err(refused)?;
                found = true;
            }
        }
        Ok(found)
    }

    async fn all(&self) -> Result<Vec<(String, Opfs)>, Refused> {
        let mut packs = Vec::new();
        for name in names(&self.packs.keys()).await? {
            if let Ok(folder) = folder(&self.packs, &name, false).await {
                packs.push((name, Opfs { folder, open: None }));
            }
        }
        Ok(packs)
    }
}

/// One pack's folder.
pub(crate) struct Opfs {
    folder: FileSystemDirectoryHandle,
    /// The file being written. It is locked for other tabs until it is closed.
    open: Option<(String, Locked)>,
}

/// A file open for writing; closes itself.
struct Locked(FileSystemSyncAccessHandle);

impl Locked {
    /// What `opening` gives. If the caller is dropped before, as happens when a load is stopped, the file is closed as
    /// soon as it is open; nobody else could, and it would stay locked.
    async fn by(opening: js_sys::Promise) -> Result<Self, Refused> {
        let (give, given) = oneshot::channel();
        spawn_local(async move {
            let opened = wait(opening).await.map(Locked);
            // What nobody takes is dropped, and so closed.
            let _ = give.send(opened);
        });
        let gone = |_| Err(Refused("it did not open".into()));
        given.await.unwrap_or_else(gone)
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Opfs {
    /// Says that the pack is whole.
    pub(crate) async fn publish(&mut self) -> Result<(), Refused> {
        self.close();
        self.write_whole(PUBLISHED, b"").await
    }

    /// Whether the pack was whole once. Its bytes may have been damaged since.
    pub(crate) async fn is_published(&self) -> bool {
        self.file(PUBLISHED, false).await.is_ok()
    }

    /// Lets other tabs write again.
    pub(crate) fn close(&mut self) {
        self.open = None;
    }

    async fn about(&mut self) -> Result<About, Refused> {
        let bytes = self.read_whole(ABOUT).await?;
        serde_json::from_slice(&bytes).map_err(|e| Refused(e.to_string()))
    }

    async fn file(&self, file: &str, create: bool) -> Result<FileSystemFileHandle, Refused> {
        let options = FileSystemGetFileOptions::new();
        options.set_create(create);
        wait(
            self.folder
                .get_file_handle_with_options(&escape(file), &options),
        )
        .await
    }

    async fn blob(&self, file: &str) -> Result<web_sys::File, Refused> {
        wait(self.file(file, false).await?.get_file()).await
    }

    async fn read_whole(&mut self, file: &str) -> Result<Vec<u8>, Refused> {
        let len = self.size(file).await?;
        self.read(file, 0, usize::try_from(len).unwrap_or(usize::MAX))
            .await
    }

    async fn write_whole(&mut self, file: &str, bytes: &[u8]) -> Result<(), Refused> {
        self.truncate(file, 0).await?;
        self.append(file, 0, bytes).await?;
        self.close();
        Ok(())
    }

    /// Opens `file` for reading straight into our memory, so that many tabs can load the same pack; None where
    /// the browser knows no such mode, or another tab writes.
    async fn for_reading(&self, file: &str) -> Option<Locked> {
        let handle = self.file(file, false).await.ok()?;
        let options = Object::new();
        Reflect::set(&options, &"mode".into(), &"read-only".into()).ok()?;
        let open = Reflect::get(&handle, &"createSyncAccessHandle".into()).ok()?;
        let opening = open.dyn_into::<Function>().ok()?.call1(&handle, &options);
        Locked::by(opening.ok()?.dyn_into().ok()?).await.ok()
    }

    /// Opens `file` for writing, unless it is already.
    async fn lock(&mut self, file: &str) -> Result<&FileSystemSyncAccessHandle, Refused> {
        if self.open.as_ref().is_none_or(|(name, _)| name != file) {
            self.close();
            let opening = self.file(file, true).await?.create_sync_access_handle();
            self.open = Some((file.to_owned(), Locked::by(opening).await?));
        }
        match &self.open {
            Some((_, locked)) => Ok(&locked.0),
            None => Err(Refused(format!("{file} could not be opened"))),
        }
    }
}

impl Shelf for Opfs {
    async fn size(&mut self, file: &str) -> Result<u64, Refused> {
        let size = match &self.open {
            Some((name, locked)) if name == file => locked.0.get_size().map_err(refused)?,
            _ => match self.blob(file).await {
                Ok(blob) => blob.size(),
                Err(_) => 0.0,
            },
        };
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Ok(size as u64)
    }

    async fn read(&mut self, file: &str, from: u64, len: usize) -> Result<Vec<u8>, Refused> {
        let (start, end) = (offset(from), offset(from + len as u64));
        let short = |got: usize| Refused(format!("{file}: {got} bytes where {len} should be"));
        let shared;
        let locked = match &self.open {
            Some((name, locked)) if name == file => Some(locked),
            _ => {
                shared = self.for_reading(file).await;
                shared.as_ref()
            }
        };
        if let Some(locked) = locked {
            let at = FileSystemReadWriteOptions::new();
            at.set_at(start);
            let mut bytes = vec![0; len];
            let got = locked
                .0
                .read_with_u8_array_and_options(&mut bytes, &at)
                .map_err(refused)?;
            return if got == offset(len as u64) {
                Ok(bytes)
            } else {
                Err(short(bytes.len()))
            };
        }
        // This needs no lock, but a buffer that is left to the browser's garbage collector.
        let blob = self.blob(file).await?;
        let slice = blob.slice_with_f64_and_f64(start, end).map_err(refused)?;
        let buffer = JsFuture::from(slice.array_buffer())
            .await
            .map_err(refused)?;
        let bytes = Uint8Array::new(&buffer).to_vec();
        if bytes.len() == len {
            Ok(bytes)
        } else {
            Err(short(bytes.len()))
        }
    }

    async fn append(&mut self, file: &str, at: u64, bytes: &[u8]) -> Result<(), Refused> {
        let handle = self.lock(file).await?;
        let options = FileSystemReadWriteOptions::new();
        options.set_at(offset(at));
        let written = handle
            .write_with_u8_array_and_options(bytes, &options)
            .map_err(refused)?;
        if written != offset(bytes.len() as u64) {
            return Err(Refused(format!(
                "{file}: {written} of {} bytes taken",
                bytes.len()
            )));
        }
        handle.flush().map_err(refused)
    }

    async fn truncate(&mut self, file: &str, size: u64) -> Result<(), Refused> {
        self.lock(file)
            .await?
            .truncate_with_f64(offset(size))
            .map_err(refused)
    }
}

/// A position in a file as JavaScript counts; packs are far below 2^53 bytes.
#[allow(clippy::cast_precision_loss)]
fn offset(bytes: u64) -> f64 {
    bytes as f64
}

/// `file` with all but letters, digits, `.`, `_` and `-` written as `%XX`.
fn escape(file: &str) -> String {
    file.bytes().fold(String::new(), |mut name, byte| {
        if byte.is_ascii_alphanumeric() || b"._-".contains(&byte) {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02X}"));
        }
        name
    })
}

// `map_err` hands the error over by value.
#[allow(clippy::needless_pass_by_value)]
fn refused(error: JsValue) -> Refused {
    Refused(words(&error))
}

async fn wait<T: JsCast>(promise: js_sys::Promise) -> Result<T, Refused> {
    let value = JsFuture::from(promise).await.map_err(refused)?;
    Ok(value.unchecked_into())
}

async fn folder(
    parent: &FileSystemDirectoryHandle,
    name: &str,
    create: bool,
) -> Result<FileSystemDirectoryHandle, Refused> {
    let options = FileSystemGetDirectoryOptions::new();
    options.set_create(create);
    wait(parent.get_directory_handle_with_options(name, &options)).await
}

async fn names(keys: &AsyncIterator) -> Result<Vec<String>, Refused> {
    let mut names = Vec::new();
    loop {
        let next = JsFuture::from(keys.next().map_err(refused)?)
            .await
            .map_err(refused)?;
        if Reflect::get(&next, &"done".into())
            .map_err(refused)?
            .is_truthy()
        {
            return Ok(names);
        }
        let value = Reflect::get(&next, &"value".into()).map_err(refused)?;
        names.extend(value.as_string());
    }
}
