//! Transports: non-blocking byte streams under a connection (TCP, Unix socket, TLS over TCP).

use std::io::{self, IoSlice, Read as _, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};

use super::read::Read;
use super::tls::TlsStream;
use crate::engine::clients::session::Peer;
use crate::sys::read::read_behind;

/// A non-blocking byte stream.
pub enum Transport {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Transport {
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        match self {
            Transport::Tcp(stream) => stream.register(registry, token, both),
            Transport::Unix(stream) => stream.register(registry, token, both),
            Transport::Tls(stream) => stream.socket_mut().register(registry, token, both),
        }
    }

    /// Whether it is connected: the peer, `None` while that is open, or why it is not.
    pub fn connected(&self) -> io::Result<Option<Peer>> {
        let stream = match self {
            Transport::Tcp(stream) => stream,
            Transport::Tls(stream) => stream.socket(),
            Transport::Unix(_) => return Ok(Some(Peer::Internal)),
        };
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
        let stream = match self {
            Transport::Tcp(stream) => stream,
            Transport::Tls(stream) => stream.socket(),
            Transport::Unix(_) => return,
        };
        // Without it the packets are small, and nothing else is wrong.
        let _ = stream.set_nodelay(false);
    }

    pub fn fd(&self) -> RawFd {
        match self {
            Transport::Tcp(stream) => stream.as_raw_fd(),
            Transport::Unix(stream) => stream.as_raw_fd(),
            Transport::Tls(stream) => stream.socket().as_raw_fd(),
        }
    }

    /// The session of TLS, if it has one.
    #[inline]
    pub fn tls(&mut self) -> Option<&mut TlsStream<TcpStream>> {
        match self {
            Transport::Tls(stream) => Some(stream),
            Transport::Tcp(_) | Transport::Unix(_) => None,
        }
    }

    /// Reads into `buffer`, which isn't empty; interrupted calls are repeated.
    #[inline]
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<Read> {
        let bytes = loop {
            let result = match self {
                Transport::Tcp(stream) => stream.read(buffer),
                Transport::Unix(stream) => stream.read(buffer),
                Transport::Tls(stream) => return read_plaintext(stream, buffer),
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
        if let Transport::Tls(stream) = self {
            let (mut missing, mut behind) = (room, 0);
            return stream.read(all, &mut |plain| {
                let (first, rest) = plain.split_at(plain.len().min(missing));
                bytes.extend_from_slice(first);
                more[behind..behind + rest.len()].copy_from_slice(rest);
                (missing, behind) = (missing - first.len(), behind + rest.len());
            });
        }
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
            Transport::Tls(stream) => stream.socket().as_fd(),
        }
    }

    /// Whether it has something to write when the socket is writable although the connection has not.
    #[inline]
    pub fn wants_write(&self) -> bool {
        match self {
            // These write at once what they are given.
            Transport::Tcp(_) | Transport::Unix(_) => false,
            Transport::Tls(stream) => stream.wants_write(),
        }
    }

    /// Whether the last write took less than it was given although the socket takes more: there will be no event.
    #[inline]
    pub fn takes_more(&self) -> bool {
        matches!(self, Transport::Tls(stream) if stream.takes_more())
    }

    /// Tells the peer that the stream ends, where the transport has a message for it.
    pub fn close(&mut self) {
        if let Transport::Tls(stream) = self {
            stream.close();
        }
    }

    /// Writes what the socket takes; interrupted calls are repeated.
    #[inline]
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let result = match self {
                Transport::Tcp(stream) => stream.write(bytes),
                Transport::Unix(stream) => stream.write(bytes),
                Transport::Tls(stream) => return stream.write_slices(&[IoSlice::new(bytes)]),
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
                Transport::Tls(stream) => return stream.write_slices(slices),
            };
            match result {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }
}

fn read_plaintext(stream: &mut TlsStream<TcpStream>, buffer: &mut [u8]) -> io::Result<Read> {
    let mut filled = 0;
    stream.read(buffer.len(), &mut |plain| {
        buffer[filled..filled + plain.len()].copy_from_slice(plain);
        filled += plain.len();
    })
}
