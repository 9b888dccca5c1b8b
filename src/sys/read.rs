//! Reading from a socket into memory that hasn't been written yet (`readv`).
//!
//! Zeroing the room for a megabyte takes as long as copying it; the kernel writes it anyway.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Reads into the spare capacity of `bytes`, at most `room` bytes of it, and what comes behind them into `more`. Returns
/// how many bytes were read: into `bytes` as many as fit, the rest into `more`.
pub fn read_behind(
    fd: BorrowedFd<'_>,
    bytes: &mut Vec<u8>,
    room: usize,
    more: &mut [u8],
) -> io::Result<usize> {
    let spare = bytes.spare_capacity_mut();
    let room = room.min(spare.len());
    let parts = [
        libc::iovec { iov_base: spare.as_mut_ptr().cast(), iov_len: room },
        libc::iovec { iov_base: more.as_mut_ptr().cast(), iov_len: more.len() },
    ];
    // SAFETY: both parts are memory that is borrowed mutably for the time of the call, `room` bytes of the first being allocated;
    // the kernel writes to them and reads nothing.
    let read = unsafe { libc::readv(fd.as_raw_fd(), parts.as_ptr(), 2) };
    let Ok(read) = usize::try_from(read) else { return Err(io::Error::last_os_error()) };
    let filled = bytes.len() + read.min(room);
    // SAFETY: the kernel fills the first part before the second, so that its first `min(read, room)` bytes are written.
    unsafe { bytes.set_len(filled) };
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    /// The twin reads into zeroed memory.
    fn read_behind_zeroed(
        from: &mut UnixStream,
        bytes: &mut Vec<u8>,
        room: usize,
        more: &mut [u8],
    ) -> io::Result<usize> {
        let room = room.min(bytes.capacity() - bytes.len());
        let mut zeroed = vec![0; room + more.len()];
        let read = from.read(&mut zeroed)?;
        bytes.extend_from_slice(&zeroed[..read.min(room)]);
        let rest = read.saturating_sub(room);
        more[..rest].copy_from_slice(&zeroed[room..room + rest]);
        Ok(read)
    }

    #[test]
    fn it_reads_what_its_twin_reads() {
        let mut rng = Rng::new(11);
        for _ in 0..300 {
            let (mut to, from) = UnixStream::pair().expect("a pair of sockets");
            let (mut to_twin, mut twin) = UnixStream::pair().expect("a pair of sockets");
            let sent: Vec<u8> = (0..1 + rng.below(300)).map(|_| rng.next_u64() as u8).collect();
            to.write_all(&sent).expect("room in the socket");
            to_twin.write_all(&sent).expect("room in the socket");
            let capacity = rng.below(200) as usize;
            let (mut bytes, mut twin_bytes) = (Vec::with_capacity(capacity), Vec::with_capacity(capacity));
            bytes.extend_from_slice(&[1, 2, 3][..capacity.min(3)]);
            twin_bytes.extend_from_slice(&bytes);
            let room = rng.below(250) as usize;
            let (mut more, mut twin_more) = ([0; 60], [0; 60]);
            let read = read_behind(from.as_fd(), &mut bytes, room, &mut more);
            let twin_read = read_behind_zeroed(&mut twin, &mut twin_bytes, room, &mut twin_more);
            assert_eq!(read.ok(), twin_read.ok());
            assert_eq!((bytes, more), (twin_bytes, twin_more));
        }
    }

    #[test]
    fn an_error_leaves_the_bytes_as_they_were() {
        let (_to, from) = UnixStream::pair().expect("a pair of sockets");
        from.set_nonblocking(true).expect("a socket can be made non-blocking");
        let mut bytes = Vec::with_capacity(10);
        bytes.push(7);
        let read = read_behind(from.as_fd(), &mut bytes, 9, &mut [0; 4]);
        assert_eq!(read.expect_err("nothing to read").kind(), io::ErrorKind::WouldBlock);
        assert_eq!(bytes, [7]);
    }
}
