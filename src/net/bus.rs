//! The port of the cluster's bus: its listeners and the connections that other nodes open.

use std::io;
use std::net::IpAddr;

use mio::Token;

use super::bus_port::FIRST_BUS;
use super::connection::LinkConnection;
use super::event_loop::{EventLoop, FIRST_CONNECTION};
use super::listener::Listener;
use super::transport::Transport;
use crate::base::ids::{ClientId, LinkId};
use crate::engine::Engine;
use crate::engine::clients::session::Peer;
use crate::engine::links::{LinkOwner, Target};

/// New connections that a listener may bring in one turn.
const ACCEPTS_A_TURN: usize = 1000;

impl EventLoop {
    /// Listens on the bus.
    pub fn set_bus_listeners(&mut self, mut listeners: Vec<Listener>) -> io::Result<()> {
        self.bus.listeners.clear();
        // The last two tokens before those of connections are the waker's and that of signals.
        listeners.truncate(FIRST_CONNECTION - FIRST_BUS - 2);
        for (index, listener) in listeners.iter_mut().enumerate() {
            listener.register(self.poll.registry(), Token(FIRST_BUS + index))?;
        }
        self.bus.ready = (0..listeners.len()).collect();
        self.bus.listeners = listeners;
        Ok(())
    }

    /// Accepts connections of other nodes.
    pub(super) fn accept_bus(&mut self, engine: &mut Engine) {
        for index in std::mem::take(&mut self.bus.ready) {
            for _ in 0..ACCEPTS_A_TURN {
                match self.bus.listeners[index].accept(self.limits.keepalive, self.tls.as_ref()) {
                    Ok((transport, peer)) => self.add_bus_connection(transport, &peer, engine),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => {
                        log::debug!("Error accepting cluster node: {error}");
                        // Edge-triggered: what waits brings no further event.
                        self.bus.ready.push(index);
                        break;
                    }
                }
            }
        }
    }

    fn add_bus_connection(&mut self, mut transport: Transport, peer: &Peer, engine: &mut Engine) {
        let Peer::Tcp(remote, _) = peer else { return };
        let Some(link) = engine.accept_bus_link(peer) else { return };
        let is_tls = transport.tls().is_some();
        let target = target_of(remote.ip(), remote.port(), is_tls);
        let accepted = LinkConnection {
            link,
            accepted: true,
            connecting: is_tls,
            paused: false,
            more: Vec::new(),
            target,
        };
        self.add_link(accepted, transport);
        if is_tls && let Some(&index) = self.links.connections.get::<LinkId>(&link) {
            self.expect_handshake(index, ClientId::NONE, engine);
        }
    }
}

/// The peer of an inbound connection, as that of an outbound one is kept.
fn target_of(ip: IpAddr, port: u16, tls: bool) -> Target {
    let host = ip.to_canonical().to_string();
    Target { host, port, source: None, owner: LinkOwner::Bus, tls, mptcp: false }
}
