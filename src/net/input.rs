//! Unexecuted input of a connection: the bytes of requests that are incomplete or must wait.
//!
//! ```text
//! bytes  [ executed | unexecuted ]
//!                   start
//! ```
//!
//! What has been executed is passed over, not moved away: a pipeline of any size, executed in any number of parts, is
//! copied at most once. This module reads from no socket.

/// A buffer of this size may hold more executed than unexecuted bytes.
const KEPT: usize = 16 * 1024;
/// Bytes read at once at most: the room for a read is zeroed, and a peer that sends little is not to make that dear. A
/// megabyte with its line end and the next request's beginning fit.
const READ_MAX: usize = (1 << 20) + 1024;

/// Room beyond an awaited argument: a read that doesn't fill it has drained the socket.
const SHORT_READ: usize = 512;
/// Bytes by which a buffer grows at once for an argument that has not arrived. They are allocated, not touched.
const AHEAD: usize = 2 << 20;

/// What to ask [`Input::room`] for when `have` bytes of a request are there: room and growth. `argument` is the length of
/// the argument being read, of which `missing` bytes are to come (with its line end); both 0 if it isn't known.
pub fn room_for_long_request(have: usize, argument: usize, missing: usize) -> (usize, usize) {
    // Not more at once than the peer has proved to send: a mere length must not cost memory. And hardly
    // more than the argument needs: what follows it is read when it comes.
    let room = if missing == 0 { 16 * 1024 } else { missing.min(have.max(256 * 1024)) + SHORT_READ };
    // A request of a million short arguments isn't to be copied at every read, nor is a long argument.
    let growth = if argument < have / 4 { have / 4 } else { (missing + SHORT_READ).min(AHEAD) };
    (room, growth)
}

/// The input of a connection. Invariant: `start` is less than the number of bytes, or both are 0.
#[derive(Debug, Default)]
pub struct Input {
    bytes: Vec<u8>,
    start: usize,
    /// Bytes that [`Self::room`] gave and [`Self::filled`] has not taken back.
    given: usize,
    /// Bytes moved by growth or to the front.
    #[cfg(test)]
    moved: usize,
}

impl Input {
    /// Keeps a copy of `bytes`, where nothing was kept before.
    pub fn keep(&mut self, bytes: &[u8]) {
        debug_assert!(self.is_empty());
        *self = Input { bytes: bytes.to_vec(), ..Input::default() };
    }

