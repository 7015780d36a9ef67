//! What a decoder does on a GPU without gradients, in few dispatches: one kernel source for WGSL and CUDA.
//!
//! A token of a small model costs a GPU less in arithmetic than in dispatches, so a layer of attention and
//! a dense feed-forward network has six at most: norm and products for queries, keys and values; head
//! norms, rotation, cache and attention; its parts' sum in long texts; output and residual; norm, gate, up
//! and activation; down and residual. Passes over more than one token norm by themselves before products, and over more than
//! one of a text turn heads by themselves. Everything here has its plain form in the module that calls it.

mod ahead;
mod attention;
#[cfg(any(test, target_arch = "wasm32"))]
mod matmul;
#[cfg(not(target_arch = "wasm32"))]
mod measure;
mod norm;
mod product;
mod sample;
#[cfg(all(test, feature = "cpu", feature = "wgpu"))]
mod tests;

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::{DType, Device, Int, Shape, Tensor};
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;
use cubecl::client::Client;
use cubecl::ir::ElemType;
use cubecl::ir::features::TypeUsage;
use cubecl::prelude::*;
use half::f16;

pub(crate) use ahead::Ahead;
pub(crate) use attention::{Angles, Place, attention};
#[cfg(any(test, target_arch = "wasm32"))]
pub(crate) use matmul::matmul;
#[cfg(not(target_arch = "wasm32"))]
pub use measure::{GpuProduct, gpu_bandwidth, gpu_products};
pub(crate) use norm::rms_norm;
pub(crate) use product::{Around, Quantized};
pub(crate) use sample::{LISTED, shortlists};

/// Units of a workgroup of a kernel that has no use for shared memory.
const UNITS: usize = 64;

static SOFTWARE: AtomicBool = AtomicBool::new(false);

thread_local! {
    static DISPATCHES: Cell<u64> = const { Cell::new(0) };
}

/// Says that the GPU is a program that plays one (SwiftShader, llvmpipe): kernels without barriers are
/// then several times faster. Results are the same but for the order of additions.
pub fn gpu_is_software(yes: bool) {
    SOFTWARE.store(yes, Ordering::Relaxed);
}

fn is_software() -> bool {
    SOFTWARE.load(Ordering::Relaxed)
}

/// How many of this crate's GPU kernels this thread has launched, recorded ones among them, for measurements.
pub fn gpu_dispatches() -> u64 {
    DISPATCHES.get()
}

/// To be called once for every launch.
fn count() {
    DISPATCHES.set(DISPATCHES.get() + 1);
}

/// How many launches `record` makes, which are not counted: they are recorded.
fn recorded(record: impl FnOnce()) -> u64 {
    let before = DISPATCHES.get();
    record();
    DISPATCHES.replace(before) - before
}

/// To be called for launches that are made together.
fn count_all(launches: u64) {
    DISPATCHES.set(DISPATCHES.get() + launches);
}

/// Whether `device` runs these kernels.
pub(crate) fn runs_on(device: &Device) -> bool {
    #[cfg(feature = "cpu")]
    if *device == Device::flex() {
        return false;
    }
    !device.is_autodiff()
}

/// Whether the operations of this module can be used on `x`.
pub(crate) fn usable<const D: usize>(x: &Tensor<D>) -> bool {
    !x.is_autodiff() && x.dtype() == DType::F32 && runs_on(&x.device())
}

fn lower<const D: usize>(x: Tensor<D>) -> CubeTensor {
    let x = x.try_into_primitive::<CubeBackend>();
    into_contiguous(x.expect("callers ask `usable` first"))
}

fn lower_int<const D: usize>(x: Tensor<D, Int>) -> CubeTensor {
    let x = x.try_into_primitive::<CubeBackend>();
    into_contiguous(x.expect("callers ask `usable` first"))
}

/// Whether kernels can read f16 where `client`'s launches run.
fn has_f16(client: &Client) -> bool {
    let usage = client.properties().type_usage(f16::elem_type_native());
    usage.contains(TypeUsage::Buffer)
}

/// Whether keys and values can be kept as f16 on `device`.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn keeps_f16(device: &Device) -> bool {
    has_f16(&lower(Tensor::<1>::zeros([1], device)).client)
}

/// What kernels call the numbers of a tensor of floats.
fn elements(dtype: DType) -> ElemType {
    match dtype {
        DType::F16 => f16::elem_type_native(),
        _ => f32::elem_type_native(),
    }
}

fn raise<const D: usize>(x: CubeTensor) -> Tensor<D> {
    Tensor::from_primitive::<CubeBackend>(x)
}

/// A tensor of f32 whose values are not set yet, where `like` is.
fn empty<const D: usize>(like: &CubeTensor, shape: [usize; D]) -> CubeTensor {
    let (client, device) = (like.client.clone(), like.device.clone());
    empty_device_contiguous_dtype(client, device, Shape::new(shape), DType::F32)
}

/// Zeros that kernels write in place: contiguous, as tensors that burn makes need not be.
pub(crate) fn zeros<const D: usize>(shape: [usize; D], dtype: DType, device: &Device) -> Tensor<D> {
    raise(lower(Tensor::<D>::zeros(shape, (device, dtype))))
}
