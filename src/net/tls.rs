//! TLS over a non-blocking byte stream: records in and out, the handshake, the closing alert.
//!
//! ```text
//! socket ─▶ scratch | incoming ─▶ session ─▶ the reader's buffer | plaintext
//! socket ◀─ outgoing ◀─────────── session ◀─ the writer's slices
//! ```
//!
//! All streams read and write through the scratch buffers of their thread; a stream keeps what is behind `|` only as long as there
//! is something: part of a record, plaintext for which the reader had no room, records that the socket didn't take.

use std::cell::RefCell;
use std::io::{self, IoSlice, Read as IoRead, Write};
use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError, UnbufferedStatus,
};
use rustls::{ClientConfig, CommonState, ServerConfig};
use rustls_pki_types::{CertificateDer, ServerName};

use super::read::Read;

/// Ciphertext read at once at most, bytes: the longest handshake message fits with the heads of its records.
const INCOMING: usize = 128 * 1024;
/// Ciphertext read at once at least, bytes: a record and the begin of the next.
const INCOMING_MIN: usize = 18 * 1024;
/// Plaintext of a record, bytes.
const RECORD: usize = 16 * 1024;
/// Records written with one system call, bytes.
const BATCH: usize = 4 * RECORD;
/// Plaintext taken by one call of [`TlsStream::write_slices`] at most, bytes: other connections wait meanwhile.
const WRITE_MAX: usize = 1 << 20;
/// Bytes of messages of the protocol that the peer may leave unread.
const UNREAD_MAX: usize = 1 << 20;

/// Buffers that all streams of a thread share.
struct Scratch {
    incoming: Box<[u8]>,
    /// Short slices, gathered to fill a record.
    gathered: Vec<u8>,
    records: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        incoming: vec![0; INCOMING].into_boxed_slice(),
        gathered: Vec::with_capacity(RECORD),
        records: vec![0; BATCH + 2 * RECORD],
    });
}

/// The state of the protocol, on either side.
enum Session {
    Server(UnbufferedServerConnection),
    Client(UnbufferedClientConnection),
}

/// Has a function process the state in which ciphertext leaves a session, whatever its side.
macro_rules! process {
    ($session:expr, $bytes:expr, $with:expr) => {
        match $session {
            Session::Server(session) => $with(session.process_tls_records($bytes)),
            Session::Client(session) => $with(session.process_tls_records($bytes)),
        }
    };
}

impl Session {
    fn common(&self) -> &CommonState {
        match self {
            Session::Server(session) => session,
            Session::Client(session) => session,
        }
    }
}

/// What processing a piece of ciphertext led to.
enum Step {
    GoesOn,
    /// More ciphertext is needed, or data can be written.
    Stops,
    /// The peer sends nothing more.
    Ended,
    Failed(rustls::Error),
}

/// TLS over a stream.
pub struct TlsStream<S> {
    socket: S,
    session: Session,
    /// Ciphertext that has not been processed.
    incoming: Vec<u8>,
    /// Plaintext that has not been read, from `taken` on.
    plaintext: Vec<u8>,
    taken: usize,
    /// Ciphertext that the socket didn't take, from `sent` on.
    outgoing: Vec<u8>,
    sent: usize,
    /// The peer sends nothing more.
    has_ended: bool,
    /// The last write took less than it was given, although the socket takes more.
    takes_more: bool,
    /// What ended the session.
    failure: Option<rustls::Error>,
}

/// When ciphertext has been processed far enough.
#[derive(Clone, Copy)]
enum Until {
    HandshakeDone,
    /// There is as much plaintext as the sink takes.
    Plaintext,
    /// More ciphertext is needed.
    Blocked,
}

/// Where plaintext goes.
struct Sink<'a> {
    put: &'a mut dyn FnMut(&[u8]),
    room: usize,
    bytes: usize,
}

impl Sink<'_> {
    /// Takes what there is room for; returns the rest.
    fn take<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let (now, later) = bytes.split_at(bytes.len().min(self.room));
        if !now.is_empty() {
            (self.put)(now);
        }
        self.room -= now.len();
        self.bytes += now.len();
        later
    }
}

impl<S: IoRead + Write> TlsStream<S> {
    /// The stream of a peer that has connected to this server.
    pub fn server(socket: S, config: Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        Ok(Self::new(socket, Session::Server(UnbufferedServerConnection::new(config)?)))
    }

