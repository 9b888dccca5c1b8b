//! The `redloop` binary: see [`redloop::server`].

fn main() {
    std::process::exit(redloop::server::main());
}
