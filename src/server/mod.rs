//! The process: start-up, the turn, shutdown.

mod turn;

use std::net::SocketAddr;

use crate::commands;
use crate::engine::{Engine, Settings};
use crate::net::{EventLoop, NetLimits, listen_tcp};
use crate::sys::{clock::Clock, process};

/// A running server.
pub struct Server {
    pub engine: Engine,
    pub net: EventLoop,
    stopping: bool,
}

/// Runs the server until it is told to end; the exit status.
pub fn main() -> i32 {
    process::ignore_sigpipe();
    let port: u16 = std::env::args().nth(2).and_then(|p| p.parse().ok()).unwrap_or(6379);
    process::raise_open_files(20_000);
    let engine = Engine::new(commands::FAMILIES, Settings::default(), Clock::real(), 1);
    let mut net = EventLoop::new(NetLimits { keepalive: 300, protected: true }).expect("poll");
    let address = SocketAddr::from(([0, 0, 0, 0], port));
    net.set_listeners(vec![listen_tcp(address, 511).expect("listen")]).expect("register");
    Server { engine, net, stopping: false }.run()
}
