//! Private is a type. The cloud client takes only a [`Releasable`], and there are two ways to get
//! one: from an open conversation, by showing a [`Decision`] of the policy that sends this question
//! to the cloud; and from one that must be asked about, by showing the [`Consent`] of the person too.
//!
//! ```text
//! Conversation<Open, T> ──release(&Decision)──▶ Releasable<Vec<T>> ──▶ the cloud
//!        │ raise, join                                   ▲
//!        ▼                                               │
//! Conversation<Ask, T> ──offer──▶ Offer ──accept──▶ Consent, used up by release_with
//!        │ raise, join
//!        ▼
//! Conversation<Private, T> ── on_device() ──▶ the local model; there is no way back
//! ```
//!
//! A level only rises: joining anything with a private conversation gives a private one, the
//! [detector](crate::detect) can raise and nothing else, and [`Taint`] recognizes turns that a caller
//! sends again later. Nothing here prints a turn: `Debug` tells how many there are.

use core::fmt;
use std::marker::PhantomData;

use serde::{Deserialize, Serialize, Serializer};

mod consent;
mod taint;

pub use consent::{Consent, Offer};
pub use taint::Taint;

use crate::Error;
use crate::detect::Findings;
use crate::policy::{ConsentState, Decision};

/// How private a conversation is. They are ordered: what is put together has the higher level, and a
/// level only ever rises.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// May leave the device, if the policy says so.
    #[default]
    Open,
    /// The person is asked each time, and shown exactly what would be sent.
    Ask,
    /// Never leaves the device.
    Private,
}

/// The caller's flag: private or not.
impl From<bool> for Level {
    fn from(private: bool) -> Self {
        if private { Self::Private } else { Self::Open }
    }
}

/// Marks a conversation that may leave the device.
#[derive(Clone, Copy, Debug)]
pub enum Open {}

/// Marks a conversation about which the person is asked before anything of it leaves the device.
#[derive(Clone, Copy, Debug)]
pub enum Ask {}

/// Marks a conversation that must not leave the device.
#[derive(Clone, Copy, Debug)]
pub enum Private {}

/// [`Open`], [`Ask`] or [`Private`]; nothing else can be one.
///
/// ```compile_fail,E0277
/// enum Declassified {}
/// impl sprat_route::privacy::State for Declassified {
///     const LEVEL: sprat_route::privacy::Level = sprat_route::privacy::Level::Open;
/// }
/// ```
pub trait State: sealed::State {
    /// How private conversations in this state are.
    const LEVEL: Level;
}

impl State for Open {
    const LEVEL: Level = Level::Open;
}

impl State for Ask {
    const LEVEL: Level = Level::Ask;
}

impl State for Private {
    const LEVEL: Level = Level::Private;
}

mod sealed {
    pub trait State {}
    impl State for super::Open {}
    impl State for super::Ask {}
    impl State for super::Private {}
}

/// Proof that the policy hands a question to the cloud that is open, or that the person agreed to. Lives inside a
/// [`Decision`]; only the policy's interpreter makes one.
#[derive(Clone, PartialEq)]
pub(crate) struct Permit(());

impl Permit {
    /// For [`crate::policy::decide`] alone.
    pub(crate) fn grant() -> Self {
        Self(())
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permit")
    }
}

/// The turns of a conversation, in a type that knows whether they may leave.
pub struct Conversation<S: State, T> {
    turns: Vec<T>,
    state: PhantomData<S>,
}

impl<S: State, T> Conversation<S, T> {
    /// Without turns.
    pub fn new() -> Self {
        Self::from_turns(Vec::new())
    }

    /// Of these turns.
    pub fn from_turns(turns: Vec<T>) -> Self {
        Self {
            turns,
            state: PhantomData,
        }
    }

    /// Adds a turn.
    pub fn push(&mut self, turn: T) {
        self.turns.push(turn);
    }

    /// Number of turns.
    pub fn len(&self) -> usize {
        self.turns.len()
    }

    /// Whether there is no turn.
    pub fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// Whether it must stay on the device.
    pub fn is_private(&self) -> bool {
        S::LEVEL == Level::Private
    }

