//! Private is a type. The cloud client takes only a [`Releasable`], and there is one way to get
//! one: from an open conversation, by showing a [`Decision`] of the policy
//! that sends this question to the cloud.
//!
//! ```text
//! Conversation<Open, T> ──release(&Decision)──▶ Releasable<Vec<T>> ──▶ the cloud
//!        │ into_private, join
//!        ▼
//! Conversation<Private, T> ── on_device() ──▶ the local model; there is no way back
//! ```
//!
//! What was private once stays private: joining anything with a private conversation gives a
//! private one, and [`Taint`] recognizes private turns that a caller sends again later. Nothing
//! here prints a turn: `Debug` tells how many there are.

use core::fmt;
use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
    marker::PhantomData,
};

use serde::{Deserialize, Serialize, Serializer};

use crate::{Error, policy::Decision};

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

/// Marks a conversation that must not leave the device.
#[derive(Clone, Copy, Debug)]
pub enum Private {}

/// [`Open`] or [`Private`]; nothing else can be one.
///
/// ```compile_fail,E0277
/// enum Declassified {}
/// impl sprat_route::privacy::State for Declassified {
///     const PRIVATE: bool = false;
/// }
/// ```
pub trait State: sealed::State {
    /// Whether conversations in this state must stay.
    const PRIVATE: bool;
}

impl State for Open {
    const PRIVATE: bool = false;
}

impl State for Private {
    const PRIVATE: bool = true;
}

mod sealed {
    pub trait State {}
    impl State for super::Open {}
    impl State for super::Private {}
}

/// Proof that the policy hands an open question to the cloud. Lives inside a
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
        S::PRIVATE
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

impl<T: Clone> Conversation<Open, T> {
    /// The turns, for the cloud.
    ///
    /// # Errors
    /// [`Error::NotReleased`] unless the decision calls the cloud for an open question.
    pub fn release(&self, decision: &Decision) -> Result<Releasable<Vec<T>>, Error> {
        match decision.permit() {
            Some(Permit(())) => Ok(Releasable(self.turns.clone())),
            None => Err(Error::NotReleased {
                rule: decision.rule.clone(),
            }),
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
        let state = if S::PRIVATE { "Private" } else { "Open" };
        write!(
            f,
            "Conversation<{state}>({} turns, redacted)",
            self.turns.len()
        )
    }
}

/// Which state two conversations have when put together: private as soon as one of them is.
pub trait Join<Other: State>: State {
    /// The state of both together.
    type Output: State;
}

impl Join<Open> for Open {
    type Output = Open;
}

impl Join<Private> for Open {
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

/// A conversation whose privacy is known only when the program runs.
#[derive(Clone)]
pub enum Thread<T> {
    /// May leave, if the policy says so.
    Open(Conversation<Open, T>),
    /// Must stay.
    Private(Conversation<Private, T>),
}

impl<T> Thread<T> {
    /// Of these turns; private if the caller says so.
    pub fn new(turns: Vec<T>, private: bool) -> Self {
        if private {
            Self::Private(Conversation::from_turns(turns))
        } else {
            Self::Open(Conversation::from_turns(turns))
        }
    }

    /// Adds a turn. A private turn makes the whole thread private, for good; an open one leaves a
    /// private thread private.
    pub fn push(&mut self, turn: T, private: bool) {
        if private {
            self.keep_private();
        }
        match self {
            Self::Open(conversation) => conversation.push(turn),
            Self::Private(conversation) => conversation.push(turn),
        }
    }

    /// Makes the thread private, for good.
    pub fn keep_private(&mut self) {
        if let Self::Open(conversation) = self {
            *self = Self::Private(core::mem::take(conversation).into_private());
        }
    }

    /// Whether it must stay on the device.
    pub fn is_private(&self) -> bool {
        matches!(self, Self::Private(_))
    }

    /// The turns, for the model on this device; see [`Conversation::on_device`].
    pub fn on_device(&self) -> &[T] {
        match self {
            Self::Open(conversation) => conversation.on_device(),
            Self::Private(conversation) => conversation.on_device(),
        }
    }
}

impl<T: Clone> Thread<T> {
    /// The turns, for the cloud.
    ///
    /// # Errors
    /// [`Error::Private`] for a private thread whatever the decision says, and as
    /// [`Conversation::release`] for an open one.
    pub fn release(&self, decision: &Decision) -> Result<Releasable<Vec<T>>, Error> {
        match self {
            Self::Open(conversation) => conversation.release(decision),
            Self::Private(_) => Err(Error::Private),
        }
    }
}

impl<T> fmt::Debug for Thread<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(conversation) => conversation.fmt(f),
            Self::Private(conversation) => conversation.fmt(f),
        }
    }
}

/// Recognizes private turns when a caller sends a conversation again, without keeping their text.
///
/// An interface like `chat(messages, private)` gets the whole history with every call, so a later
/// call that is not marked private would carry the private turns along. Remember the turns of each
/// private call, the answer included, and treat a later call as private if it
/// [touches](Taint::touches) them: it begins like a private thread, or repeats one of its turns.
/// Turns shorter than [`Taint::DISTINCT`] characters ("yes", "hello") are recognized only as part
/// of such a beginning. System prompts are the page's own text: leave them out.
///
/// It holds 64-bit fingerprints, in memory only. A collision can make an open call private, never
/// a private one open.
#[derive(Clone, Default)]
pub struct Taint {
    beginnings: HashSet<u64>,
    turns: HashSet<u64>,
}

impl Taint {
    /// Turns of at least this many characters are recognized wherever they stand.
    pub const DISTINCT: usize = 16;

