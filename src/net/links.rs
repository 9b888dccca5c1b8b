//! Links: outbound connections, opened without waiting, whose bytes go to the part of the engine that wants them; and inbound ones
//! of the cluster's bus.
//!
//! ```text
//! name ─ resolver's thread ─▶ addresses ─ connect ─▶ writable: connected, or the next address ─▶ bytes
//! ```

use std::io;
use std::net::{IpAddr, SocketAddr};

use mio::Token;
use mio::net::TcpStream;
use rustls_pki_types::ServerName;
use socket2::{Domain, Socket, Type};

use super::connection::{Connection, ConnectionKind, LinkConnection};
use super::event_loop::{EventLoop, FIRST_CONNECTION};
use super::listener::tcp_protocol;
use super::read::Read;
use super::resolver::{Answer, Query, resolve};
use super::tls::TlsStream;
use super::transport::Transport;
use crate::base::ids::{ClientId, LinkId};
use crate::engine::Engine;
use crate::engine::clients::session::Peer;
use crate::engine::links::{LinkAction, LinkEvent, LinkOwner, Target};
use crate::sys::worker::Worker;

impl EventLoop {
    pub(super) fn handle_link_action(&mut self, link: LinkId, action: LinkAction) {
        if let LinkAction::Open(target) = action {
            return self.open_link(link, target);
        }
        let Some(&index) = self.links.connections.get(&link) else {
            return self.links.names.cancel(link);
        };
        let connection = &mut self.connections[index];
        match action {
            LinkAction::Open(_) => {}
            LinkAction::Send(bytes) => {
                connection.output.get_or_insert_default().push_vec(bytes);
                self.writable.push(index);
            }
            LinkAction::Pause(paused) => {
                if let ConnectionKind::Link(outbound) = &mut connection.kind {
                    outbound.paused = paused;
                }
                if !paused {
                    self.enqueue(index);
                }
            }
            LinkAction::Close => {
                self.links.connections.remove(&link);
                self.to_close.push(index);
            }
            LinkAction::Adopt { client, unread } => {
                self.links.connections.remove(&link);
                connection.client = client;
                connection.kind = ConnectionKind::Client;
                connection.input.put_behind(&unread);
                self.enqueue(index);
            }
        }
    }

    fn open_link(&mut self, link: LinkId, target: Target) {
        let host = target.host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = host.parse::<IpAddr>() {
            return self.connect_link(link, &target, vec![SocketAddr::new(address, target.port)]);
        }
        self.links.names.ask(Query { link, target });
        self.resolve_names();
    }

    /// Has threads resolve what waits for one.
    fn resolve_names(&mut self) {
        let waker = &self.waker;
        let start = || {
            let wake = waker.clone();
            // The loop looks at the results in its next turn, if it isn't woken.
            Worker::start("resolver", resolve, move || drop(wake.wake()))
        };
        if let Err((link, error)) = self.links.names.run(start) {
            self.links.failed.push((link, error.to_string()));
        }
    }

    /// Begins to connect to the first of some addresses that can be tried.
    fn connect_link(&mut self, link: LinkId, target: &Target, mut addresses: Vec<SocketAddr>) {
        let mut reason = "no address".to_string();
        while !addresses.is_empty() {
            let address = addresses.remove(0);
            match self.begin_connection(address, target) {
                Ok(transport) => {
                    let outbound = LinkConnection {
                        link,
                        accepted: false,
                        connecting: true,
                        paused: false,
                        more: addresses,
                        target: target.clone(),
                    };
                    return self.add_link(outbound, transport);
                }
                Err(error) => reason = error.to_string(),
            }
        }
        self.links.failed.push((link, reason));
    }

    fn begin_connection(&self, address: SocketAddr, target: &Target) -> io::Result<Transport> {
        let domain = if address.is_ipv6() { Domain::IPV6 } else { Domain::IPV4 };
        let socket = Socket::new(domain, Type::STREAM, Some(tcp_protocol(target.mptcp)))?;
        socket.set_nonblocking(true)?;
        if let Some(source) = &target.source {
            let source: IpAddr =
                source.parse().map_err(|_| io::Error::other(format!("bind-source-addr {source}")))?;
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        match socket.connect(&address.into()) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
            _ => {}
        }
        // It makes the connection better, not possible: a failure is no reason to give it up.
        let _ = socket.set_tcp_nodelay(true);
        let stream = TcpStream::from_std(socket.into());
        if !target.tls {
            return Ok(Transport::Tcp(stream));
        }
        let config = self.tls_of_links.clone().ok_or_else(|| io::Error::other("TLS is not configured"))?;
        // Certificates are checked for who has signed them, not for the name.
        let name = ServerName::IpAddress(address.ip().into());
        let stream = TlsStream::client(stream, config, name).map_err(io::Error::other)?;
        Ok(Transport::Tls(Box::new(stream)))
    }

