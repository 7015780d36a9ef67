use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use pollster::block_on;

use super::*;
use crate::shelf::{Fallback, MemoryShelf};

/// What all tabs see: folders, who holds them, and how much may be stored.
#[derive(Default)]
struct Site {
    folders: RefCell<BTreeMap<String, Rc<RefCell<MemoryShelf>>>>,
    /// `usize::MAX`: claimed.
    holds: RefCell<BTreeMap<String, usize>>,
    quota: Cell<u64>,
    /// Whether our own notes count, too.
    strict: Cell<bool>,
    /// Whether the browser says how much room there is.
    silent: Cell<bool>,
    clock: Cell<f64>,
    /// What others do when one waits.
    meanwhile: RefCell<Option<Box<dyn FnOnce()>>>,
}

impl Site {
    fn used(&self) -> u64 {
        let folders = self.folders.borrow();
        folders.values().map(|shelf| shelf.borrow().bytes()).sum()
    }
}

struct Tab(Rc<Site>);

struct Folder(Rc<RefCell<MemoryShelf>>, Rc<Site>);

struct Hold(String, Rc<Site>);

impl Drop for Hold {
    fn drop(&mut self) {
        let mut holds = self.1.holds.borrow_mut();
        let count = holds.remove(&self.0).unwrap_or(1);
        if count != usize::MAX && count > 1 {
            holds.insert(self.0.clone(), count - 1);
        }
    }
}

// Nothing here waits, so a borrow over an await is none.
#[allow(clippy::await_holding_refcell_ref)]
impl Shelf for Folder {
    async fn size(&mut self, file: &str) -> Result<u64, Refused> {
        self.0.borrow_mut().size(file).await
    }
    async fn read(&mut self, file: &str, from: u64, len: usize) -> Result<Vec<u8>, Refused> {
        self.0.borrow_mut().read(file, from, len).await
    }
    async fn append(&mut self, file: &str, at: u64, bytes: &[u8]) -> Result<(), Refused> {
        // Our own notes are small, and not what most tests count.
        if (file == FILE || self.1.strict.get())
            && self.1.used() + bytes.len() as u64 > self.1.quota.get()
        {
            return Err(Refused::Full("no more".into()));
        }
        self.0.borrow_mut().append(file, at, bytes).await
    }
    async fn truncate(&mut self, file: &str, size: u64) -> Result<(), Refused> {
        self.0.borrow_mut().truncate(file, size).await
    }
}

impl Store for Tab {
    type Folder = Folder;
    type Hold = Hold;
    fn kind(&self) -> &'static str {
        "memory"
    }
    async fn names(&self) -> Result<Vec<String>, Refused> {
        Ok(self.0.folders.borrow().keys().cloned().collect())
    }
    async fn folder(&self, name: &str) -> Result<Folder, Refused> {
        let mut folders = self.0.folders.borrow_mut();
        let shelf = folders.entry(name.to_owned()).or_default().clone();
        Ok(Folder(shelf, self.0.clone()))
    }
    async fn remove(&self, name: &str) -> Result<(), Refused> {
        self.0.folders.borrow_mut().remove(name);
        Ok(())
    }
    async fn room(&self) -> Option<u64> {
        (!self.0.silent.get()).then(|| self.0.quota.get().saturating_sub(self.0.used()))
    }
    async fn hold(&self, name: &str) -> Hold {
        *self
            .0
            .holds
            .borrow_mut()
            .entry(name.to_owned())
            .or_default() += 1;
        Hold(name.to_owned(), self.0.clone())
    }
    async fn claim(&self, name: &str) -> Option<Hold> {
        let mut holds = self.0.holds.borrow_mut();
        if holds.contains_key(name) {
            return None;
        }
        holds.insert(name.to_owned(), usize::MAX);
        Some(Hold(name.to_owned(), self.0.clone()))
    }
    async fn wait(&self) {
        if let Some(others) = self.0.meanwhile.take() {
            others();
        }
    }
    fn now(&self) -> f64 {
        self.0.clock.set(self.0.clock.get() + 1.0);
        self.0.clock.get()
    }
}

const FILE: &str = "model.safetensors";
/// Bytes of each pack's file; our own notes beside it take less.
const PACK: usize = 100_000;

fn manifest(name: &str) -> (Manifest, Vec<u8>) {
    let json = format!(
        r#"{{"format":1,"name":"{name}","description":"","license":"MIT","context":8,"parameters":1,"storage":"f32",
        "bos_token":"<","eos_token":">","files":[{{"path":"{FILE}","size":{PACK},"chunk_bytes":{PACK},"sha256":["00"]}}]}}"#
    );
    let manifest = Manifest::from_json(json.as_bytes()).unwrap();
    (manifest, json.into_bytes())
}

fn url(name: &str) -> String {
    format!("https://example.org/{name}/")
}

/// A site with room for so many packs.
fn site(packs: u64) -> Rc<Site> {
    let site = Rc::new(Site::default());
    site.quota.set(packs * (PACK as u64 + 5_000));
    site
}

