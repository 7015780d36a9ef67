//! A grammar as the model crate sees it.

use llguidance::Matcher;
use sprat_model::{Constraint, Error};

/// One answer's place in its grammar.
pub(crate) struct Grammatical {
    matcher: Matcher,
}

impl Grammatical {
    pub(super) fn new(matcher: Matcher) -> Self {
        Self { matcher }
    }

    /// The same for another answer, which shares nothing with this one.
    pub(crate) fn again(&self) -> Self {
        Self::new(self.matcher.deep_clone())
    }
}

impl Constraint for Grammatical {
    fn forbid(&mut self, logits: &mut [f32]) -> Result<(), Error> {
        let allowed = self.matcher.compute_mask().map_err(|_| failed())?;
        let mut any = false;
        for (id, logit) in logits.iter_mut().enumerate() {
            if id < allowed.len() && allowed.get(id) {
                any = true;
            } else {
                *logit = f32::NEG_INFINITY;
            }
        }
        match any {
            true => Ok(()),
            false => Err(Error::Constraint("no token may come next".to_owned())),
        }
    }

    fn accept(&mut self, token: u32) -> Result<bool, Error> {
        self.matcher.consume_token(token).map_err(|_| failed())?;
        Ok(self.matcher.is_stopped())
    }
}

/// The library's own words may repeat what was said.
fn failed() -> Error {
    Error::Constraint("the grammar has become too complex".to_owned())
}
