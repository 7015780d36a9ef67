use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

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
    /// Serves the chunk, each piece after this many turns.
    Serve(usize),
    /// Serves everything, because it knows no ranges; cut after this many bytes.
    NoRange(usize),
    /// Serves on behind the chunk's end.
    Long,
    /// Begins this many bytes late.
    Late(u64),
    /// Breaks the connection after this many bytes.
    Cut(usize),
    /// Ends in good order after this many bytes.
    Short(usize),
    /// Flips this byte of the answer.
    Flip(usize),
    Refuse,
    Missing,
}

/// Bytes of a piece.
const PIECE: usize = 7;

struct Server {
    bytes: Vec<u8>,
    chunk: usize,
    /// By the chunk's first byte; what is not said is served.
    acts: RefCell<BTreeMap<u64, VecDeque<Act>>>,
    /// For all requests.
    ranges: bool,
    asked: RefCell<Vec<(u64, bool)>>,
    pauses: Cell<u32>,
    /// Bodies that are being read.
    flowing: Rc<Cell<usize>>,
    most_flowing: Cell<usize>,
}

impl Server {
    fn new(bytes: &[u8], chunk: usize, acts: impl IntoIterator<Item = (usize, Act)>) -> Self {
        let mut planned = BTreeMap::<u64, VecDeque<Act>>::new();
        for (index, act) in acts {
            planned
                .entry((index * chunk) as u64)
                .or_default()
                .push_back(act);
        }
        Self {
            bytes: bytes.to_vec(),
            chunk,
            acts: RefCell::new(planned),
            ranges: true,
            asked: RefCell::default(),
            pauses: Cell::new(0),
            flowing: Rc::default(),
            most_flowing: Cell::new(0),
        }
    }

    fn act(&self, from: u64) -> Act {
        let mut acts = self.acts.borrow_mut();
        let planned = acts.get_mut(&from).and_then(VecDeque::pop_front);
        planned.unwrap_or(if self.ranges {
            Act::Serve(1)
        } else {
            Act::NoRange(usize::MAX)
        })
    }

    /// What was asked for, sorted: side by side there is no order.
    fn asked(&self) -> Vec<(u64, bool)> {
        let mut asked = self.asked.borrow().clone();
        asked.sort_unstable();
        asked
    }
}

struct Pieces {
    rest: VecDeque<Result<Vec<u8>, Fault>>,
    turns: usize,
    flowing: Rc<Cell<usize>>,
}

impl Drop for Pieces {
    fn drop(&mut self) {
        self.flowing.set(self.flowing.get() - 1);
    }
}

