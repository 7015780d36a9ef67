//! Who answers a question, and why: this device or the cloud.
//!
//! Both sides run this crate, so it is pure: no input or output, no clock, no model, the same bits
//! on every machine.
//!
//! | module | what it does |
//! |---|---|
//! | [`exact`] | answers arithmetic, units and dates without a model, or stays silent |
//! | [`signals`] | what a model shows of its certainty, token by token |
//! | [`gate`] | from signals to one calibrated confidence, and the threshold to keep an answer |
//! | [`policy`] | from facts to a decision, with a rule and a reason; `policy.json` |
//! | [`detect`] | finds private matter in a text, so that its level is raised |
//! | [`privacy`] | types that keep what is private on the device |
//! | [`metrics`] | how good a confidence and a router are |
//!
//! One question from start to end:
//!
//! ```
//! use sprat_route::policy::{Action, CloudState, Facts, Mode, Policy, Stage, decide};
//! use sprat_route::{exact, privacy::Thread};
//!
//! let policy = Policy::builtin();
//! let question = "who wrote the almanac of 1732?";
//! let thread = Thread::new(vec![question], false);
//! let mut facts = Facts {
//!     mode: Mode::Auto,
//!     private: thread.is_private(),
//!     exact: exact::answer(question).is_some(),
//!     cloud: CloudState::Configured,
//!     ..Facts::default()
//! };
//! assert_eq!(decide(policy, &facts).action, Action::Device);
//!
//! // The device has answered; its gate said how sure it is.
//! (facts.stage, facts.tokens) = (Stage::End, 12);
//! (facts.confidence, facts.threshold) = (Some(0.35), Some(0.8));
//! let decision = decide(policy, &facts);
//! assert_eq!(decision.action, Action::Handover);
//! assert!(decision.reason.starts_with("This device was only 35 % sure"));
//!
//! // Only such a decision, and only for an open thread, gives what a cloud client takes.
//! let released = thread.release(&decision)?;
//! assert_eq!(released.get(), &[question]);
//! assert!(Thread::new(vec![question], true).release(&decision).is_err());
//! # Ok::<(), sprat_route::Error>(())
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod detect;
mod error;
pub mod exact;
pub mod gate;
pub mod metrics;
pub mod policy;
pub mod privacy;
mod random;
pub mod signals;

pub use error::Error;
