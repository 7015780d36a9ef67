//! The keys and values of a text as bytes, to be kept somewhere and taken up again.
//!
//! ```text
//! "sprat-kv" | version | model's fingerprint [32] | tokens | length that the text was going to have
//! for each hop:  heads, width of keys, width of values, bytes of a number;  or 0, rows, width, bytes of a state
//! the tokens
//! for each hop:  keys [heads, tokens, width], values the same;  or the state of a convolution [rows, width]
//! SHA-256 of all of it [32]
//! ```
//!
//! Sizes and tokens are `u32`, and all numbers little-endian. Nothing is believed: what does not agree with the cache that
//! takes it, to the byte, is refused before anything is written.

use crate::tensor::{DType, Device, Tensor, TensorData};
use sha2::{Digest, Sha256};

use super::{KvCache, LayerCache};
use crate::Error;

const MAGIC: &[u8; 8] = b"sprat-kv";
/// Changes with the format, and with what the numbers mean: how keys are turned, or normed.
const VERSION: u32 = 1;

/// SHA-256 of what decides a model's keys and values.
pub type Fingerprint = [u8; 32];

impl KvCache {
    /// All that it holds, which are the keys and values of `tokens` by the model of this fingerprint, as bytes for
    /// [`KvCache::import`].
    ///
    /// # Errors
    /// [`Error::Prompt`] if it holds nothing, or not as many as `tokens`; [`Error::Device`].
    pub async fn export(&mut self, model: &Fingerprint, tokens: &[u32]) -> Result<Vec<u8>, Error> {
        if tokens.is_empty() || tokens.len() != self.len {
            let (given, held) = (tokens.len(), self.len);
            return Err(Error::Prompt(format!("{given} tokens, and keys of {held}")));
        }
        let layout = self.layout();
        let mut out = Vec::with_capacity(128 + layout.len() + self.body_bytes(tokens.len()));
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(model);
        let expected = u32::try_from(self.expected).unwrap_or(u32::MAX);
        for number in [tokens.len() as u32, expected] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&layout);
        for token in tokens {
            out.extend_from_slice(&token.to_le_bytes());
        }
        let len = self.len;
        for layer in self.layers_mut() {
            match layer {
                LayerCache::Rows(seat) => {
                    for rows in seat.read(0..len) {
                        append(&mut out, rows).await?;
                    }
                }
                LayerCache::State(state) => append(&mut out, state.clone()).await?,
            }
        }
        let sum = Sha256::digest(&out);
        out.extend_from_slice(&sum);
        Ok(out)
    }

    /// Holds what [`KvCache::export`] gave of the same model, in the place of what it held; returns its tokens.
    ///
    /// # Errors
    /// [`Error::CacheForeign`] for another model's, version's or element type's, [`Error::CacheDamaged`] for what is not
    /// whole; nothing has changed then. [`Error::CacheFull`] in a pool without room; the cache is then empty.
    pub fn import(
        &mut self,
        model: &Fingerprint,
        bytes: &[u8],
        device: &Device,
    ) -> Result<Vec<u32>, Error> {
        let mut rest = opened(bytes)?;
        if take(&mut rest, model.len())? != model {
            return Err(Error::CacheForeign("another model's"));
        }
        let (len, expected) = (size(&mut rest)?, size(&mut rest)?);
        let layout = self.layout();
        if rest.get(..layout.len()) != Some(&*layout) {
            return Err(Error::CacheForeign("laid out in another way"));
        }
        take(&mut rest, layout.len())?;
        // As many positions as bytes at least: no product below overflows.
        if len == 0 || len > rest.len() || rest.len() != self.body_bytes(len) {
            return Err(Error::CacheDamaged("it has not as many bytes as it says"));
        }
        self.truncate(0);
        self.expected = expected;
        self.reserve(len)?;
        let tokens = take(&mut rest, 4 * len)?.chunks_exact(4);
        let tokens = tokens.map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        for layer in self.layers_mut() {
            match layer {
                LayerCache::Rows(seat) => {
                    let [keys, values] = seat.shapes(len);
                    let keys = tensor(&mut rest, keys, seat.dtype(), device)?;
                    let values = tensor(&mut rest, values, seat.dtype(), device)?;
                    seat.write(keys, values, 0);
                }
                LayerCache::State(state) => {
                    *state = tensor(&mut rest, state.dims(), DType::F32, device)?;
                }
            }
        }
        self.advance(len);
        Ok(tokens.collect())
    }

    /// What the memory of each hop is like.
    fn layout(&mut self) -> Vec<u8> {
        let layers = self.layers_mut().flat_map(|layer| match layer {
            LayerCache::Rows(seat) => {
                let [[_, heads, _, keys], [.., values]] = seat.shapes(0);
                [heads, keys, values, seat.dtype().size()]
            }
            LayerCache::State(state) => {
                let [_, rows, width] = state.dims();
                [0, rows, width, DType::F32.size()]
            }
        });
        layers.flat_map(|n| (n as u32).to_le_bytes()).collect()
    }

    /// Bytes between layout and checksum for so many tokens.
    fn body_bytes(&self, tokens: usize) -> usize {
        let states = self
            .states
            .iter()
            .map(|state| state.dims().iter().product::<usize>());
        let states = states.sum::<usize>() * DType::F32.size();
        let of_token = self.bytes_per_token() + size_of::<u32>();
        tokens.saturating_mul(of_token).saturating_add(states)
    }
}

