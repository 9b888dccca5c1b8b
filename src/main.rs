//! The `redloop` binary: see [`redloop::server`].

fn main() {}
