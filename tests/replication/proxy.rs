//! A proxy between a replica and its primary that cuts the link: at once, or after so many bytes of the primary's.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// What its threads share.
struct Shared {
    primary: u16,
    is_over: AtomicBool,
    /// After how many bytes from the primary the next links end, in order; further ones don't.
    ends: Mutex<VecDeque<u64>>,
    links: Mutex<Vec<TcpStream>>,
}

/// A proxy; its links end when it is dropped.
pub struct Proxy {
    pub port: u16,
    shared: Arc<Shared>,
}

impl Proxy {
    /// A proxy to the primary on this port.
    pub fn to(primary: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (is_over, ends, links) = (AtomicBool::new(false), Mutex::default(), Mutex::default());
        let shared = Arc::new(Shared { primary, is_over, ends, links });
        let of_thread = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if of_thread.is_over.load(Ordering::Relaxed) {
                    return;
                }
                of_thread.link(stream);
            }
        });
        Proxy { port, shared }
    }

    /// Has the next links end after so many bytes from the primary.
    pub fn end_next_after(&self, bytes: impl IntoIterator<Item = u64>) {
        self.shared.ends.lock().expect("lock").extend(bytes);
    }

    /// How many links will still be cut.
    pub fn cuts_left(&self) -> usize {
        self.shared.ends.lock().expect("lock").len()
    }

    /// Ends all links.
    pub fn cut(&self) {
        for link in self.shared.links.lock().expect("lock").drain(..) {
            let _ = link.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        self.cut();
    }
}

impl Shared {
    fn link(&self, replica: TcpStream) {
        let Ok(primary) = TcpStream::connect(("127.0.0.1", self.primary)) else { return };
        let end = self.ends.lock().expect("lock").pop_front().unwrap_or(u64::MAX);
        let clone = |stream: &TcpStream| stream.try_clone().expect("a clone");
        self.links.lock().expect("lock").extend([clone(&replica), clone(&primary)]);
        let (from, to) = (clone(&replica), clone(&primary));
        std::thread::spawn(move || pump(from, to, u64::MAX));
        std::thread::spawn(move || pump(primary, replica, end));
    }
}

/// Passes on what comes, up to so many bytes; then ends both.
fn pump(mut from: TcpStream, mut to: TcpStream, mut left: u64) {
    let mut buffer = [0; 16 * 1024];
    while left > 0 {
        let wanted = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let Ok(read @ 1..) = from.read(&mut buffer[..wanted]) else { break };
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
        left -= read as u64;
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
