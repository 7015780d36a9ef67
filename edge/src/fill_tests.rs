use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use pollster::block_on;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::*;
use crate::shelf::MemoryShelf;

const FILE: &str = "model.safetensors";

/// A manifest of one file, as `sprat pack` would write it.
fn manifest(bytes: &[u8], chunk: usize) -> Manifest {
    let hashes: Vec<String> = bytes
        .chunks(chunk)
        .map(|c| format!("\"{}\"", hex::encode(Sha256::digest(c))))
        .collect();
    let json = format!(
        r#"{{"format":1,"name":"test","description":"","license":"MIT","context":8,"parameters":1,
        "storage":"f32","bos_token":"<","eos_token":">","files":[{{"path":"{FILE}","size":{},"chunk_bytes":{chunk},"sha256":[{}]}}],
        "examples":[]}}"#,
        bytes.len(),
        hashes.join(",")
    );
    Manifest::from_json(json.as_bytes()).unwrap()
}

/// What a server does with one request.
#[derive(Clone, Debug)]
enum Act {
    /// Serves everything in pieces of this many bytes.
    Serve(usize),
    /// Serves everything but knows no ranges.
    NoRange,
    /// Breaks the connection after this many bytes.
    Cut(usize),
    /// Ends in good order after this many bytes.
    Short(usize),
    /// Flips this byte of the answer.
    Flip(usize),
    Refuse,
    Missing,
}

struct Server {
    bytes: Vec<u8>,
    acts: RefCell<VecDeque<Act>>,
    asked: RefCell<Vec<(u64, bool)>>,
    pauses: Cell<u32>,
}

impl Server {
    fn new(bytes: &[u8], acts: impl IntoIterator<Item = Act>) -> Self {
        Self {
            bytes: bytes.to_vec(),
            acts: RefCell::new(acts.into_iter().collect()),
            asked: RefCell::default(),
            pauses: Cell::new(0),
        }
    }
}

struct Pieces(VecDeque<Result<Vec<u8>, Fault>>);

impl Body for Pieces {
    async fn next(&mut self) -> Option<Result<Vec<u8>, Fault>> {
        self.0.pop_front()
    }
}

impl Origin for Server {
    type Body = Pieces;

    async fn open(&self, _file: &str, from: u64, fresh: bool) -> Result<Opened<Pieces>, Fault> {
        self.asked.borrow_mut().push((from, fresh));
        let act = self.acts.borrow_mut().pop_front().unwrap_or(Act::Serve(7));
        let (from, mut rest) = match act {
            Act::NoRange => (0, self.bytes.clone()),
            _ => (from, self.bytes[usize::try_from(from).unwrap()..].to_vec()),
        };
        let mut end = None;
        let mut piece = 7;
        match act {
            Act::Refuse => return Err(Fault::Broken("refused".into())),
            Act::Missing => return Err(Fault::Missing("404".into())),
            Act::Serve(size) => piece = size,
            Act::NoRange => {}
            Act::Cut(after) => {
                rest.truncate(after);
                end = Some(Err(Fault::Broken("cut".into())));
            }
            Act::Short(after) => rest.truncate(after),
            Act::Flip(at) => {
                let at = at.min(rest.len() - 1);
                rest[at] ^= 1;
            }
        }
        let pieces = rest
            .chunks(piece)
            .map(|c| Ok(c.to_vec()))
            .chain(end)
            .collect();
        Ok(Opened {
            from,
            body: Pieces(pieces),
        })
    }

    async fn pause(&self, _attempt: u32) {
        self.pauses.set(self.pauses.get() + 1);
    }

    fn address(&self, file: &str) -> String {
        format!("https://example.org/{file}")
    }
}

fn run(server: &Server, shelf: &mut MemoryShelf, chunk: usize) -> Result<Vec<u64>, Error> {
    let manifest = manifest(&server.bytes, chunk);
    let mut seen = Vec::new();
    block_on(fill(&manifest, server, shelf, &mut |done| seen.push(done)))?;
    Ok(seen)
}

fn stored(shelf: &mut MemoryShelf) -> Vec<u8> {
    block_on(async {
        let size = shelf.size(FILE).await.unwrap();
        shelf
            .read(FILE, 0, usize::try_from(size).unwrap())
            .await
            .unwrap()
    })
}

fn bytes(n: usize) -> Vec<u8> {
    (0..n)
        .map(|i| u8::try_from(i * 31 % 251).unwrap())
        .collect()
}

