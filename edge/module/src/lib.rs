//! The engine as it is linked for a page. The last crate of a build sets the level of link-time optimization, which must be
//! the kernels' own; as a crate without code, it leaves the rest of the engine small.

pub use sprat_edge::*;
