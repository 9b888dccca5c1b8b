//! Writers: clients of a cluster that note which of their writes a replica has acknowledged as well.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::cluster::breathe;
use crate::support::reply::{Client, Reply};

/// How many there are.
const WRITERS: usize = 3;
/// Keys of each.
const KEYS: u64 = 200;

/// Running writers.
pub struct Writers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Written>>,
}

/// Of each key the last number that was written and acknowledged by a replica, and the last that was sent.
#[derive(Debug, Default)]
pub struct Written {
    keys: BTreeMap<String, (u64, u64)>,
}

impl Writers {
    pub fn start(ports: Vec<u16>) -> Writers {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..WRITERS).map(|writer| {
            let (stop, ports) = (stop.clone(), ports.clone());
            std::thread::spawn(move || write(writer, &ports, &stop))
        });
        Writers { threads: threads.collect(), stop }
    }

    pub fn stop(self) -> Written {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Written::default();
        for thread in self.threads {
            all.keys.append(&mut thread.join().expect("a writer").keys);
        }
        all
    }
}

/// A client that follows redirections.
struct Follower {
    ports: Vec<u16>,
    links: BTreeMap<u16, Client>,
    /// Where a key was last served.
    places: BTreeMap<String, u16>,
    attempt: usize,
}

impl Follower {
    fn new(ports: &[u16]) -> Follower {
        Follower { ports: ports.to_vec(), links: BTreeMap::new(), places: BTreeMap::new(), attempt: 0 }
    }

    /// The reply of the node that serves a key, with its port; `None`: there is none now.
    fn ask(&mut self, key: &str, request: &str) -> Option<(u16, Reply)> {
        let mut asking = false;
        let mut port = self.places.get(key).copied().unwrap_or_else(|| self.any());
        for _ in 0..5 {
            let reply = self.ask_at(port, request, asking);
            asking = false;
            let Some(Reply::Error(text)) = &reply else {
                return match reply {
                    Some(reply) => {
                        self.places.insert(key.into(), port);
                        Some((port, reply))
                    }
                    None => {
                        self.places.remove(key);
                        None
                    }
                };
            };
            let target = text.split(' ').nth(2).and_then(|address| address.rsplit(':').next()?.parse().ok());
            match (text.split(' ').next(), target) {
                (Some("MOVED"), Some(target)) => port = target,
                (Some("ASK"), Some(target)) => (port, asking) = (target, true),
                (
                    Some("CLUSTERDOWN" | "TRYAGAIN" | "LOADING" | "MASTERDOWN" | "READONLY" | "NOREPLICAS"),
                    _,
                ) => return None,
                _ => panic!("{request}: {text}"),
            }
        }
        None
    }

    fn any(&mut self) -> u16 {
        self.attempt += 1;
        self.ports[self.attempt % self.ports.len()]
    }

    fn ask_at(&mut self, port: u16, request: &str, asking: bool) -> Option<Reply> {
        let link = match self.links.entry(port) {
            Entry::Occupied(link) => link.into_mut(),
            Entry::Vacant(place) => place.insert(Client::try_connect(port).ok()?),
        };
        let reply = (|| {
            if asking {
                link.ask("ASKING")?;
            }
            link.ask(request)
        })();
        if reply.is_err() {
            self.links.remove(&port);
        }
        reply.ok()
    }
}

/// Writes ascending numbers to its keys until it is to stop.
fn write(writer: usize, ports: &[u16], stop: &AtomicBool) -> Written {
    let mut follower = Follower::new(ports);
    let mut written = Written::default();
    for number in 1.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let key = format!("key:{writer}:{}", number % KEYS);
        let entry = written.keys.entry(key.clone()).or_default();
        entry.1 = number;
        let Some((port, Reply::Simple(_))) = follower.ask(&key, &format!("SET {key} {number}")) else {
            breathe();
            continue;
        };
        if let Some(Reply::Int(1..)) = follower.ask_at(port, "WAIT 1 500", false) {
            entry.0 = number;
        }
    }
    written
}

impl Written {
    /// Looks whether the cluster has all that was acknowledged.
    pub fn check(&self, ports: &[u16]) {
        let mut follower = Follower::new(ports);
        let acknowledged = self.keys.values().filter(|(acknowledged, _)| *acknowledged > 0).count();
        assert!(acknowledged > 100, "only {acknowledged} keys were written");
        for (key, (acknowledged, sent)) in &self.keys {
            let mut reply = None;
            crate::node::wait_for(key, || {
                reply = follower.ask(key, &format!("GET {key}"));
                reply.is_some()
            });
            let value =
                reply.as_ref().and_then(|(_, reply)| std::str::from_utf8(reply.bytes()?).ok()?.parse().ok());
            let value: u64 = value.unwrap_or(0);
            assert!(
                (*acknowledged..=*sent).contains(&value),
                "{key}: {value}, acknowledged {acknowledged}, sent {sent}"
            );
        }
        println!("{} keys, {acknowledged} acknowledged", self.keys.len());
    }
}
