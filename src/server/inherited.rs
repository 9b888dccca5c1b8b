//! Socket activation: listening sockets that systemd has opened and passed (`LISTEN_FDS`).
//!
//! A socket on the port of `port`, `tls-port` or `metrics-port`, or at the path of `unixsocket`, takes the place of all that the
//! server would have opened for that directive: on which addresses it listens is then the business of the socket's unit.

use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;

use listenfd::ListenFd;

use crate::net::Listener;
use crate::services::config::Config;

/// The sockets, which stay open: listening anew after CONFIG SET gets copies of them again.
#[derive(Debug, Default)]
pub(super) struct Inherited {
    tcp: Vec<TcpListener>,
    unix: Vec<UnixListener>,
    /// Why a descriptor is of no use.
    errors: Vec<String>,
}

impl Inherited {
    /// Takes what the environment names. To be called before any thread starts, since it is changed.
    pub(super) fn from_env() -> Self {
        let mut passed = ListenFd::from_env();
        let mut inherited = Inherited::default();
        for index in 0..passed.len() {
            match (passed.take_tcp_listener(index), passed.take_unix_listener(index)) {
                (Ok(Some(listener)), _) => inherited.tcp.push(listener),
                (_, Ok(Some(listener))) => inherited.unix.push(listener),
                (Err(error), _) | (_, Err(error)) => inherited.errors.push(error.to_string()),
                (Ok(None), Ok(None)) => {}
            }
        }
        inherited
    }

    fn on_port(&self, port: u16) -> impl Iterator<Item = &TcpListener> {
        self.tcp
            .iter()
            .filter(move |listener| listener.local_addr().is_ok_and(|address| address.port() == port))
    }

    /// Listeners for a port; none if nothing was passed for it.
    pub(super) fn tcp(&self, port: u16, tls: bool) -> io::Result<Vec<Listener>> {
        self.on_port(port).map(|listener| Listener::of_tcp(listener.try_clone()?, tls)).collect()
    }

    fn at_path(&self, path: &Path) -> Option<&UnixListener> {
        self.unix
            .iter()
            .find(|listener| listener.local_addr().is_ok_and(|address| address.as_pathname() == Some(path)))
    }

    pub(super) fn has_unix(&self, path: &str) -> bool {
        self.at_path(Path::new(path)).is_some()
    }

    /// The listener of a path, if one was passed.
    pub(super) fn unix(&self, path: &str) -> io::Result<Option<Listener>> {
        let path = Path::new(path);
        self.at_path(path).map(|listener| Listener::of_unix(listener.try_clone()?, path)).transpose()
    }

    /// Logs what was passed and is not used.
    pub(super) fn report_unused(&self, config: &Config) {
        let ports = [config.port, config.tls_port, config.metrics_port];
        let why = "is none of port, tls-port, metrics-port and unixsocket, so it is not used";
        for address in self.tcp.iter().filter_map(|listener| listener.local_addr().ok()) {
            if !ports.contains(&address.port()) {
                log::warn!("The socket on {address} that was passed to the server {why}");
            }
        }
        let path = config.unixsocket.as_deref().map(Path::new);
        for address in self.unix.iter().filter_map(|listener| listener.local_addr().ok()) {
            if address.as_pathname() != path {
                log::warn!("The socket at {address:?} that was passed to the server {why}");
            }
        }
        self.errors
            .iter()
            .for_each(|error| log::warn!("A descriptor passed to the server is not used: {error}"));
    }
}
