//! CMA-ES that begins anew where it has come to its end.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::random::point_in;
use super::{CmaEs, Optimizer, Start};
use crate::Result;

/// CMA-ES with restarts: each with twice the population of the last, from a point drawn from the bounds
/// (IPOP; A. Auger and N. Hansen, CEC 2005), or from the same point where there are none.
pub struct Restarts {
    start: Start,
    search: CmaEs,
    random: ChaCha8Rng,
    restarts: usize,
}

impl Restarts {
    /// A search whose first run begins at `start`.
    ///
    /// # Errors
    /// As [`CmaEs::new`].
    pub fn new(start: Start) -> Result<Self> {
        let search = CmaEs::new(start.clone())?;
        Ok(Self {
            random: ChaCha8Rng::seed_from_u64(!start.seed),
            start: Start {
                population: Some(search.population()),
                ..start
            },
            search,
            restarts: 0,
        })
    }

    /// The run that is under way.
    pub fn search(&self) -> &CmaEs {
        &self.search
    }

    /// How often it has begun anew.
    pub fn restarts(&self) -> usize {
        self.restarts
    }
}

impl Optimizer for Restarts {
    fn ask(&mut self) -> Vec<Vec<f64>> {
        self.search.ask()
    }

    fn tell(&mut self, costs: &[f64]) -> Result<()> {
        self.search.tell(costs)?;
        if self.search.is_done() {
            self.restarts += 1;
            self.start.seed = self.start.seed.wrapping_add(1);
            self.start.population = Some(2 * self.search.population());
            if let Some(bounds) = &self.start.bounds {
                self.start.mean = point_in(bounds, &mut self.random);
            }
            self.search = CmaEs::new(self.start.clone())?;
        }
        Ok(())
    }

    fn center(&self) -> Option<Vec<f64>> {
        self.search.center()
    }
}
