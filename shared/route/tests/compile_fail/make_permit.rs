use sprat_route::privacy::Permit;

fn main() {
    let _ = Permit::grant();
}
