//! A large argument, read straight into the allocation in which it may be stored (`PROTO_MBULK_BIG_ARG`).
//!
//! ```text
//! input      *3 $3 SET $3 key $1048576 |          the request up to the argument, later with what follows it
//! argument   | arrived …      |        |          as long as the argument in the end
//! ```

use std::io;
use std::sync::Arc;

use super::read::Read;
use super::transport::Transport;
use crate::structures::table::SHARED_MIN;

/// Arguments of this length are read in this way, bytes: strings of this length are stored in such an allocation.
pub const LARGE_ARGUMENT: usize = SHARED_MIN;
/// What is allocated for an argument of which nothing has arrived, bytes: a mere length must not cost memory.
const AHEAD: usize = 2 << 20;
/// Bytes read at once at most: other connections wait meanwhile.
const READ_MAX: usize = 1 << 20;

/// An argument of which some bytes may be missing.
#[derive(Debug)]
pub struct LargeArgument {
    bytes: Vec<u8>,
    len: usize,
}

impl LargeArgument {
    /// An argument of `len` bytes whose first ones have arrived.
    pub fn begin(arrived: &[u8], len: usize) -> Self {
        let mut argument = LargeArgument { bytes: Vec::new(), len };
        argument.reserve(arrived.len());
        argument.bytes.extend_from_slice(arrived);
        argument
    }

    /// Bytes that have arrived.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes allocated.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Bytes that are to come.
    pub fn missing(&self) -> usize {
        self.len - self.bytes.len()
    }

    /// Room for more, when there is none: twice what `have` bytes of it take, so that each byte is moved once on
    /// average, and in the end exactly what the argument takes.
    fn reserve(&mut self, have: usize) {
        if have >= self.bytes.capacity() {
            let capacity = self.len.min(AHEAD.max(2 * have));
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
    }

    /// Reads on. The bytes that follow the argument go to `behind`; how many, is the second result.
    pub fn read(&mut self, transport: &mut Transport, behind: &mut [u8]) -> io::Result<(Read, usize)> {
        self.reserve(self.bytes.len());
        let missing = self.missing();
        let room = missing.min(READ_MAX).min(self.bytes.capacity() - self.bytes.len());
        let behind = if room == missing { behind } else { &mut [] };
        let read = transport.read_behind(&mut self.bytes, room, behind)?;
        Ok((read, read.bytes.saturating_sub(room)))
    }

    /// The argument, which is complete.
    pub fn finish(self) -> Arc<Vec<u8>> {
        debug_assert_eq!((self.bytes.len(), self.bytes.capacity()), (self.len, self.len));
        Arc::new(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// Reads an argument that is sent `piece` bytes at a time; returns it, what followed it, and the capacities it had.
    fn read(argument: &[u8], arrived: usize, piece: usize) -> (Arc<Vec<u8>>, Vec<u8>, Vec<usize>) {
        let (mut to, from) = std::os::unix::net::UnixStream::pair().expect("a pair of sockets");
        let mut transport = Transport::Unix(mio::net::UnixStream::from_std(from));
        let mut large = LargeArgument::begin(&argument[..arrived], argument.len());
        let (mut behind, mut followed, mut capacities) = ([0; 8], Vec::new(), vec![large.capacity()]);
        let sent = [&argument[arrived..], b"\r\n*1"].concat();
        for piece in sent.chunks(piece) {
            to.write_all(piece).expect("room in the socket");
            let mut left = piece.len();
            while left > 0 && large.missing() > 0 {
                let (read, extra) = large.read(&mut transport, &mut behind).expect("something to read");
                left -= read.bytes;
                followed.extend_from_slice(&behind[..extra]);
                capacities.push(large.capacity());
            }
            followed.extend_from_slice(&piece[piece.len() - left..]);
        }
        capacities.dedup();
        (large.finish(), followed, capacities)
    }

    #[test]
    fn it_is_read_in_any_pieces() {
        let argument: Vec<u8> = (0..LARGE_ARGUMENT + 77).map(|at| (at / 7) as u8).collect();
        for arrived in [0, 1, 512, argument.len() - 1] {
            for piece in [1, 100, 4096, argument.len() - arrived, usize::MAX] {
                let (read, followed, capacities) = read(&argument, arrived, piece);
                assert_eq!((&*read, followed.as_slice()), (&argument, &b"\r\n*1"[..]));
                assert_eq!(capacities, [argument.len()], "it is never moved");
            }
        }
    }

    #[test]
    fn memory_follows_what_arrives() {
        assert_eq!(LargeArgument::begin(b"x", 512 << 20).capacity(), AHEAD);
        let argument = vec![7; (9 << 20) + 1];
        let (read, _, capacities) = read(&argument, 1000, 100_000);
        assert_eq!(*read, argument);
        assert_eq!(capacities, [AHEAD, 2 * AHEAD, 4 * AHEAD, argument.len()]);
    }
}
