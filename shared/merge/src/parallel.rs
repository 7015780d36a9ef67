//! Loops that several threads share where there are threads (feature `threads`).

/// Elements that a thread takes at once: a few of each model's stay in its cache.
const PIECE: usize = 16 * 1024;

/// What `make` makes of each item, in their order.
pub(crate) fn map<T: Sync, U: Send>(items: &[T], make: impl Fn(usize, &T) -> U + Sync) -> Vec<U> {
    #[cfg(feature = "threads")]
    {
        use rayon::prelude::*;
        let items = items.par_iter().enumerate();
        items.map(|(index, item)| make(index, item)).collect()
    }
    #[cfg(not(feature = "threads"))]
    {
        let items = items.iter().enumerate();
        items.map(|(index, item)| make(index, item)).collect()
    }
}

/// Changes each item.
pub(crate) fn each<T: Send>(items: &mut [T], change: impl Fn(usize, &mut T) + Sync) {
    #[cfg(feature = "threads")]
    {
        use rayon::prelude::*;
        let items = items.par_iter_mut().enumerate();
        items.for_each(|(index, item)| change(index, item));
    }
    #[cfg(not(feature = "threads"))]
    for (index, item) in items.iter_mut().enumerate() {
        change(index, item);
    }
}

/// `len` values, filled piece by piece; `fill` is told where a piece begins.
pub(crate) fn filled(len: usize, fill: impl Fn(usize, &mut [f32]) + Sync) -> Vec<f32> {
    let mut values = vec![0.0; len];
    let mut pieces: Vec<&mut [f32]> = values.chunks_mut(PIECE).collect();
    each(&mut pieces, |index, piece| fill(index * PIECE, piece));
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_filled_once() {
        for len in [0, 1, PIECE, 2 * PIECE + 7] {
            let values = filled(len, |start, piece| {
                for (i, value) in piece.iter_mut().enumerate() {
                    *value += (start + i) as f32;
                }
            });
            assert!(values.iter().enumerate().all(|(i, v)| *v == i as f32));
            assert_eq!(values.len(), len);
        }
        assert_eq!(map(&[5, 6], |i, x| i + x), [5, 7]);
    }
}
