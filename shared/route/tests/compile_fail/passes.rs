use sprat_route::policy::{CloudState, Facts, Mode, Policy, decide};
use sprat_route::privacy::{Conversation, Open, Private, Releasable, join};

/// What a cloud client looks like.
fn send(messages: Releasable<Vec<&'static str>>) -> usize {
    serde_json::to_string(&messages).unwrap().len()
}

fn main() {
    let facts = Facts { mode: Mode::Cloud, cloud: CloudState::Configured, ..Facts::default() };
    let decision = decide(Policy::builtin(), &facts);
    let open = Conversation::<Open, &str>::from_turns(vec!["hello"]);
    assert!(send(open.release(&decision).unwrap()) > 0);
    let private: Conversation<Private, &str> = join(open, Conversation::<Private, &str>::new());
    assert_eq!(private.on_device(), ["hello"]);
}
