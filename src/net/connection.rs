//! A connection: a socket with its unexecuted input and unsent output.
//!
//! An idle connection owns no buffer: it has input only while a request is incomplete or must wait, and output
//! only while the socket doesn't take it.

use std::io::{self, IoSlice};
use std::net::SocketAddr;

use super::input::Input;
use super::large_argument::{LARGE_ARGUMENT, LargeArgument};
use super::payload::ReplicaOutput;
use super::transport::Transport;
use super::turn_output::{Chain, PieceBytes};
use super::unsent_output::{Output, SLICES};
use crate::base::ids::{ClientId, LinkId};
use crate::engine::links::Target;
use crate::resp::Span;
use crate::resp::parser::Progress;
use crate::services::http::RequestReader;

/// Longest piece that is copied to be sent with others, bytes.
const SHORT_PIECE: usize = 1024;
/// Pieces copied to be sent with one `write`, bytes.
const GATHERED: usize = 64 * 1024;

/// How far an incomplete request has been read.
#[derive(Debug, Default)]
pub struct Partial {
    pub progress: Progress,
    pub spans: Vec<Span>,
    /// Its first large argument, which isn't in the input.
    pub large: Option<LargeArgument>,
}

/// Why no requests of a connection are executed just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadPause {
    /// They are.
    None,
    /// The client waits in a blocking command.
    Blocked,
    /// Its request is being answered, in slices.
    Answered,
    /// CLIENT PAUSE, a quota: the first request in `input` is to be tried again.
    Postponed,
    /// The peer doesn't read its replies.
    SlowReader,
}

/// Why what a connection is to be sent waits for the log, if there are writes that it doesn't hold durably yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogDependence {
    /// It tells of no data.
    #[default]
    None,
    /// Messages may tell of data.
    Messages,
    /// Replies may.
    Replies,
}

/// What a connection is for.
#[derive(Debug)]
pub enum ConnectionKind {
    /// The peer sends requests; `Connection::client` is its session.
    Client,
    /// It was opened from here, or another node of the cluster opened it.
    Link(Box<LinkConnection>),
    /// The peer asks the metrics port for pages.
    Http(Box<HttpConnection>),
}

/// A connection whose bytes are for a part of the engine.
#[derive(Debug)]
pub struct LinkConnection {
    pub link: LinkId,
    /// The peer has opened it.
    pub accepted: bool,
    /// It isn't connected yet, or its handshake isn't over.
    pub connecting: bool,
    /// Nothing is read for a while.
    pub paused: bool,
    /// Further addresses to try while it is connecting.
    pub more: Vec<SocketAddr>,
    pub target: Target,
}

/// A connection to the metrics port.
#[derive(Debug, Default)]
pub struct HttpConnection {
    pub reader: RequestReader,
    /// A request waits for its response: nothing is read meanwhile.
    pub is_asked: bool,
    /// When something last came, Unix ms.
    pub active_ms: u64,
}

/// What sending did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    pub bytes: usize,
    /// Something is left although the socket took all it was offered: it may take more, and no event will say so.
    pub more: bool,
}

pub struct Connection {
    pub transport: Transport,
    pub client: ClientId,
    pub kind: ConnectionKind,
    /// Bytes read and not yet executed, from the start of a request on.
    pub input: Input,
    pub partial: Option<Box<Partial>>,
    /// Its requests have large arguments: little is read of the next one, so that its argument can be read straight into an
    /// allocation of its own.
    pub expects_large: bool,
    /// Replies the socket didn't take.
    pub output: Option<Box<Output>>,
    /// What it is sent as a replica.
    pub replica: Option<ReplicaOutput>,
    /// Its pieces of the turn's output.
    pub chain: Chain,
    /// Whether what it is sent in this turn waits for the log (`appendfsync always`).
    pub log_dependence: LogDependence,
    /// No request is executed before the log is durable up to this offset of the command stream, as a reply waits for that.
    pub serve_after: u64,
    /// The socket may have more to read than was read.
    pub readable: bool,
    /// The peer has closed its side: there is an end of file behind what can be read.
    pub read_eof: bool,
    /// It is in the list of connections to be served.
    pub queued: bool,
    pub read_pause: ReadPause,
    /// To be closed once `output` is out; nothing more is read.
    pub closing: bool,
    /// To be closed at the turn's end; nothing more is read or written (`CLIENT_CLOSE_ASAP`).
    pub dropped: bool,
    /// Since when the output has been above its soft limit, Unix ms; 0: it isn't.
    pub over_soft_since: u64,
    /// It is in the list of connections above their soft limit.
    pub over_soft_listed: bool,
}

impl Connection {
    pub fn new(transport: Transport, client: ClientId) -> Self {
        Connection {
            transport,
            client,
            kind: ConnectionKind::Client,
            input: Input::default(),
            partial: None,
            expects_large: false,
            output: None,
            replica: None,
            chain: Chain::EMPTY,
            log_dependence: LogDependence::None,
            serve_after: 0,
            readable: false,
            read_eof: false,
            queued: false,
            read_pause: ReadPause::None,
            closing: false,
            dropped: false,
            over_soft_since: 0,
            over_soft_listed: false,
        }
    }

    /// Bytes of unexecuted requests.
    pub fn unexecuted(&self) -> usize {
        self.input.len() + self.large().map_or(0, LargeArgument::len)
    }

