//! Handshakes of new TLS connections: their progress, their time limit, and what a client is after its own.

use std::io;

use super::event_loop::{EventLoop, PROTECTED};
use crate::base::ids::ClientId;
use crate::commands::describe_client;
use crate::engine::Engine;
use crate::services::config::TlsAuthClientsUser;
use crate::services::tls::{UserField, user_names};

/// Time that a handshake may take, ms, if `timeout` is not less.
const HANDSHAKE_TIME: u64 = 10_000;

impl EventLoop {
    /// Whether requests can be read from a connection: its handshake, if it has one, is done.
    #[inline]
    pub(super) fn is_open(&mut self, index: usize, engine: &mut Engine) -> bool {
        match self.connections[index].transport.tls() {
            Some(tls) if tls.is_handshaking() => self.shake_hands(index, engine),
            _ => true,
        }
    }

    #[cold]
    fn shake_hands(&mut self, index: usize, engine: &mut Engine) -> bool {
        let connection = &mut self.connections[index];
        let Some(tls) = connection.transport.tls() else { return true };
        match tls.shake_hands() {
            Ok(true) => self.open(index, engine),
            Ok(false) => {
                connection.readable = false;
                false
            }
            Err(error) => {
                self.handshake_failed(index, &error, engine);
                false
            }
        }
    }

    /// The handshake is done. False if the client is refused nevertheless.
    fn open(&mut self, index: usize, engine: &mut Engine) -> bool {
        let client = self.connections[index].client;
        let is_local = engine.clients.sessions.get(client).is_none_or(|session| session.peer.is_local());
        if self.limits.protected && !is_local {
            engine.metrics.stats.connections_rejected += 1;
            // The peer may be gone already, and then the text has no reader.
            let _ = self.connections[index].transport.write(PROTECTED);
            self.close_gracefully(index);
            return false;
        }
        self.log_in_by_certificate(index, client, engine);
        true
    }

    fn log_in_by_certificate(&mut self, index: usize, client: ClientId, engine: &mut Engine) {
        let field = match engine.config.tls_auth_clients_user {
            TlsAuthClientsUser::Off => return,
            TlsAuthClientsUser::CommonName => UserField::CommonName,
            TlsAuthClientsUser::Uri => UserField::Uri,
        };
        let Some(tls) = self.connections[index].transport.tls() else { return };
        let Some(certificate) = tls.peer_certificate() else { return };
        let names = user_names(certificate, field);
        let line = describe_client(engine, client);
        let hides = engine.config.hide_user_data_from_log;
        match engine.log_in_by_certificate(client, &names, line) {
            Some(_) if hides => log::debug!("TLS: Auto-authenticated client as *redacted*"),
            Some(user) => {
                log::debug!("TLS: Auto-authenticated client as {}", user.name.escape_ascii());
            }
            None => log::debug!("TLS: No matching user found in the client's certificate"),
        }
    }

    #[cold]
    fn handshake_failed(&mut self, index: usize, error: &io::Error, engine: &mut Engine) {
        let client = self.connections[index].client;
        if let Some(session) = engine.clients.sessions.get(client) {
            let (address, local) = (session.peer.address(), session.peer.local_address());
            log::warn!("Error accepting a client connection: {error} (addr={address} laddr={local})");
        }
        // Redis counts a client when it has been accepted.
        let received = &mut engine.metrics.stats.connections_received;
        *received = received.saturating_sub(1);
        self.drop_connection(index);
    }

    /// Begins the time of a handshake.
    pub(super) fn expect_handshake(&mut self, index: usize, client: ClientId, engine: &Engine) {
        let idle = match u64::from(engine.config.timeout) {
            0 => HANDSHAKE_TIME,
            seconds => HANDSHAKE_TIME.min(seconds * 1000),
        };
        self.handshakes.push_back((engine.now() + idle, index, client));
    }

    /// Closes connections whose handshake takes too long.
    pub fn check_handshakes(&mut self, engine: &mut Engine) {
        while let Some(&(due, index, client)) = self.handshakes.front()
            && due <= engine.now()
        {
            self.handshakes.pop_front();
            let Some(connection) = self.connections.get_mut(index).filter(|it| it.client == client) else {
                continue;
            };
            if !connection.dropped && connection.transport.tls().is_some_and(|tls| tls.is_handshaking()) {
                let error = io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake has taken too long");
                self.handshake_failed(index, &error, engine);
            }
        }
    }
}
