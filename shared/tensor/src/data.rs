//! Numbers on their way in and out of tensors.

use std::fmt;

/// A number that tensors are made of or read as.
pub trait Element: Copy {
    #[doc(hidden)]
    fn store(values: Vec<Self>) -> Values;
    #[doc(hidden)]
    fn of(values: &Values) -> Option<&[Self]>;
    #[doc(hidden)]
    fn take(values: Values) -> Option<Vec<Self>>;
}

#[doc(hidden)]
#[derive(Debug, Clone)]
pub enum Values {
    F32(Vec<f32>),
    I32(Vec<i32>),
}

macro_rules! element {
    ($type:ty, $variant:ident) => {
        impl Element for $type {
            fn store(values: Vec<Self>) -> Values {
                Values::$variant(values)
            }

            fn of(values: &Values) -> Option<&[Self]> {
                match values {
                    Values::$variant(values) => Some(values),
                    _ => None,
                }
            }

            fn take(values: Values) -> Option<Vec<Self>> {
                match values {
                    Values::$variant(values) => Some(values),
                    _ => None,
                }
            }
        }
    };
}

element!(f32, F32);
element!(i32, I32);

/// Numbers in row-major order, and their shape.
#[derive(Debug, Clone)]
pub struct TensorData {
    pub(crate) values: Values,
    pub(crate) shape: Vec<usize>,
}

/// The numbers are of another type than the one asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataError;

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a tensor's numbers are of another type")
    }
}

impl std::error::Error for DataError {}

impl TensorData {
    /// Values in row-major order.
    ///
    /// # Panics
    /// When they are not as many as the shape has.
    pub fn new<E: Element, const D: usize>(values: Vec<E>, shape: [usize; D]) -> Self {
        let count: usize = shape.iter().product();
        assert_eq!(values.len(), count, "values of shape {shape:?}");
        Self {
            values: E::store(values),
            shape: shape.to_vec(),
        }
    }

    /// The numbers.
    ///
    /// # Errors
    /// [`DataError`] when they are of another type.
    pub fn try_to_vec<E: Element>(&self) -> Result<Vec<E>, DataError> {
        E::of(&self.values).map(<[E]>::to_vec).ok_or(DataError)
    }

    /// The same numbers: there is no other type to convert to.
    pub fn convert<E: Element>(self) -> Self {
        self
    }

    /// The numbers' bytes, as they are in memory.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.values {
            Values::F32(values) => bytemuck::cast_slice(values),
            Values::I32(values) => bytemuck::cast_slice(values),
        }
    }

    /// Its sizes.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }
}
