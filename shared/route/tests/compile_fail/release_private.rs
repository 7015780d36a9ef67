use sprat_route::policy::{CloudState, Facts, Mode, Policy, decide};
use sprat_route::privacy::{Conversation, Private};

fn main() {
    let facts = Facts { mode: Mode::Cloud, cloud: CloudState::Configured, ..Facts::default() };
    let decision = decide(Policy::builtin(), &facts);
    let private = Conversation::<Private, &str>::from_turns(vec!["hello"]);
    let _ = private.release(&decision);
}
