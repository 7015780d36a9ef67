//! Where tensors come from and where they go.

mod blocks;
mod folder;
mod lora;
mod memory;
mod safetensors;
mod shards;
mod writer;

pub use blocks::SCALE_SUFFIX;
pub use folder::ModelFolder;
pub use lora::WithLora;
pub use memory::MemoryTensors;
pub use safetensors::SafetensorsReader;
pub use shards::Shards;
pub use writer::{SafetensorsWriter, encode, write_file};

use crate::Result;

/// The tensors of one model, read one at a time.
pub trait TensorReader {
    /// Their names, in the order in which they are stored.
    fn names(&self) -> Vec<String>;

    /// The shape of one of them; none if there is no such tensor.
    fn shape(&self, name: &str) -> Option<Vec<usize>>;

    /// The values of one of them in row-major order, as `f32` whatever they are stored in.
    fn read(&mut self, name: &str) -> Result<Vec<f32>>;
}
