//! Primaries and replicas that are played by a test: they say what it wants, when it wants.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::node::Node;

/// A primary that answers the handshake and then does as it likes; how often a replica has come is counted.
pub struct FalsePrimary {
    pub port: u16,
    visits: Arc<AtomicU64>,
}

impl FalsePrimary {
    /// `then` gets the number of the visit and the link, behind the request for PSYNC.
    pub fn new(then: impl Fn(u64, &mut TcpStream) + Send + 'static) -> FalsePrimary {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let visits = Arc::new(AtomicU64::new(0));
        let of_thread = visits.clone();
        std::thread::spawn(move || {
            for mut link in listener.incoming().map_while(Result::ok) {
                let visit = of_thread.load(Ordering::Relaxed);
                let _ = link.set_read_timeout(Some(Duration::from_secs(5)));
                if shake_hands(&mut link) {
                    then(visit, &mut link);
                }
                of_thread.fetch_add(1, Ordering::Relaxed);
            }
        });
        FalsePrimary { port, visits }
    }

    pub fn visits(&self) -> u64 {
        self.visits.load(Ordering::Relaxed)
    }
}

/// Answers what comes before PSYNC; true at PSYNC.
fn shake_hands(link: &mut TcpStream) -> bool {
    let mut text = Vec::new();
    let mut answered = 0;
    loop {
        let mut buffer = [0; 4096];
        let Ok(read @ 1..) = link.read(&mut buffer) else { return false };
        text.extend_from_slice(&buffer[..read]);
        let upper = String::from_utf8_lossy(&text).to_uppercase();
        if upper.contains("PSYNC\r\n") {
            return true;
        }
        let count = |word: &str| upper.matches(word).count();
        let requests = count("PING\r\n") + count("REPLCONF\r\n");
        while answered < requests {
            let answer: &[u8] = if answered == 0 { b"+PONG\r\n" } else { b"+OK\r\n" };
            if link.write_all(answer).is_err() {
                return false;
            }
            answered += 1;
        }
    }
}

/// A link to a primary, on which anything may be said.
pub struct FalseReplica(pub TcpStream);

impl FalseReplica {
    /// Sends this; what is answered is not waited for.
    pub fn new(primary: &Node, text: &str) -> FalseReplica {
        let mut link = TcpStream::connect(("127.0.0.1", primary.port)).expect("connected");
        link.set_read_timeout(Some(Duration::from_secs(10))).expect("a time-out");
        link.write_all(text.as_bytes()).expect("sent");
        FalseReplica(link)
    }

    /// Reads until the text has come.
    pub fn read_until(&mut self, text: &str) {
        self.read_while(text, |all| !String::from_utf8_lossy(all).contains(text));
    }

    /// Reads a data set that is sent without its length: it ends with what it is announced by.
    pub fn read_payload(&mut self) {
        const ANNOUNCED: &[u8] = b"$EOF:";
        self.read_while("whole payload", |all| {
            let head = all.windows(ANNOUNCED.len()).position(|part| part == ANNOUNCED);
            let mark = head.and_then(|at| all.get(at + ANNOUNCED.len()..at + ANNOUNCED.len() + 40));
            mark.is_none_or(|mark| all.windows(40).filter(|part| *part == mark).count() < 2)
        });
    }

    fn read_while(&mut self, what: &str, wants_more: impl Fn(&[u8]) -> bool) {
        let mut all = Vec::new();
        let mut buffer = [0; 4096];
        while wants_more(&all) {
            let read = self.0.read(&mut buffer).unwrap_or(0);
            assert!(read > 0, "no {what} in {}", String::from_utf8_lossy(&all));
            all.extend_from_slice(&buffer[..read]);
        }
    }
}