    /// The unexecuted bytes.
    #[inline]
    pub fn unexecuted(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Number of unexecuted bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes allocated.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Passes over `bytes` that have been executed; frees everything with the last.
    pub fn advance(&mut self, bytes: usize) {
        self.start += bytes;
        if self.start == self.bytes.len() {
            self.clear();
        } else if bytes > 0 && self.capacity() > KEPT && self.len() < self.capacity() / 4 {
            // A long request that was executed isn't kept for the few bytes behind it.
            self.bytes = self.unexecuted().to_vec();
            self.start = 0;
            #[cfg(test)]
            (self.moved += self.bytes.len());
        }
    }

    /// Takes the unexecuted bytes from `offset` on out of it, and their memory.
    pub fn take_from(&mut self, offset: usize) -> Vec<u8> {
        let taken = self.bytes.split_off(self.start + offset);
        self.bytes.shrink_to_fit();
        self.advance(0);
        taken
    }

    /// Puts bytes before the unexecuted ones.
    pub fn put_before(&mut self, before: &[u8]) {
        *self = Input { bytes: [before, self.unexecuted()].concat(), ..Input::default() };
    }

    /// Puts bytes behind the unexecuted ones.
    pub fn put_behind(&mut self, behind: &[u8]) {
        self.bytes.extend_from_slice(behind);
    }

    /// Frees everything.
    pub fn clear(&mut self) {
        *self = Input::default();
    }

    /// Room for bytes behind the unexecuted ones, zeroed: `room` of them, but at most [`READ_MAX`];
    /// [`Self::filled`] says how many were used. A buffer that must grow does so by `room` and `growth` at least.
    pub fn room(&mut self, room: usize, growth: usize) -> &mut [u8] {
        let unexecuted = self.len();
        // Only as much is moved as was passed over since the last time.
        if self.start > 0 && self.start >= unexecuted {
            self.bytes.drain(..self.start);
            self.start = 0;
            #[cfg(test)]
            (self.moved += unexecuted);
        }
        if self.bytes.len() + room > self.bytes.capacity() {
            #[cfg(test)]
            (self.moved += self.bytes.len());
            self.bytes.reserve_exact(room.max(growth));
        }
        let end = self.bytes.len();
        self.given = room.min(READ_MAX);
        self.bytes.resize(end + self.given, 0);
        &mut self.bytes[end..]
    }

    /// Of the bytes that [`Self::room`] gave, `used` are input.
    pub fn filled(&mut self, used: usize) {
        let given = std::mem::take(&mut self.given);
        self.bytes.truncate(self.bytes.len() - given + used);
        self.advance(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    #[test]
    fn nothing_is_lost_or_moved_twice() {
        let mut rng = Rng::new(9);
        let (mut input, mut model) = (Input::default(), std::collections::VecDeque::<u8>::new());
        let mut came = 0;
        for _ in 0..3000 {
            if rng.below(2) == 0 {
                let room = 1 + rng.below(2000) as usize;
                let used = rng.below(room as u64 + 1) as usize;
                let growth = input.len();
                let to = input.room(room, growth);
                assert_eq!(to.len(), room.min(READ_MAX));
                to[..used].fill_with(|| rng.next_u64() as u8);
                model.extend(&to[..used]);
                input.filled(used);
                came += used;
            } else {
                let executed = rng.below(input.len() as u64 + 1) as usize;
                input.advance(executed);
                model.drain(..executed);
            }
            assert!(input.unexecuted().iter().eq(&model));
            assert_eq!((input.len(), input.is_empty()), (model.len(), model.is_empty()));
        }
        assert!(input.moved < 4 * came, "{} of {came}", input.moved);
    }

    #[test]
    fn bytes_are_taken_out_and_put_back() {
        let mut input = Input::default();
        input.keep(b"executed, head, argument");
        input.advance(10);
        assert_eq!(input.take_from(6), b"argument");
        assert_eq!(input.unexecuted(), b"head, ");
        assert!(input.capacity() < 24, "the memory of what was taken goes with it");
        input.put_behind(b"behind");
        input.put_before(b"before, ");
        assert_eq!(input.unexecuted(), b"before, head, behind");
    }

    #[test]
    fn a_long_pipeline_in_many_parts_is_moved_once() {
        const BYTES: usize = 4 << 20;
        let mut input = Input::default();
        input.keep(&vec![b'x'; BYTES]);
        for part in 0..1000 {
            input.advance(1000);
            assert_eq!(input.len(), BYTES - (part + 1) * 1000);
            input.room(100, 0);
            input.filled(0);
        }
        assert!(input.moved <= 2 * BYTES, "{} bytes", input.moved);
    }

    #[test]
    fn a_long_argument_is_not_moved_as_it_comes() {
        const ARGUMENT: usize = 1 << 20;
        let mut input = Input::default();
        input.keep(&vec![b'x'; 90_000]);
        while input.len() < ARGUMENT {
            let have = input.len();
            let (room, growth) = room_for_long_request(have, ARGUMENT, ARGUMENT - have);
            let given = input.room(room, growth).len();
            input.filled(given.min(50_000).min(ARGUMENT - have));
            input.advance(0);
        }
        assert_eq!(input.moved, 90_000);
        assert!(input.capacity() <= ARGUMENT + SHORT_READ, "{}", input.capacity());
    }

    #[test]
    fn a_length_alone_claims_little() {
        let mut input = Input::default();
        input.keep(&[b'x'; 40_000]);
        let (room, growth) = room_for_long_request(40_000, 512 << 20, (512 << 20) - 40_000);
        assert_eq!(input.room(room, growth).len(), 256 * 1024 + SHORT_READ);
        assert_eq!(input.capacity(), 40_000 + AHEAD);
    }

    #[test]
    fn a_read_behind_a_long_argument_zeroes_no_more_than_a_read() {
        let mut input = Input::default();
        input.keep(&vec![b'x'; 64 << 20]);
        assert_eq!(input.room(64 << 20, 0).len(), READ_MAX);
        input.filled(1);
        assert_eq!((input.len(), input.capacity()), ((64 << 20) + 1, 128 << 20));
    }

    #[test]
    fn an_executed_long_request_is_freed() {
        let mut input = Input::default();
        input.keep(&vec![b'x'; 7 << 20]);
        input.advance((7 << 20) - 10);
        assert_eq!((input.unexecuted(), input.capacity()), (&b"xxxxxxxxxx"[..], 10));
    }
}