    /// The stream of a connection to the server `name`.
    pub fn client(
        socket: S,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Self, rustls::Error> {
        Ok(Self::new(socket, Session::Client(UnbufferedClientConnection::new(config, name)?)))
    }

    fn new(socket: S, session: Session) -> Self {
        TlsStream {
            socket,
            session,
            incoming: Vec::new(),
            plaintext: Vec::new(),
            taken: 0,
            outgoing: Vec::new(),
            sent: 0,
            has_ended: false,
            takes_more: false,
            failure: None,
        }
    }

    pub fn socket(&self) -> &S {
        &self.socket
    }

    pub fn socket_mut(&mut self) -> &mut S {
        &mut self.socket
    }

    /// Whether nothing can be read or written yet.
    pub fn is_handshaking(&self) -> bool {
        self.session.common().is_handshaking()
    }

    /// Goes on with the handshake as far as it gets without waiting; true if it is done.
    pub fn shake_hands(&mut self) -> io::Result<bool> {
        let mut sink = Sink { put: &mut |_| {}, room: 0, bytes: 0 };
        self.pump(&mut sink, Until::HandshakeDone)?;
        if !self.is_handshaking() {
            return Ok(true);
        }
        if self.has_ended {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the peer has closed the connection"));
        }
        Ok(false)
    }

    /// The certificate with which the peer has proved its identity.
    pub fn peer_certificate(&self) -> Option<&CertificateDer<'static>> {
        self.session.common().peer_certificates()?.first()
    }

    /// Reads at most `room` bytes of plaintext and gives them to `put`, in parts.
    pub fn read(&mut self, room: usize, put: &mut dyn FnMut(&[u8])) -> io::Result<Read> {
        let mut sink = Sink { put, room, bytes: 0 };
        let rest = sink.take(&self.plaintext[self.taken..]).len();
        self.taken = self.plaintext.len() - rest;
        if rest == 0 {
            (self.plaintext, self.taken) = (Vec::new(), 0);
        }
        let is_drained = if sink.room > 0 { self.pump(&mut sink, Until::Plaintext)? } else { false };
        if sink.bytes == 0 && !self.has_ended {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Read { bytes: sink.bytes, more: !is_drained || (self.has_ended && sink.bytes > 0) })
    }

