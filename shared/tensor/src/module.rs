//! Parameters, by burn's names.

pub use sprat_tensor_macros::Module;

/// A tensor of weights. Without gradients it is only that.
#[derive(Debug, Clone)]
pub struct Param<T>(T);

impl<T: Clone> Param<T> {
    /// Of a tensor.
    pub fn from_tensor(tensor: T) -> Self {
        Self(tensor)
    }

    /// The tensor.
    pub fn val(&self) -> T {
        self.0.clone()
    }
}
