//! Keys and values of one layer, and where a text's are.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::tensor::{DType, Device, Tensor};

use super::pages::PAGE;
#[cfg(all(feature = "burn", not(target_arch = "wasm32")))]
use crate::Storage;

/// What keys and values are kept as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KvType {
    /// As they are computed.
    #[default]
    F32,
    /// Half the memory, and half the time of reading it, for eleven bits of precision; weights of 8 bits have fewer. Not for
    /// latents, nor for heads that are not turned and normed in our own passes, nor on a device without such numbers: these
    /// stay `f32`.
    #[cfg(all(feature = "burn", not(target_arch = "wasm32")))]
    F16,
}

impl KvType {
    /// What [`crate::Decoder::kv_type`] says of a model with weights of this kind, on a CPU or a GPU that has numbers of 16
    /// bits.
    #[cfg(all(feature = "burn", not(target_arch = "wasm32")))]
    pub fn beside(weights: Storage) -> Self {
        match weights {
            Storage::F32 | Storage::F16 => Self::F32,
            Storage::Q8 | Storage::Q4 | Storage::Mixed => Self::F16,
        }
    }

    /// What a GPU keeps them as.
    #[cfg(feature = "gpu")]
    fn dtype_on(self, device: &Device) -> DType {
        #[cfg(not(target_arch = "wasm32"))]
        if self == Self::F16 && crate::gpu::keeps_f16(device) {
            return DType::F16;
        }
        let _ = device;
        DType::F32
    }

    fn of(dtype: DType) -> Self {
        match dtype {
            #[cfg(all(feature = "burn", not(target_arch = "wasm32")))]
            DType::F16 => Self::F16,
            _ => Self::F32,
        }
    }
}

/// Two tensors with a row per position: keys and values `[1, kv_heads, positions, head_dim]`, or latents
/// `[1, 1, positions, kv_rank]` and turned keys `[1, 1, positions, rope_dim]`. A text has pages of [`PAGE`] positions.
#[derive(Debug)]
pub(crate) struct Rows {
    keys: Tensor<4>,
    values: Tensor<4>,
}

/// The pages of a text, in its order.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pages: Vec<u32>,
}

/// A text's place in the rows of one layer.
#[derive(Clone, Copy)]
pub(crate) struct Seat<'a> {
    rows: &'a Mutex<Rows>,
    pub(crate) table: &'a Table,
}

impl<'a> Seat<'a> {
    pub(crate) fn new(rows: &'a Mutex<Rows>, table: &'a Table) -> Self {
        Self { rows, table }
    }

    /// Whether both texts have their pages in the same rows.
    #[cfg(feature = "cpu")]
    pub(crate) fn is_beside(&self, other: &Self) -> bool {
        std::ptr::eq(self.rows, other.rows)
    }

    /// The rows, for a while.
    pub(crate) fn rows(&self) -> MutexGuard<'a, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes `k` and `v` `[1, heads, time, ..]` at position `start`, in place, and returns the
    /// rows from `first` up to their end.
    pub(crate) fn append(
        &self,
        k: Tensor<4>,
        v: Tensor<4>,
        start: usize,
        first: usize,
    ) -> (Tensor<4>, Tensor<4>) {
        let rows = &mut *self.rows();
        let put = |tensor: &mut Tensor<4>, new: Tensor<4>| {
            let (given, end) = (new.dtype(), start + new.dims()[2]);
            self.write_to(tensor, new, start);
            cast(self.read_from(tensor, first..end), given)
        };
        (put(&mut rows.keys, k), put(&mut rows.values, v))
    }

    /// Keys and values of these positions, `[1, heads, positions, ..]`, as they are kept.
    pub(crate) fn read(&self, positions: Range<usize>) -> [Tensor<4>; 2] {
        let rows = self.rows();
        [&rows.keys, &rows.values].map(|tensor| self.read_from(tensor, positions.clone()))
    }

    /// Writes keys and values at position `start`, in place.
    pub(crate) fn write(&self, k: Tensor<4>, v: Tensor<4>, start: usize) {
        let rows = &mut *self.rows();
        self.write_to(&mut rows.keys, k, start);
        self.write_to(&mut rows.values, v, start);
    }

    /// Shapes of the keys and values of so many positions.
    pub(crate) fn shapes(&self, positions: usize) -> [[usize; 4]; 2] {
        let rows = self.rows();
        [&rows.keys, &rows.values].map(|tensor| {
            let [one, heads, _, width] = tensor.dims();
            [one, heads, positions, width]
        })
    }

    /// What keys and values are kept as.
    pub(crate) fn dtype(&self) -> DType {
        self.rows().keys.dtype()
    }

    fn write_to(&self, tensor: &mut Tensor<4>, new: Tensor<4>, start: usize) {
        let [_, heads, time, d] = new.dims();
        let new = cast(new, tensor.dtype());
        let mut at = 0;
        for run in self.table.runs(start..start + time) {
            let part = new.clone().narrow(2, at, run.len());
            at += run.len();
            tensor.inplace(|old| old.slice_assign([0..1, 0..heads, run, 0..d], part));
        }
    }

