//! What of a pass's logits is brought to the host: all of a row, or on a GPU what its shortlist says.

use crate::Error;
#[cfg(feature = "gpu")]
use crate::shortlist::Shortlist;
use crate::tensor::Tensor;
#[cfg(feature = "gpu")]
use crate::tensor::{Int, TensorData};

/// What somebody wants to know of a row of logits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Need {
    Nothing,
    /// What tokens are drawn by at this temperature.
    #[cfg(feature = "gpu")]
    Short(f32),
    All,
}

/// What is known of a row of logits.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Row<'a> {
    #[cfg(feature = "gpu")]
    Short(&'a Shortlist),
    All(&'a [f32]),
}

/// What was brought to the host of the rows of a pass.
pub(crate) struct Rows {
    vocab: usize,
    /// Whole rows, one behind the other.
    whole: Vec<f32>,
    #[cfg(feature = "gpu")]
    of_gpu: Option<OfGpu>,
}

/// What a GPU was asked for.
#[cfg(feature = "gpu")]
struct OfGpu {
    lists: Vec<Shortlist>,
    places: Vec<Brought>,
}

/// Where a row is.
#[cfg(feature = "gpu")]
enum Brought {
    Nowhere,
    /// The number of its list.
    Short(usize),
    /// Its number among the whole ones.
    All(usize),
}

impl Rows {
    /// What `need` says of each row of `logits` `[rows, vocab]`; on a CPU, where they are, all of them.
    ///
    /// # Errors
    /// [`Error::Device`].
    pub(crate) async fn read(
        logits: &Tensor<2>,
        need: impl Fn(usize) -> Need,
    ) -> Result<Self, Error> {
        #[cfg(feature = "gpu")]
        if crate::gpu::runs_on(&logits.device()) {
            return Self::read_from_gpu(logits, need).await;
        }
        #[cfg(not(feature = "gpu"))]
        drop(need);
        Ok(Self {
            vocab: logits.dims()[1],
            whole: read(logits.clone()).await?,
            #[cfg(feature = "gpu")]
            of_gpu: None,
        })
    }

    /// All shortlists at once, and all whole rows.
    #[cfg(feature = "gpu")]
    async fn read_from_gpu(
        logits: &Tensor<2>,
        need: impl Fn(usize) -> Need,
    ) -> Result<Self, Error> {
        let [count, vocab] = logits.dims();
        let mut places = Vec::with_capacity(count);
        let mut whole = Vec::new();
        let mut temperatures = vec![1.0; count];
        let mut is_short = false;
        for (row, warmth) in temperatures.iter_mut().enumerate() {
            places.push(match need(row) {
                Need::Nothing => Brought::Nowhere,
                Need::Short(temperature) => {
                    is_short = true;
                    *warmth = temperature;
                    Brought::Short(row)
                }
                Need::All => {
                    whole.push(row as i32);
                    Brought::All(whole.len() - 1)
                }
            });
        }
        let lists = match is_short {
            true => {
                let lists = crate::gpu::shortlists(logits.clone(), &temperatures);
                Shortlist::all(&read(lists).await?)
            }
            false => Vec::new(),
        };
        let whole = match whole.len() {
            0 => Vec::new(),
            wanted if wanted == count => read(logits.clone()).await?,
            wanted => {
                let numbers = TensorData::new(whole, [wanted]);
                let numbers = Tensor::<1, Int>::from_data(numbers, &logits.device());
                read(logits.clone().select(0, numbers)).await?
            }
        };
        Ok(Self {
            vocab,
            whole,
            of_gpu: Some(OfGpu { lists, places }),
        })
    }

    /// What is known of the row with this number; None where nothing was needed.
    pub(crate) fn get(&self, row: usize) -> Option<Row<'_>> {
        let whole = |number: usize| self.whole.get(number * self.vocab..)?.get(..self.vocab);
        #[cfg(feature = "gpu")]
        if let Some(of_gpu) = &self.of_gpu {
            return match *of_gpu.places.get(row)? {
                Brought::Nowhere => None,
                Brought::Short(list) => of_gpu.lists.get(list).map(Row::Short),
                Brought::All(number) => whole(number).map(Row::All),
            };
        }
        whole(row).map(Row::All)
    }
}

impl Row<'_> {
    /// Whether all logits are numbers.
    pub(crate) fn is_finite(self) -> bool {
        match self {
            #[cfg(feature = "gpu")]
            Self::Short(list) => list.finite,
            // All of them are looked at, which is faster than to stop at the first.
            Self::All(logits) => logits.iter().fold(true, |all, l| all & l.is_finite()),
        }
    }
}

/// Brings logits to the host.
///
/// # Errors
/// [`Error::Device`].
pub(crate) async fn read(logits: Tensor<2>) -> Result<Vec<f32>, Error> {
    #[cfg(all(test, feature = "gpu"))]
    tests::hesitation().await;
    let data = logits.into_data_async().await;
    let data = data.map_err(|e| Error::Device(e.to_string()))?;
    let logits = data.convert::<f32>().try_to_vec::<f32>();
    logits.map_err(|e| Error::Device(e.to_string()))
}

#[cfg(all(test, feature = "gpu"))]
pub(crate) use tests::hesitate;

#[cfg(all(test, feature = "gpu"))]
mod tests {
    use std::cell::Cell;
    use std::task::Poll;

    thread_local! {
        static HESITATES: Cell<bool> = const { Cell::new(false) };
    }

    /// Whether reads of this thread let others wait once, as they do in a browser; natively they come at once.
    pub(crate) fn hesitate(yes: bool) {
        HESITATES.set(yes);
    }

    pub(super) async fn hesitation() {
        let mut waits = HESITATES.get();
        let once = |_: &mut std::task::Context<'_>| match std::mem::take(&mut waits) {
            true => Poll::Pending,
            false => Poll::Ready(()),
        };
        std::future::poll_fn(once).await;
    }
}
