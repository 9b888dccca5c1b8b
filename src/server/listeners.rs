//! Listening sockets of a configuration.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::Path;

use super::inherited::Inherited;
use crate::net::{Listener, TcpOptions, check_mptcp, listen_tcp, listen_unix};
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
pub(super) fn listen_tcp_all(config: &Config, inherited: &Inherited) -> Result<Vec<Listener>, String> {
    let mut listeners = Vec::new();
    for (port, tls) in [(config.port, false), (config.tls_port, true)] {
        if port != 0 {
            let kind = if tls { "tls" } else { "tcp" };
            let options = tcp_options(config, tls);
            let found = listen_on_all(&config.bind, port, options, inherited)
                .map_err(|_| format!("Failed listening on port {port} ({kind}), aborting."))?;
            listeners.extend(found);
        }
    }
    Ok(listeners)
}

/// How the sockets of a configuration listen.
pub(super) fn tcp_options(config: &Config, tls: bool) -> TcpOptions {
    TcpOptions { backlog: config.tcp_backlog as i32, tls, mptcp: config.mptcp }
}

/// The port that INFO and the log show.
pub(super) fn shown_port(config: &Config) -> u16 {
    if config.port == 0 { config.tls_port } else { config.port }
}

/// Listens on a port: on the sockets that were passed to the server for it, or on these addresses, words of `bind`. Those that start with `-` may fail for lack of the address.
pub(super) fn listen_on_all(
    addresses: &[String],
    port: u16,
    options: TcpOptions,
    inherited: &Inherited,
) -> io::Result<Vec<Listener>> {
    let mut listeners = inherited.tcp(port, options.tls)?;
    if !listeners.is_empty() {
        return Ok(listeners);
    }
    for word in addresses {
        let (optional, name) = match word.strip_prefix('-') {
            Some(name) => (true, name),
            None => (false, word.as_str()),
        };
        let result = resolve(name, port).and_then(|addresses| {
            addresses.iter().map(|address| listen_tcp(*address, options)).collect::<Result<Vec<_>, _>>()
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
pub(super) fn listen(config: &Config, inherited: &Inherited) -> Result<Vec<Listener>, String> {
    for (name, is_wanted) in [("mptcp", config.mptcp), ("repl-mptcp", config.repl_mptcp)] {
        if is_wanted && let Err(error) = check_mptcp() {
            return Err(format!(
                "'{name}' is set, but this kernel has no MPTCP (see sysctl net.mptcp.enabled): {error}"
            ));
        }
    }
    let mut listeners = listen_tcp_all(config, inherited)?;
    if let Some(path) = config.unixsocket.as_deref().filter(|path| !path.is_empty()) {
        let listener = match inherited.unix(path) {
            Ok(Some(listener)) => Ok(listener),
            Ok(None) => listen_unix(Path::new(path), config.unixsocketperm),
            Err(error) => Err(error),
        };
        listeners
            .push(listener.map_err(|error| format!("Failed opening Unix socket: bind: {path}: {error}"))?);
    }
    inherited.report_unused(config);
    if listeners.is_empty() {
        return Err("Configured to not listen anywhere, exiting.".into());
    }
    Ok(listeners)
}
