//! Shapes and strides, and the way from any of them to rows one behind the other.

/// How many elements a shape has.
pub(crate) fn count(shape: &[usize]) -> usize {
    shape.iter().product()
}

/// Strides of a shape whose rows lie one behind the other.
pub(crate) fn packed<const D: usize>(shape: [usize; D]) -> [usize; D] {
    let mut strides = [1; D];
    for dim in (0..D.saturating_sub(1)).rev() {
        strides[dim] = strides[dim + 1] * shape[dim + 1];
    }
    strides
}

/// Whether elements lie one behind the other. The stride of a dimension of one does not matter.
pub(crate) fn is_packed(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1;
    shape.iter().zip(strides).rev().all(|(&size, &stride)| {
        let fits = size == 1 || stride == expected;
        expected *= size;
        fits
    })
}

/// Memory, and where in it the elements of a shape are.
#[derive(Clone, Copy)]
pub(crate) struct View<'a, E> {
    pub(crate) data: &'a [E],
    pub(crate) offset: usize,
    pub(crate) shape: &'a [usize],
    pub(crate) strides: &'a [usize],
}

impl<'a, E> View<'a, E> {
    /// All elements as they are, if they lie one behind the other.
    pub(crate) fn as_packed(&self) -> Option<&'a [E]> {
        let packed = is_packed(self.shape, self.strides);
        packed.then(|| &self.data[self.offset..][..count(self.shape)])
    }
}

impl<E: Copy> View<'_, E> {
    /// All elements in row-major order.
    pub(crate) fn to_vec(self) -> Vec<E> {
        if let Some(packed) = self.as_packed() {
            return packed.to_vec();
        }
        let mut out = Vec::with_capacity(count(self.shape));
        for_each_row(self.shape, [self.strides], |[at], len, [stride]| {
            let at = self.offset + at;
            match stride {
                1 => out.extend_from_slice(&self.data[at..at + len]),
                _ => out.extend((0..len).map(|i| self.data[at + i * stride])),
            }
        });
        out
    }
}

/// Calls `row` for every row along the last dimension, in order: with where it begins by each of the `strides`, how long it is,
/// and its steps.
pub(crate) fn for_each_row<const N: usize>(
    shape: &[usize],
    strides: [&[usize]; N],
    mut row: impl FnMut([usize; N], usize, [usize; N]),
) {
    if count(shape) == 0 {
        return;
    }
    let Some((&len, outer)) = shape.split_last() else {
        return row([0; N], 1, [1; N]);
    };
    let steps = strides.map(|strides| strides[outer.len()]);
    let mut index = vec![0; outer.len()];
    let mut at = [0; N];
    loop {
        row(at, len, steps);
        // The next of the outer indices, the last first.
        let mut dim = outer.len();
        loop {
            if dim == 0 {
                return;
            }
            dim -= 1;
            index[dim] += 1;
            for (at, strides) in at.iter_mut().zip(&strides) {
                *at += strides[dim];
            }
            if index[dim] < outer[dim] {
                break;
            }
            for (at, strides) in at.iter_mut().zip(&strides) {
                *at -= strides[dim] * outer[dim];
            }
            index[dim] = 0;
        }
    }
}

/// The shape that both are spread over: where one has a size of one, the other's.
pub(crate) fn broadcast<const D: usize>(a: [usize; D], b: [usize; D]) -> [usize; D] {
    std::array::from_fn(|dim| match (a[dim], b[dim]) {
        (1, size) | (size, 1) => size,
        (size, same) => {
            assert_eq!(size, same, "sizes {a:?} and {b:?} in dimension {dim}");
            size
        }
    })
}

/// Strides that stay at the one element of a dimension which is spread.
pub(crate) fn spread<const D: usize>(shape: [usize; D], strides: [usize; D]) -> [usize; D] {
    std::array::from_fn(|dim| if shape[dim] == 1 { 0 } else { strides[dim] })
}
