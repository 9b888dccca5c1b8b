//! What carries a connection's bytes.

use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsRawFd, RawFd};

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};

/// A non-blocking byte stream.
pub enum Transport {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Transport {
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        match self {
            Transport::Tcp(stream) => stream.register(registry, token, both),
            Transport::Unix(stream) => stream.register(registry, token, both),
        }
    }

    pub fn fd(&self) -> RawFd {
        match self {
            Transport::Tcp(stream) => stream.as_raw_fd(),
            Transport::Unix(stream) => stream.as_raw_fd(),
        }
    }

    /// Reads into `buffer`; interrupted calls are repeated.
    #[inline]
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let result = match self {
                Transport::Tcp(stream) => stream.read(buffer),
                Transport::Unix(stream) => stream.read(buffer),
            };
            match result {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    /// Writes what goes out at once: first `head`, then `tail`.
    #[inline]
    pub fn write(&mut self, head: &[u8], tail: &[u8]) -> io::Result<usize> {
        loop {
            let result = match (&mut *self, head.is_empty() || tail.is_empty()) {
                (Transport::Tcp(stream), true) => stream.write(if head.is_empty() { tail } else { head }),
                (Transport::Unix(stream), true) => stream.write(if head.is_empty() { tail } else { head }),
                (Transport::Tcp(stream), false) => {
                    stream.write_vectored(&[IoSlice::new(head), IoSlice::new(tail)])
                }
                (Transport::Unix(stream), false) => {
                    stream.write_vectored(&[IoSlice::new(head), IoSlice::new(tail)])
                }
            };
            match result {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }
}
