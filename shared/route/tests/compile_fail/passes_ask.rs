use sprat_route::policy::{CloudState, ConsentState, Facts, Mode, Policy, decide};
use sprat_route::privacy::{Ask, Conversation};

fn main() {
    let facts = |consent| Facts { mode: Mode::Cloud, cloud: CloudState::Configured, consent, ..Facts::default() };
    let to_ask = decide(Policy::builtin(), &facts(ConsentState::Missing));
    let given = decide(Policy::builtin(), &facts(ConsentState::Given));
    let ask = Conversation::<Ask, &str>::from_turns(vec!["hello"]);
    let consent = ask.offer(&to_ask, "cloud").unwrap().accept();
    assert!(ask.release_with(&given, consent, "cloud").is_ok());
}