    /// Bytes that unexecuted requests hold in memory.
    pub fn input_capacity(&self) -> usize {
        self.input.capacity() + self.large().map_or(0, LargeArgument::capacity)
    }

    /// Whether requests wait that have been read whole, or not been looked at.
    #[inline]
    pub fn has_whole_input(&self) -> bool {
        !self.input.is_empty() && self.partial.is_none()
    }

    /// The large argument of the incomplete request.
    #[inline]
    pub fn large(&self) -> Option<&LargeArgument> {
        self.partial.as_ref().and_then(|partial| partial.large.as_ref())
    }

    /// Whether some of a large argument is to come.
    #[inline]
    pub fn awaits_large(&self) -> bool {
        self.large().is_some_and(|large| large.missing() > 0)
    }

    /// If the argument being read is the first large one of its request, has it read into an allocation of its own.
    pub fn separate_large_argument(&mut self) {
        let Some(partial) = &mut self.partial else { return };
        if partial.large.is_some() || partial.progress.word() < LARGE_ARGUMENT {
            return;
        }
        let arrived = self.input.take_from(partial.progress.parsed());
        let len = partial.progress.separate_word();
        let (arrived, behind) = arrived.split_at(arrived.len().min(len));
        partial.large = Some(LargeArgument::begin(arrived, len));
        self.input.put_behind(behind);
        self.expects_large = true;
    }

    /// Bytes of the backlog.
    #[inline]
    pub fn unsent(&self) -> usize {
        self.output.as_ref().map_or(0, |output| output.len())
    }

    /// Bytes that the backlog holds in memory: a chunk that was sent in part is held as a whole.
    #[inline]
    pub fn held(&self) -> usize {
        self.output.as_ref().map_or(0, |output| output.held())
    }

    /// Whether something is to be done when the socket is writable.
    #[inline]
    pub fn wants_write(&self) -> bool {
        self.output.is_some() || self.transport.wants_write()
    }

    /// Writes the backlog and then `fresh`, as far as the socket takes it, with one system call; keeps the rest.
    /// `gathered` is a buffer to work with.
    #[inline]
    pub fn send<'a>(
        &mut self,
        fresh: impl Iterator<Item = PieceBytes<'a>> + Clone,
        gathered: &mut Vec<u8>,
    ) -> io::Result<Sent> {
        if self.output.is_some() {
            return self.send_backlog(fresh);
        }
        let mut pieces = fresh.clone();
        // Without a piece it is the transport that has something to write.
        let first = pieces.next().unwrap_or(PieceBytes { bytes: &[], shared: None });
        if pieces.next().is_some() {
            return self.send_pieces(fresh, gathered);
        }
        let written = would_block_is_none(self.transport.write(first.bytes))?;
        if written < first.bytes.len() {
            self.output.get_or_insert_default().push_piece(first, written);
        }
        Ok(Sent { bytes: written, more: self.transport.takes_more() })
    }

    /// Sends several pieces: short ones in one copy, because a slice costs the kernel more than a short copy.
    fn send_pieces<'a>(
        &mut self,
        fresh: impl Iterator<Item = PieceBytes<'a>> + Clone,
        gathered: &mut Vec<u8>,
    ) -> io::Result<Sent> {
        gathered.clear();
        let mut all_short = true;
        for piece in fresh.clone() {
            all_short = piece.bytes.len() <= SHORT_PIECE;
            if !all_short || gathered.len() + piece.bytes.len() > GATHERED {
                break;
            }
            gathered.extend_from_slice(piece.bytes);
        }
        let (written, offered) = if all_short {
            (self.transport.write(gathered), gathered.len())
        } else {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let (mut count, mut offered) = (0, 0);
            for (slice, piece) in slices.iter_mut().zip(fresh.clone()) {
                *slice = IoSlice::new(piece.bytes);
                (count, offered) = (count + 1, offered + piece.bytes.len());
            }
            (self.transport.write_slices(&slices[..count]), offered)
        };
        let written = would_block_is_none(written)?;
        let mut skip = written;
        for piece in fresh {
            if skip < piece.bytes.len() {
                self.output.get_or_insert_default().push_piece(piece, skip);
                skip = 0;
            } else {
                skip -= piece.bytes.len();
            }
        }
        let took_all = written == offered || self.transport.takes_more();
        Ok(Sent { bytes: written, more: took_all && self.output.is_some() })
    }

    #[cold]
    fn send_backlog<'a>(&mut self, fresh: impl Iterator<Item = PieceBytes<'a>>) -> io::Result<Sent> {
        let Some(output) = &mut self.output else { return Ok(Sent::default()) };
        fresh.for_each(|piece| output.push_piece(piece, 0));
        let mut slices = [IoSlice::new(&[]); SLICES];
        let count = output.slices(&mut slices);
        let slices = &slices[..count];
        let offered: usize = slices.iter().map(|slice| slice.len()).sum();
        let nothing = offered == 0 && !self.transport.wants_write();
        let written = if nothing { Ok(0) } else { self.transport.write_slices(slices) };
        let written = would_block_is_none(written)?;
        output.advance(written);
        let took_all = written == offered || self.transport.takes_more();
        let more = took_all && output.sendable() > 0;
        if output.is_empty() && !output.waits_for_log() {
            self.output = None;
        }
        Ok(Sent { bytes: written, more })
    }
}

pub(super) fn would_block_is_none(written: io::Result<usize>) -> io::Result<usize> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        other => other,
    }
}
