//! The machine the model runs on.

use futures::FutureExt;
#[cfg(feature = "webgpu")]
use futures::channel::oneshot;
use futures::future::{LocalBoxFuture, Shared};
use sprat_model::Device;

use crate::error::Error;

/// A device that is ready to compute.
pub(crate) struct Engine {
    pub(crate) device: Device,
    /// It is a GPU, so what goes wrong there may go right on the CPU.
    pub(crate) gpu: bool,
    /// In words for a person.
    pub(crate) words: String,
    /// Resolves with the reason when the device is gone; never for the CPU.
    pub(crate) lost: Shared<LocalBoxFuture<'static, String>>,
}

impl Engine {
    /// Prepares the device of `kind`, "cpu" or "webgpu"; `words` names the adapter found.
    pub(crate) async fn open(kind: &str, words: String) -> Result<Self, Error> {
        match kind {
            "cpu" => Ok(Self {
                device: Device::flex(),
                gpu: false,
                words: "CPU (WASM SIMD)".to_owned(),
                lost: futures::future::pending().boxed_local().shared(),
            }),
            #[cfg(feature = "webgpu")]
            "webgpu" => webgpu(words).await,
            other => Err(Error::WebgpuUnavailable(format!(
                "this module has no device \"{other}\" ({words})"
            ))),
        }
    }
}

#[cfg(feature = "webgpu")]
async fn webgpu(words: String) -> Result<Engine, Error> {
    let (device, setup) = Device::wgpu_options()
        .init_with_setup_async()
        .await
        .map_err(|e| Error::WebgpuUnavailable(e.to_string()))?;
    let (tell, told) = oneshot::channel::<String>();
    let tell = std::sync::Mutex::new(Some(tell));
    setup
        .device
        .set_device_lost_callback(move |reason, message| {
            let tell = tell.lock().ok().and_then(|mut tell| tell.take());
            if let Some(tell) = tell {
                // Nobody may be listening any more.
                let _ = tell.send(format!("{reason:?}: {message}"));
            }
        });
    let lost = async move {
        match told.await {
            Ok(reason) => reason,
            // The callback was dropped with its device, which says nothing about a loss.
            Err(_) => futures::future::pending().await,
        }
    };
    Ok(Engine {
        device,
        gpu: true,
        words,
        lost: lost.boxed_local().shared(),
    })
}
