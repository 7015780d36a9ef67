//! Matrices whose tiles are dealt out among several that share no memory: the threads of a web page, each of which is an
//! instance of the module with a memory of its own.
//!
//! Tile `t` of a matrix belongs to member `t % members`. Member 0 is whoever has the model: it tells the others what to
//! multiply, multiplies its own tiles meanwhile, and puts all sums into their places. A sum is computed as it is without
//! a crew, so that nothing changes but the time it takes.
//!
//! What passes between them are words: a [job](self) out, and sums back. A token's job is some kilobytes, the weights
//! stay where they are.

mod in_place;
mod job;
mod member;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::layout::{Share, tile_sizes};
use crate::{Activations, Product, Rows, TILE, multiply_here};
pub use in_place::InPlace;
use job::{Factor, Job};
pub use member::Member;

/// Weights below which a matrix stays where it is.
const WORTH_DEALING: usize = 1 << 14;
/// Matrices that are multiplied together, at most: so many times one matrix's part of a job or an answer fits into it.
const TOGETHER: usize = 4;

/// The way to the other members, whose numbers begin at 1. Whoever stands behind it gives each of them a [`Member`].
///
/// # Panics
/// Methods panic when a member is gone: its weights are lost, and so is the model.
pub trait Crew {
    /// How many they are, the caller included: two or more.
    fn members(&self) -> usize;

    /// Words of the longest job.
    fn job_words(&self) -> usize;

    /// Numbers in a member's longest answer.
    fn answer_floats(&self) -> usize;

    /// Gives a job to all others, who have finished the one before.
    fn start(&self, job: &[u32]);

    /// Waits for a member, and takes its answer, whose length is known.
    fn finish(&self, member: usize, answer: &mut [f32]);
}

thread_local! {
    static CREW: RefCell<Option<Rc<dyn Crew>>> = const { RefCell::new(None) };
    static DEALS: Cell<bool> = const { Cell::new(true) };
    static DEALT: Cell<usize> = const { Cell::new(0) };
}

/// Gives this thread a crew, or takes it away, which is possible only while [no matrix](dealt) is with it.
pub fn deal_to(crew: Option<Rc<dyn Crew>>) {
    CREW.set(crew);
}

/// Whether matrices that are made from now on are dealt out, if there is a crew; at first they are.
pub fn deal(is_wanted: bool) {
    DEALS.set(is_wanted);
}

/// How many matrices are with this thread's crew.
pub fn dealt() -> usize {
    DEALT.get()
}

fn crew() -> Option<Rc<dyn Crew>> {
    CREW.with_borrow(Clone::clone)
}

fn present() -> Rc<dyn Crew> {
    crew().expect("a matrix that was dealt out has a crew")
}

/// Has a job done that has no answer.
fn have_done(crew: &dyn Crew, job: &Job<'_>) {
    crew.start(&job.words());
    for member in 1..crew.members() {
        crew.finish(member, &mut []);
    }
}

/// A matrix as the other members know it. They forget it when this is dropped.
#[derive(Debug)]
pub(crate) struct Remote {
    number: u32,
    members: usize,
}

/// Some of a dealt matrix's tiles: from `first` on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Away {
    number: u32,
    first: usize,
    members: usize,
}

impl Remote {
    pub(crate) fn members(&self) -> usize {
        self.members
    }

    pub(crate) fn from(&self, first: usize) -> Away {
        Away {
            number: self.number,
            first,
            members: self.members,
        }
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        // When a thread ends its crew may be gone before its matrices.
        if let Ok(Some(crew)) = CREW.try_with(|crew| crew.borrow().clone()) {
            have_done(&*crew, &Job::Free(self.number));
            DEALT.set(DEALT.get() - 1);
        }
    }
}

