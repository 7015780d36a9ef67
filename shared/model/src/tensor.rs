//! burn's tensors; in a page without a GPU the part of them that a decoder uses (`sprat-tensor`), by the same names.

#[cfg(feature = "burn")]
pub use burn::module;
#[cfg(feature = "burn")]
pub use burn::tensor::{DType, Device, Int, Tensor, TensorData, activation};
#[cfg(not(feature = "burn"))]
pub use sprat_tensor::{DType, Device, Int, Tensor, TensorData, activation, module};
