//! What must not compile: the ways around the privacy types that safe code could try. Each case
//! differs in one line from what `passes.rs` or `passes_ask.rs` does, which must compile; its `.stderr` says that it
//! fails for that line. After a new compiler has reworded an error: `TRYBUILD=overwrite`, and read
//! the change.

use std::ops::Deref;

use serde::Serialize;
use sprat_route::privacy::{Ask, Consent, Conversation, Offer, Open, Private, Thread};

#[test]
fn private_cannot_be_released() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/compile_fail/passes.rs");
    cases.pass("tests/compile_fail/passes_ask.rs");
    for case in [
        "release_private",
        "make_releasable",
        "make_decision",
        "make_permit",
        "join_is_not_open",
        "release_ask",
        "make_consent",
        "use_consent_twice",
        "copy_consent",
        "offer_private",
        "release_private_with",
    ] {
        cases.compile_fail(format!("tests/compile_fail/{case}.rs"));
    }
}

/// Compiles only if the type does not implement the trait: if it does, two implementations of
/// `Ambiguous` apply and the compiler cannot choose.
macro_rules! assert_not_impl {
    ($type:ty, $bound:path) => {
        const _: fn() = || {
            trait Ambiguous<Marker> {
                fn some() {}
            }
            impl<T: ?Sized> Ambiguous<()> for T {}
            struct Implemented;
            impl<T: ?Sized + $bound> Ambiguous<Implemented> for T {}
            let _ = <$type as Ambiguous<_>>::some;
        };
    };
}

assert_not_impl!(Conversation<Private, String>, Serialize);
assert_not_impl!(Conversation<Open, String>, Serialize);
assert_not_impl!(Thread<String>, Serialize);
assert_not_impl!(Conversation<Private, String>, Deref);
assert_not_impl!(Conversation<Private, String>, AsRef<[String]>);
assert_not_impl!(Conversation<Private, String>, IntoIterator);
assert_not_impl!(Conversation<Private, String>, Into<Conversation<Open, String>>);
assert_not_impl!(Conversation<Private, String>, std::fmt::Display);
assert_not_impl!(Conversation<Ask, String>, Serialize);
assert_not_impl!(Conversation<Ask, String>, Into<Conversation<Open, String>>);
assert_not_impl!(Conversation<Private, String>, Into<Conversation<Ask, String>>);
assert_not_impl!(Offer<String>, Clone);
assert_not_impl!(Consent<String>, Clone);
assert_not_impl!(Consent<String>, Default);
assert_not_impl!(Consent<String>, serde::de::DeserializeOwned);