/// Lets the others go first.
async fn turn() {
    let mut passed = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut passed, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl Body for Pieces {
    async fn next(&mut self) -> Option<Result<Vec<u8>, Fault>> {
        for _ in 0..self.turns {
            turn().await;
        }
        self.rest.pop_front()
    }
}

impl Origin for Server {
    type Body = Pieces;

    async fn open(&self, _file: &str, from: u64, fresh: bool) -> Result<Opened<Pieces>, Fault> {
        self.asked.borrow_mut().push((from, fresh));
        let act = self.act(from);
        let start = usize::try_from(from).unwrap();
        let end = (start + self.chunk).min(self.bytes.len());
        let whole = matches!(act, Act::NoRange(_)) || end - start == self.bytes.len();
        let (start, end) = match act {
            Act::NoRange(_) => (0, self.bytes.len()),
            Act::Long => (start, self.bytes.len()),
            Act::Late(bytes) => ((start + usize::try_from(bytes).unwrap()).min(end), end),
            _ => (start, end),
        };
        let mut sent = self.bytes[start..end].to_vec();
        let mut fault = None;
        let mut turns = 1;
        match act {
            Act::Refuse => return Err(Fault::Broken("refused".into())),
            Act::Missing => return Err(Fault::Missing("404".into())),
            Act::Serve(slow) => turns = slow,
            Act::Long | Act::Late(_) => {}
            Act::NoRange(after) if after >= sent.len() => {}
            Act::NoRange(after) | Act::Cut(after) => {
                sent.truncate(after);
                fault = Some(Err(Fault::Broken("cut".into())));
            }
            Act::Short(after) => sent.truncate(after),
            Act::Flip(at) => {
                let at = at.min(sent.len() - 1);
                sent[at] ^= 1;
            }
        }
        self.flowing.set(self.flowing.get() + 1);
        let most = self.most_flowing.get().max(self.flowing.get());
        self.most_flowing.set(most);
        Ok(Opened {
            from: start as u64,
            whole,
            body: Pieces {
                rest: sent
                    .chunks(PIECE)
                    .map(|c| Ok(c.to_vec()))
                    .chain(fault)
                    .collect(),
                turns,
                flowing: self.flowing.clone(),
            },
        })
    }

    async fn pause(&self, _attempt: u32) {
        self.pauses.set(self.pauses.get() + 1);
        turn().await;
    }

    fn address(&self, file: &str) -> String {
        format!("https://example.org/{file}")
    }
}

fn run(server: &Server, shelf: &mut MemoryShelf) -> Result<Vec<u64>, Error> {
    let manifest = manifest(&server.bytes, server.chunk);
    let seen = RefCell::new(Vec::new());
    let tell = |done| seen.borrow_mut().push(done);
    block_on(fill(&manifest, server, shelf, &tell))?;
    Ok(seen.take())
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
fn chunks_come_side_by_side_and_only_the_missing_ones_again() {
    let acts = [(0, Act::Serve(9)), (1, Act::Cut(5)), (2, Act::Refuse)];
    let server = Server::new(&bytes(200), 20, acts);
    let mut shelf = MemoryShelf::default();
    let seen = run(&server, &mut shelf).unwrap();
    assert_eq!(stored(&mut shelf), bytes(200));
    let once = |index: u64| (index * 20, false);
    let asked: Vec<_> = [0, 1, 1, 2, 2, 3, 4, 5, 6, 7, 8, 9].map(once).into();
    assert_eq!(server.asked(), asked);
    assert_eq!(server.pauses.get(), 2);
    assert_eq!(server.most_flowing.get(), 4);
    assert_eq!(seen.last(), Some(&200));
    assert!(seen.iter().all(|done| *done <= 200), "{seen:?}");
}

#[test]
fn a_server_without_ranges_is_read_in_one_stream() {
    let server = Server {
        ranges: false,
        ..Server::new(&bytes(100), 20, [(0, Act::NoRange(45))])
    };
    let mut shelf = MemoryShelf::default();
    run(&server, &mut shelf).unwrap();
    assert_eq!(stored(&mut shelf), bytes(100));
    assert_eq!(server.most_flowing.get(), 1);
}

#[test]
fn a_server_that_serves_ranges_no_more_is_read_in_one_stream() {
    let acts = [(2, Act::NoRange(99)), (1, Act::NoRange(50))];
    let server = Server::new(&bytes(100), 20, acts);
    let mut shelf = MemoryShelf::default();
    run(&server, &mut shelf).unwrap();
    assert_eq!(stored(&mut shelf), bytes(100));
}

#[test]
fn what_was_stored_before_a_kill_is_checked_and_continued() {
    let whole = bytes(100);
    let mut shelf = MemoryShelf::default();
    block_on(shelf.append(FILE, 0, &whole[..67])).unwrap();
    let server = Server::new(&whole, 20, []);
    run(&server, &mut shelf).unwrap();
    assert_eq!(server.asked(), [(60, false), (80, false)]);
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
    let server = Server::new(&whole, 20, []);
    run(&server, &mut shelf).unwrap();
    assert_eq!(server.asked()[0].0, 20);
    assert_eq!(stored(&mut shelf), whole);
}

#[test]
fn a_complete_pack_asks_for_nothing() {
    let mut shelf = MemoryShelf::default();
    block_on(shelf.append(FILE, 0, &bytes(100))).unwrap();
    let server = Server::new(&bytes(100), 20, []);
    run(&server, &mut shelf).unwrap();
    assert!(server.asked().is_empty());
}

#[test]
fn a_wrong_chunk_is_asked_once_more_past_the_caches_and_never_stored() {
    let server = Server::new(&bytes(60), 20, [(1, Act::Flip(10))]);
    let mut shelf = MemoryShelf::default();
    run(&server, &mut shelf).unwrap();
    let asked = [(0, false), (20, false), (20, true), (40, false)];
    assert_eq!(server.asked(), asked);

    let server = Server::new(&bytes(60), 20, [(1, Act::Flip(10)), (1, Act::Flip(3))]);
    let mut shelf = MemoryShelf::default();
    let error = run(&server, &mut shelf).unwrap_err();
    assert_eq!(error.code(), "model_corrupt");
    assert!(error.to_string().contains(FILE), "{error}");
    assert_eq!(stored(&mut shelf), bytes(60)[..20]);
}

#[test]
fn a_file_that_is_shorter_on_the_server_is_named() {
    for (chunk, acts) in [
        (20, [(4, Act::Short(10)), (4, Act::Short(10))]),
        (100, [(0, Act::Short(90)), (0, Act::Short(90))]),
    ] {
        let server = Server::new(&bytes(100), chunk, acts);
        let error = run(&server, &mut MemoryShelf::default()).unwrap_err();
        assert_eq!(error.code(), "model_corrupt");
        assert!(error.to_string().contains("90 bytes"), "{error}");
    }
}

#[test]
fn a_longer_answer_is_read_no_further_and_a_later_beginning_is_no_answer() {
    let server = Server::new(&bytes(100), 20, (0..5).map(|index| (index, Act::Long)));
    let mut shelf = MemoryShelf::default();
    run(&server, &mut shelf).unwrap();
    assert_eq!(stored(&mut shelf), bytes(100));

    let late = (0..9).map(|_| (1, Act::Late(3)));
    let server = Server::new(&bytes(100), 20, late);
    let error = run(&server, &mut MemoryShelf::default()).unwrap_err();
    assert_eq!(error.code(), "network");
    assert!(error.to_string().contains("got from 23"), "{error}");
}

#[test]
fn a_missing_file_and_a_dead_network_are_told_apart() {
    let missing = Server::new(&bytes(9), 20, [(0, Act::Missing)]);
    let error = run(&missing, &mut MemoryShelf::default()).unwrap_err();
    assert_eq!(error.code(), "model_missing");
    let dead = Server::new(&bytes(9), 20, vec![(0, Act::Refuse); 9]);
    let error = run(&dead, &mut MemoryShelf::default()).unwrap_err();
    assert_eq!(error.code(), "network");
    assert_eq!(dead.asked().len(), 4);
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0usize..5).prop_map(Act::Serve),
        1 => (0usize..200).prop_map(Act::NoRange),
        1 => Just(Act::Long),
        1 => (0u64..9).prop_map(Act::Late),
        1 => (0usize..200).prop_map(Act::Cut),
        1 => (0usize..200).prop_map(Act::Short),
        1 => (0usize..200).prop_map(Act::Flip),
        1 => Just(Act::Refuse),
    ]
}

