//! Stored packs, a folder for each manifest, in whatever a browser offers ([`Store`]).
//!
//! ```text
//! <first 32 hex digits of sprat.json's SHA-256>/
//!     about.json     which addresses it came from, its name and size: written first
//!     sprat.json     the manifest, to work without a network
//!     used           when it was loaded last, in milliseconds since 1970
//!     <files>        the pack's own
//!     published      written last: the pack is whole
//! ```
//!
//! Whoever uses a pack holds its folder. When there is no room, what nobody holds is removed, longest unused first.

use std::rc::Rc;

use futures::FutureExt;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sprat_model::Manifest;

use crate::shelf::{Refused, Rivals, Shelf};

const ABOUT: &str = "about.json";
const USED: &str = "used";
const PUBLISHED: &str = "published";

/// Where folders of files can be kept, for all tabs of a site together.
pub(crate) trait Store {
    type Folder: Shelf;
    /// Lets go when it is dropped, also by a tab's end.
    type Hold;
    /// Its name for a page.
    fn kind(&self) -> &'static str;
    /// The names of all folders.
    async fn names(&self) -> Result<Vec<String>, Refused>;
    /// A folder, made where there is none.
    async fn folder(&self, name: &str) -> Result<Self::Folder, Refused>;
    /// Removes a folder with all that is in it.
    async fn remove(&self, name: &str) -> Result<(), Refused>;
    /// Bytes that may still be stored, where the browser says so.
    async fn room(&self) -> Option<u64>;
    /// Keeps a folder from being claimed; others may hold it too.
    async fn hold(&self, name: &str) -> Self::Hold;
    /// Gets a folder alone; `None` while anybody holds it.
    async fn claim(&self, name: &str) -> Option<Self::Hold>;
    /// Milliseconds since 1970.
    fn now(&self) -> f64;
    /// Lets 0.2 seconds go by.
    async fn wait(&self);
}

/// A stored pack, as `Sprat.stored()` lists it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct About {
    /// Name in the manifest.
    pub(crate) name: String,
    /// Bytes of its files.
    pub(crate) bytes: u64,
    /// Addresses it was loaded from.
    pub(crate) urls: Vec<String>,
    /// When it was loaded last, in milliseconds since 1970; 0 where that is not known.
    #[serde(default)]
    pub(crate) used: f64,
}

/// What it takes to have a pack on the device, before anything is downloaded.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Plan {
    pub(crate) name: String,
    /// Bytes of all its files.
    pub(crate) bytes: u64,
    /// Bytes that are stored already.
    pub(crate) stored: u64,
    /// Bytes that this site may still store, where the browser says so.
    pub(crate) room: Option<u64>,
    /// Bytes of other packs that nobody uses and that would make room.
    pub(crate) evictable: u64,
    /// Where it would be kept.
    pub(crate) store: &'static str,
}

/// The folder of the pack that has these bytes as its manifest.
pub(crate) fn key(manifest: &[u8]) -> String {
    let mut hex = hex::encode(Sha256::digest(manifest));
    hex.truncate(32);
    hex
}

/// All stored packs.
pub(crate) struct Library<S: Store>(Rc<S>);

impl<S: Store> Clone for Library<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// One folder, looked into.
struct Found<F> {
    name: String,
    about: About,
    published: bool,
    folder: F,
}

impl<S: Store> Library<S> {
    pub(crate) fn new(store: S) -> Self {
        Self(Rc::new(store))
    }

    /// The folder for a pack, made where there is none; others are removed to make room for it, if that is enough.
    pub(crate) async fn pack(
        &self,
        manifest: &Manifest,
        manifest_bytes: &[u8],
        url: &str,
    ) -> Result<Kept<S>, Refused> {
        let name = key(manifest_bytes);
        // Before it is looked into: nobody removes it from here on.
        let hold = Rc::new(self.0.hold(&name).await);
        let folder = self.0.folder(&name).await?;
        let mut pack = Kept {
            packs: self.clone(),
            name,
            folder,
            hold,
            files: manifest.files.iter().map(|f| f.path.clone()).collect(),
            evicted: Vec::new(),
        };
        let known = about(&mut pack.folder).await;
        if known.urls.iter().any(|known| known == url) && pack.is_published().await {
            // What this says is of use only where there is no room.
            let _ = pack.touch().await;
            return Ok(pack);
        }
        let missing = manifest.total_bytes() - stored_bytes(&mut pack.folder, manifest).await?;
        pack.fit(missing).await?;
        let mut urls = known.urls;
        urls.retain(|known| known != url);
        urls.insert(0, url.to_owned());
        let about = About {
            name: manifest.name.clone(),
            bytes: manifest.total_bytes(),
            urls,
            used: 0.0,
        };
        let text = serde_json::to_vec(&about).map_err(|e| Refused::Broken(e.to_string()))?;
        pack.put(ABOUT, &text).await?;
        pack.put(sprat_model::MANIFEST, manifest_bytes).await?;
        pack.touch().await?;
        Ok(pack)
    }

