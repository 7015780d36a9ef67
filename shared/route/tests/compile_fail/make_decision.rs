use sprat_route::policy::{Action, Decision};

fn main() {
    let _ = Decision {
        action: Action::Cloud,
        rule: String::new(),
        reason: String::new(),
        permit: None,
        may_offer: false,
    };
}
