//! The memory of tensors on a CPU, as plain slices.

#[cfg(all(feature = "train", feature = "flex"))]
pub(crate) use of_burn::contiguous;
#[cfg(feature = "burn")]
pub(crate) use of_burn::{Buffer, Held, lower, raise};
#[cfg(not(feature = "burn"))]
pub(crate) use plain::{Buffer, Held, lower, raise};

#[cfg(feature = "burn")]
mod of_burn {
    use burn::backend::Flex;
    use burn::backend::flex::FlexTensor;
    use burn::tensor::{DType, Element, Tensor, TensorData};
    use bytemuck::Pod;

    /// A tensor's elements in row-major order, and nothing else.
    #[derive(Clone)]
    pub(crate) struct Buffer(FlexTensor);

    /// Numbers that a buffer can be of.
    pub(crate) trait Held: Pod + Element {}

    impl Held for f32 {}
    impl Held for half::f16 {}

    /// The tensor as one contiguous buffer, copied only if it is none.
    pub(crate) fn contiguous(x: FlexTensor) -> FlexTensor {
        let whole = x.layout().num_elements() * x.dtype().size() == x.bytes().len();
        match whole && x.is_contiguous() && x.layout().start_offset() == 0 {
            true => x,
            false => x.to_contiguous(),
        }
    }

    /// The memory of a tensor that [`usable`](crate::cpu::usable) accepted, copied only if there is more in it.
    pub(crate) fn lower<const D: usize>(x: Tensor<D>) -> Buffer {
        let x = x.try_into_primitive::<Flex>();
        Buffer(contiguous(x.expect("callers ask `usable` first")))
    }

    /// A tensor of values in row-major order.
    pub(crate) fn raise<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
        Tensor::from_primitive::<Flex>(FlexTensor::from_data(TensorData::new(values, shape)))
    }

    impl Buffer {
        /// What is in it.
        pub(crate) fn of<N: Held>(&self) -> &[N] {
            self.0.storage()
        }

        /// The same, to be written to; copied first if others share it.
        pub(crate) fn of_mut<N: Held>(&mut self) -> &mut [N] {
            self.0.storage_mut()
        }

        /// Whether it has numbers of 16 bits.
        pub(crate) fn is_half(&self) -> bool {
            self.0.dtype() == DType::F16
        }

        /// The tensor again, of the shape it had.
        pub(crate) fn raise<const D: usize>(self, _: [usize; D]) -> Tensor<D> {
            Tensor::from_primitive::<Flex>(self.0)
        }
    }
}

#[cfg(not(feature = "burn"))]
mod plain {
    use sprat_tensor::{Device, Tensor, TensorData};

    /// A tensor's elements in row-major order, and nothing else.
    #[derive(Clone)]
    pub(crate) struct Buffer(Tensor<1>);

    /// Numbers that a buffer can be of.
    pub(crate) trait Held: Sized {
        fn of(values: &[f32]) -> &[Self];
        fn of_mut(values: &mut [f32]) -> &mut [Self];
    }

    impl Held for f32 {
        fn of(values: &[f32]) -> &[Self] {
            values
        }

        fn of_mut(values: &mut [f32]) -> &mut [Self] {
            values
        }
    }

    /// The memory of a tensor, copied only if there is more in it.
    pub(crate) fn lower<const D: usize>(x: Tensor<D>) -> Buffer {
        let count = x.dims().iter().product();
        Buffer(x.contiguous().reshape([count]))
    }

    /// A tensor of values in row-major order.
    pub(crate) fn raise<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
        Tensor::from_data(TensorData::new(values, shape), &Device::flex())
    }

    impl Buffer {
        /// What is in it.
        pub(crate) fn of<N: Held>(&self) -> &[N] {
            N::of(self.0.as_slice())
        }

        /// The same, to be written to; copied first if others share it.
        pub(crate) fn of_mut<N: Held>(&mut self) -> &mut [N] {
            N::of_mut(self.0.as_mut_slice())
        }

        /// The tensor again, of the shape it had.
        pub(crate) fn raise<const D: usize>(self, shape: [usize; D]) -> Tensor<D> {
            self.0.reshape(shape)
        }
    }
}