    /// Reads and processes ciphertext until there is enough, or the socket has no more: true.
    fn pump(&mut self, sink: &mut Sink<'_>, until: Until) -> io::Result<bool> {
        let result = SCRATCH.with_borrow_mut(|scratch| {
            let buffer = &mut scratch.incoming;
            let mut have = self.incoming.len();
            buffer[..have].copy_from_slice(&self.incoming);
            self.incoming.clear();
            let result = self.pump_through(buffer, &mut have, sink, until);
            match have {
                0 => self.incoming = Vec::new(),
                _ => self.incoming.extend_from_slice(&buffer[..have]),
            }
            result
        });
        let flushed = match self.flush() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ if self.outgoing.len() > UNREAD_MAX => Err(io::Error::other("the peer doesn't read")),
            _ => Ok(()),
        };
        match result.and_then(|is_drained| flushed.map(|()| is_drained)) {
            // What has been read is told first; the error comes with the next read.
            Err(_) if sink.bytes > 0 => Ok(false),
            result => result,
        }
    }

    fn pump_through(
        &mut self,
        buffer: &mut [u8],
        have: &mut usize,
        sink: &mut Sink<'_>,
        until: Until,
    ) -> io::Result<bool> {
        let mut is_drained = false;
        loop {
            let (done, is_enough) = self.process(&mut buffer[..*have], sink, until)?;
            buffer.copy_within(done..*have, 0);
            *have -= done;
            let is_shaken = matches!(until, Until::HandshakeDone) && !self.is_handshaking();
            if is_enough || is_shaken {
                return Ok(false);
            }
            if self.has_ended || (is_drained && sink.bytes > 0) {
                return Ok(true);
            }
            if *have == buffer.len() {
                return Err(io::Error::other("a message of the protocol is too long"));
            }
            let end = buffer.len().min(*have + INCOMING_MIN.max(sink.room.saturating_add(sink.room / 64)));
            match self.socket.read(&mut buffer[*have..end]) {
                Ok(0) => self.has_ended = true,
                Ok(bytes) => {
                    is_drained = bytes < end - *have;
                    *have += bytes;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            }
        }
    }

    /// Processes the records in `bytes` until there is enough; returns how many bytes are done with, and whether there is.
    fn process(&mut self, bytes: &mut [u8], sink: &mut Sink<'_>, until: Until) -> io::Result<(usize, bool)> {
        if let Some(error) = &self.failure {
            return Err(io::Error::new(io::ErrorKind::InvalidData, error.to_string()));
        }
        let mut done = 0;
        loop {
            let is_enough = match until {
                Until::Plaintext => sink.room == 0 || !self.plaintext.is_empty(),
                // The end of a handshake leaves messages to be sent.
                Until::HandshakeDone | Until::Blocked => false,
            };
            if is_enough {
                return Ok((done, true));
            }
            let (plaintext, outgoing) = (&mut self.plaintext, &mut self.outgoing);
            let (discard, step) = process!(&mut self.session, &mut bytes[done..], |status| step(
                status, plaintext, outgoing, sink
            ));
            let goes_on = match step {
                Step::GoesOn => true,
                Step::Stops => false,
                Step::Ended => {
                    self.has_ended = true;
                    false
                }
                Step::Failed(error) => return Err(self.fail(error, &mut bytes[done + discard..])),
            };
            done += discard;
            if !goes_on {
                return Ok((done, false));
            }
        }
    }

    /// The session has failed: the peer is told why, as far as the socket takes it. `rest`: what has not been processed, which
    /// the session still refers to.
    #[cold]
    fn fail(&mut self, error: rustls::Error, rest: &mut [u8]) -> io::Error {
        let outgoing = &mut self.outgoing;
        if !is_no_tls(&error) {
            process!(&mut self.session, rest, |status| encode_alert(status, outgoing));
        }
        // The connection ends in any case.
        let _ = self.flush();
        let text = error.to_string();
        self.failure = Some(error);
        io::Error::new(io::ErrorKind::InvalidData, text)
    }

    /// Whether there are records that the socket didn't take.
    pub fn wants_write(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Whether the last write left something although the socket takes more.
    pub fn takes_more(&self) -> bool {
        self.takes_more
    }

    /// Writes the records that wait; `WouldBlock` if some still do.
    fn flush(&mut self) -> io::Result<()> {
        while self.sent < self.outgoing.len() {
            match self.socket.write(&self.outgoing[self.sent..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => self.sent += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if self.sent > 0 {
            (self.outgoing, self.sent) = (Vec::new(), 0);
        }
        Ok(())
    }

    /// Takes plaintext and writes it in records. What the socket doesn't take of them, at most a batch, is written before
    /// anything else.
    pub fn write_slices(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.takes_more = false;
        if !self.is_handshaking() {
            self.settle()?;
        }
        self.flush()?;
        if self.is_handshaking() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut rest = Pieces::new(slices);
        if rest.is_empty() {
            return Ok(0);
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let Scratch { gathered, records, .. } = scratch;
            let mut taken = 0;
            while !rest.is_empty() {
                self.takes_more = taken >= WRITE_MAX;
                if self.takes_more {
                    break;
                }
                let (plain, length) = self.encrypt(&mut rest, gathered, records)?;
                taken += plain;
                if !self.send_records(&records[..length])? {
                    break;
                }
            }
            Ok(taken)
        })
    }

    /// Processes what the peer has sent before: its plaintext is kept, answers of the protocol go out first.
    fn settle(&mut self) -> io::Result<()> {
        let mut incoming = std::mem::take(&mut self.incoming);
        let mut sink = Sink { put: &mut |_| {}, room: 0, bytes: 0 };
        let (done, _) = self.process(&mut incoming, &mut sink, Until::Blocked)?;
        incoming.drain(..done);
        self.incoming = incoming;
        Ok(())
    }

    /// Makes a batch of records; returns the bytes of plaintext in it and its own.
    fn encrypt(
        &mut self,
        rest: &mut Pieces<'_>,
        gathered: &mut Vec<u8>,
        records: &mut Vec<u8>,
    ) -> io::Result<(usize, usize)> {
        process!(&mut self.session, &mut self.incoming, |status| encrypt(status, rest, gathered, records))
    }

    /// Writes records, and keeps what the socket doesn't take; whether it took all.
    fn send_records(&mut self, records: &[u8]) -> io::Result<bool> {
        let bytes = loop {
            match self.socket.write(records) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break 0,
                result => break result?,
            }
        };
        if bytes < records.len() {
            self.outgoing = records[bytes..].to_vec();
            // A short write need not mean that the socket is full, and only a full one tells when it is not.
            return match self.flush() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
                result => result.map(|()| true),
            };
        }
        Ok(true)
    }

    /// Tells the peer that nothing more comes, if the socket takes it at once.
    pub fn close(&mut self) {
        if self.is_handshaking() || self.failure.is_some() || self.wants_write() || self.settle().is_err() {
            return;
        }
        let mut alert = [0; 256];
        let bytes =
            process!(&mut self.session, &mut self.incoming, |status| encode_close(status, &mut alert));
        // The connection ends in any case.
        let _ = self.socket.write(&alert[..bytes]);
    }
}

/// Does what the next state of a session asks for; returns how many bytes are done with.
fn step<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    plaintext: &mut Vec<u8>,
    outgoing: &mut Vec<u8>,
    sink: &mut Sink<'_>,
) -> (usize, Step) {
    let UnbufferedStatus { mut discard, state } = status;
    let step = match state {
        Ok(ConnectionState::ReadTraffic(mut traffic)) => {
            while let Some(Ok(record)) = traffic.next_record() {
                discard += record.discard;
                plaintext.extend_from_slice(sink.take(record.payload));
            }
            Step::GoesOn
        }
        Ok(ConnectionState::EncodeTlsData(data)) => {
            encode(data, outgoing);
            Step::GoesOn
        }
        Ok(ConnectionState::TransmitTlsData(data)) => {
            data.done();
            Step::GoesOn
        }
        Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => Step::Ended,
        Ok(_) => Step::Stops,
        Err(error) => Step::Failed(error),
    };
    (discard, step)
}

