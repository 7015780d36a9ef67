//! Memory for weights: large pieces that are filled one after the other, on huge pages where Linux gives
//! them. A decoder reads all of its weights for every token; on pages of 4 KiB that is a miss of the
//! address cache every other microsecond, and a prefetcher that stops at each page's end.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};

use bytemuck::Pod;

/// Bytes of a huge page, to which pieces are aligned.
const HUGE: usize = 2 << 20;
/// Bytes of a piece, unless something larger must fit. What of it is never used never becomes memory;
/// in wasm32 it would, so there everything has a piece of its own.
const PIECE: Option<usize> = match cfg!(target_arch = "wasm32") {
    true => None,
    false => Some(16 * HUGE),
};
/// A cache line, at which everything stored begins.
const LINE: usize = 64;

/// Values in a piece. Copies share it; it is freed with the last of them.
#[derive(Clone)]
pub struct Stored<T: Pod> {
    piece: Arc<Piece>,
    /// Offset in bytes.
    start: usize,
    count: usize,
    _values: std::marker::PhantomData<T>,
}

struct Piece {
    bytes: NonNull<u8>,
    layout: Layout,
}

/// The piece that is being filled, and how much of it is.
static CURRENT: Mutex<Option<(Arc<Piece>, usize)>> = Mutex::new(None);

impl<T: Pod> Stored<T> {
    /// Copies values into memory for weights.
    pub fn new(values: &[T]) -> Self {
        Self::filled(values.len(), |place| place.copy_from_slice(values))
    }

    /// Memory for `count` values, zero before `fill` writes them.
    pub fn filled(count: usize, fill: impl FnOnce(&mut [T])) -> Self {
        let size = count * size_of::<T>();
        let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
        let (piece, start) = match current.take() {
            Some((piece, used)) if used + size <= piece.layout.size() => (piece, used),
            _ => (
                Arc::new(Piece::new(PIECE.map_or(size, |piece| piece.max(size)))),
                0,
            ),
        };
        let used = (start + size).next_multiple_of(LINE);
        if PIECE.is_some() {
            *current = Some((piece.clone(), used));
        }
        drop(current);
        // SAFETY: the bytes from `start` on are inside of the piece, aligned to a cache line, zero when
        // they become values, and nobody else's: `CURRENT` hands each out once.
        fill(unsafe {
            let to = piece.bytes.as_ptr().add(start);
            to.write_bytes(0, size);
            std::slice::from_raw_parts_mut(to.cast::<T>(), count)
        });
        Self {
            piece,
            start,
            count,
            _values: std::marker::PhantomData,
        }
    }
}

impl<T: Pod> Deref for Stored<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `filled` wrote these values there, nothing writes them again, and the piece lives as long
        // as `self`.
        unsafe {
            let from = self.piece.bytes.as_ptr().add(self.start).cast::<T>();
            std::slice::from_raw_parts(from, self.count)
        }
    }
}

impl<T: Pod> std::fmt::Debug for Stored<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stored({} values)", self.count)
    }
}

impl Piece {
    fn new(size: usize) -> Self {
        let (align, size) = match PIECE {
            None => (LINE, size.max(LINE)),
            Some(_) => (HUGE, size.next_multiple_of(HUGE)),
        };
        let layout =
            Layout::from_size_align(size, align).expect("sizes of models are far below 2^63");
        // Not zeroed: that would make it memory at once, and on small pages.
        // SAFETY: the size is not 0.
        let bytes = unsafe { alloc(layout) };
        let Some(bytes) = NonNull::new(bytes) else {
            handle_alloc_error(layout)
        };
        #[cfg(target_os = "linux")]
        // SAFETY: the range is ours. Advice changes no content; where it is refused, pages stay small.
        unsafe {
            libc::madvise(bytes.as_ptr().cast(), layout.size(), libc::MADV_HUGEPAGE);
        }
        Self { bytes, layout }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        // SAFETY: it was allocated with this layout.
        unsafe { dealloc(self.bytes.as_ptr(), self.layout) }
    }
}

// SAFETY: bytes are written before anybody can read them, and never again; see `Stored::filled`.
unsafe impl Send for Piece {}
// SAFETY: as above.
unsafe impl Sync for Piece {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_what_was_given() {
        let all: Vec<Vec<u32>> = (0..200u32)
            .map(|i| (0..i * i).map(|j| i ^ j).collect())
            .collect();
        let stored: Vec<Stored<u32>> = all.iter().map(|values| Stored::new(values)).collect();
        let halves = Stored::new(&[1u16, 2, 3]);
        for (values, stored) in all.iter().zip(&stored) {
            assert_eq!(**stored, **values);
            assert_eq!(stored.as_ptr() as usize % LINE, 0);
        }
        assert_eq!(*halves.clone(), [1, 2, 3]);
        let large = vec![7u32; 20 << 20];
        let large = Stored::new(&large);
        drop(stored);
        assert!(large.iter().all(|value| *value == 7) && halves[2] == 3);
    }

    #[cfg(not(target_family = "wasm"))]
    #[test]
    fn threads_store_side_by_side() {
        std::thread::scope(|scope| {
            for thread in 0..4u32 {
                scope.spawn(move || {
                    let stored: Vec<_> = (0..300)
                        .map(|i| Stored::new(&[thread, i, thread ^ i]))
                        .collect();
                    for (i, stored) in (0..300).zip(&stored) {
                        assert_eq!(**stored, [thread, i, thread ^ i]);
                    }
                });
            }
        });
    }
}
