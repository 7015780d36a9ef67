//! One of those who multiply for another.

use std::ops::Range;

use super::job::{FILL, FREE, Factor, HOLD, MULTIPLY, ROWS};
use crate::layout::{Share, tile_sizes};
use crate::{Activations, BLOCK, Bits, Quantized, TILE, matmul, row};

/// A member of a [`Crew`](super::Crew), and the tiles it was dealt.
pub struct Member {
    number: usize,
    members: usize,
    /// By the matrix's number.
    held: Vec<Option<Held>>,
}

/// A cache line, at which tiles begin.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line([u32; 16]);

struct Held {
    /// `TILE` words each.
    words: Vec<Line>,
    scales: Vec<u16>,
    columns: usize,
    bits: Bits,
}

impl Held {
    /// Of so many tiles, which are zeros.
    fn new(tiles: usize, columns: usize, bits: Bits) -> Self {
        let (words, scales) = tile_sizes(columns, bits);
        Self {
            words: vec![Line([0; TILE]); tiles * words / TILE],
            scales: vec![0; tiles * scales],
            columns,
            bits,
        }
    }

    /// Some tiles as a matrix.
    fn view(&self, tiles: Range<usize>) -> Quantized<'_> {
        let (words, scales) = tile_sizes(self.columns, self.bits);
        let all = lines(&self.words);
        Quantized::new(
            &all[tiles.start * words..tiles.end * words],
            &self.scales[tiles.start * scales..tiles.end * scales],
            [tiles.len() * TILE, self.columns],
            self.bits,
        )
    }
}

impl Member {
    /// The one of `members` whose number is `number`, from 1 on.
    pub fn new(number: usize, members: usize) -> Self {
        Self {
            number,
            members,
            held: Vec::new(),
        }
    }

    /// Does a job, and writes what it is answered with.
    ///
    /// # Panics
    /// When it is none that [`crate::crew`] makes.
    pub fn work(&mut self, job: &[u32], answer: &mut Vec<f32>) {
        answer.clear();
        match *job {
            [HOLD, number, rows, columns, bits] => {
                let share = Share::of(self.number, self.members);
                let tiles = share.tiles(rows as usize);
                let bits = match bits {
                    8 => Bits::Eight,
                    _ => Bits::Four,
                };
                let number = number as usize;
                if self.held.len() <= number {
                    self.held.resize_with(number + 1, || None);
                }
                self.held[number] = Some(Held::new(tiles, columns as usize, bits));
            }
            [FILL, number, member, first, words, ref tiles @ ..] => {
                if member as usize == self.number {
                    self.fill(number, first as usize, tiles.split_at(words as usize));
                }
            }
            [FREE, number] => self.held[number as usize] = None,
            [MULTIPLY, factors, columns, ref rest @ ..] => {
                let (factors, x) = rest.split_at(factors as usize * Factor::WORDS);
                let x = Activations::read(x, columns as usize);
                for factor in factors.as_chunks::<{ Factor::WORDS }>().0 {
                    self.multiply(Factor::read(*factor), &x, answer);
                }
            }
            [ROWS, number, ref rows @ ..] => {
                let held = self.held(number);
                let view = held.view(0..held.scales.len() * BLOCK / (held.columns * TILE));
                for number in rows {
                    let (tile, lane) = (*number as usize / TILE, *number as usize % TILE);
                    if tile % self.members == self.number {
                        let start = answer.len();
                        answer.resize(start + held.columns, 0.0);
                        row(
                            &view,
                            tile / self.members * TILE + lane,
                            &mut answer[start..],
                        );
                    }
                }
            }
            _ => unreachable!("a job that nobody makes"),
        }
    }

    #[cfg(test)]
    pub(super) fn held_count(&self) -> usize {
        self.held.iter().flatten().count()
    }

    fn held(&self, number: u32) -> &Held {
        let held = &self.held[number as usize];
        held.as_ref().expect("what is asked for was dealt")
    }

    fn fill(&mut self, number: u32, first: usize, (words, pairs): (&[u32], &[u32])) {
        let held = self.held[number as usize].as_mut();
        let held = held.expect("what is filled was dealt");
        let (tile_words, tile_scales) = tile_sizes(held.columns, held.bits);
        let lines = &mut held.words[first * tile_words / TILE..];
        for (line, words) in lines.iter_mut().zip(words.as_chunks::<TILE>().0) {
            line.0 = *words;
        }
        let scales = held.scales[first * tile_scales..].as_chunks_mut::<2>().0;
        for (two, pair) in scales.iter_mut().zip(pairs) {
            // The low half, and the high one.
            #[allow(clippy::cast_possible_truncation)]
            {
                *two = [*pair as u16, (pair >> 16) as u16];
            }
        }
    }

    fn multiply(&self, factor: Factor, x: &Activations, answer: &mut Vec<f32>) {
        let (_, tiles) = factor.tiles(self.number, self.members);
        let view = self.held(factor.number).view(tiles);
        let start = answer.len();
        answer.resize(start + x.tokens() * view.rows, 0.0);
        matmul(&view, x, &mut answer[start..]);
    }
}

/// Lines as the words that they are.
fn lines(lines: &[Line]) -> &[u32] {
    // SAFETY: a line is its words, without padding, and aligned for them.
    #[allow(unsafe_code)]
    unsafe {
        std::slice::from_raw_parts(lines.as_ptr().cast(), lines.len() * TILE)
    }
}
