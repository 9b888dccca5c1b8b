//! Overflow: chunks of a snapshot that the replicas don't take, in a temporary file while much waits behind them.
//!
//! ```text
//! chunk ─┬─────────────────────────▶ queue to the event loop     it has room
//!        └▶ file without a name ──▶ queue                        it has none, and much of the walk waits already
//! ```
//!
//! The walk waits for slow replicas, but what a client overwrites meanwhile has to be handed over at once: without the file, a
//! replica that reads nothing would have the primary keep up to the whole data set a second time in memory.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::payload_queue::PayloadSender;
use super::snapshot_file::{WriteFailure, at};
use super::spill::Spill;
use crate::net::PayloadPart;
use crate::services::persist::snapshot::{Extent, HURRY_FROM, WaitingBytes};
use crate::sys::disk::Disk;

/// How long the thread waits for room in the queue before it looks whether too much waits elsewhere.
const WAIT: Duration = Duration::from_millis(2);

/// See the head of this file.
pub struct Overflow {
    sender: PayloadSender,
    /// Bytes of the walk that wait for this thread.
    waiting: WaitingBytes,
    spill: Spill,
    /// What is in the file, the oldest first, and what was read of it and not sent yet.
    extents: VecDeque<Extent>,
    next: Option<PayloadPart>,
    /// The file can't be written: what waits lies in memory.
    has_failed: bool,
    /// How long it waits for room at most.
    wait: Duration,
}

impl Overflow {
    /// `path`: the file's name while it is opened.
    pub fn new(sender: PayloadSender, waiting: WaitingBytes, disk: Arc<dyn Disk>, path: PathBuf) -> Overflow {
        let (spill, extents, next) = (Spill::new(disk, path), VecDeque::new(), None);
        Overflow { sender, waiting, spill, extents, next, has_failed: false, wait: WAIT }
    }

    /// Sends a chunk behind those before it. Waits while there is no room, unless too much waits elsewhere.
    pub fn send(&mut self, bytes: Vec<u8>) -> Result<(), WriteFailure> {
        let mut part = PayloadPart::Bytes(bytes);
        loop {
            if self.drain()? {
                match self.sender.try_send(part)? {
                    None => return Ok(()),
                    Some(unsent) => part = unsent,
                }
            }
            if self.waiting.get() > HURRY_FROM && self.put(&part) {
                return Ok(());
            }
            self.sender.wait_for_room(self.wait);
        }
    }

    /// Sends what is in the file, and the last chunk.
    pub fn end(mut self, last: Vec<u8>) -> Result<(), WriteFailure> {
        while !self.drain()? {
            self.sender.wait_for_room(self.wait);
        }
        self.sender.send(PayloadPart::End(last))
    }

    /// Puts a chunk into the file; false if that can't be.
    fn put(&mut self, part: &PayloadPart) -> bool {
        let PayloadPart::Bytes(bytes) = part else { return false };
        if self.has_failed {
            return false;
        }
        match self.spill.put(bytes) {
            Ok(extent) => {
                self.extents.push_back(extent);
                true
            }
            Err(error) => self.fails(&error),
        }
    }

    fn fails(&mut self, error: &std::io::Error) -> bool {
        log::warn!(
            "What replicas don't take of the snapshot is kept in memory: {}: {error}",
            self.spill.path().display()
        );
        self.has_failed = true;
        false
    }