    /// The manifest of the whole pack that was loaded from `url` before.
    pub(crate) async fn manifest_of(&self, url: &str) -> Option<Vec<u8>> {
        let all = self.all().await.ok()?;
        let from_url = |found: &Found<_>| found.about.urls.iter().any(|known| known == url);
        let mut found = all.into_iter().find(|f| f.published && from_url(f))?;
        read_whole(&mut found.folder, sprat_model::MANIFEST)
            .await
            .ok()
    }

    /// All whole packs.
    pub(crate) async fn list(&self) -> Result<Vec<About>, Refused> {
        let all = self.all().await?.into_iter();
        let whole = all.filter(|found| found.published && !found.about.urls.is_empty());
        Ok(whole.map(|found| found.about).collect())
    }

    /// Removes what was loaded from `url`, whole or not. Returns whether there was anything.
    pub(crate) async fn forget(&self, url: &str) -> Result<bool, Refused> {
        let mut any = false;
        for found in self.all().await? {
            if found.about.urls.iter().any(|known| known == url) {
                self.0.remove(&found.name).await?;
                any = true;
            }
        }
        Ok(any)
    }

    /// What it takes to have this pack here.
    pub(crate) async fn plan(
        &self,
        manifest: &Manifest,
        manifest_bytes: &[u8],
    ) -> Result<Plan, Refused> {
        let name = key(manifest_bytes);
        let mut stored = 0;
        let mut evictable = 0;
        for mut found in self.all().await? {
            if found.name == name {
                stored = stored_bytes(&mut found.folder, manifest).await?;
            } else if self.0.claim(&found.name).await.is_some() {
                evictable += size_of(&mut found).await;
            }
        }
        Ok(Plan {
            name: manifest.name.clone(),
            bytes: manifest.total_bytes(),
            stored,
            room: self.0.room().await,
            evictable,
            store: self.0.kind(),
        })
    }

    /// Removes packs that nobody uses, longest unused first, until `bytes` are free; none if that cannot be reached.
    async fn evict(&self, bytes: u64, except: &str) -> Vec<About> {
        let mut all = self.all().await.unwrap_or_default();
        all.retain(|found| found.name != except);
        all.sort_by(|a, b| a.about.used.total_cmp(&b.about.used));
        let mut free = 0;
        let mut claims = Vec::new();
        for mut found in all {
            if free >= bytes {
                break;
            }
            if let Some(claim) = self.0.claim(&found.name).await {
                free += size_of(&mut found).await;
                claims.push((found, claim));
            }
        }
        if free < bytes {
            return Vec::new();
        }
        let mut evicted = Vec::new();
        for (found, _claim) in claims {
            if self.0.remove(&found.name).await.is_ok() {
                evicted.push(found.about);
            }
        }
        evicted
    }

    async fn all(&self) -> Result<Vec<Found<S::Folder>>, Refused> {
        let mut all = Vec::new();
        for name in self.0.names().await? {
            // Another tab may have removed it meanwhile.
            if let Ok(mut folder) = self.0.folder(&name).await {
                all.push(Found {
                    about: about(&mut folder).await,
                    published: is_published(&mut folder).await,
                    name,
                    folder,
                });
            }
        }
        Ok(all)
    }
}

/// The folder of one pack, which this tab uses.
pub(crate) struct Kept<S: Store> {
    packs: Library<S>,
    name: String,
    folder: S::Folder,
    hold: Rc<S::Hold>,
    /// The pack's own files.
    files: Vec<String>,
    /// What was removed to make room for it.
    evicted: Vec<About>,
}

impl<S: Store> Kept<S> {
    /// Says that the pack is whole.
    pub(crate) async fn publish(&mut self) -> Result<(), Refused> {
        self.put(PUBLISHED, b"1").await
    }

    /// Whether the pack was whole once. Its bytes may have been damaged since.
    pub(crate) async fn is_published(&mut self) -> bool {
        is_published(&mut self.folder).await
    }

    /// Removes what else was loaded from `url`: older versions, unless somebody uses them.
    pub(crate) async fn tidy(&self, url: &str) -> Result<(), Refused> {
        let Library(store) = &self.packs;
        for found in self.packs.all().await? {
            if found.name != self.name
                && found.about.urls.iter().any(|known| known == url)
                && let Some(_claim) = store.claim(&found.name).await
            {
                store.remove(&found.name).await?;
            }
        }
        Ok(())
    }

    /// What keeps the folder where it is for as long as it lives.
    pub(crate) fn hold(&self) -> Rc<S::Hold> {
        self.hold.clone()
    }

    /// What was removed for it since this was last asked.
    pub(crate) fn take_evicted(&mut self) -> Vec<About> {
        std::mem::take(&mut self.evicted)
    }

    /// Says that it is used now.
    async fn touch(&mut self) -> Result<(), Refused> {
        let now = format!("{:.0}", self.packs.0.now());
        self.put(USED, now.as_bytes()).await
    }