proptest! {
    /// Whatever a server does, in whatever order it comes, and wherever it is killed: the shelf holds a true prefix,
    /// success means all of it, no more than the lanes are on their way, and an honest server completes it.
    #[test]
    fn only_true_bytes_are_stored(
        size in 1usize..150,
        chunk in 1usize..60,
        prefix in 0usize..150,
        acts in prop::collection::vec((0usize..8, act()), 0..12),
        kill_after in 0usize..80,
        torn in 0usize..60,
    ) {
        let whole = bytes(size);
        let mut shelf = MemoryShelf::default();
        block_on(shelf.append(FILE, 0, &whole[..prefix.min(size)])).unwrap();
        let server = Server::new(&whole, chunk, acts);
        let manifest = manifest(&whole, chunk);
        let mut ended = None;
        {
            let tell = |done| assert!(done <= size as u64);
            let mut filling = pin!(fill(&manifest, &server, &mut shelf, &tell));
            let mut context = Context::from_waker(Waker::noop());
            for _ in 0..kill_after {
                if let Poll::Ready(result) = filling.as_mut().poll(&mut context) {
                    ended = Some(result);
                    break;
                }
            }
        }
        prop_assert!(server.most_flowing.get() <= usize::try_from(LANES).unwrap());
        prop_assert_eq!(server.flowing.get(), 0);
        let held = stored(&mut shelf);
        prop_assert_eq!(&held[..], &whole[..held.len()]);
        if let Some(Ok(())) = ended {
            prop_assert_eq!(held.len(), size);
        }
        // The kill may have come while a chunk was being written.
        let end = (held.len() + torn).min(size);
        block_on(shelf.append(FILE, held.len() as u64, &whole[held.len()..end])).unwrap();
        run(&Server::new(&whole, chunk, []), &mut shelf).unwrap();
        prop_assert_eq!(stored(&mut shelf), whole);
    }
}
