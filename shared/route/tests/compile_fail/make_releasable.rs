use sprat_route::privacy::Releasable;

fn main() {
    let _ = Releasable(vec!["hello"]);
}
