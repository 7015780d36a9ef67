//! The likeliest token and how sure the model is of it, without bringing logits to the host.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use cubecl::client::Client;
use cubecl::prelude::*;

use super::{UNITS, count, empty, is_software, lower, lower_int};
use crate::Error;

/// Numbers of a pick: token id, log-probability, margin, entropy, and 0 if a logit was not finite. An id is
/// exact as f32: vocabularies are far below 2^24.
pub(crate) const PICK: usize = 5;
/// Units that look through a row of logits.
const READERS: usize = 4096;
/// Units that join what these find; a power of two.
const JOINERS: usize = 256;
/// What each of them finds: its largest logit, that one's id, its second largest logit, its sums of
/// `exp(l - largest)` and `exp(l - largest) (l - largest)`, and 0 if one was not finite.
const FOUND: usize = 6;
/// Below all logits, but finite: drivers may take for granted that nothing is not.
const LOWEST: f32 = -3.0e38;

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
        let found = empty(&logits, [READERS, FOUND]);
        // The buffers are written in place: clones of these tensors are read after the last step.
        let rows = lower(self.rows.clone());
        let (token, state) = (lower_int(self.token.clone()), lower_int(self.state.clone()));
        count();
        // SAFETY: each unit reads logits before `vocab` and writes its own numbers.
        #[allow(unsafe_code)]
        unsafe {
            look_through::launch_unchecked(
                &found.client.clone(),
                CubeCount::Static((READERS / UNITS) as u32, 1, 1),
                CubeDim::new_1d(UNITS as u32),
                logits.clone().into_buffer_arg(),
                found.clone().into_buffer_arg(),
                vocab as u32,
            );
        }
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

/// Each of [`READERS`] units looks at every so many-th logit.
#[cube(launch_unchecked)]
fn look_through(logits: &[f32], found: &mut [f32], vocab: u32) {
    let unit = ABSOLUTE_POS;
    let mut best = nothing_found();
    for i in range_stepped(unit, vocab as usize, READERS) {
        let logit = logits[i];
        // By its bits: comparisons with NaN are what drivers make of them.
        let finite = (u32::reinterpret(logit) & 0x7f80_0000u32) != 0x7f80_0000u32;
        join(
            &mut best,
            logit,
            i as f32,
            f32::new(LOWEST),
            1.0f32,
            0.0f32,
            select(finite, 1.0f32, 0.0f32),
        );
    }
    #[unroll]
    for i in 0..FOUND {
        found[unit * FOUND + i] = best[i];
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
        join_at(&mut best, found, i);
    }
    if comptime!(units > 1) {
        let mut shared = Shared::new_slice(comptime!(units * FOUND));
        #[unroll]
        for i in 0..FOUND {
            shared[unit * FOUND + i] = best[i];
        }
        #[unroll]
        for round in 0..comptime!(units.ilog2() as usize) {
            // Half as many units as had something join it with the other half's.
            let half = comptime!(units >> (round + 1));
            sync_cube();
            if unit < half {
                let other = unit + half;
                join(
                    &mut best,
                    shared[other * FOUND],
                    shared[other * FOUND + 1],
                    shared[other * FOUND + 2],
                    shared[other * FOUND + 3],
                    shared[other * FOUND + 4],
                    shared[other * FOUND + 5],
                );
                #[unroll]
                for i in 0..FOUND {
                    shared[unit * FOUND + i] = best[i];
                }
            }
        }
    }
    if unit == 0 {
        let log_sum = best[3].ln();
        let entropy = log_sum - best[4] / best[3];
        let step = state[1];
        let at = (step as usize % ROWS) * PICK;
        picks[at] = best[1];
        picks[at + 1] = -log_sum;
        picks[at + 2] = (1.0 - (best[2] - best[0]).exp()) / best[3];
        picks[at + 3] = max(entropy, 0.0f32);
        picks[at + 4] = best[5];
        token[0] = best[1] as u32;
        state[0] += 1;
        state[1] = step + 1;
    }
}

/// Adds what a unit found.
#[cube]
fn join_at(best: &mut Array<f32>, found: &[f32], unit: usize) {
    let at = unit * FOUND;
    join(
        best,
        found[at],
        found[at + 1],
        found[at + 2],
        found[at + 3],
        found[at + 4],
        found[at + 5],
    );
}

#[cube]
fn nothing_found() -> Array<f32> {
    let mut best = Array::<f32>::new(FOUND);
    best[0] = f32::new(LOWEST);
    best[1] = 0.0;
    best[2] = f32::new(LOWEST);
    best[3] = 0.0;
    best[4] = 0.0;
    best[5] = 1.0;
    best
}

/// Adds what was found in other logits. Of equals the first in the vocabulary is the likeliest.
#[cube]
fn join(
    best: &mut Array<f32>,
    largest: f32,
    id: f32,
    second: f32,
    sum: f32,
    weighted: f32,
    finite: f32,
) {
    let old = best[0];
    let new = max(old, largest);
    let better = largest > old || (largest == old && id < best[1]);
    best[1] = select(better, id, best[1]);
    best[2] = max(max(best[2], second), min(old, largest));
    let (old, other) = (
        max(old - new, f32::new(-1.0e4)),
        max(largest - new, f32::new(-1.0e4)),
    );
    let (by_old, by_other) = (old.exp(), other.exp());
    best[4] = by_old * (best[4] + best[3] * old) + by_other * (weighted + sum * other);
    best[3] = best[3] * by_old + sum * by_other;
    best[0] = new;
    best[5] = min(best[5], finite);
}
