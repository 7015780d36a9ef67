//! Folders of files in the origin private file system, in `sprat/packs/`. Signs that a file's name may not hold are
//! written as in an address: `%2F`.

use futures::channel::oneshot;
use js_sys::{AsyncIterator, Function, Object, Reflect, Uint8Array};
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{
    FileSystemDirectoryHandle, FileSystemFileHandle, FileSystemGetDirectoryOptions,
    FileSystemGetFileOptions, FileSystemReadWriteOptions, FileSystemRemoveOptions,
    FileSystemSyncAccessHandle,
};

use crate::disk::{offset, refused};
use crate::shelf::{Refused, Shelf};
use crate::web;

/// The folder that the packs are in.
pub(crate) struct Root(FileSystemDirectoryHandle);

impl Root {
    /// Opens it, making it where there is none. Refused in service workers, where files cannot be written in place.
    pub(crate) async fn open() -> Result<Self, Refused> {
        if !web::has("FileSystemSyncAccessHandle") {
            return Err(Refused::Broken(
                "files cannot be written in place here".into(),
            ));
        }
        let storage =
            web::storage().ok_or_else(|| Refused::Broken("it offers no file system".into()))?;
        let root: FileSystemDirectoryHandle = wait(storage.get_directory()).await?;
        let sprat = folder(&root, "sprat").await?;
        Ok(Self(folder(&sprat, "packs").await?))
    }

    pub(crate) async fn names(&self) -> Result<Vec<String>, Refused> {
        names(&self.0.keys()).await
    }

    pub(crate) async fn folder(&self, name: &str) -> Result<Opfs, Refused> {
        let folder = folder(&self.0, name).await?;
        Ok(Opfs { folder, open: None })
    }

    pub(crate) async fn remove(&self, name: &str) -> Result<(), Refused> {
        let recursive = FileSystemRemoveOptions::new();
        recursive.set_recursive(true);
        let removed = self.0.remove_entry_with_options(name, &recursive);
        JsFuture::from(removed).await.map_err(refused)?;
        Ok(())
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
        let gone = |_| Err(Refused::Broken("it did not open".into()));
        given.await.unwrap_or_else(gone)
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Opfs {
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
            None => Err(Refused::Broken(format!("{file} could not be opened"))),
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
        let short =
            |got: usize| Refused::Broken(format!("{file}: {got} bytes where {len} should be"));
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
        // Without room Chromium 148 gives a number that is larger than all there was: an error's, taken for unsigned.
        if written != offset(bytes.len() as u64) {
            return Err(Refused::Full(format!(
                "{file}: not all of {} bytes were taken",
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

    fn close(&mut self) {
        self.open = None;
    }
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

async fn wait<T: JsCast>(promise: js_sys::Promise) -> Result<T, Refused> {
    let value = JsFuture::from(promise).await.map_err(refused)?;
    Ok(value.unchecked_into())
}

async fn folder(
    parent: &FileSystemDirectoryHandle,
    name: &str,
) -> Result<FileSystemDirectoryHandle, Refused> {
    let options = FileSystemGetDirectoryOptions::new();
    options.set_create(true);
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
