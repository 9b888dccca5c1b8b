//! A connection: a socket and what is on its way in and out.
//!
//! An idle one owns no buffer. Input belongs to it only while a request is incomplete or must wait;
//! output only while the peer doesn't take it.

use super::transport::Transport;
use crate::base::ids::ClientId;
use crate::resp::Span;
use crate::resp::parser::Progress;

/// How far an incomplete request has been read.
#[derive(Debug, Default)]
pub struct Partial {
    pub progress: Progress,
    pub spans: Vec<Span>,
}

/// Why a connection takes no requests just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// It does.
    None,
    /// Its client waits in a blocking command.
    Blocked,
    /// Clients are paused: the first request in `input` is to be tried again.
    Postponed,
    /// Its peer doesn't take its replies.
    Slow,
}

pub struct Connection {
    pub transport: Transport,
    pub client: ClientId,
    /// Bytes read and not yet executed, from the start of a request on.
    pub input: Vec<u8>,
    pub partial: Option<Box<Partial>>,
    /// Replies the socket didn't take, from `sent` on.
    pub output: Vec<u8>,
    pub sent: usize,
    /// The socket may have more to read than was read.
    pub readable: bool,
    /// The peer sends nothing more: there is an end of file behind what can be read.
    pub at_end: bool,
    /// It is in the list of connections to be served.
    pub queued: bool,
    pub hold: Hold,
    /// To be closed once `output` is out; nothing more is read.
    pub closing: bool,
    /// Since when the output has been above its soft limit, Unix ms; 0: it isn't.
    pub over_soft_since: u64,
}

impl Connection {
    pub fn new(transport: Transport, client: ClientId) -> Self {
        Connection {
            transport,
            client,
            input: Vec::new(),
            partial: None,
            output: Vec::new(),
            sent: 0,
            readable: false,
            at_end: false,
            queued: false,
            hold: Hold::None,
            closing: false,
            over_soft_since: 0,
        }
    }

    /// Bytes waiting to be sent.
    pub fn unsent(&self) -> usize {
        self.output.len() - self.sent
    }

    /// Forgets what has been sent; gives the memory back when all has.
    pub fn advance_output(&mut self, written: usize) {
        self.sent += written;
        if self.sent == self.output.len() {
            self.output = Vec::new();
            self.sent = 0;
        } else if self.sent > self.output.len() / 2 {
            self.output.drain(..self.sent);
            self.sent = 0;
        }
    }
}