    fn read_from(&self, tensor: &Tensor<4>, positions: Range<usize>) -> Tensor<4> {
        let [_, heads, _, d] = tensor.dims();
        let runs = self.table.runs(positions);
        let seen: Vec<_> = runs
            .map(|run| tensor.clone().slice([0..1, 0..heads, run, 0..d]))
            .collect();
        match <[Tensor<4>; 1]>::try_from(seen) {
            Ok([whole]) => whole,
            Err(parts) => Tensor::cat(parts, 2),
        }
    }
}

impl Table {
    pub(crate) fn pages(&self) -> &[u32] {
        &self.pages
    }

    pub(crate) fn extend(&mut self, pages: &[u32]) {
        self.pages.extend_from_slice(pages);
    }

    /// Takes out the pages from the one with this number on.
    pub(crate) fn split_off(&mut self, pages: usize) -> Vec<u32> {
        self.pages.split_off(pages.min(self.pages.len()))
    }

    /// Positions that it has room for.
    pub(crate) fn positions(&self) -> usize {
        self.pages.len() * PAGE
    }

    /// Whether each position is at the row of its own number.
    #[cfg(feature = "gpu")]
    pub(crate) fn is_plain(&self) -> bool {
        self.pages
            .iter()
            .enumerate()
            .all(|(i, page)| *page as usize == i)
    }

    /// The rows of these positions, as few runs as there are.
    pub(crate) fn runs(&self, positions: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        let mut at = positions.start;
        std::iter::from_fn(move || {
            if at >= positions.end {
                return None;
            }
            let row = |position: usize| self.pages[position / PAGE] as usize * PAGE;
            let first = row(at) + at % PAGE;
            let mut after = (at / PAGE + 1) * PAGE;
            while after < positions.end && row(after) == row(after - 1) + PAGE {
                after += PAGE;
            }
            let run = first..first + after.min(positions.end) - at;
            at = after;
            Some(run)
        })
    }
}

impl Rows {
    /// Room for so many positions of keys and values of these widths.
    pub(crate) fn new(
        heads: usize,
        positions: usize,
        widths: [usize; 2],
        kept: KvType,
        device: &Device,
    ) -> Self {
        let [keys, values] = widths.map(|width| room([1, heads, positions, width], kept, device));
        Self { keys, values }
    }

    #[cfg(any(feature = "cpu", feature = "gpu"))]
    pub(crate) fn tensors_mut(&mut self) -> (&mut Tensor<4>, &mut Tensor<4>) {
        (&mut self.keys, &mut self.values)
    }

    /// Bytes of one position.
    pub(crate) fn bytes(&self) -> usize {
        let bytes =
            [&self.keys, &self.values].map(|t| t.dims()[1] * t.dims()[3] * t.dtype().size());
        bytes.iter().sum()
    }

    /// The same `held` rows in memory of their own, with room for `positions`.
    pub(crate) fn copy(&self, held: usize, positions: usize) -> Self {
        let mut copy = Self {
            keys: self.keys.clone(),
            values: self.values.clone(),
        };
        copy.grow(held, positions);
        copy
    }

    /// Makes room for `positions` in all, of which `held` are in use.
    pub(crate) fn grow(&mut self, held: usize, positions: usize) {
        for tensor in [&mut self.keys, &mut self.values] {
            tensor.inplace(|old| {
                let [_, heads, _, d] = old.dims();
                let rows = [0..1, 0..heads, 0..held, 0..d];
                let kept = KvType::of(old.dtype());
                let larger = room([1, heads, positions, d], kept, &old.device());
                if held == 0 {
                    larger
                } else {
                    larger.slice_assign(rows.clone(), old.slice(rows))
                }
            });
        }
    }
}

/// Rows that nothing is written to yet.
fn room(shape: [usize; 4], kept: KvType, device: &Device) -> Tensor<4> {
    #[cfg(feature = "gpu")]
    if crate::gpu::runs_on(device) {
        return crate::gpu::zeros(shape, kept.dtype_on(device), device);
    }
    match kept {
        KvType::F32 => Tensor::zeros(shape, device),
        #[cfg(all(feature = "burn", not(target_arch = "wasm32")))]
        KvType::F16 => Tensor::zeros(shape, (device, crate::tensor::DType::F16)),
    }
}

/// Numbers of type `to`.
#[cfg(all(feature = "burn", not(target_arch = "wasm32")))]
fn cast(x: Tensor<4>, to: DType) -> Tensor<4> {
    match x.dtype() == to {
        true => x,
        false => x.cast(to),
    }
}

/// There is only one type.
#[cfg(not(all(feature = "burn", not(target_arch = "wasm32"))))]
fn cast(x: Tensor<4>, _: DType) -> Tensor<4> {
    x
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn runs_are_the_rows_of_their_positions(
            pages in proptest::collection::vec(0u32..40, 1..10),
            ends in any::<[prop::sample::Index; 2]>(),
        ) {
            let table = Table { pages: pages.clone() };
            let ends = ends.map(|end| end.index(table.positions() + 1));
            let positions = ends[0].min(ends[1])..ends[0].max(ends[1]);
            let row = |position: usize| pages[position / PAGE] as usize * PAGE + position % PAGE;
            let runs: Vec<_> = table.runs(positions.clone()).collect();
            let rows: Vec<usize> = runs.iter().cloned().flatten().collect();
            prop_assert_eq!(rows, positions.map(row).collect::<Vec<_>>());
            // As few as there are.
            prop_assert!(runs.windows(2).all(|two| two[0].end != two[1].start));
        }
    }
}
