//! Payload: a snapshot on its way to replicas, in chunks that all of them share.

use std::collections::VecDeque;
use std::io::IoSlice;

use crossbeam_channel::{Receiver, TryRecvError};

use super::unsent_output::SLICES;

/// Bytes of a snapshot that wait for the slowest of its replicas.
const WAITING: usize = 4 << 20;

/// What the thread that makes a snapshot sends.
#[derive(Debug)]
pub enum PayloadPart {
    /// The next bytes; not none.
    Bytes(Vec<u8>),
    /// The last bytes, or none. They come with the end in one: a node that slots move to closes its connection when it has
    /// them, which is a failure before the end. Without it, a queue whose sender has gone is that of a snapshot that failed.
    End(Vec<u8>),
}

/// A snapshot on its way.
#[derive(Debug)]
pub struct Payload {
    source: Receiver<PayloadPart>,
    chunks: VecDeque<Vec<u8>>,
    /// Offset of the first chunk's first byte, and of the byte behind the last chunk.
    start: u64,
    pub(super) end: u64,
    pub(super) state: PayloadState,
    /// It ends with a mark, not at a length that was told before.
    pub(super) is_marked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PayloadState {
    Running,
    Whole,
    Failed,
}

/// What a replica's connection is sent besides replies.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReplicaOutput {
    /// The snapshot, and how much of it has been sent.
    pub(super) payload: Option<(usize, u64)>,
    /// The socket takes no more: an event will say when it does.
    pub is_full: bool,
}

impl Payload {
    pub fn new(source: Receiver<PayloadPart>, is_marked: bool) -> Self {
        Payload { source, chunks: VecDeque::new(), start: 0, end: 0, state: PayloadState::Running, is_marked }
    }

    /// Takes what the thread has made, as long as not much waits; all replicas have been sent what lies before `slowest`.
    pub(super) fn fill(&mut self, slowest: u64) {
        while let Some(first) = self.chunks.front()
            && self.start + first.len() as u64 <= slowest
        {
            self.start += first.len() as u64;
            self.chunks.pop_front();
        }
        while self.state == PayloadState::Running && self.end - self.start < WAITING as u64 {
            match self.source.try_recv() {
                Ok(PayloadPart::Bytes(bytes)) => {
                    self.end += bytes.len() as u64;
                    self.chunks.push_back(bytes);
                }
                Ok(PayloadPart::End(bytes)) => {
                    self.end += bytes.len() as u64;
                    self.chunks.push_back(bytes);
                    self.state = PayloadState::Whole;
                }
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => self.state = PayloadState::Failed,
            }
        }
    }

    /// The bytes from an offset on, as far as `slices` has room: how many slices.
    pub(super) fn slices<'a>(&'a self, offset: u64, slices: &mut [IoSlice<'a>; SLICES]) -> usize {
        let (mut count, mut skip) = (0, (offset - self.start) as usize);
        for chunk in &self.chunks {
            if skip >= chunk.len() {
                skip -= chunk.len();
                continue;
            }
            if count == SLICES {
                break;
            }
            slices[count] = IoSlice::new(&chunk[skip..]);
            (count, skip) = (count + 1, 0);
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::unbounded;

    #[test]
    fn the_slowest_sets_the_pace() {
        let (sender, source) = unbounded();
        let mut payload = Payload::new(source, true);
        for _ in 0..20 {
            sender.send(PayloadPart::Bytes(vec![1; 1 << 20])).expect("the payload is there");
        }
        payload.fill(0);
        assert_eq!(payload.end, 4 << 20);
        payload.fill((1 << 20) - 1);
        assert_eq!((payload.start, payload.end), (0, 4 << 20));
        payload.fill(5 << 19);
        assert_eq!((payload.start, payload.end), (2 << 20, 6 << 20));
        let mut slices = [IoSlice::new(&[]); SLICES];
        let count = payload.slices(5 << 19, &mut slices);
        assert_eq!((count, slices[0].len(), slices[1].len()), (4, 1 << 19, 1 << 20));
        assert_eq!(payload.slices(6 << 20, &mut slices), 0);
        sender.send(PayloadPart::End(vec![1; 1 << 20])).expect("the payload is there");
        (3..=17).for_each(|sent| payload.fill(sent << 20));
        assert_eq!((payload.end, payload.state), (21 << 20, PayloadState::Whole));
        let (sender, source) = unbounded();
        let mut payload = Payload::new(source, true);
        sender.send(PayloadPart::Bytes(vec![1])).expect("the payload is there");
        drop(sender);
        payload.fill(0);
        assert_eq!((payload.end, payload.state), (1, PayloadState::Failed));
    }
}