fn tab(site: &Rc<Site>) -> Library<Tab> {
    Library::new(Tab(site.clone()))
}

async fn begin(library: &Library<Tab>, name: &str) -> Result<Kept<Tab>, Refused> {
    let (manifest, bytes) = manifest(name);
    library.pack(&manifest, &bytes, &url(name)).await
}

/// Downloads a pack and keeps it in use.
async fn load(library: &Library<Tab>, name: &str) -> Kept<Tab> {
    let mut pack = begin(library, name).await.unwrap();
    pack.append(FILE, 0, &vec![1; PACK]).await.unwrap();
    pack.publish().await.unwrap();
    pack
}

async fn names(library: &Library<Tab>) -> Vec<String> {
    let list = library.list().await.unwrap();
    let mut names: Vec<_> = list.into_iter().map(|about| about.name).collect();
    names.sort();
    names
}

#[test]
fn whole_packs_are_listed_with_size_and_last_use() {
    block_on(async {
        let library = tab(&site(9));
        let begun = begin(&library, "half").await.unwrap();
        drop(load(&library, "a").await);
        drop(load(&library, "b").await);
        let used = |list: Vec<About>| list.into_iter().find(|about| about.name == "a").unwrap();
        let first = used(library.list().await.unwrap());
        assert_eq!((first.bytes, &first.urls), (PACK as u64, &vec![url("a")]));
        begin(&library, "a").await.unwrap();
        assert!(used(library.list().await.unwrap()).used > first.used);
        assert_eq!(names(&library).await, ["a", "b"]);
        drop(begun);
    });
}

#[test]
fn what_was_unused_longest_makes_room_and_what_is_in_use_stays() {
    block_on(async {
        let site = site(3);
        let (library, other) = (tab(&site), tab(&site));
        let in_use = load(&other, "a").await;
        drop(load(&library, "b").await);
        drop(load(&library, "c").await);
        drop(begin(&library, "b").await.unwrap());
        let mut new = load(&library, "d").await;
        let evicted: Vec<_> = new
            .take_evicted()
            .into_iter()
            .map(|about| about.name)
            .collect();
        assert_eq!(evicted, ["c"]);
        assert_eq!(names(&library).await, ["a", "b", "d"]);
        drop((in_use, new));
    });
}

#[test]
fn nothing_is_removed_that_would_not_be_enough() {
    block_on(async {
        let site = site(1);
        let library = tab(&site);
        let in_use = load(&library, "a").await;
        site.silent.set(true);
        let mut begun = begin(&library, "b").await.unwrap();
        begun.append(FILE, 0, &[1; 70]).await.unwrap();
        drop(begun);
        site.silent.set(false);
        let refused = begin(&library, "c").await.err();
        assert!(matches!(refused, Some(Refused::Full(_))), "{refused:?}");
        assert!(site.folders.borrow().contains_key(&key(&manifest("b").1)));
        assert_eq!(names(&library).await, ["a"]);
        drop(in_use);
    });
}

/// Parts of a pack's file, in percent.
fn percent(part: usize) -> Vec<u8> {
    vec![1; PACK * part / 100]
}

/// A tab that has so much of a pack.
async fn filling(site: &Rc<Site>, name: &str, part: usize) -> Fallback<Kept<Tab>> {
    let mut shelf = Fallback::new(begin(&tab(site), name).await);
    shelf.append(FILE, 0, &percent(part)).await.unwrap();
    assert!(shelf.refused().is_none());
    shelf
}

/// Adds the rest and says that the pack is whole.
async fn finish(mut shelf: Fallback<Kept<Tab>>) {
    let done = shelf.size(FILE).await.unwrap();
    let rest = vec![1; PACK - usize::try_from(done).unwrap()];
    shelf.append(FILE, done, &rest).await.unwrap();
    shelf.disk().unwrap().publish().await.unwrap();
}

/// Adds more than there is room for: all of it goes to memory, and the store has the room again.
async fn gives_way(mut shelf: Fallback<Kept<Tab>>, site: &Site) {
    let (done, used) = (shelf.size(FILE).await.unwrap(), site.used());
    shelf.append(FILE, done, &percent(30)).await.unwrap();
    assert!(matches!(shelf.refused(), Some(Refused::Full(_))));
    assert!(shelf.disk().is_none() && site.used() <= used - done);
    let all = shelf.read_all(FILE).await.unwrap();
    assert_eq!(all, vec![1; all.len()]);
    assert_eq!(all.len() as u64, done + PACK as u64 * 3 / 10);
}

#[test]
fn of_tabs_that_fill_the_store_together_the_one_that_has_most_stays() {
    block_on(async {
        let site = site(1);
        site.silent.set(true);
        let (one, two) = (filling(&site, "a", 40).await, filling(&site, "b", 50).await);
        gives_way(one, &site).await;
        finish(two).await;
        assert_eq!(names(&tab(&site)).await, ["b"]);
    });
}

