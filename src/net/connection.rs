//! A connection: a socket with its unexecuted input and unsent output.
//!
//! An idle connection owns no buffer: it has input only while a request is incomplete or must wait, and output
//! only while the socket doesn't take it.

use std::io::{self, IoSlice};

use super::output::{Output, PIECES};
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

/// Why no requests of a connection are executed just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadPause {
    /// They are.
    None,
    /// The client waits in a blocking command.
    Blocked,
    /// CLIENT PAUSE: the first request in `input` is to be tried again.
    Postponed,
    /// The peer doesn't read its replies.
    SlowReader,
}

pub struct Connection {
    pub transport: Transport,
    pub client: ClientId,
    /// Bytes read and not yet executed, from the start of a request on.
    pub input: Vec<u8>,
    pub partial: Option<Box<Partial>>,
    /// Replies the socket didn't take.
    pub output: Option<Box<Output>>,
    /// The socket may have more to read than was read.
    pub readable: bool,
    /// The peer has closed its side: there is an end of file behind what can be read.
    pub read_eof: bool,
    /// It is in the list of connections to be served.
    pub queued: bool,
    pub read_pause: ReadPause,
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
            output: None,
            readable: false,
            read_eof: false,
            queued: false,
            read_pause: ReadPause::None,
            closing: false,
            over_soft_since: 0,
        }
    }

    /// Bytes waiting to be sent.
    #[inline]
    pub fn unsent(&self) -> usize {
        self.output.as_ref().map_or(0, |output| output.len())
    }

    /// Sends what waits and then `fresh`, as far as the socket takes it; keeps the rest. How much went out.
    #[inline]
    pub fn send(&mut self, fresh: &[u8]) -> io::Result<usize> {
        if self.output.is_some() {
            return self.send_behind(fresh);
        }
        let written = would_block_is_none(self.transport.write(fresh))?;
        if written < fresh.len() {
            let mut output = Box::<Output>::default();
            output.push(&fresh[written..]);
            self.output = Some(output);
        }
        Ok(written)
    }

    fn send_behind(&mut self, fresh: &[u8]) -> io::Result<usize> {
        let Some(output) = &mut self.output else { return Ok(0) };
        let backlog = output.len();
        let mut pieces = [IoSlice::new(&[]); PIECES];
        let count = output.pieces(fresh, &mut pieces);
        let written = would_block_is_none(self.transport.write_pieces(&pieces[..count]))?;
        output.advance(written.min(backlog));
        output.push(&fresh[written.saturating_sub(backlog)..]);
        if output.is_empty() {
            self.output = None;
        }
        Ok(written)
    }
}

fn would_block_is_none(written: io::Result<usize>) -> io::Result<usize> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        other => other,
    }
}
