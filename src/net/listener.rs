//! Listening sockets: TCP, TCP for TLS, Unix.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mio::net::{TcpListener, UnixListener};
use rustls::ServerConfig;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use super::tls::TlsStream;
use super::transport::Transport;
use crate::engine::clients::session::Peer;

/// A listening socket.
pub enum Listener {
    Tcp(TcpListener),
    Tls(TcpListener),
    Unix(UnixListener, PathBuf),
}

/// How a TCP socket listens.
#[derive(Clone, Copy, Debug)]
pub struct TcpOptions {
    pub backlog: i32,
    /// For clients that speak TLS.
    pub tls: bool,
    /// Clients may use several paths (multipath TCP); those that don't are served as ever.
    pub mptcp: bool,
}

/// TCP, or multipath TCP.
pub(super) fn tcp_protocol(mptcp: bool) -> Protocol {
    if mptcp { Protocol::MPTCP } else { Protocol::TCP }
}

/// Whether the kernel has multipath TCP; the error otherwise.
pub fn check_mptcp() -> io::Result<()> {
    Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::MPTCP)).map(drop)
}

/// Listens on an address; the port may be 0.
pub fn listen_tcp(address: SocketAddr, options: TcpOptions) -> io::Result<Listener> {
    let domain = if address.is_ipv6() { Domain::IPV6 } else { Domain::IPV4 };
    let socket = Socket::new(domain, Type::STREAM, Some(tcp_protocol(options.mptcp)))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(options.backlog)?;
    Listener::of_tcp(socket.into(), options.tls)
}

/// Listens on a path, over whatever socket a former server left there. `mode`: its permissions, if not 0.
pub fn listen_unix(path: &Path, mode: u32) -> io::Result<Listener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    if mode != 0 {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    }
    Ok(Listener::Unix(listener, path.to_path_buf()))
}

impl Listener {
    /// Of a socket that listens.
    pub fn of_tcp(listener: std::net::TcpListener, tls: bool) -> io::Result<Listener> {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener);
        Ok(if tls { Listener::Tls(listener) } else { Listener::Tcp(listener) })
    }

    /// Of a socket that listens at this path.
    pub fn of_unix(listener: std::os::unix::net::UnixListener, path: &Path) -> io::Result<Listener> {
        listener.set_nonblocking(true)?;
        Ok(Listener::Unix(UnixListener::from_std(listener), path.to_path_buf()))
    }

    /// Accepts a client; `WouldBlock` if there is none. `keepalive`: seconds between probes, 0 for none. `tls`: what clients
    /// that speak it get.
    pub fn accept(&self, keepalive: u64, tls: Option<&Arc<ServerConfig>>) -> io::Result<(Transport, Peer)> {
        match self {
            Listener::Tcp(listener) | Listener::Tls(listener) => {
                let (stream, peer) = listener.accept()?;
                // These make a connection better, not possible: failures are no reason to refuse it.
                let _ = stream.set_nodelay(true);
                if keepalive > 0 {
                    let probes = TcpKeepalive::new()
                        .with_time(Duration::from_secs(keepalive))
                        .with_interval(Duration::from_secs((keepalive / 3).max(1)))
                        .with_retries(3);
                    let _ = SockRef::from(&stream).set_tcp_keepalive(&probes);
                }
                let local = stream.local_addr().unwrap_or(peer);
                let transport = match (self, tls) {
                    (Listener::Tls(_), Some(config)) => {
                        let stream = TlsStream::server(stream, config.clone()).map_err(io::Error::other)?;
                        Transport::Tls(Box::new(stream))
                    }
                    // It is closed: nothing is to be sent in clear.
                    (Listener::Tls(_), None) => return Err(io::ErrorKind::ConnectionAborted.into()),
                    _ => Transport::Tcp(stream),
                };
                Ok((transport, Peer::Tcp(peer, local)))
            }
            Listener::Unix(listener, path) => {
                let (stream, _) = listener.accept()?;
                Ok((Transport::Unix(stream), Peer::Unix(path.to_string_lossy().into())))
            }
        }
    }

    /// As the log names it.
    pub fn name(&self) -> &'static str {
        match self {
            Listener::Tcp(_) => "tcp",
            Listener::Tls(_) => "tls",
            Listener::Unix(..) => "unix",
        }
    }

    pub fn is_tls(&self) -> bool {
        matches!(self, Listener::Tls(_))
    }

    /// The address of a TCP listener.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Listener::Tcp(listener) | Listener::Tls(listener) => listener.local_addr().ok(),
            Listener::Unix(..) => None,
        }
    }

    /// Registers it with a poll under `token`, also if it is registered under another.
    pub fn register(&mut self, registry: &mio::Registry, token: mio::Token) -> io::Result<()> {
        const READABLE: mio::Interest = mio::Interest::READABLE;
        let source: &mut dyn mio::event::Source = match self {
            Listener::Tcp(listener) | Listener::Tls(listener) => listener,
            Listener::Unix(listener, _) => listener,
        };
        match source.register(registry, token, READABLE) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                source.reregister(registry, token, READABLE)
            }
            result => result,
        }
    }
}
