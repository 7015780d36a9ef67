//! Where passes over one text and over several stand.

use super::{Decoder, Part};
use crate::Error;
use crate::cache::KvCache;
#[cfg(feature = "gpu")]
use crate::pass::Place;
use crate::pass::{Pass, Passes};
use crate::tensor::Device;

impl Decoder {
    /// A pass over so many positions behind those that `cache` holds, which gets room for them.
    pub(super) fn pass(
        &self,
        time: usize,
        cache: &mut KvCache,
        device: &Device,
    ) -> Result<Pass<'_>, Error> {
        #[allow(unused_mut, reason = "only a GPU has a place")]
        let mut pass = self.pass_without_place(time, cache, device)?;
        #[cfg(feature = "gpu")]
        self.place(&mut pass, cache, device);
        Ok(pass)
    }

    fn pass_without_place(
        &self,
        time: usize,
        cache: &mut KvCache,
        device: &Device,
    ) -> Result<Pass<'_>, Error> {
        let start = cache.len();
        cache.reserve(start + time)?;
        let length = cache.length_of(start + time);
        Ok(Pass::new(&self.config, start, time, length, device))
    }

    /// Tells the kernels of a GPU where a pass over one text stands.
    #[cfg(feature = "gpu")]
    fn place(&self, pass: &mut Pass<'_>, cache: &mut KvCache, device: &Device) {
        if crate::gpu::runs_on(device) {
            let length = cache.length_of(pass.start + pass.time);
            let angles = cache.angles(&self.config.ropes, length, device);
            let table = (!cache.is_plain()).then(|| cache.table_there(device));
            pass.place = Some(Place::new(angles, pass.start, pass.time, table, device));
        }
    }

    /// The passes over the new tokens of several texts, which get room for them.
    pub(super) fn passes(
        &self,
        parts: &mut [Part<'_>],
        device: &Device,
    ) -> Result<Passes<'_>, Error> {
        let each = parts
            .iter_mut()
            .map(|part| self.pass_without_place(part.tokens.len(), part.cache, device));
        #[allow(unused_mut, reason = "only a GPU has a place")]
        let mut passes = Passes {
            each: each.collect::<Result<_, _>>()?,
            place: None,
        };
        #[cfg(feature = "gpu")]
        if crate::gpu::runs_on(device) {
            passes.place = self.place_of_all(&passes.each, parts, device);
            if passes.place.is_none() {
                for (pass, part) in passes.each.iter_mut().zip(parts) {
                    self.place(pass, part.cache, device);
                }
            }
        }
        Ok(passes)
    }

    /// Where all texts stand; none if they are not of one pool, or if their heads are turned by different angles.
    #[cfg(feature = "gpu")]
    fn place_of_all(
        &self,
        passes: &[Pass<'_>],
        parts: &[Part<'_>],
        device: &Device,
    ) -> Option<Place> {
        let first = &parts.first()?.cache;
        let lengths = passes.iter().zip(parts);
        let mut lengths = lengths.map(|(pass, part)| part.cache.length_of(pass.start + pass.time));
        let length = lengths.next()?;
        let alike = |other| (self.config.ropes.iter()).all(|rope| rope.is_alike(length, other));
        let beside = |part: &Part<'_>| first.is_beside(part.cache);
        if !lengths.all(alike) || !parts.iter().all(beside) {
            return None;
        }
        let texts = passes.iter().zip(parts);
        let texts: Vec<_> = texts
            .map(|(pass, part)| (pass.start, pass.time, part.cache.pages()))
            .collect();
        let angles = first.angles(&self.config.ropes, length, device);
        Some(Place::of_several(angles, &texts, device))
    }
}