    pub(super) fn add_link(&mut self, outbound: LinkConnection, mut transport: Transport) {
        let link = outbound.link;
        let entry = self.connections.vacant_entry();
        let index = entry.key();
        if let Err(error) = transport.register(self.poll.registry(), Token(index + FIRST_CONNECTION)) {
            return self.links.failed.push((link, error.to_string()));
        }
        let mut connection = Connection::new(transport, ClientId::NONE);
        connection.kind = ConnectionKind::Link(Box::new(outbound));
        entry.insert(connection);
        self.links.connections.insert(link, index);
    }

    /// Tells the engine of links that could not be connected, and connects those whose names have been resolved.
    pub fn check_links(&mut self, engine: &mut Engine) {
        if engine.is_busy_with_script() {
            return;
        }
        while let Some(Answer { link, target, addresses }) = self.links.names.poll() {
            match addresses {
                Ok(addresses) => self.connect_link(link, &target, addresses),
                Err(error) => self.links.failed.push((link, error.to_string())),
            }
        }
        self.resolve_names();
        for (link, reason) in std::mem::take(&mut self.links.failed) {
            engine.link_event(link, LinkEvent::Closed(&reason));
        }
    }

    /// An event of a link's connection.
    pub(super) fn serve_link(&mut self, index: usize, engine: &mut Engine) {
        let connection = &mut self.connections[index];
        if connection.dropped {
            return;
        }
        let ConnectionKind::Link(outbound) = &mut connection.kind else { return };
        let link = outbound.link;
        if engine.is_busy_with_script() {
            // What a primary sends may replace the data that the script works on.
            return self.enqueue(index);
        }
        if outbound.connecting {
            match connection.transport.connected() {
                Ok(None) => return,
                Ok(Some(peer)) => match shake_hands(connection) {
                    Ok(false) => return,
                    Ok(true) => self.link_connected(index, link, peer, engine),
                    Err(error) => return self.link_refused(index, &error, engine),
                },
                Err(error) => return self.link_refused(index, &error, engine),
            }
        }
        self.read_link(index, link, engine);
    }

    fn link_connected(&mut self, index: usize, link: LinkId, peer: Peer, engine: &mut Engine) {
        let connection = &mut self.connections[index];
        if let ConnectionKind::Link(outbound) = &mut connection.kind {
            outbound.connecting = false;
            outbound.more = Vec::new();
            if outbound.accepted {
                return;
            }
        }
        let fd = connection.transport.fd();
        engine.link_event(link, LinkEvent::Connected { conn_index: index, fd, peer });
    }

    /// Tries the next address, if there is one.
    fn link_refused(&mut self, index: usize, error: &io::Error, engine: &mut Engine) {
        let connection = &mut self.connections[index];
        let ConnectionKind::Link(outbound) = &mut connection.kind else { return };
        let (link, target, more) =
            (outbound.link, outbound.target.clone(), std::mem::take(&mut outbound.more));
        self.links.connections.remove(&link);
        self.drop_connection(index);
        if more.is_empty() {
            engine.link_event(link, LinkEvent::Closed(&reason(error)));
        } else {
            self.connect_link(link, &target, more);
        }
    }

    fn read_link(&mut self, index: usize, link: LinkId, engine: &mut Engine) {
        let connection = &mut self.connections[index];
        let ConnectionKind::Link(outbound) = &connection.kind else { return };
        let is_primary = outbound.target.owner == LinkOwner::Primary;
        if !connection.readable || outbound.paused {
            return;
        }
        let mut buffer = std::mem::take(&mut self.read_buffer);
        let result = connection.transport.read(&mut buffer);
        match result {
            Ok(Read { bytes: 0, .. }) => self.link_closed(index, link, "the peer has closed it", engine),
            Ok(Read { bytes, more }) => {
                connection.readable = more || connection.read_eof;
                let again = connection.readable;
                engine.metrics.stats.net_input_bytes += bytes as u64;
                if is_primary {
                    engine.metrics.stats.replication_input_bytes += bytes as u64;
                }
                engine.metrics.stats.reads_processed += 1;
                engine.link_event(link, LinkEvent::Received(&buffer[..bytes]));
                if again {
                    self.enqueue(index);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => connection.readable = false,
            Err(error) => self.link_closed(index, link, &reason(&error), engine),
        }
        self.read_buffer = buffer;
    }

    fn link_closed(&mut self, index: usize, link: LinkId, reason: &str, engine: &mut Engine) {
        self.links.connections.remove(&link);
        self.drop_connection(index);
        engine.link_event(link, LinkEvent::Closed(reason));
    }

    /// A link's connection that the loop itself has closed (a failed write): the engine is told.
    pub(super) fn end_link(&mut self, link: LinkId) {
        if self.links.connections.remove(&link).is_some() {
            self.links.failed.push((link, "it can't be written to".into()));
        }
    }
}

/// Goes on with the handshake of a connection, if it speaks TLS; true if there is nothing more to do.
fn shake_hands(connection: &mut Connection) -> io::Result<bool> {
    let Some(tls) = connection.transport.tls() else { return Ok(true) };
    let is_done = tls.shake_hands()?;
    // Behind the handshake there may be data, of which there is no event.
    connection.readable = is_done;
    Ok(is_done)
}

/// The system's words for an error, without its number.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_string()
}
