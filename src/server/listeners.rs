//! Listening sockets of a configuration.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::Path;

use crate::net::{Listener, listen_tcp, listen_unix};
use crate::services::config::Config;

/// Addresses of a `bind` word; an optional one (`-…`) that doesn't resolve is none.
fn resolve(word: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok(match word {
        "*" => vec![SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)],
        "::*" => vec![SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)],
        name => (name, port).to_socket_addrs()?.take(1).collect(),
    })
}

/// Listens on all addresses of `bind` on both ports, with TLS and without; the error is the line for the user.
pub(super) fn listen_tcp_all(config: &Config) -> Result<Vec<Listener>, String> {
    let mut listeners = Vec::new();
    for (port, tls) in [(config.port, false), (config.tls_port, true)] {
        if port != 0 {
            let kind = if tls { "tls" } else { "tcp" };
            let found = listen_on_all(&config.bind, port, config.tcp_backlog, tls)
                .map_err(|_| format!("Failed listening on port {port} ({kind}), aborting."))?;
            listeners.extend(found);
        }
    }
    Ok(listeners)
}

/// The port that INFO and the log show.
pub(super) fn shown_port(config: &Config) -> u16 {
    if config.port == 0 { config.tls_port } else { config.port }
}

/// Listens on these addresses, words of `bind`. Those that start with `-` may fail for lack of the address.
pub(super) fn listen_on_all(
    addresses: &[String],
    port: u16,
    tcp_backlog: u32,
    tls: bool,
) -> io::Result<Vec<Listener>> {
    let mut listeners = Vec::new();
    for word in addresses {
        let (optional, name) = match word.strip_prefix('-') {
            Some(name) => (true, name),
            None => (false, word.as_str()),
        };
        let result = resolve(name, port).and_then(|addresses| {
            addresses
                .iter()
                .map(|address| listen_tcp(*address, tcp_backlog as i32, tls))
                .collect::<Result<Vec<_>, _>>()
        });
        match result {
            Ok(found) => listeners.extend(found),
            Err(error) => {
                let missing = matches!(
                    error.raw_os_error(),
                    Some(
                        libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT | libc::EPROTONOSUPPORT | libc::ENOPROTOOPT
                    )
                );
                if optional && missing {
                    continue;
                }
                log::warn!("Warning: Could not create server TCP listening socket {name}:{port}: {error}");
                return Err(error);
            }
        }
    }
    Ok(listeners)
}

/// All listeners of a configuration; the error is the line for the user.
pub fn listen(config: &Config) -> Result<Vec<Listener>, String> {
    let mut listeners = listen_tcp_all(config)?;
    if let Some(path) = config.unixsocket.as_deref().filter(|path| !path.is_empty()) {
        let listener = listen_unix(Path::new(path), config.unixsocketperm)
            .map_err(|error| format!("Failed opening Unix socket: bind: {path}: {error}"))?;
        listeners.push(listener);
    }
    if listeners.is_empty() {
        return Err("Configured to not listen anywhere, exiting.".into());
    }
    Ok(listeners)
}
