use sprat_route::privacy::{Conversation, Open, Private, join};

fn main() {
    let open = Conversation::<Open, &str>::new();
    let private = Conversation::<Private, &str>::from_turns(vec!["hello"]);
    let _: Conversation<Open, &str> = join(open, private);
}
