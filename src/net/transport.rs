//! Transports: non-blocking byte streams under a connection (TCP, Unix socket).

use std::io::{self, IoSlice, Read as _, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};

use crate::engine::clients::session::Peer;
use crate::sys::read::read_behind;

/// A non-blocking byte stream.
pub enum Transport {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// What a read brought.
#[derive(Clone, Copy, Debug)]
pub struct Read {
    /// Bytes read; 0 at the end of the stream.
    pub bytes: usize,
    /// Whether more may be there already, of which there will be no event.
    pub more: bool,
}

impl Transport {
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        match self {
            Transport::Tcp(stream) => stream.register(registry, token, both),
            Transport::Unix(stream) => stream.register(registry, token, both),
        }
    }

    /// Whether it is connected: the peer, `None` while that is open, or why it is not.
    pub fn connected(&self) -> io::Result<Option<Peer>> {
        let Transport::Tcp(stream) = self else { return Ok(Some(Peer::Internal)) };
        if let Some(error) = stream.take_error()? {
            return Err(error);
        }
        match stream.peer_addr() {
            Ok(peer) => Ok(Some(Peer::Tcp(peer, stream.local_addr().unwrap_or(peer)))),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Lets the kernel gather what is written into fuller packets.
    pub fn gather_packets(&self) {
        if let Transport::Tcp(stream) = self {
            // Without it the packets are small, and nothing else is wrong.
            let _ = stream.set_nodelay(false);
        }
    }

    pub fn fd(&self) -> RawFd {
        match self {
            Transport::Tcp(stream) => stream.as_raw_fd(),
            Transport::Unix(stream) => stream.as_raw_fd(),
        }
    }

    /// Reads into `buffer`, which isn't empty; interrupted calls are repeated.
    #[inline]
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<Read> {
        let bytes = loop {
            let result = match self {
                Transport::Tcp(stream) => stream.read(buffer),
                Transport::Unix(stream) => stream.read(buffer),
            };
            match result {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        // A socket that didn't fill the buffer is drained: the next bytes come with an event.
        Ok(Read { bytes, more: bytes == buffer.len() })
    }

    /// Reads into `bytes`, behind what is there, at most `room` bytes, for which there is capacity, and what comes behind
    /// them into `more`; interrupted calls are repeated.
    pub fn read_behind(&mut self, bytes: &mut Vec<u8>, room: usize, more: &mut [u8]) -> io::Result<Read> {
        let all = room + more.len();
        let bytes = loop {
            match read_behind(self.as_fd(), bytes, room, more) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        Ok(Read { bytes, more: bytes == all })
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Transport::Tcp(stream) => stream.as_fd(),
            Transport::Unix(stream) => stream.as_fd(),
        }
    }

    /// Whether it has something to write when the socket is writable although the connection has not.
    #[inline]
    pub fn wants_write(&self) -> bool {
        match self {
            // These write at once what they are given.
            Transport::Tcp(_) | Transport::Unix(_) => false,
        }
    }

    /// Writes what the socket takes; interrupted calls are repeated.
    #[inline]
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let result = match self {
                Transport::Tcp(stream) => stream.write(bytes),
                Transport::Unix(stream) => stream.write(bytes),
            };
            match result {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    /// As [`Self::write`], for several slices.
    pub fn write_slices(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        loop {
            let result = match self {
                Transport::Tcp(stream) => stream.write_vectored(slices),
                Transport::Unix(stream) => stream.write_vectored(slices),
            };
            match result {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }
}
