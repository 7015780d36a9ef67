//! Opening a device, or saying clearly why it cannot be opened.

use sprat_model::Device as ModelDevice;

use crate::{Device, ServiceError};

/// A device and what it is in words.
pub(super) struct Opened {
    pub(super) device: ModelDevice,
    pub(super) words: String,
}

/// Opens `device` on this thread.
///
/// # Errors
/// [`ServiceError::DeviceNotBuilt`] if this build lacks it, [`ServiceError::DeviceMissing`] if
/// this machine does.
pub(super) fn open(device: Device) -> Result<Opened, ServiceError> {
    match device {
        Device::Cpu => Ok(Opened {
            device: ModelDevice::flex(),
            words: "CPU".to_owned(),
        }),
        Device::Wgpu => open_wgpu(),
        Device::Cuda => open_cuda(),
    }
}

#[cfg(not(feature = "wgpu"))]
fn open_wgpu() -> Result<Opened, ServiceError> {
    Err(ServiceError::DeviceNotBuilt {
        device: Device::Wgpu,
    })
}

#[cfg(not(feature = "cuda"))]
fn open_cuda() -> Result<Opened, ServiceError> {
    Err(ServiceError::DeviceNotBuilt {
        device: Device::Cuda,
    })
}

#[cfg(feature = "wgpu")]
fn open_wgpu() -> Result<Opened, ServiceError> {
    use burn::tensor::DeviceKind;
    use burn::tensor::wgpu::WgpuInitError;

    guarded(Device::Wgpu, || match ModelDevice::wgpu_options().init() {
        Ok(device) => Ok(device),
        // This process has opened it before.
        Err(WgpuInitError::Registration { .. }) => Ok(ModelDevice::wgpu(DeviceKind::DefaultDevice)),
        Err(error) => Err(error.to_string()),
    })
}

#[cfg(feature = "cuda")]
fn open_cuda() -> Result<Opened, ServiceError> {
    use burn::tensor::DeviceType;

    // Opening a card that is not there panics; counting the cards first does not.
    guarded(Device::Cuda, || {
        let mut cards = ModelDevice::enumerate(DeviceType::Cuda).into_vec();
        if cards.is_empty() {
            Err("no NVIDIA card was found".to_owned())
        } else {
            Ok(cards.remove(0))
        }
    })
}

/// Opens a card and asks its name. Drivers and their bindings panic where they should fail.
#[cfg(any(feature = "wgpu", feature = "cuda"))]
fn guarded(
    device: Device,
    open: impl FnOnce() -> Result<ModelDevice, String>,
) -> Result<Opened, ServiceError> {
    let opened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let opened = open()?;
        let name = opened
            .identity()
            .map_or_else(|| "unnamed".to_owned(), |card| card.name);
        Ok(Opened {
            device: opened,
            words: format!("{name} ({device})"),
        })
    }));
    match opened {
        Ok(Ok(opened)) => Ok(opened),
        Ok(Err(reason)) => Err(ServiceError::DeviceMissing { device, reason }),
        Err(_) => {
            let reason = "its driver is missing or broken".to_owned();
            Err(ServiceError::DeviceMissing { device, reason })
        }
    }
}