/// What stands between version and checksum, if the bytes are whole.
fn opened(bytes: &[u8]) -> Result<&[u8], Error> {
    let cut_off = Error::CacheDamaged("it is cut off, or something else");
    let (body, sum) = bytes.split_last_chunk::<32>().ok_or(cut_off.clone())?;
    let mut rest = body.strip_prefix(MAGIC).ok_or(cut_off)?;
    if size(&mut rest)? != VERSION as usize {
        return Err(Error::CacheForeign("another version's"));
    }
    match Sha256::digest(body).as_slice() == sum {
        true => Ok(rest),
        false => Err(Error::CacheDamaged("its checksum is another")),
    }
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8], Error> {
    let taken = rest.split_off(..len);
    taken.ok_or(Error::CacheDamaged("it ends too early"))
}

fn size(rest: &mut &[u8]) -> Result<usize, Error> {
    let bytes = take(rest, size_of::<u32>())?;
    let bytes = bytes.try_into().unwrap_or_default();
    Ok(u32::from_le_bytes(bytes) as usize)
}

/// Adds a tensor's numbers as they are.
async fn append<const D: usize>(out: &mut Vec<u8>, tensor: Tensor<D>) -> Result<(), Error> {
    let data = tensor.into_data_async().await;
    let data = data.map_err(|e| Error::Device(e.to_string()))?;
    out.extend_from_slice(data.as_bytes());
    Ok(())
}

/// A tensor of the next numbers.
fn tensor<const D: usize>(
    rest: &mut &[u8],
    shape: [usize; D],
    dtype: DType,
    device: &Device,
) -> Result<Tensor<D>, Error> {
    let bytes = take(rest, shape.iter().product::<usize>() * dtype.size())?;
    // Bytes from anywhere are not aligned as numbers must be.
    #[cfg(all(feature = "burn", not(target_arch = "wasm32")))]
    if dtype == DType::F16 {
        let numbers = bytes.chunks_exact(2);
        let numbers = numbers.map(|b| half::f16::from_le_bytes([b[0], b[1]]));
        let data = TensorData::new(numbers.collect::<Vec<_>>(), shape);
        return Ok(Tensor::from_data(data, (device, dtype)));
    }
    let numbers = bytes.chunks_exact(4);
    let numbers = numbers.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let data = TensorData::new(numbers.collect::<Vec<_>>(), shape);
    Ok(Tensor::from_data(data, device))
}
