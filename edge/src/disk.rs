//! The browser's stores: its private file system, and IndexedDB where it refuses that.

use std::rc::Rc;

use gloo_timers::future::TimeoutFuture;
use js_sys::{Array, Function, Uint8Array};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use crate::library::{Library, Store};
use crate::net::{within, words};
use crate::opfs::{Opfs, Root};
use crate::shelf::{Refused, Shelf};
use crate::web;

#[wasm_bindgen(raw_module = "../database.js")]
extern "C" {
    /// `Database` in `database.js`.
    pub type Database;

    #[wasm_bindgen(static_method_of = Database, catch, js_name = open)]
    async fn open() -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    async fn folders(this: &Database) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    async fn size(this: &Database, folder: &str, file: &str) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    async fn read(
        this: &Database,
        folder: &str,
        file: &str,
        start: f64,
        length: f64,
    ) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    async fn write(
        this: &Database,
        folder: &str,
        file: &str,
        start: f64,
        bytes: Uint8Array,
    ) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    async fn truncate(
        this: &Database,
        folder: &str,
        file: &str,
        size: f64,
    ) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    async fn remove(this: &Database, folder: &str) -> Result<JsValue, JsValue>;
}

#[wasm_bindgen(raw_module = "../holds.js")]
extern "C" {
    /// `hold` in `holds.js`.
    #[wasm_bindgen(catch, js_name = hold)]
    async fn lock(name: &str, shared: bool) -> Result<JsValue, JsValue>;
}

/// How long a database may take to open, in milliseconds: browsers are known to never answer.
const OPENING_MS: u32 = 10_000;
/// Bytes that are read from a database at once, and are left to the browser's garbage collector.
const READ_AT_ONCE: usize = 4 << 20;

/// One of the browser's stores.
pub(crate) enum Disk {
    Files(Root),
    Records(Rc<Database>),
}

/// A folder in one of them.
pub(crate) enum Folder {
    Files(Opfs),
    Records(Records),
}

/// Opens the best store that there is.
pub(crate) async fn open() -> Result<Library<Disk>, Refused> {
    let files = match Root::open().await {
        Ok(root) => return Ok(Library::new(Disk::Files(root))),
        Err(refused) => refused,
    };
    match within(OPENING_MS, Database::open()).await {
        Ok(Ok(database)) => {
            let database = Rc::new(database.unchecked_into());
            Ok(Library::new(Disk::Records(database)))
        }
        // What would have been better is what a person is told of.
        _ => Err(files),
    }
}

/// Keeps a pack from being removed, in any tab, until it is dropped.
pub(crate) struct Hold(Option<Function>);

impl Hold {
    /// `None` where there are no locks, or somebody else has it.
    async fn get(name: &str, shared: bool) -> Option<Self> {
        let free = lock(&format!("sprat pack {name}"), shared).await.ok()?;
        Some(Self(Some(free.dyn_into().ok()?)))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(free) = &self.0 {
            // It resolves a promise, which cannot fail.
            let _ = free.call0(&JsValue::NULL);
        }
    }
}

impl Store for Disk {
    type Folder = Folder;
    type Hold = Hold;

    fn kind(&self) -> &'static str {
        match self {
            Self::Files(_) => "opfs",
            Self::Records(_) => "indexeddb",
        }
    }

    async fn names(&self) -> Result<Vec<String>, Refused> {
        match self {
            Self::Files(root) => root.names().await,
            Self::Records(database) => {
                let names = database.folders().await.map_err(refused)?;
                let names = names.unchecked_into::<Array>();
                Ok(names.iter().filter_map(|name| name.as_string()).collect())
            }
        }
    }

    async fn folder(&self, name: &str) -> Result<Folder, Refused> {
        Ok(match self {
            Self::Files(root) => Folder::Files(root.folder(name).await?),
            Self::Records(database) => Folder::Records(Records {
                database: database.clone(),
                folder: name.to_owned(),
            }),
        })
    }

    async fn remove(&self, name: &str) -> Result<(), Refused> {
        match self {
            Self::Files(root) => root.remove(name).await,
            Self::Records(database) => database.remove(name).await.map(drop).map_err(refused),
        }
    }

    async fn room(&self) -> Option<u64> {
        let estimate = JsFuture::from(web::manager()?.estimate().ok()?)
            .await
            .ok()?;
        let estimate = estimate.unchecked_into::<web_sys::StorageEstimate>();
        let room = estimate.get_quota()? - estimate.get_usage()?;
        // Negative when over quota; saturates to 0.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Some(room as u64)
    }

    async fn hold(&self, name: &str) -> Hold {
        // Without locks nothing is ever claimed, and so nothing need be held.
        Hold::get(name, true).await.unwrap_or(Hold(None))
    }

    async fn claim(&self, name: &str) -> Option<Hold> {
        Hold::get(name, false).await
    }

    fn now(&self) -> f64 {
        js_sys::Date::now()
    }

    async fn wait(&self) {
        TimeoutFuture::new(200).await;
    }
}

