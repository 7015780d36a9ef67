//! The machine the model runs on.

use std::sync::{Arc, Mutex};

use futures::FutureExt;
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
    /// Resolves with the reason when the device is gone.
    pub(crate) lost: Shared<LocalBoxFuture<'static, String>>,
    alarm: Alarm,
}

/// Tells once that a device is gone: the browser may, or a computation that failed there.
// The browser's callback must be Send, though there is one thread.
#[derive(Clone)]
struct Alarm(Arc<Mutex<Option<oneshot::Sender<String>>>>);

impl Alarm {
    fn ring(&self, reason: String) {
        let tell = self.0.lock().ok().and_then(|mut tell| tell.take());
        if let Some(tell) = tell {
            // Nobody may be listening any more.
            let _ = tell.send(reason);
        }
    }
}

impl Engine {
    /// Prepares the device of `kind`, "cpu" or "webgpu"; `words` names the adapter found.
    pub(crate) async fn open(kind: &str, words: String) -> Result<Self, Error> {
        match kind {
            #[cfg(feature = "cpu")]
            "cpu" => Ok(Self::new(
                Device::flex(),
                false,
                "CPU (WASM SIMD)".to_owned(),
            )),
            #[cfg(feature = "webgpu")]
            "webgpu" => {
                let adapter = words.to_ascii_lowercase();
                let plays = |program: &&str| adapter.contains(program);
                let software = [
                    "swiftshader",
                    "llvmpipe",
                    "lavapipe",
                    "software",
                    "basic render",
                ];
                sprat_model::gpu_is_software(software.iter().any(plays));
                let (device, setup) = Device::wgpu_options()
                    .init_with_setup_async()
                    .await
                    .map_err(|e| Error::WebgpuUnavailable(e.to_string()))?;
                let engine = Self::new(device, true, words);
                let alarm = engine.alarm.clone();
                setup
                    .device
                    .set_device_lost_callback(move |reason, message| {
                        alarm.ring(format!("{reason:?}: {message}"));
                    });
                Ok(engine)
            }
            other => Err(Error::WebgpuUnavailable(format!(
                "this module has no device \"{other}\" ({words})"
            ))),
        }
    }

    fn new(device: Device, gpu: bool, words: String) -> Self {
        let (tell, told) = oneshot::channel();
        let lost = async move {
            match told.await {
                Ok(reason) => reason,
                // Dropped with the engine, which says nothing about a loss.
                Err(_) => futures::future::pending().await,
            }
        };
        let alarm = Alarm(Arc::new(Mutex::new(Some(tell))));
        Self {
            device,
            gpu,
            words,
            lost: lost.boxed_local().shared(),
            alarm,
        }
    }

    /// A computation has shown that the device is of no use any more.
    pub(crate) fn report_lost(&self, reason: String) {
        self.alarm.ring(reason);
    }
}
