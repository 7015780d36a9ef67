//! Asking the person: what is shown, and what a yes is good for.

use core::fmt;

use super::{Ask, Conversation, Permit, Releasable};
use crate::{Error, policy::Decision};

/// Exactly what would be sent, to whom and why: for the person to see. It stays on the device.
///
/// A yes, [`Offer::accept`], makes it a [`Consent`]; for a no it is dropped.
pub struct Offer<T> {
    turns: Vec<T>,
    to: String,
    reason: String,
}

impl<T> Offer<T> {
    /// The turns that would be sent, and nothing but these.
    pub fn turns(&self) -> &[T] {
        &self.turns
    }

    /// Who would get them.
    pub fn to(&self) -> &str {
        &self.to
    }

    /// Why, in one sentence.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The person said yes to this. Call it for nothing else than what a person did.
    pub fn accept(self) -> Consent<T> {
        Consent(self)
    }
}

impl<T> fmt::Debug for Offer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Offer({} turns, redacted)", self.turns.len())
    }
}

/// The person's yes to one [`Offer`]. It holds what was shown, and that is what
/// [`Conversation::release_with`] releases: nothing else can be sent under it. It cannot be copied, and
/// a release uses it up.
pub struct Consent<T>(Offer<T>);

impl<T> fmt::Debug for Consent<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Consent({} turns, redacted)", self.0.turns.len())
    }
}

impl<T: Clone> Conversation<Ask, T> {
    /// What the person is to be shown before this goes to `to`.
    ///
    /// # Errors
    /// [`Error::NotReleased`] unless the decision is to ask.
    pub fn offer(&self, decision: &Decision, to: impl Into<String>) -> Result<Offer<T>, Error> {
        if !decision.may_offer() {
            return Err(decision.not_released());
        }
        Ok(Offer {
            turns: self.turns.clone(),
            to: to.into(),
            reason: decision.reason.clone(),
        })
    }
}

impl<T: PartialEq> Conversation<Ask, T> {
    /// The turns that the person agreed to send to `to`: those that were shown.
    ///
    /// # Errors
    /// [`Error::NotReleased`] unless the decision calls the cloud, [`Error::OtherConsent`] if the
    /// conversation has changed since the person agreed, or was to go to somebody else.
    pub fn release_with(
        &self,
        decision: &Decision,
        consent: Consent<T>,
        to: &str,
    ) -> Result<Releasable<Vec<T>>, Error> {
        let Some(Permit(())) = decision.permit() else {
            return Err(decision.not_released());
        };
        let Consent(shown) = consent;
        if shown.turns != self.turns || shown.to != to {
            return Err(Error::OtherConsent);
        }
        Ok(Releasable(shown.turns))
    }
}
