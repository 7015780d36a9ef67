//! [`Tensor`], and what only looks at its memory in another way, or copies it.

use std::convert::Infallible;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::layout::{View, count, for_each_row, is_packed, packed};
use crate::{DType, Device, Element, Float, Kind, TensorCreationOptions, TensorData};

/// Elements of `D` dimensions. Clones share them, and so do views: [`Tensor::narrow`], [`Tensor::swap_dims`] and the like copy
/// nothing.
pub struct Tensor<const D: usize, K: Kind = Float> {
    pub(crate) data: Arc<Vec<K::Element>>,
    pub(crate) offset: usize,
    pub(crate) shape: [usize; D],
    pub(crate) strides: [usize; D],
}

impl<const D: usize, K: Kind> Clone for Tensor<D, K> {
    fn clone(&self) -> Self {
        Self {
            data: self.data.clone(),
            ..*self
        }
    }
}

impl<const D: usize, K: Kind> fmt::Debug for Tensor<D, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor{:?}", self.shape)
    }
}

impl<const D: usize, K: Kind> Tensor<D, K> {
    /// Of elements in row-major order.
    pub(crate) fn of(values: Vec<K::Element>, shape: [usize; D]) -> Self {
        debug_assert_eq!(values.len(), count(&shape));
        Self {
            data: Arc::new(values),
            offset: 0,
            shape,
            strides: packed(shape),
        }
    }

    pub(crate) fn view(&self) -> View<'_, K::Element> {
        View {
            data: &self.data,
            offset: self.offset,
            shape: &self.shape,
            strides: &self.strides,
        }
    }

    /// Its sizes.
    pub fn dims(&self) -> [usize; D] {
        self.shape
    }

    /// Where it is.
    pub fn device(&self) -> Device {
        Device
    }

    /// All elements 0, or no.
    pub fn zeros(shape: [usize; D], _: impl Into<TensorCreationOptions>) -> Self {
        Self::of(vec![K::Element::default(); count(&shape)], shape)
    }

    /// The same elements, one behind the other from the beginning of memory that has nothing else: copied only if they are not.
    pub fn contiguous(self) -> Self {
        let whole = self.data.len() == count(&self.shape) && self.offset == 0;
        match whole && is_packed(&self.shape, &self.strides) {
            true => self,
            false => Self::of(self.view().to_vec(), self.shape),
        }
    }

    /// Its elements in row-major order.
    ///
    /// # Panics
    /// If they do not lie so in memory; after [`Tensor::contiguous`] they do.
    pub fn as_slice(&self) -> &[K::Element] {
        let packed = self.view().as_packed();
        packed.expect("only what is contiguous is read so")
    }

    /// The same, to be written to; copied first if others share them.
    ///
    /// # Panics
    /// As [`Tensor::as_slice`].
    pub fn as_mut_slice(&mut self) -> &mut [K::Element] {
        assert!(is_packed(&self.shape, &self.strides), "as `as_slice`");
        let range = self.offset..self.offset + count(&self.shape);
        &mut Arc::make_mut(&mut self.data)[range]
    }

    /// The elements in the same order, in another shape.
    pub fn reshape<const E: usize>(self, shape: [usize; E]) -> Tensor<E, K> {
        let (given, wanted) = (count(&self.shape), count(&shape));
        assert_eq!(given, wanted, "{:?} as {shape:?}", self.shape);
        if !is_packed(&self.shape, &self.strides) {
            return Tensor::of(self.view().to_vec(), shape);
        }
        Tensor {
            data: self.data,
            offset: self.offset,
            shape,
            strides: packed(shape),
        }
    }

    /// `length` of the indices of a dimension, from `start` on.
    pub fn narrow(mut self, dim: usize, start: usize, length: usize) -> Self {
        let size = self.shape[dim];
        assert!(start + length <= size, "{start} + {length} of {size}");
        self.offset += start * self.strides[dim];
        self.shape[dim] = length;
        self
    }

    /// The indices of these ranges.
    pub fn slice(self, ranges: [Range<usize>; D]) -> Self {
        let ranges = ranges.into_iter().enumerate();
        ranges.fold(self, |it, (dim, range)| {
            it.narrow(dim, range.start, range.len())
        })
    }

    /// Puts `values` at the indices of these ranges; in place, if nothing else has the memory.
    pub fn slice_assign(mut self, ranges: [Range<usize>; D], values: Self) -> Self {
        let part = self.clone().slice(ranges);
        assert_eq!(part.shape, values.shape, "as many as there is room for");
        let (offset, strides, shape) = (part.offset, part.strides, part.shape);
        // Or it would count as another that has the memory.
        drop(part);
        let data = Arc::make_mut(&mut self.data);
        let from = values.view();
        for_each_row(
            &shape,
            [&strides, &values.strides],
            |[to, at], len, steps| {
                let (to, at) = (offset + to, from.offset + at);
                match steps {
                    [1, 1] => data[to..to + len].copy_from_slice(&from.data[at..at + len]),
                    [put, get] => {
                        for i in 0..len {
                            data[to + i * put] = from.data[at + i * get];
                        }
                    }
                }
            },
        );
        self
    }

    /// Exchanges two dimensions.
    pub fn swap_dims(mut self, a: usize, b: usize) -> Self {
        self.shape.swap(a, b);
        self.strides.swap(a, b);
        self
    }

    /// Exchanges the last two dimensions.
    pub fn transpose(self) -> Self {
        self.swap_dims(D - 2, D - 1)
    }

    /// Dimensions of one in front.
    pub fn unsqueeze<const E: usize>(self) -> Tensor<E, K> {
        let of = |own: [usize; D]| {
            std::array::from_fn(|dim| (dim + D).checked_sub(E).map_or(1, |own_dim| own[own_dim]))
        };
        Tensor {
            offset: self.offset,
            shape: of(self.shape),
            strides: of(self.strides),
            data: self.data,
        }
    }

    /// A dimension of one at `dim`.
    pub fn unsqueeze_dim<const E: usize>(self, dim: usize) -> Tensor<E, K> {
        let of = |own: [usize; D]| {
            std::array::from_fn(|i| match i.cmp(&dim) {
                std::cmp::Ordering::Less => own[i],
                std::cmp::Ordering::Equal => 1,
                std::cmp::Ordering::Greater => own[i - 1],
            })
        };
        Tensor {
            offset: self.offset,
            shape: of(self.shape),
            strides: of(self.strides),
            data: self.data,
        }
    }

    /// `times` of it, one behind the other along a dimension.
    pub fn repeat_dim(self, dim: usize, times: usize) -> Self {
        if self.shape[dim] != 1 {
            return Self::cat(vec![self; times], dim);
        }
        let mut shape = self.shape;
        let mut strides = self.strides;
        (shape[dim], strides[dim]) = (times, 0);
        Self {
            shape,
            strides,
            ..self
        }
    }

    /// One behind the other along a dimension.
    pub fn cat(parts: Vec<Self>, dim: usize) -> Self {
        let mut shape = parts.first().expect("there is something to join").shape;
        shape[dim] = parts.iter().map(|part| part.shape[dim]).sum();
        let outer = count(&shape[..dim]);
        // What lies one behind the other is read where it is: a copy of it is made below.
        let packed = |part: Self| match is_packed(&part.shape, &part.strides) {
            true => part,
            false => part.contiguous(),
        };
        let parts: Vec<_> = parts.into_iter().map(packed).collect();
        let mut values = Vec::with_capacity(count(&shape));
        for i in 0..outer {
            for part in &parts {
                let all = part.as_slice();
                let own = all.len() / outer;
                values.extend_from_slice(&all[i * own..][..own]);
            }
        }
        Self::of(values, shape)
    }

    /// Pieces of `size` indices along a dimension; the last may have fewer.
    pub fn split(self, size: usize, dim: usize) -> Vec<Self> {
        let all = self.shape[dim];
        let starts = (0..all).step_by(size);
        let piece = |start| self.clone().narrow(dim, start, size.min(all - start));
        starts.map(piece).collect()
    }

    /// What `change` makes of it, in its place.
    pub fn inplace(&mut self, change: impl FnOnce(Self) -> Self) {
        let empty = Self {
            data: Arc::default(),
            ..*self
        };
        *self = change(std::mem::replace(self, empty));
    }
}