    /// The turns, for the model on this device. Nothing derived from a private conversation's
    /// turns may be sent, stored or logged.
    pub fn on_device(&self) -> &[T] {
        &self.turns
    }

    /// The same conversation, from now on private. There is no way back.
    pub fn into_private(self) -> Conversation<Private, T> {
        Conversation::from_turns(self.turns)
    }
}

impl<T> Conversation<Open, T> {
    /// The same conversation, from now on one that the person must be asked about. There is no way
    /// back.
    pub fn into_ask(self) -> Conversation<Ask, T> {
        Conversation::from_turns(self.turns)
    }
}

impl<T: Clone> Conversation<Open, T> {
    /// The turns, for the cloud.
    ///
    /// # Errors
    /// [`Error::NotReleased`] unless the decision calls the cloud for an open question.
    pub fn release(&self, decision: &Decision) -> Result<Releasable<Vec<T>>, Error> {
        match decision.permit() {
            Some(Permit(())) => Ok(Releasable(self.turns.clone())),
            None => Err(decision.not_released()),
        }
    }
}

impl<S: State, T> Default for Conversation<S, T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: State, T: Clone> Clone for Conversation<S, T> {
    fn clone(&self) -> Self {
        Self::from_turns(self.turns.clone())
    }
}

impl<S: State, T> fmt::Debug for Conversation<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let turns = self.turns.len();
        write!(f, "Conversation<{:?}>({turns} turns, redacted)", S::LEVEL)
    }
}

/// Which state two conversations have when put together: the more private of the two.
pub trait Join<Other: State>: State {
    /// The state of both together.
    type Output: State;
}

impl<Other: State> Join<Other> for Open {
    type Output = Other;
}

impl Join<Open> for Ask {
    type Output = Ask;
}

impl Join<Ask> for Ask {
    type Output = Ask;
}

impl Join<Private> for Ask {
    type Output = Private;
}

impl<Other: State> Join<Other> for Private {
    type Output = Private;
}

/// One conversation of two, the turns of `before` first.
pub fn join<A: Join<B>, B: State, T>(
    before: Conversation<A, T>,
    after: Conversation<B, T>,
) -> Conversation<A::Output, T> {
    let mut turns = before.turns;
    turns.extend(after.turns);
    Conversation::from_turns(turns)
}

/// What may be sent to the cloud, and the only thing a cloud client should take. Serializes as its
/// content; prints nothing of it.
#[derive(Clone, PartialEq)]
pub struct Releasable<T>(T);

impl<T> Releasable<T> {
    /// What is released.
    pub fn get(&self) -> &T {
        &self.0
    }

    /// What is released, by value.
    pub fn into_inner(self) -> T {
        self.0
    }

    /// The same with what the device has made of it, and of nothing else: the beginning of an answer.
    pub fn with<U>(self, made: U) -> Releasable<(T, U)> {
        Releasable((self.0, made))
    }
}

impl<T: Serialize> Serialize for Releasable<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<T> fmt::Debug for Releasable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Releasable(redacted)")
    }
}

/// A conversation whose level is known only when the program runs.
#[derive(Clone)]
pub enum Thread<T> {
    /// May leave, if the policy says so.
    Open(Conversation<Open, T>),
    /// May leave, if the policy and the person say so.
    Ask(Conversation<Ask, T>),
    /// Must stay.
    Private(Conversation<Private, T>),
}

impl<T> Thread<T> {
    /// Of these turns, at the level that the caller says: a [`Level`], or `true` for private.
    pub fn new(turns: Vec<T>, level: impl Into<Level>) -> Self {
        let mut thread = Self::Open(Conversation::from_turns(turns));
        thread.raise(level);
        thread
    }

    /// Adds a turn. Its level, if higher, becomes the whole thread's, for good; a lower one changes
    /// nothing.
    pub fn push(&mut self, turn: T, level: impl Into<Level>) {
        self.raise(level);
        match self {
            Self::Open(conversation) => conversation.push(turn),
            Self::Ask(conversation) => conversation.push(turn),
            Self::Private(conversation) => conversation.push(turn),
        }
    }