    /// Sends what is in the file as far as there is room; whether that was all.
    fn drain(&mut self) -> Result<bool, WriteFailure> {
        loop {
            if let Some(part) = self.next.take()
                && let Some(unsent) = self.sender.try_send(part)?
            {
                self.next = Some(unsent);
                return Ok(false);
            }
            let Some(extent) = self.extents.front_mut() else { return Ok(true) };
            let mut bytes = Vec::new();
            self.spill.take(extent, &mut bytes).map_err(at("reading from a temporary file"))?;
            if extent.len == 0 {
                self.extents.pop_front();
            }
            self.next = Some(PayloadPart::Bytes(bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::{Receiver, TryRecvError};

    use super::super::payload_queue::queue;
    use super::*;
    use crate::sys::simulated_disk::SimulatedDisk;

    fn overflow(waiting: usize) -> (Overflow, Receiver<PayloadPart>, SimulatedDisk) {
        let disk = SimulatedDisk::new(1);
        let (sender, received) = queue(Arc::new(|| {}));
        let waiting = WaitingBytes::default().plus(waiting);
        (Overflow::new(sender, waiting, Arc::new(disk.clone()), "temp".into()), received, disk)
    }

    /// The numbers of the chunks that come, to the end.
    fn numbers(received: &Receiver<PayloadPart>) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            match received.recv() {
                Ok(PayloadPart::Bytes(piece)) => bytes.extend(piece),
                Ok(PayloadPart::End(piece)) => {
                    bytes.extend(piece);
                    break;
                }
                Err(_) => panic!("the sender has gone"),
            }
        }
        assert!(bytes.chunks(100_000).all(|chunk| chunk.iter().all(|byte| *byte == chunk[0])));
        bytes.chunks(100_000).map(|chunk| chunk[0]).collect()
    }

    #[test]
    fn what_is_not_taken_waits_in_a_file_and_comes_in_order() {
        let (mut overflow, received, disk) = overflow(HURRY_FROM + 1);
        // Far more than the queue has room for: nothing takes them.
        for number in 0..100 {
            overflow.send(vec![number; 100_000]).expect("sent");
        }
        assert!(!overflow.extents.is_empty());
        assert!(!disk.exists("temp".as_ref()), "the file has no name");
        let taking = std::thread::spawn(move || numbers(&received));
        // Those that come later come behind, whether they went through the file or not.
        for number in 100..200 {
            overflow.send(vec![number; 100_000]).expect("sent");
        }
        overflow.end(vec![200; 100_000]).expect("sent");
        assert_eq!(taking.join().expect("no panic"), (0..=200).collect::<Vec<u8>>());
    }

    #[test]
    fn where_little_waits_the_thread_waits() {
        let (mut overflow, received, _) = overflow(HURRY_FROM);
        let taking = std::thread::spawn(move || numbers(&received));
        for number in 0..200 {
            overflow.send(vec![number; 100_000]).expect("sent");
        }
        assert!(!overflow.spill.is_open());
        overflow.end(Vec::new()).expect("sent");
        assert_eq!(taking.join().expect("no panic"), (0..200).collect::<Vec<u8>>());
    }

    #[test]
    fn room_wakes_the_thread() {
        let (mut overflow, received, _) = overflow(HURRY_FROM);
        overflow.wait = Duration::from_secs(60);
        let started = std::time::Instant::now();
        let taking = std::thread::spawn(move || numbers(&received));
        for number in 0..200 {
            overflow.send(vec![number; 100_000]).expect("sent");
        }
        overflow.end(Vec::new()).expect("sent");
        taking.join().expect("no panic");
        assert!(started.elapsed() < Duration::from_secs(50));
    }

    #[test]
    fn without_a_file_it_waits_in_memory_and_ends_with_the_replicas() {
        let (mut overflow, received, _) = overflow(HURRY_FROM + 1);
        overflow.spill = Spill::new(Arc::new(SimulatedDisk::new(1)), "none/temp".into());
        let taking = std::thread::spawn(move || {
            // The last replica goes after some chunks.
            let some: Vec<_> = received.iter().take(50).collect();
            assert!(matches!(received.try_recv(), Ok(_) | Err(TryRecvError::Empty)));
            some.len()
        });
        let result = (0..200).try_for_each(|number| overflow.send(vec![number; 100_000]));
        assert!(matches!(result, Err(WriteFailure::Cancelled)), "{result:?}");
        assert!(overflow.has_failed);
        assert_eq!(taking.join().expect("no panic"), 50);
    }
}