impl Shelf for Folder {
    async fn size(&mut self, file: &str) -> Result<u64, Refused> {
        match self {
            Self::Files(files) => files.size(file).await,
            Self::Records(records) => records.size(file).await,
        }
    }

    async fn read(&mut self, file: &str, from: u64, len: usize) -> Result<Vec<u8>, Refused> {
        match self {
            Self::Files(files) => files.read(file, from, len).await,
            Self::Records(records) => records.read(file, from, len).await,
        }
    }

    async fn append(&mut self, file: &str, at: u64, bytes: &[u8]) -> Result<(), Refused> {
        match self {
            Self::Files(files) => files.append(file, at, bytes).await,
            Self::Records(records) => records.append(file, at, bytes).await,
        }
    }

    async fn truncate(&mut self, file: &str, size: u64) -> Result<(), Refused> {
        match self {
            Self::Files(files) => files.truncate(file, size).await,
            Self::Records(records) => records.truncate(file, size).await,
        }
    }

    fn close(&mut self) {
        if let Self::Files(files) = self {
            files.close();
        }
    }
}

/// One folder of the database.
pub(crate) struct Records {
    database: Rc<Database>,
    folder: String,
}

impl Shelf for Records {
    async fn size(&mut self, file: &str) -> Result<u64, Refused> {
        let size = self.database.size(&self.folder, file).await;
        let size = size.map_err(refused)?.as_f64().unwrap_or_default();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Ok(size as u64)
    }

    async fn read(&mut self, file: &str, from: u64, len: usize) -> Result<Vec<u8>, Refused> {
        let mut bytes = vec![0; len];
        let mut start = from;
        for part in bytes.chunks_mut(READ_AT_ONCE) {
            let len = part.len() as u64;
            let (at, length) = (offset(start), offset(len));
            let read = self.database.read(&self.folder, file, at, length).await;
            let read: Uint8Array = read.map_err(refused)?.unchecked_into();
            if u64::from(read.length()) != len {
                let missing = format!("{file} ends before byte {}", start + len);
                return Err(Refused::Broken(missing));
            }
            read.copy_to(part);
            start += len;
        }
        Ok(bytes)
    }

    async fn append(&mut self, file: &str, at: u64, bytes: &[u8]) -> Result<(), Refused> {
        let bytes = Uint8Array::from(bytes);
        let written = self.database.write(&self.folder, file, offset(at), bytes);
        written.await.map(drop).map_err(refused)
    }

    async fn truncate(&mut self, file: &str, size: u64) -> Result<(), Refused> {
        let cut = self.database.truncate(&self.folder, file, offset(size));
        cut.await.map(drop).map_err(refused)
    }
}

/// A position in a file as JavaScript counts; packs are far below 2^53 bytes.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn offset(bytes: u64) -> f64 {
    bytes as f64
}

/// What the browser says, and whether it is that there is no room.
// `map_err` hands the error over by value.
#[allow(clippy::needless_pass_by_value)]
pub(crate) fn refused(error: JsValue) -> Refused {
    let words = words(&error);
    if words.starts_with("QuotaExceededError") {
        Refused::Full(words)
    } else {
        Refused::Broken(words)
    }
}
