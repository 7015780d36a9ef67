//! What a decoder uses of burn's tensors, on one CPU and in plain memory.
//!
//! burn's CPU backend has every operation for every type of number, which is a third of the module that a page would have to
//! fetch before it answers (docs/performance.md). The model's code is written for burn's API. These are the parts of it that
//! it uses, by burn's names and with burn's meaning, so that one source compiles with either: with burn wherever there is a
//! GPU, many cores, or gradients; with this in a page without a GPU. What is fast is in `sprat-kernels`, for both.
//!
//! | module | what it holds |
//! |---|---|
//! | `data` | numbers on their way in and out, with their shape |
//! | `layout` | shapes and strides; from any layout to rows |
//! | `tensor` | [`Tensor`]: what only looks at memory in another way, or copies it |
//! | `arithmetic` | element by element, and sums of rows |
//! | `product` | products of matrices |
//! | `choice` | what is picked by number or by comparison |
//! | [`activation`] | softmax, sigmoid, SiLU |
//! | [`module`] | parameters |
//!
//! As with burn, shapes that don't fit each other are a mistake of the caller's code, and panic.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod activation;
mod arithmetic;
mod choice;
mod data;
mod layout;
pub mod module;
mod product;
mod tensor;
#[cfg(test)]
mod tests;

pub use data::{DataError, Element, TensorData};
pub use tensor::Tensor;

/// Floating-point numbers.
#[derive(Debug, Clone, Copy)]
pub enum Float {}

/// Integers.
#[derive(Debug, Clone, Copy)]
pub enum Int {}

/// Yes or no.
#[derive(Debug, Clone, Copy)]
pub enum Bool {}

/// What a tensor is of.
pub trait Kind: 'static {
    /// As it lies in memory.
    type Element: Copy + Default + PartialEq;
}

impl Kind for Float {
    type Element = f32;
}

impl Kind for Int {
    type Element = i32;
}

impl Kind for Bool {
    type Element = bool;
}

/// Types of numbers: there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DType {
    /// 32-bit floats.
    F32,
}

impl DType {
    /// Bytes of a number.
    pub const fn size(self) -> usize {
        size_of::<f32>()
    }
}

/// Where tensors are: there is one place.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Device;

impl Device {
    /// The CPU; the name is that of burn's CPU backend.
    pub const fn flex() -> Self {
        Self
    }
}

/// Where a new tensor is to be, as burn has it said: by a device that it borrows.
#[derive(Debug)]
pub struct TensorCreationOptions;

impl From<&Device> for TensorCreationOptions {
    fn from(_: &Device) -> Self {
        Self
    }
}
