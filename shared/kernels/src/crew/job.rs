//! What the others are told, as words.

use std::ops::Range;

use super::Away;
use crate::layout::Share;
use crate::{Activations, Bits, Product, TILE};

/// Something that all other members do; [`Job::words`] puts it into words, and [`Member`](super::Member) reads them.
pub(super) enum Job<'a> {
    /// There is a matrix of so many rows and columns.
    Hold {
        number: u32,
        shape: [usize; 2],
        bits: Bits,
    },
    /// Tiles of a member, from the `first` of those that it has on.
    Fill {
        number: u32,
        member: usize,
        first: usize,
        words: &'a [u32],
        scales: &'a [u16],
    },
    /// A matrix is not needed any more.
    Free(u32),
    /// Some tokens' sums of each factor with a member's tiles: `[factors, tokens, rows]`.
    Multiply {
        factors: &'a [Factor],
        x: &'a Activations,
        tokens: Range<usize>,
    },
    /// Those of the rows that a member has, as floats.
    Rows { number: u32, rows: &'a [usize] },
}

/// Tiles of a matrix.
#[derive(Clone, Copy)]
pub(super) struct Factor {
    pub(super) number: u32,
    pub(super) first: usize,
    pub(super) tiles: usize,
}

impl Factor {
    /// Words of one in a job.
    pub(super) const WORDS: usize = 3;

    /// The matrix of a product, if it was dealt out.
    pub(super) fn of(product: &Product<'_>) -> Option<Self> {
        let Away { number, first, .. } = product.w.away?;
        let tiles = product.w.rows.div_ceil(TILE);
        Some(Self {
            number,
            first,
            tiles,
        })
    }

    fn words(self) -> [u32; Self::WORDS] {
        [self.number, word(self.first), word(self.tiles)]
    }

    pub(super) fn read([number, first, tiles]: [u32; Self::WORDS]) -> Self {
        Self {
            number,
            first: first as usize,
            tiles: tiles as usize,
        }
    }

    /// Which of them a member has, and which of the member's tiles they are.
    pub(super) fn tiles(&self, member: usize, members: usize) -> (Share, Range<usize>) {
        Share::of(member, members).part(self.first..self.first + self.tiles)
    }
}

pub(super) const HOLD: u32 = 0;
pub(super) const FILL: u32 = 1;
pub(super) const FREE: u32 = 2;
pub(super) const MULTIPLY: u32 = 3;
pub(super) const ROWS: u32 = 4;

impl Job<'_> {
    /// Words before those whose number depends on matrices.
    pub(super) const HEAD: usize = 5;

    pub(super) fn words(&self) -> Vec<u32> {
        let mut all = Vec::new();
        match self {
            Self::Hold {
                number,
                shape: [rows, columns],
                bits,
            } => {
                let bits = match bits {
                    Bits::Eight => 8,
                    Bits::Four => 4,
                };
                all.extend_from_slice(&[HOLD, *number, word(*rows), word(*columns), bits]);
            }
            Self::Fill {
                number,
                member,
                first,
                words,
                scales,
            } => {
                all.reserve(Self::HEAD + words.len() + scales.len() / 2);
                let (member, first) = (word(*member), word(*first));
                all.extend_from_slice(&[FILL, *number, member, first, word(words.len())]);
                all.extend_from_slice(words);
                // A tile has an even number of scales.
                for [a, b] in scales.as_chunks::<2>().0 {
                    all.push(u32::from(*a) | u32::from(*b) << 16);
                }
            }
            Self::Free(number) => all.extend_from_slice(&[FREE, *number]),
            Self::Multiply { factors, x, tokens } => {
                all.reserve(
                    Self::HEAD
                        + Factor::WORDS * factors.len()
                        + Activations::words(x.columns()) * tokens.len(),
                );
                all.extend_from_slice(&[MULTIPLY, word(factors.len()), word(x.columns())]);
                for factor in *factors {
                    all.extend_from_slice(&factor.words());
                }
                x.write(tokens.clone(), &mut all);
            }
            Self::Rows { number, rows } => {
                all.extend_from_slice(&[ROWS, *number]);
                for row in *rows {
                    all.push(word(*row));
                }
            }
        }
        all
    }
}

/// Shapes of models are far below 2^32.
#[allow(clippy::cast_possible_truncation)]
fn word(number: usize) -> u32 {
    number as u32
}
