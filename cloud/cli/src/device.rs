//! `--device`: what a name on the command line means in this build, on this machine.

use anyhow::bail;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use sprat_model::Device;

/// What to compute on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
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
            Self::Wgpu => wgpu::open(),
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

    /// What the opened device is called by its driver; None of a processor, and where nothing says it.
    #[cfg(any(feature = "wgpu", feature = "cuda"))]
    pub(crate) fn adapter(self) -> Option<String> {
        match self {
            Self::Cpu => None,
            #[cfg(feature = "wgpu")]
            Self::Wgpu => wgpu::adapter(),
            #[cfg(not(feature = "wgpu"))]
            Self::Wgpu => None,
            Self::Cuda => first_nvidia_card(),
        }
    }
}

/// The model of the first card, by the driver's own listing.
#[cfg(any(feature = "wgpu", feature = "cuda"))]
fn first_nvidia_card() -> Option<String> {
    let mut cards: Vec<_> = std::fs::read_dir("/proc/driver/nvidia/gpus")
        .ok()?
        .filter_map(|card| Some(card.ok()?.path().join("information")))
        .collect();
    cards.sort();
    let listing = std::fs::read_to_string(cards.first()?).ok()?;
    let model = listing
        .lines()
        .find_map(|line| line.strip_prefix("Model:"))?;
    Some(model.trim().to_owned())
}

#[cfg(feature = "wgpu")]
mod wgpu {
    use std::sync::OnceLock;

    use anyhow::{Result, anyhow};
    use sprat_model::{Device, gpu_is_software};

    /// The device of this process, which is opened once, and its adapter.
    static OPENED: OnceLock<Result<(Device, String), String>> = OnceLock::new();

    pub(super) fn open() -> Result<Device> {
        let opened = OPENED.get_or_init(|| {
            let opened = Device::wgpu_options().init_with_setup();
            let (device, setup) = opened.map_err(|e| e.to_string())?;
            let info = setup.adapter.get_info();
            // Its enum is of a crate that is not ours to name.
            let software = format!("{:?}", info.device_type) == "Cpu";
            gpu_is_software(software);
            let by = format!("{:?}", info.backend);
            Ok((
                device,
                format!("{} by {by}, {}", info.name, info.driver_info),
            ))
        });
        match opened {
            Ok((device, _)) => Ok(device.clone()),
            Err(e) => Err(anyhow!(
                "no graphics card can be used: {e}; try --device cpu"
            )),
        }
    }

    pub(super) fn adapter() -> Option<String> {
        match OPENED.get() {
            Some(Ok((_, adapter))) => Some(adapter.clone()),
            _ => None,
        }
    }
}