/// Gives the other members their tiles; None where there is no crew, or the matrix is not worth it.
pub(crate) fn deal_out(rows: &Rows<'_>) -> Option<Remote> {
    static NUMBERS: AtomicU32 = AtomicU32::new(0);
    let crew = crew().filter(|_| DEALS.get())?;
    let (members, [all, columns]) = (crew.members(), rows.shape);
    let tiles = all.div_ceil(TILE);
    let (words, scales) = tile_sizes(columns, rows.bits);
    let per_job = crew.job_words().saturating_sub(Job::HEAD) / (words + scales / 2).max(1);
    let token = Job::HEAD + TOGETHER * Factor::WORDS + Activations::words(columns);
    let sums = Share::of(1, members).tiles(all) * TILE;
    let fits = per_job > 0
        && token <= crew.job_words()
        && columns.max(TOGETHER * sums) <= crew.answer_floats();
    if tiles < members || all * columns < WORTH_DEALING || !fits {
        return None;
    }
    let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
    let shape = [all, columns];
    let bits = rows.bits;
    have_done(
        &*crew,
        &Job::Hold {
            number,
            shape,
            bits,
        },
    );
    let remote = Remote { number, members };
    DEALT.set(DEALT.get() + 1);
    for member in 1..members {
        let own: Vec<usize> = (member..tiles).step_by(members).collect();
        for (index, some) in own.chunks(per_job).enumerate() {
            let mut tile_words = vec![0; some.len() * words];
            let mut tile_scales = vec![0; some.len() * scales];
            for (at, tile) in some.iter().enumerate() {
                rows.write_words(*tile, &mut tile_words[at * words..][..words]);
                rows.write_scales(*tile, &mut tile_scales[at * scales..][..scales]);
            }
            have_done(
                &*crew,
                &Job::Fill {
                    number,
                    member,
                    first: index * per_job,
                    words: &tile_words,
                    scales: &tile_scales,
                },
            );
        }
    }
    Some(remote)
}

/// The products of which some tiles are with a crew, as many tokens at once as its jobs hold.
pub(crate) fn multiply(products: &[Product<'_>], x: &Activations) {
    let crew = present();
    let members = crew.members();
    let dealt: Vec<(&Product<'_>, Factor)> = products
        .iter()
        .filter_map(|product| Some((product, Factor::of(product)?)))
        .collect();
    let factors: Vec<Factor> = dealt.iter().map(|(_, factor)| *factor).collect();
    // A member's sums of one token.
    let sums = |member| {
        factors
            .iter()
            .map(|factor| factor.tiles(member, members).1.len() * TILE)
            .sum()
    };
    let most: usize = (1..members).map(sums).max().unwrap_or(0);
    let by_answer = crew.answer_floats() / most.max(1);
    let head = Job::HEAD + factors.len() * Factor::WORDS;
    let by_job = (crew.job_words() - head) / Activations::words(x.columns());
    let per_job = by_answer.min(by_job).max(1);
    let mut answer = Vec::new();
    for start in (0..x.tokens()).step_by(per_job) {
        let tokens = start..x.tokens().min(start + per_job);
        let job = Job::Multiply {
            factors: &factors,
            x,
            tokens: tokens.clone(),
        };
        crew.start(&job.words());
        multiply_here(products, x, tokens.clone());
        for member in 1..members {
            answer.resize(sums(member) * tokens.len(), 0.0);
            crew.finish(member, &mut answer);
            let mut rest = &*answer;
            for (product, factor) in &dealt {
                let (share, tiles) = factor.tiles(member, members);
                let (sums, others) = rest.split_at(tiles.len() * TILE * tokens.len());
                rest = others;
                put(product, share, tokens.clone(), sums);
            }
        }
    }
}

/// Puts a member's sums `[tokens, rows]` into their places.
fn put(product: &Product<'_>, share: Share, tokens: Range<usize>, sums: &[f32]) {
    let per_token = sums.len() / tokens.len();
    for (at, token) in tokens.enumerate() {
        let sums = &sums[at * per_token..][..per_token];
        for (tile, sums) in sums.chunks_exact(TILE).enumerate() {
            let rows = share.rows(tile, product.w.rows);
            product.write(token, rows.start, &sums[..rows.len()]);
        }
    }
}

/// Writes those of the numbered rows that others have into their places in `out`, `[numbers, columns]`.
pub(crate) fn fetch_rows(away: Away, numbers: &[usize], columns: usize, out: &mut [f32]) {
    let Away {
        number,
        first,
        members,
    } = away;
    let crew = present();
    let per_job = (crew.answer_floats() / columns).min(crew.job_words() - Job::HEAD);
    let owner = |row: usize| (first + row / TILE) % members;
    let mut answer = Vec::new();
    for (numbers, out) in numbers
        .chunks(per_job)
        .zip(out.chunks_mut(per_job * columns))
    {
        if numbers.iter().all(|row| owner(*row) == 0) {
            continue;
        }
        let rows: Vec<usize> = numbers.iter().map(|row| first * TILE + row).collect();
        let job = Job::Rows {
            number,
            rows: &rows,
        };
        crew.start(&job.words());
        for member in 1..members {
            let own = || {
                numbers
                    .iter()
                    .enumerate()
                    .filter(|(_, row)| owner(**row) == member)
            };
            answer.resize(own().count() * columns, 0.0);
            crew.finish(member, &mut answer);
            for ((at, _), values) in own().zip(answer.chunks_exact(columns)) {
                out[at * columns..][..columns].copy_from_slice(values);
            }
        }
    }
}