#[test]
fn a_broken_download_goes_on_at_the_last_good_chunk() {
    let server = Server::new(&bytes(100), [Act::Cut(45), Act::Refuse]);
    let mut shelf = MemoryShelf::default();
    let seen = run(&server, &mut shelf, 20).unwrap();
    assert_eq!(stored(&mut shelf), bytes(100));
    assert_eq!(
        *server.asked.borrow(),
        [(0, false), (40, false), (40, false)]
    );
    assert_eq!(server.pauses.get(), 2);
    assert_eq!(seen.last(), Some(&100));
}

#[test]
fn what_was_stored_before_a_kill_is_checked_and_continued() {
    let whole = bytes(100);
    let mut shelf = MemoryShelf::default();
    block_on(shelf.append(FILE, 0, &whole[..67])).unwrap();
    let server = Server::new(&whole, []);
    run(&server, &mut shelf, 20).unwrap();
    assert_eq!(server.asked.borrow()[0].0, 60);
    assert_eq!(stored(&mut shelf), whole);
}

#[test]
fn damaged_storage_is_cut_back_and_fetched_again() {
    let whole = bytes(100);
    let mut damaged = whole.clone();
    damaged[25] ^= 1;
    damaged.extend_from_slice(b"more than there should be");
    let mut shelf = MemoryShelf::default();
    block_on(shelf.append(FILE, 0, &damaged)).unwrap();
    let server = Server::new(&whole, []);
    run(&server, &mut shelf, 20).unwrap();
    assert_eq!(server.asked.borrow()[0].0, 20);
    assert_eq!(stored(&mut shelf), whole);
}

#[test]
fn a_complete_pack_asks_for_nothing() {
    let mut shelf = MemoryShelf::default();
    block_on(shelf.append(FILE, 0, &bytes(100))).unwrap();
    let server = Server::new(&bytes(100), []);
    run(&server, &mut shelf, 20).unwrap();
    assert!(server.asked.borrow().is_empty());
}

#[test]
fn a_wrong_chunk_is_asked_once_more_past_the_caches_and_never_stored() {
    let server = Server::new(&bytes(100), [Act::Flip(30)]);
    let mut shelf = MemoryShelf::default();
    run(&server, &mut shelf, 20).unwrap();
    assert_eq!(*server.asked.borrow(), [(0, false), (20, true)]);

    let server = Server::new(&bytes(100), [Act::Flip(30), Act::Flip(10)]);
    let mut shelf = MemoryShelf::default();
    let error = run(&server, &mut shelf, 20).unwrap_err();
    assert_eq!(error.code(), "model_corrupt");
    assert!(error.to_string().contains(FILE), "{error}");
    assert_eq!(stored(&mut shelf), bytes(100)[..20]);
}

#[test]
fn a_file_that_is_shorter_on_the_server_is_named() {
    let server = Server::new(&bytes(100), [Act::Short(90), Act::Short(10)]);
    let error = run(&server, &mut MemoryShelf::default(), 20).unwrap_err();
    assert_eq!(error.code(), "model_corrupt");
    assert!(error.to_string().contains("90 bytes"), "{error}");
}

#[test]
fn a_missing_file_and_a_dead_network_are_told_apart() {
    let error = run(
        &Server::new(&bytes(9), [Act::Missing]),
        &mut MemoryShelf::default(),
        20,
    );
    assert_eq!(error.unwrap_err().code(), "model_missing");
    let server = Server::new(&bytes(9), vec![Act::Refuse; 9]);
    let error = run(&server, &mut MemoryShelf::default(), 20);
    assert_eq!(error.unwrap_err().code(), "network");
    assert_eq!(server.asked.borrow().len(), 4);
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (1usize..40).prop_map(Act::Serve),
        Just(Act::NoRange),
        (0usize..200).prop_map(Act::Cut),
        (0usize..200).prop_map(Act::Short),
        (0usize..200).prop_map(Act::Flip),
        Just(Act::Refuse),
    ]
}

proptest! {
    /// Whatever a server does, the shelf holds a true prefix, and success means all of it.
    #[test]
    fn only_true_bytes_are_stored(
        size in 1usize..150,
        chunk in 1usize..60,
        prefix in 0usize..150,
        acts in prop::collection::vec(act(), 0..8),
    ) {
        let whole = bytes(size);
        let mut shelf = MemoryShelf::default();
        block_on(shelf.append(FILE, 0, &whole[..prefix.min(size)])).unwrap();
        let result = run(&Server::new(&whole, acts), &mut shelf, chunk);
        let held = stored(&mut shelf);
        prop_assert_eq!(&held[..], &whole[..held.len()]);
        if result.is_ok() {
            prop_assert_eq!(held.len(), size);
        }
    }
}