#[test]
fn who_has_more_waits_for_who_has_less_and_not_for_ever() {
    block_on(async {
        let site = site(1);
        site.silent.set(true);
        let (one, two) = (filling(&site, "a", 40).await, filling(&site, "b", 50).await);
        let others = site.clone();
        let smaller = move || block_on(gives_way(one, &others));
        site.meanwhile.replace(Some(Box::new(smaller)));
        finish(two).await;
        assert_eq!(names(&tab(&site)).await, ["b"]);

        assert!(tab(&site).forget(&url("b")).await.unwrap());
        let one = filling(&site, "a", 40).await;
        let mut two = filling(&site, "b", 50).await;
        let done = two.size(FILE).await.unwrap();
        two.append(FILE, done, &percent(50)).await.unwrap();
        assert!(two.refused().is_some());
        assert_eq!(two.read_all(FILE).await.unwrap(), percent(100));
        drop(one);
    });
}

#[test]
fn a_full_store_that_nobody_else_fills_keeps_what_it_has() {
    block_on(async {
        let site = site(1);
        let library = tab(&site);
        let in_use = load(&library, "a").await;
        site.silent.set(true);
        site.quota.set(site.quota.get() + PACK as u64 / 2);
        let mut new = filling(&site, "b", 40).await;
        let used = site.used();
        new.append(FILE, PACK as u64 * 4 / 10, &percent(60))
            .await
            .unwrap();
        assert!(new.refused().is_some());
        assert_eq!(site.used(), used);
        assert_eq!(new.read_all(FILE).await.unwrap(), percent(100));
        drop(in_use);
    });
}

#[test]
fn a_store_that_is_full_to_the_last_byte_does_not_stay_so() {
    block_on(async {
        let site = site(1);
        site.silent.set(true);
        site.strict.set(true);
        let library = tab(&site);
        drop(load(&library, "a").await);
        site.quota.set(site.used());
        let mut new = load(&library, "b").await;
        assert_eq!(new.take_evicted().len(), 1);
        assert_eq!(names(&library).await, ["b"]);
        drop(new);
    });
}

#[test]
fn room_is_made_in_the_middle_where_the_browser_does_not_say_how_much_there_is() {
    block_on(async {
        let site = site(1);
        site.silent.set(true);
        let library = tab(&site);
        drop(load(&library, "a").await);
        let mut shelf = Fallback::new(begin(&library, "b").await);
        shelf.append(FILE, 0, &vec![1; PACK]).await.unwrap();
        let disk = shelf.disk().unwrap();
        disk.publish().await.unwrap();
        assert_eq!(disk.take_evicted()[0].name, "a");
        assert_eq!(names(&library).await, ["b"]);
    });
}

#[test]
fn a_plan_says_what_is_needed_and_what_could_go() {
    block_on(async {
        let site = site(3);
        let library = tab(&site);
        let in_use = load(&library, "a").await;
        drop(load(&library, "b").await);
        let mut begun = begin(&library, "c").await.unwrap();
        begun.append(FILE, 0, &[1; 70]).await.unwrap();
        drop(begun);
        let (manifest, bytes) = manifest("c");
        let plan = library.plan(&manifest, &bytes).await.unwrap();
        let seen = (plan.name.as_str(), plan.bytes, plan.stored, plan.evictable);
        assert_eq!(seen, ("c", PACK as u64, 70, PACK as u64));
        assert_eq!(plan.room, Some(site.quota.get() - site.used()));
        drop(in_use);
    });
}

#[test]
fn older_versions_go_unless_they_are_in_use_and_forgetting_takes_all() {
    block_on(async {
        let library = tab(&site(9));
        let version = async |name: &str| {
            let (manifest, bytes) = manifest(name);
            let mut pack = library.pack(&manifest, &bytes, &url("m")).await.unwrap();
            pack.publish().await.unwrap();
            pack
        };
        let (one, two, three) = (version("1").await, version("2").await, version("3").await);
        drop(two);
        three.tidy(&url("m")).await.unwrap();
        assert_eq!(names(&library).await, ["1", "3"]);
        let newest = library.manifest_of(&url("m")).await.unwrap();
        assert!([manifest("1").1, manifest("3").1].contains(&newest));
        drop(one);
        assert!(library.forget(&url("m")).await.unwrap());
        assert!(!library.forget(&url("m")).await.unwrap());
        assert_eq!(names(&library).await, [""; 0]);
    });
}

#[test]
fn notes_that_cannot_be_read_count_as_none() {
    block_on(async {
        let site = site(9);
        let library = tab(&site);
        let mut pack = load(&library, "a").await;
        pack.put(USED, b"later").await.unwrap();
        assert_eq!(library.list().await.unwrap()[0].used.to_bits(), 0);
        pack.put(ABOUT, b"{").await.unwrap();
        assert_eq!(names(&library).await, [""; 0]);
        drop(pack);
        // The next load writes them anew.
        drop(begin(&library, "a").await.unwrap());
        assert_eq!(names(&library).await, ["a"]);
    });
}
