//! The likeliest token, which the device takes for its next step by itself.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use cubecl::client::Client;
use cubecl::prelude::*;

use super::super::{count, is_software, lower, lower_int};
use super::{FOUND, JOINERS, READERS, join_at, join_units, look, nothing_found, tell};
use crate::Error;

/// Numbers of a pick: token id, log-probability, margin, entropy, and 0 if a logit was not finite. An id is
/// exact as f32: vocabularies are far below 2^24.
pub(crate) const PICK: usize = 5;
/// Rows of picks that there is room for: a row is written over this many steps later.
pub(crate) const ROWS: usize = 8;

/// What a device has picked last, and where it stands.
#[derive(Debug)]
pub(crate) struct Picks {
    /// The latest steps' picks, `[ROWS * PICK]`.
    rows: Tensor<1>,
    /// The latest step's token, `[1]`.
    token: Tensor<1, Int>,
    /// The position of the latest step's token, and the number of steps, `[2]`: on the device, so that all
    /// steps are made of the same launches.
    state: Tensor<1, Int>,
}

/// Bytes on their way from a device.
type Bytes = Result<Vec<cubecl::bytes::Bytes>, cubecl::server::ServerError>;

/// Picks on their way to the host, asked for behind the launches up to then.
pub(crate) struct Reading {
    /// None once they have come.
    bytes: Option<Pin<Box<dyn Future<Output = Bytes> + Send>>>,
    /// What `bytes` was got from, by the type of its method: after it, so that it is dropped later.
    client: Option<Box<Client>>,
}

/// What nobody waited for. To drop it would give a buffer back that the driver still has, so whoever reads
/// next waits for it first.
static FORGOTTEN: Mutex<Vec<Reading>> = Mutex::new(Vec::new());

impl Picks {
    /// Nothing is picked yet, and the first pick's token comes to `position`.
    pub(crate) fn new(position: usize, device: &Device) -> Self {
        let int = |numbers: Vec<u32>| {
            let len = numbers.len();
            Tensor::from_data(TensorData::new(numbers, [len]), (device, DType::U32))
        };
        Self {
            rows: Tensor::zeros([ROWS * PICK], device),
            token: int(vec![0]),
            state: int(vec![(position as u32).wrapping_sub(1), 0]),
        }
    }

    /// The latest step's token, for the next step: `[1, 1]`.
    pub(crate) fn token(&self) -> Tensor<2, Int> {
        self.token.clone().reshape([1, 1])
    }

    /// The latest token's position, in the first number.
    pub(crate) fn position(&self) -> Tensor<1, Int> {
        self.state.clone()
    }

    /// What the device runs launches with.
    pub(crate) fn client(&self) -> Client {
        lower(self.rows.clone()).client
    }

    /// Asks for all rows as they are after what is launched so far.
    pub(crate) fn read(&self) -> Reading {
        let rows = lower(self.rows.clone());
        let client = Box::new(rows.client);
        let bytes: Pin<Box<dyn Future<Output = Bytes> + Send + '_>> =
            Box::pin(client.read_async(vec![rows.handle]));
        // SAFETY: only the lifetime changes; the client is in a box of its own, and is dropped after it.
        #[allow(unsafe_code)]
        let bytes = unsafe {
            std::mem::transmute::<
                Pin<Box<dyn Future<Output = Bytes> + Send + '_>>,
                Pin<Box<dyn Future<Output = Bytes> + Send + 'static>>,
            >(bytes)
        };
        Reading {
            bytes: Some(bytes),
            client: Some(client),
        }
    }

    /// Picks the likeliest of `logits` `[1, vocab]` as the next step's token.
    pub(crate) fn pick(&mut self, logits: Tensor<2>) {
        let vocab = logits.dims()[1];
        let logits = lower(logits);
        let found = look(&logits, vocab, None);
        // The buffers are written in place: clones of these tensors are read after the last step.
        let rows = lower(self.rows.clone());
        let (token, state) = (lower_int(self.token.clone()), lower_int(self.state.clone()));
        let units = if is_software() { 1 } else { JOINERS };
        count();
        // SAFETY: one workgroup reads what was found and writes one of the rows.
        #[allow(unsafe_code)]
        unsafe {
            settle::launch_unchecked(
                &found.client.clone(),
                CubeCount::Static(1, 1, 1),
                CubeDim::new_1d(units as u32),
                found.into_buffer_arg(),
                rows.into_buffer_arg(),
                token.into_buffer_arg(),
                state.into_buffer_arg(),
                units,
            );
        }
    }
}

impl Reading {
    /// The [`ROWS`] rows of [`PICK`] numbers, one after another. Whoever drops this future in between asks
    /// again.
    ///
    /// # Errors
    /// [`Error::Device`].
    pub(crate) async fn rows(&mut self) -> Result<Vec<f32>, Error> {
        while let Some(mut forgotten) = Self::forgotten() {
            // Its failure is of another answer.
            let _ = forgotten.wait().await;
        }
        let bytes = self.wait().await?;
        // Some devices give back the whole of an allocation, which is longer.
        let rows = bytes.first().and_then(|all| all.get(..4 * ROWS * PICK));
        rows.map(bytemuck::pod_collect_to_vec)
            .ok_or_else(|| Error::Device("it gave back less than was asked for".to_owned()))
    }

    async fn wait(&mut self) -> Result<Vec<cubecl::bytes::Bytes>, Error> {
        let Some(bytes) = &mut self.bytes else {
            return Err(Error::Device("this was read already".to_owned()));
        };
        let bytes = bytes.await;
        self.bytes = None;
        bytes.map_err(|e| Error::Device(e.to_string()))
    }

    fn forgotten() -> Option<Self> {
        FORGOTTEN
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if self.bytes.is_some() {
            let (bytes, client) = (self.bytes.take(), self.client.take());
            let mut forgotten = FORGOTTEN.lock().unwrap_or_else(PoisonError::into_inner);
            forgotten.push(Self { bytes, client });
        }
    }
}

impl std::fmt::Debug for Reading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reading")
    }
}

/// One workgroup joins what [`READERS`] units found: the next row of the picks, the token, and where it stands.
#[cube(launch_unchecked)]
fn settle(
    found: &[f32],
    picks: &mut [f32],
    token: &mut [u32],
    state: &mut [u32],
    #[comptime] units: usize,
) {
    let unit = UNIT_POS as usize;
    let mut best = nothing_found();
    for i in range_stepped(unit, READERS, units) {
        join_at(&mut best, found, i * FOUND, 1.0f32, false);
    }
    if comptime!(units > 1) {
        join_units(&mut best, unit, 1.0f32, units, false);
    }
    if unit == 0 {
        let step = state[1];
        tell(&best, picks, (step as usize % ROWS) * PICK);
        token[0] = best[1] as u32;
        state[0] += 1;
        state[1] = step + 1;
    }
}