    /// Raises the level to this one, for good. A lower one changes nothing, and nothing else changes
    /// a level.
    pub fn raise(&mut self, level: impl Into<Level>) {
        let level = level.into();
        if level <= self.level() {
            return;
        }
        let turns = match self {
            Self::Open(conversation) => core::mem::take(&mut conversation.turns),
            Self::Ask(conversation) => core::mem::take(&mut conversation.turns),
            Self::Private(_) => return,
        };
        *self = match level {
            Level::Open => Self::Open(Conversation::from_turns(turns)),
            Level::Ask => Self::Ask(Conversation::from_turns(turns)),
            Level::Private => Self::Private(Conversation::from_turns(turns)),
        };
    }

    /// Raises the level to what the detector's findings call for.
    pub fn raise_for(&mut self, findings: &Findings) {
        self.raise(findings.level());
    }

    /// Makes the thread private, for good.
    pub fn keep_private(&mut self) {
        self.raise(Level::Private);
    }

    /// How private it is.
    pub fn level(&self) -> Level {
        match self {
            Self::Open(_) => Level::Open,
            Self::Ask(_) => Level::Ask,
            Self::Private(_) => Level::Private,
        }
    }

    /// Whether it must stay on the device.
    pub fn is_private(&self) -> bool {
        self.level() == Level::Private
    }

    /// What the policy is to know at first about the person's consent. About what is private nobody
    /// is asked: that is as good as a no.
    pub fn consent(&self) -> ConsentState {
        match self.level() {
            Level::Open => ConsentState::NotNeeded,
            Level::Ask => ConsentState::Missing,
            Level::Private => ConsentState::Refused,
        }
    }

    /// The turns, for the model on this device; see [`Conversation::on_device`].
    pub fn on_device(&self) -> &[T] {
        match self {
            Self::Open(conversation) => conversation.on_device(),
            Self::Ask(conversation) => conversation.on_device(),
            Self::Private(conversation) => conversation.on_device(),
        }
    }
}

impl<T: Clone> Thread<T> {
    /// The turns, for the cloud.
    ///
    /// # Errors
    /// [`Error::Private`] for a private thread and [`Error::NoConsent`] for one that the person must
    /// be asked about, whatever the decision says, and as [`Conversation::release`] for an open one.
    pub fn release(&self, decision: &Decision) -> Result<Releasable<Vec<T>>, Error> {
        match self {
            Self::Open(conversation) => conversation.release(decision),
            Self::Ask(_) => Err(Error::NoConsent),
            Self::Private(_) => Err(Error::Private),
        }
    }

    /// What the person is to be shown; see [`Conversation::offer`].
    ///
    /// # Errors
    /// [`Error::Private`] for a private thread, [`Error::NotReleased`] for an open one, which needs no
    /// offer, and as [`Conversation::offer`].
    pub fn offer(&self, decision: &Decision, to: impl Into<String>) -> Result<Offer<T>, Error> {
        match self {
            Self::Open(_) => Err(decision.not_released()),
            Self::Ask(conversation) => conversation.offer(decision, to),
            Self::Private(_) => Err(Error::Private),
        }
    }
}

impl<T: PartialEq> Thread<T> {
    /// The turns that the person agreed to send; see [`Conversation::release_with`].
    ///
    /// # Errors
    /// [`Error::Private`] for a private thread whatever was agreed to, [`Error::OtherConsent`] for an
    /// open one, and as [`Conversation::release_with`].
    pub fn release_with(
        &self,
        decision: &Decision,
        consent: Consent<T>,
        to: &str,
    ) -> Result<Releasable<Vec<T>>, Error> {
        match self {
            Self::Open(_) => Err(Error::OtherConsent),
            Self::Ask(conversation) => conversation.release_with(decision, consent, to),
            Self::Private(_) => Err(Error::Private),
        }
    }
}

impl<T> fmt::Debug for Thread<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(conversation) => conversation.fmt(f),
            Self::Ask(conversation) => conversation.fmt(f),
            Self::Private(conversation) => conversation.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests;
