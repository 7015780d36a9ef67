//! Threads for work that is parallel in itself.

use std::sync::atomic::{AtomicUsize, Ordering};

use burn::tensor::Device;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::{Error, Result};

/// On the CPU one pool of one thread per core, so that what runs inside a pool does not spread
/// over the others; none on a device that has one queue anyway, or on one core.
pub(crate) fn pools(device: &Device) -> Result<Vec<ThreadPool>> {
    let cores = match is_cpu(device) {
        true => std::thread::available_parallelism().map_or(1, usize::from),
        false => 1,
    };
    if cores < 2 {
        return Ok(Vec::new());
    }
    let pool = |_| ThreadPoolBuilder::new().num_threads(1).build();
    (0..cores)
        .map(pool)
        .collect::<std::result::Result<_, _>>()
        .map_err(|e| Error::Io {
            action: "start",
            path: "threads".into(),
            source: std::io::Error::other(e),
        })
}

/// What `work` makes of the numbers below `count`, in their order. Whichever pool is free takes the next one; `begin` makes
/// what each needs for itself, such as a copy of a model. None as soon as `work` says none.
///
/// # Errors
/// The first one of `begin` or `work`; [`Error::Io`] if a thread panicked.
pub(crate) fn share_out<S, T: Send>(
    pools: &[ThreadPool],
    count: usize,
    begin: impl Fn() -> Result<S> + Sync,
    work: impl Fn(&mut S, usize) -> Result<Option<T>> + Sync,
) -> Result<Option<Vec<T>>> {
    let next = AtomicUsize::new(0);
    let share = || {
        let (mut own, mut done) = (begin()?, Vec::new());
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            if i >= count {
                return Ok(done);
            }
            match work(&mut own, i) {
                Ok(Some(made)) => done.push((i, made)),
                other => {
                    // The others have no use for what is left.
                    next.store(count, Ordering::Relaxed);
                    return other.map(|_| done);
                }
            }
        }
    };
    let shares: Vec<Result<Vec<(usize, T)>>> = match pools {
        [] => vec![share()],
        pools => std::thread::scope(|scope| {
            let started = pools.iter().map(|pool| scope.spawn(|| pool.install(share)));
            let started: Vec<_> = started.collect();
            let stopped = |_| {
                Err(Error::Io {
                    action: "go on with",
                    path: "a thread".into(),
                    source: std::io::Error::other("it stopped"),
                })
            };
            let joined = started.into_iter().map(|thread| thread.join());
            joined
                .map(|result| result.unwrap_or_else(stopped))
                .collect()
        }),
    };
    let mut all = Vec::with_capacity(count);
    for share in shares {
        all.extend(share?);
    }
    all.sort_by_key(|(i, _)| *i);
    let whole = all.len() == count;
    Ok(whole.then(|| all.into_iter().map(|(_, made)| made).collect()))
}

#[cfg(feature = "flex")]
pub(crate) fn is_cpu(device: &Device) -> bool {
    device.clone().inner() == Device::flex()
}

#[cfg(not(feature = "flex"))]
pub(crate) fn is_cpu(_device: &Device) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_worked_on_once_and_in_its_place() {
        for pools in [Vec::new(), pools(&Device::flex()).unwrap()] {
            let squares = share_out(&pools, 100, || Ok(()), |(), i| Ok(Some(i * i))).unwrap();
            assert_eq!(
                squares.unwrap(),
                (0..100).map(|i| i * i).collect::<Vec<_>>()
            );
            let none = share_out(&pools, 100, || Ok(()), |(), i| Ok((i != 50).then_some(i)));
            assert!(none.unwrap().is_none());
            let wrong = |(): &mut (), i| match i {
                7 => Err(Error::Mixture("seven".into())),
                i => Ok(Some(i)),
            };
            let error = share_out(&pools, 100, || Ok(()), wrong).unwrap_err();
            assert!(error.to_string().contains("seven"));
            assert_eq!(
                share_out(&pools, 0, || Ok(()), |(), i| Ok(Some(i))).unwrap(),
                Some(vec![])
            );
        }
    }
}