    /// Makes sure that there is room for `missing` bytes more, as far as the browser says how much there is.
    async fn fit(&mut self, missing: u64) -> Result<(), Refused> {
        let Some(room) = self.packs.0.room().await else {
            return Ok(());
        };
        if room >= missing || self.make_room(missing - room).await {
            return Ok(());
        }
        Err(Refused::Full(format!(
            "it has room for {room} bytes and {missing} are needed"
        )))
    }

    /// Replaces a file of our own, for which other packs may have to go, as small as it is: a store that is full to the
    /// last byte would stay so. A kill in between leaves one that cannot be read, which counts as none.
    async fn put(&mut self, file: &str, bytes: &[u8]) -> Result<(), Refused> {
        loop {
            self.folder.truncate(file, 0).await?;
            let put = self.folder.append(file, 0, bytes).await;
            self.folder.close();
            match put {
                Err(Refused::Full(_)) if self.make_room(bytes.len() as u64).await => {}
                result => return result,
            }
        }
    }
}

impl<S: Store> Shelf for Kept<S> {
    async fn size(&mut self, file: &str) -> Result<u64, Refused> {
        self.folder.size(file).await
    }

    async fn read(&mut self, file: &str, from: u64, len: usize) -> Result<Vec<u8>, Refused> {
        self.folder.read(file, from, len).await
    }

    async fn append(&mut self, file: &str, at: u64, bytes: &[u8]) -> Result<(), Refused> {
        self.folder.append(file, at, bytes).await
    }

    async fn truncate(&mut self, file: &str, size: u64) -> Result<(), Refused> {
        self.folder.truncate(file, size).await
    }

    async fn make_room(&mut self, bytes: u64) -> bool {
        let evicted = self.packs.evict(bytes, &self.name).boxed_local().await;
        let any = !evicted.is_empty();
        self.evicted.extend(evicted);
        any
    }

    async fn rivals(&mut self) -> Rivals {
        let mut own = 0;
        for file in &self.files {
            own += self.folder.size(file).await.unwrap_or_default();
        }
        let mut rivals = Rivals::None;
        for mut found in self.packs.all().await.unwrap_or_default() {
            let fills = found.name != self.name && !found.published;
            // What nobody holds was removed already, unless that would not have been enough.
            if !fills || self.packs.0.claim(&found.name).await.is_some() {
                continue;
            }
            // Of two that have as much, their names decide.
            if (size_of(&mut found).await, &found.name) < (own, &self.name) {
                return Rivals::Smaller;
            }
            rivals = Rivals::Larger;
        }
        rivals
    }

    async fn wait(&self) {
        self.packs.0.wait().await;
    }

    async fn give_way(&mut self) -> Result<Vec<(String, Vec<u8>)>, Refused> {
        let mut all = Vec::new();
        for file in &self.files {
            if self.folder.size(file).await? > 0 {
                let bytes = read_whole(&mut self.folder, file).await?;
                all.push((file.clone(), bytes));
            }
        }
        self.folder.close();
        // What is left there is in the way of others, and that is all.
        let _ = self.packs.0.remove(&self.name).await;
        Ok(all)
    }

    fn close(&mut self) {
        self.folder.close();
    }
}

async fn is_published(folder: &mut impl Shelf) -> bool {
    folder.size(PUBLISHED).await.is_ok_and(|size| size > 0)
}

/// What is known of a folder's pack; nothing where that cannot be read.
async fn about(folder: &mut impl Shelf) -> About {
    let text = read_whole(folder, ABOUT).await.unwrap_or_default();
    let mut about: About = serde_json::from_slice(&text).unwrap_or_default();
    let used = read_whole(folder, USED).await.unwrap_or_default();
    // By the reader that is there anyway: the standard library's has tables of its own.
    let used = serde_json::from_slice(&used).ok();
    about.used = used.filter(|ms: &f64| ms.is_finite()).unwrap_or_default();
    about
}

/// Bytes of the pack's files that are in the folder, right or not.
async fn stored_bytes(folder: &mut impl Shelf, manifest: &Manifest) -> Result<u64, Refused> {
    let mut stored = 0;
    for file in &manifest.files {
        stored += folder.size(&file.path).await?.min(file.size);
    }
    Ok(stored)
}

/// Bytes that a folder takes: of a pack that is not whole, as many as its manifest finds.
async fn size_of(found: &mut Found<impl Shelf>) -> u64 {
    if found.published {
        return found.about.bytes;
    }
    let manifest = read_whole(&mut found.folder, sprat_model::MANIFEST).await;
    match Manifest::from_json(&manifest.unwrap_or_default()) {
        Ok(manifest) => stored_bytes(&mut found.folder, &manifest)
            .await
            .unwrap_or_default(),
        Err(_) => 0,
    }
}

/// The whole of a small file.
async fn read_whole(folder: &mut impl Shelf, file: &str) -> Result<Vec<u8>, Refused> {
    let len = folder.size(file).await?;
    let len = usize::try_from(len).map_err(|e| Refused::Broken(e.to_string()))?;
    folder.read(file, 0, len).await
}

#[cfg(test)]
#[path = "library_tests.rs"]
mod tests;