    /// That has seen nothing private.
    pub fn new() -> Self {
        Self::default()
    }

    /// Remembers the turns of a private thread, in order.
    pub fn remember(&mut self, turns: &[&str]) {
        self.beginnings.extend(beginnings(turns).last());
        self.turns.extend(distinct(turns));
    }

    /// Whether these turns, in order, contain something remembered.
    pub fn touches(&self, turns: &[&str]) -> bool {
        beginnings(turns).any(|print| self.beginnings.contains(&print))
            || distinct(turns).any(|print| self.turns.contains(&print))
    }

    /// Forgets everything: only when the person says that what was private may leave after all.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

impl fmt::Debug for Taint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Taint(redacted)")
    }
}

/// A fingerprint of the first turn, of the first two, and so on.
fn beginnings<'a>(turns: &'a [&str]) -> impl Iterator<Item = u64> + 'a {
    let mut hasher = DefaultHasher::new();
    turns.iter().map(move |turn| {
        turn.trim().hash(&mut hasher);
        hasher.finish()
    })
}

/// A fingerprint of each turn that is long enough to be recognized by itself.
fn distinct<'a>(turns: &'a [&str]) -> impl Iterator<Item = u64> + 'a {
    let long = |turn: &&&str| turn.trim().chars().count() >= Taint::DISTINCT;
    turns
        .iter()
        .filter(long)
        .filter_map(|turn| beginnings(&[turn]).next())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{CloudState, Facts, Mode, Policy, decide};
    use proptest::prelude::*;

    const SECRET: &str = "my diary, page one";

    fn to_cloud() -> Decision {
        let facts = Facts {
            mode: Mode::Cloud,
            cloud: CloudState::Configured,
            ..Facts::default()
        };
        decide(Policy::builtin(), &facts)
    }

    fn on_device() -> Decision {
        decide(Policy::builtin(), &Facts::default())
    }

    #[test]
    fn an_open_conversation_is_released_only_by_a_decision_for_the_cloud() {
        let conversation = Conversation::<Open, &str>::from_turns(vec!["hello"]);
        assert_eq!(
            conversation.release(&to_cloud()).unwrap().into_inner(),
            ["hello"]
        );
        let error = conversation.release(&on_device()).unwrap_err();
        assert!(matches!(error, Error::NotReleased { rule } if rule == on_device().rule));
    }

    #[test]
    fn an_altered_decision_releases_nothing() {
        let mut decision = on_device();
        decision.action = crate::policy::Action::Cloud;
        assert!(
            Conversation::<Open, &str>::new()
                .release(&decision)
                .is_err()
        );
    }

    #[test]
    fn a_private_thread_is_never_released() {
        let thread = Thread::new(vec![SECRET], true);
        assert!(matches!(thread.release(&to_cloud()), Err(Error::Private)));
    }

    #[test]
    fn joining_taints() {
        let open = || Conversation::<Open, u8>::from_turns(vec![1]);
        let private = || Conversation::<Private, u8>::from_turns(vec![2]);
        assert!(!join(open(), open()).is_private());
        assert!(join(open(), private()).is_private());
        assert!(join(private(), open()).is_private());
        assert!(join(private(), private()).is_private());
        assert_eq!(join(open(), private()).on_device(), [1, 2]);
    }

    #[test]
    fn nothing_prints_a_turn() {
        let conversation = Conversation::<Open, &str>::from_turns(vec![SECRET]);
        let mut taint = Taint::new();
        taint.remember(&[SECRET]);
        let printed = [
            format!("{conversation:?}"),
            format!("{:?}", conversation.release(&to_cloud())),
            format!("{:?}", conversation.clone().into_private()),
            format!("{:?}", Thread::new(vec![SECRET], true)),
            format!("{taint:?}"),
            Thread::new(vec![SECRET], true)
                .release(&to_cloud())
                .unwrap_err()
                .to_string(),
            conversation.release(&on_device()).unwrap_err().to_string(),
        ];
        assert!(
            printed.iter().all(|text| !text.contains("diary")),
            "{printed:?}"
        );
    }

    #[test]
    fn private_turns_are_recognized_when_they_come_back() {
        let mut taint = Taint::new();
        taint.remember(&["hi", "hello", SECRET, "I see, thank you for telling me"]);
        // The thread goes on; the page dropped its beginning; a turn is quoted in a new thread.
        assert!(taint.touches(&[
            "hi",
            "hello",
            SECRET,
            "I see, thank you for telling me",
            "and now?"
        ]));
        assert!(taint.touches(&[SECRET, "ok"]));
        assert!(taint.touches(&["new", "I see, thank you for telling me "]));
        // Small talk that anybody may say again.
        assert!(!taint.touches(&["hi", "hello", "what is a sprat?"]));
        assert!(!taint.touches(&[]));
        taint.remember(&["yes", "no"]);
        assert!(taint.touches(&["yes", "no", "what is a sprat?"]));
        assert!(!taint.touches(&["yes", "indeed"]));
        taint.remember(&[]);
        assert!(!taint.touches(&["something entirely different"]));
        taint.clear();
        assert!(!taint.touches(&[SECRET]));
    }

    proptest! {
        #[test]
        fn private_once_is_private_for_ever(turns in prop::collection::vec(any::<bool>(), 0..20)) {
            let mut thread = Thread::new(Vec::new(), false);
            let mut expected = false;
            for (index, &private) in turns.iter().enumerate() {
                thread.push(index, private);
                expected |= private;
                prop_assert_eq!(thread.is_private(), expected);
                prop_assert_eq!(thread.release(&to_cloud()).is_err(), expected);
            }
            prop_assert_eq!(thread.on_device().len(), turns.len());
        }
    }
}
