//! Cross entropy over the tokens that count.

use burn::tensor::{Device, Int, Tensor, TensorData};
use sprat_model::{Decoder, cross_entropy};

use crate::dataset::Batch;

/// Some rows of a batch on their device.
pub(crate) struct Micro {
    /// `[rows, time]` token ids.
    inputs: Tensor<2, Int>,
    /// Positions in row-major order whose target counts, `[n]`; None when all do.
    counted: Option<Tensor<1, Int>>,
    /// `[n, 1]` token ids that should have been predicted at the counted positions.
    targets: Tensor<2, Int>,
    /// How many positions count.
    pub(crate) count: usize,
}

impl Micro {
    /// Rows `rows` of `batch`, whose rows are `time` tokens long.
    pub(crate) fn new(
        batch: &Batch,
        rows: std::ops::Range<usize>,
        time: usize,
        device: &Device,
    ) -> Self {
        let span = rows.start * time..rows.end * time;
        let mask = &batch.mask[span.clone()];
        let (mut counted, mut targets) = (Vec::new(), Vec::new());
        for (i, _) in mask.iter().enumerate().filter(|(_, counts)| **counts) {
            counted.push(i as i32);
            targets.push(batch.targets[span.start + i]);
        }
        let count = counted.len();
        let inputs = TensorData::new(batch.inputs[span].to_vec(), [rows.len(), time]);
        Self {
            inputs: Tensor::from_data(inputs, device),
            counted: (count < mask.len())
                .then(|| Tensor::from_data(TensorData::new(counted, [count]), device)),
            targets: Tensor::from_data(TensorData::new(targets, [count, 1]), device),
            count,
        }
    }

    /// `[n, vocab]` logits at the counted positions. The head is the widest product of a small
    /// model; in conversations most positions don't count, and are left out before it.
    fn logits(&self, decoder: &Decoder) -> Tensor<2> {
        let hidden = decoder.hidden(self.inputs.clone());
        let [rows, time, width] = hidden.dims();
        let hidden = hidden.reshape([rows * time, width]);
        decoder.logits(match &self.counted {
            Some(counted) => hidden.select(0, counted.clone()),
            None => hidden,
        })
    }

    /// Sum over the counted positions of -ln p(target), in nats: `[1]`.
    pub(crate) fn loss(&self, decoder: &Decoder) -> Tensor<1> {
        cross_entropy(self.logits(decoder), self.targets.clone())
    }
}
