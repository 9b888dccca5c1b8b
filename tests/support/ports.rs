//! A port for a server that a test starts: the kernel chooses it, and gives it to no other process for a minute.

use std::net::{TcpListener, TcpStream};

/// A free port, which no other test gets before the server has it: a connection to it is in TIME-WAIT. The kernel keeps such a port
/// from those who leave the choice to it, for a minute; a server that asks for this very port (`SO_REUSEADDR`) gets it.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let client = TcpStream::connect(("127.0.0.1", port)).expect("connected");
    // The end that closes first is the one in TIME-WAIT.
    drop(listener.accept().expect("accepted"));
    drop(client);
    port
}