/// Whether what came was no TLS at all: its sender would take an alert for a part of another protocol.
fn is_no_tls(error: &rustls::Error) -> bool {
    use rustls::InvalidMessage::{InvalidContentType, UnknownProtocolVersion};
    matches!(error, rustls::Error::InvalidMessage(InvalidContentType | UnknownProtocolVersion))
}

/// Adds the alert that a failed session has for its peer, if any.
fn encode_alert<Data>(status: UnbufferedStatus<'_, '_, Data>, outgoing: &mut Vec<u8>) {
    if let Ok(ConnectionState::EncodeTlsData(data)) = status.state {
        encode(data, outgoing);
    }
}

/// Makes the alert that ends a stream; returns its length, 0 if there can be none.
fn encode_close<Data>(status: UnbufferedStatus<'_, '_, Data>, alert: &mut [u8]) -> usize {
    match status.state {
        Ok(ConnectionState::WriteTraffic(mut traffic)) => traffic.queue_close_notify(alert).unwrap_or(0),
        _ => 0,
    }
}

/// Makes a batch of records; returns the bytes of plaintext in it and its own.
fn encrypt<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    rest: &mut Pieces<'_>,
    gathered: &mut Vec<u8>,
    records: &mut Vec<u8>,
) -> io::Result<(usize, usize)> {
    let Ok(ConnectionState::WriteTraffic(mut traffic)) = status.state else {
        return Err(io::Error::other("the session can't be written to"));
    };
    let (mut plain, mut length) = (0, 0);
    while plain < BATCH && !rest.is_empty() {
        let record = rest.take_record(gathered);
        plain += record.len();
        loop {
            match traffic.encrypt(record, &mut records[length..]) {
                Ok(bytes) => break length += bytes,
                Err(EncryptError::InsufficientSize(InsufficientSizeError { required_size })) => {
                    records.resize(length + required_size, 0);
                }
                Err(error) => return Err(io::Error::other(error.to_string())),
            }
        }
    }
    Ok((plain, length))
}

fn encode<Data>(mut data: EncodeTlsData<'_, Data>, outgoing: &mut Vec<u8>) {
    let start = outgoing.len();
    loop {
        match data.encode(&mut outgoing[start..]) {
            Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) => {
                outgoing.resize(start + required_size, 0);
            }
            _ => return,
        }
    }
}

/// Slices of which some bytes have been taken. Invariant: the first slice has more than `at` bytes.
struct Pieces<'a> {
    slices: &'a [IoSlice<'a>],
    at: usize,
}

impl<'a> Pieces<'a> {
    fn new(slices: &'a [IoSlice<'a>]) -> Self {
        let mut pieces = Pieces { slices, at: 0 };
        pieces.advance(0);
        pieces
    }

    fn is_empty(&self) -> bool {
        self.slices.is_empty()
    }

    fn advance(&mut self, bytes: usize) {
        self.at += bytes;
        while self.slices.first().is_some_and(|first| self.at == first.len()) {
            (self.slices, self.at) = (&self.slices[1..], 0);
        }
    }

    /// Takes the plaintext of a record, at most [`RECORD`] bytes; short slices are gathered.
    fn take_record<'b>(&mut self, gathered: &'b mut Vec<u8>) -> &'b [u8]
    where
        'a: 'b,
    {
        gathered.clear();
        while let Some(first) = self.slices.first() {
            let bytes = &first[self.at..];
            let bytes = &bytes[..bytes.len().min(RECORD - gathered.len())];
            let is_last = self.slices.len() == 1;
            self.advance(bytes.len());
            if gathered.is_empty() && (is_last || bytes.len() == RECORD) {
                return bytes;
            }
            gathered.extend_from_slice(bytes);
            if gathered.len() == RECORD {
                break;
            }
        }
        gathered
    }
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "tls_client_tests.rs"]
mod client_tests;
