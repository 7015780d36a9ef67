//! One batch's loss and gradient, its parts computed side by side on a CPU.

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Device, Tensor};
use rayon::ThreadPool;
use sprat_model::Decoder;

use super::loss::Micro;
use crate::dataset::Batch;
use crate::{Result, threads};

/// Computes gradients and losses of batches, cut into micro batches.
///
/// Much of a training step on the CPU is single-threaded in the backend, so whole micro batches
/// run in parallel, each on a pool of one thread. The sum over them is taken in order: the number
/// of threads does not change the result.
pub(crate) struct Workers {
    device: Device,
    pools: Vec<ThreadPool>,
    micro_rows: usize,
    time: usize,
}

impl Workers {
    /// For batches of `time`-token rows on `device` (with autodiff), `micro_rows` at once.
    pub(crate) fn new(device: &Device, micro_rows: usize, time: usize) -> Result<Self> {
        let pools = threads::pools(device)?;
        Ok(Self {
            device: device.clone(),
            pools,
            micro_rows,
            time,
        })
    }

    /// Mean loss over the counted tokens in nats, its gradient, and how many tokens counted.
    pub(crate) fn gradient(&self, decoder: &Decoder, batch: &Batch) -> (f32, GradientsParams) {
        let micros = self.cut(batch, &self.device);
        let count: usize = micros.iter().map(|micro| micro.count).sum();
        let scale = 1.0 / count.max(1) as f32;
        let parts = self.each(micros, decoder, move |micro, decoder| {
            let loss = micro.loss(decoder);
            let root = loss.clone().mul_scalar(scale);
            (
                read(loss),
                GradientsParams::from_grads(root.backward(), decoder),
            )
        });
        let mut total = 0.0;
        let mut sum = GradientsAccumulator::new();
        for (loss, gradients) in parts {
            total += loss;
            sum.accumulate(decoder, gradients);
        }
        ((total * f64::from(scale)) as f32, sum.grads())
    }

    /// Sum of the loss over the counted tokens in nats, and how many there were. No gradient.
    pub(crate) fn loss(&self, decoder: &Decoder, batch: &Batch) -> (f64, usize) {
        let micros = self.cut(batch, &self.device.clone().inner());
        let count = micros.iter().map(|micro| micro.count).sum();
        let losses = self.each(micros, &decoder.valid(), |micro, decoder| {
            read(micro.loss(decoder))
        });
        (losses.into_iter().sum(), count)
    }

    fn cut(&self, batch: &Batch, device: &Device) -> Vec<Micro> {
        let rows = batch.inputs.len() / self.time;
        (0..rows)
            .step_by(self.micro_rows)
            .map(|start| {
                Micro::new(
                    batch,
                    start..rows.min(start + self.micro_rows),
                    self.time,
                    device,
                )
            })
            .filter(|micro| micro.count > 0)
            .collect()
    }

    /// `work` on every micro batch; results in the order of the micro batches.
    fn each<T: Send>(
        &self,
        micros: Vec<Micro>,
        decoder: &Decoder,
        work: impl Fn(&Micro, &Decoder) -> T + Sync,
    ) -> Vec<T> {
        if self.pools.is_empty() || micros.len() < 2 {
            return micros.iter().map(|micro| work(micro, decoder)).collect();
        }
        let mut results: Vec<Option<T>> = Vec::new();
        results.resize_with(micros.len(), || None);
        let mut shares: Vec<Vec<(Micro, &mut Option<T>)>> = Vec::new();
        shares.resize_with(self.pools.len(), Vec::new);
        for (i, pair) in micros.into_iter().zip(&mut results).enumerate() {
            shares[i % self.pools.len()].push(pair);
        }
        let work = &work;
        std::thread::scope(|scope| {
            for (pool, share) in self.pools.iter().zip(shares) {
                // Own leaves per thread: shared ones would tie the threads' graphs together.
                let decoder = decoder.clone().fork(&decoder.devices()[0]);
                scope.spawn(move || {
                    pool.install(|| {
                        for (micro, result) in share {
                            *result = Some(work(&micro, &decoder));
                        }
                    });
                });
            }
        });
        results.into_iter().flatten().collect()
    }
}

fn read(loss: Tensor<1>) -> f64 {
    loss.into_data()
        .iter::<f32>()
        .next()
        .map_or(f64::NAN, f64::from)
}