impl<const D: usize, K: Kind> Tensor<D, K>
where
    K::Element: Element,
{
    /// Of numbers in row-major order.
    ///
    /// # Panics
    /// When they are of another type or shape.
    pub fn from_data(data: TensorData, _: impl Into<TensorCreationOptions>) -> Self {
        let shape = <[usize; D]>::try_from(&*data.shape);
        let shape = shape.expect("as many dimensions as the tensor");
        let values = K::Element::take(data.values).expect("numbers of the tensor's type");
        Self::of(values, shape)
    }

    /// Its numbers in row-major order.
    pub fn into_data(self) -> TensorData {
        let shape = self.shape;
        let own = self.contiguous().data;
        let values = Arc::try_unwrap(own).unwrap_or_else(|shared| shared.to_vec());
        TensorData::new(values, shape)
    }

    /// The same at once: there is no device to wait for.
    ///
    /// # Errors
    /// Never.
    pub async fn into_data_async(self) -> Result<TensorData, Infallible> {
        Ok(self.into_data())
    }
}

impl<const D: usize> Tensor<D> {
    /// The type of its numbers.
    pub fn dtype(&self) -> DType {
        DType::F32
    }

    /// No gradients are ever asked of it.
    pub fn is_autodiff(&self) -> bool {
        false
    }

    /// All ones.
    pub fn ones(shape: [usize; D], _: impl Into<TensorCreationOptions>) -> Self {
        Self::of(vec![1.0; count(&shape)], shape)
    }
}
