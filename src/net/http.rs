//! The metrics port: its listeners, and connections whose requests the server answers in the same turn.
//!
//! There are few of them, they come after the clients, and none can hold more than a request's head or one response.

use std::io;

use mio::Token;

use super::bus_port::FIRST_BUS;
use super::connection::{Connection, ConnectionKind, HttpConnection};
use super::event_loop::{EventLoop, FIRST_CONNECTION};
use super::http_port::FIRST_HTTP;
use super::listener::Listener;
use super::read::Read;
use super::transport::Transport;
use crate::base::ids::ClientId;
use crate::services::http::{Request, Response};

/// Connections at a time; further ones are closed.
const MOST: usize = 64;
/// A connection that has been silent for so long is closed, ms.
const SILENCE_MS: u64 = 30_000;

impl EventLoop {
    /// Takes over listeners of the metrics port in place of the old ones.
    pub fn set_http_listeners(&mut self, mut listeners: Vec<Listener>) -> io::Result<()> {
        self.http.listeners.clear();
        listeners.truncate(FIRST_BUS - FIRST_HTTP);
        for (index, listener) in listeners.iter_mut().enumerate() {
            listener.register(self.poll.registry(), Token(FIRST_HTTP + index))?;
        }
        self.http.ready = (0..listeners.len()).collect();
        self.http.listeners = listeners;
        Ok(())
    }

    /// Accepts connections, and closes those that are silent.
    pub(super) fn accept_http(&mut self, now: u64) {
        for index in std::mem::take(&mut self.http.ready) {
            loop {
                match self.http.listeners[index].accept(0, None) {
                    Ok((transport, _)) => self.add_http(transport, now),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(_) => {
                        // Edge-triggered: what waits brings no further event.
                        self.http.ready.push(index);
                        break;
                    }
                }
            }
        }
        if self.http.connections.is_empty() {
            return;
        }
        let (connections, to_close) = (&mut self.connections, &mut self.to_close);
        self.http.connections.retain(|index| {
            let Some(connection) = connections.get_mut(*index) else { return false };
            let ConnectionKind::Http(http) = &connection.kind else { return false };
            let is_silent = now.saturating_sub(http.active_ms) > SILENCE_MS;
            if is_silent && !connection.dropped {
                connection.dropped = true;
                to_close.push(*index);
            }
            !is_silent
        });
    }

    fn add_http(&mut self, mut transport: Transport, now: u64) {
        if self.http.connections.len() >= MOST {
            return;
        }
        let entry = self.connections.vacant_entry();
        let index = entry.key();
        if let Err(error) = transport.register(self.poll.registry(), Token(index + FIRST_CONNECTION)) {
            log::warn!("Registering a connection to the metrics port: {error}");
            return;
        }
        let mut connection = Connection::new(transport, ClientId::NONE);
        connection.kind =
            ConnectionKind::Http(Box::new(HttpConnection { active_ms: now, ..Default::default() }));
        entry.insert(connection);
        self.http.connections.push(index);
    }

    /// Reads what a connection asks for.
    pub(super) fn serve_http(&mut self, index: usize, now: u64) {
        let connection = &mut self.connections[index];
        let ConnectionKind::Http(http) = &mut connection.kind else { return };
        if connection.dropped || connection.closing || http.is_asked {
            return;
        }
        if connection.readable {
            let mut buffer = [0; 4096];
            match connection.transport.read(&mut buffer) {
                Ok(Read { bytes: 0, .. }) => return self.drop_connection(index),
                Ok(Read { bytes, more }) => {
                    connection.readable = more || connection.read_eof;
                    http.active_ms = now;
                    http.reader.push(&buffer[..bytes]);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => connection.readable = false,
                Err(_) => return self.drop_connection(index),
            }
        }
        let (request, readable) = (http.reader.next_request(), connection.readable);
        match request {
            Ok(Some(request)) => {
                http.is_asked = true;
                self.http.requests.push((index, request));
            }
            Ok(None) if readable => self.enqueue(index),
            Ok(None) => {}
            Err(refused) => self.respond(index, &Response::refusal(refused), None),
        }
    }

    /// Sends the response to a request; without one, the connection ends.
    pub fn respond(&mut self, index: usize, response: &Response, request: Option<&Request>) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        let ConnectionKind::Http(http) = &mut connection.kind else { return };
        http.is_asked = false;
        let keep_alive = request.is_some_and(|request| request.keep_alive);
        let head_only = request.is_some_and(|request| request.head_only);
        connection.output.get_or_insert_default().push(&response.to_bytes(head_only, keep_alive));
        self.writable.push(index);
        if keep_alive {
            // There may be a further request behind it.
            self.enqueue(index);
        } else {
            self.close_gracefully(index);
        }
    }

    /// A connection has been closed.
    pub(super) fn forget_http(&mut self, index: usize) {
        self.http.connections.retain(|other| *other != index);
    }
}
