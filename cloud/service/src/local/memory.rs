//! Which models make way for another one.

use std::time::Instant;

/// A model that is in memory.
#[derive(Clone, Debug)]
pub(super) struct Resident {
    pub(super) index: usize,
    pub(super) bytes: u64,
    /// Whether answers are in progress.
    pub(super) busy: bool,
    /// When it was last asked, or wrote.
    pub(super) used: Instant,
}

/// The models that must go so that `needed` more bytes keep within `budget`: those without work first, the ones that were
/// used longest ago first, and no more than it takes. All of them, if not even that is enough.
pub(super) fn victims(mut residents: Vec<Resident>, needed: u64, budget: u64) -> Vec<Resident> {
    residents.sort_by_key(|resident| (resident.busy, resident.used));
    let mut used: u64 = residents.iter().map(|resident| resident.bytes).sum();
    let mut count = 0;
    for resident in &residents {
        if used.saturating_add(needed) <= budget {
            break;
        }
        used -= resident.bytes;
        count += 1;
    }
    residents.truncate(count);
    residents
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn residents(models: &[(u64, bool, u64)]) -> Vec<Resident> {
        let start = Instant::now();
        let resident = |(index, &(bytes, busy, age)): (usize, &(u64, bool, u64))| Resident {
            index,
            bytes,
            busy,
            used: start - Duration::from_secs(age),
        };
        models.iter().enumerate().map(resident).collect()
    }

    fn go(models: &[(u64, bool, u64)], needed: u64, budget: u64) -> Vec<usize> {
        let victims = victims(residents(models), needed, budget);
        victims.iter().map(|victim| victim.index).collect()
    }

    #[test]
    fn the_least_recently_used_go_first_and_those_with_work_last() {
        let models = [(4, false, 1), (4, false, 3), (4, true, 9), (4, false, 2)];
        assert_eq!(go(&models, 4, 20), [0usize; 0]);
        assert_eq!(go(&models, 4, 16), [1]);
        assert_eq!(go(&models, 8, 16), [1, 3]);
        assert_eq!(go(&models, 16, 16), [1, 3, 0, 2]);
        assert_eq!(go(&models, 17, 16), [1, 3, 0, 2]);
        assert_eq!(go(&[], 4, 4), [0usize; 0]);
    }

    proptest! {
        #[test]
        fn as_many_as_it_takes_and_no_more(
            models in proptest::collection::vec((1u64..9, any::<bool>(), 0u64..5), 0..6),
            needed in 0u64..20,
            budget in 20u64..40,
        ) {
            let gone = go(&models, needed, budget);
            let left = |gone: &[usize]| -> u64 {
                let models = models.iter().enumerate();
                models.filter(|(i, _)| !gone.contains(i)).map(|(_, model)| model.0).sum()
            };
            prop_assert!(left(&gone) + needed <= budget);
            if let Some((_, fewer)) = gone.split_last() {
                prop_assert!(left(fewer) + needed > budget);
            }
            let idle_left = (0..models.len()).any(|i| !models[i].1 && !gone.contains(&i));
            let busy_gone = gone.iter().any(|&i| models[i].1);
            prop_assert!(!(idle_left && busy_gone));
        }
    }
}
