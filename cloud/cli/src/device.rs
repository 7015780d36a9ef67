//! `--device`: what a name on the command line means in this build, on this machine.

use anyhow::bail;
use clap::ValueEnum;
use sprat_model::Device;

/// What to compute on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum DeviceName {
    /// The processor
    #[default]
    Cpu,
    /// A graphics card by Vulkan, Metal or DirectX (cargo feature `wgpu`)
    Wgpu,
    /// An NVIDIA card by CUDA (cargo feature `cuda`)
    Cuda,
}

impl DeviceName {
    /// The device; opening it is left to its first use.
    pub(crate) fn open(self) -> anyhow::Result<Device> {
        match self {
            Self::Cpu => Ok(Device::flex()),
            #[cfg(feature = "wgpu")]
            Self::Wgpu => Ok(Device::wgpu(sprat_model::DeviceKind::DefaultDevice)),
            #[cfg(feature = "cuda")]
            Self::Cuda => Ok(Device::cuda(0)),
            #[allow(unreachable_patterns)]
            other => {
                let name = format!("{other:?}").to_lowercase();
                bail!(
                    "this sprat was built without {name}; build it with `cargo build --release \
                     -p sprat --features {name}`, or use --device cpu"
                )
            }
        }
    }
}
