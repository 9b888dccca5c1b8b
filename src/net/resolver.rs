//! Resolver: names of hosts are looked up by threads, as the system's way of doing it waits.
//!
//! A name that can't be looked up may take its thread for half a minute. So there are a few of them, the links of MIGRATE leave
//! one to the others, and what is not wanted any more goes: what waits is never more than there are links.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use crate::base::ids::LinkId;
use crate::engine::links::{LinkOwner, Target};
use crate::sys::worker::Worker;

/// Threads, at most.
const THREADS: usize = 4;

/// A name to be resolved, and what it was asked for.
pub(super) struct Query {
    pub(super) link: LinkId,
    pub(super) target: Target,
}

/// The addresses of a name.
pub(super) struct Answer {
    pub(super) link: LinkId,
    pub(super) target: Target,
    pub(super) addresses: io::Result<Vec<SocketAddr>>,
}

/// See the head of this file.
#[derive(Default)]
pub(super) struct Names {
    /// Started when they are needed.
    threads: Vec<Worker<Query, Answer>>,
    waiting: VecDeque<Query>,
    /// Links whose name a thread looks up, and whether they are MIGRATE's; the results of others are of no use.
    wanted: Vec<(LinkId, bool)>,
    /// How many threads work for MIGRATE.
    migrating: usize,
}

impl Query {
    fn is_migration(&self) -> bool {
        self.target.owner == LinkOwner::Migrate
    }
}

impl Names {
    /// Has a name looked up, by and by; those of MIGRATE come behind the others.
    pub(super) fn ask(&mut self, query: Query) {
        let at = match query.is_migration() {
            true => self.waiting.len(),
            false => self.waiting.iter().position(Query::is_migration).unwrap_or(self.waiting.len()),
        };
        self.waiting.insert(at, query);
    }

    /// A link doesn't want the addresses any more.
    pub(super) fn cancel(&mut self, link: LinkId) {
        self.waiting.retain(|query| query.link != link);
        self.wanted.retain(|(wanted, _)| *wanted != link);
    }

    /// Gives threads what waits, as far as they are free; `start` starts one. The link that can't be served.
    pub(super) fn run(
        &mut self,
        start: impl Fn() -> io::Result<Worker<Query, Answer>>,
    ) -> Result<(), (LinkId, io::Error)> {
        while let Some(query) = self.waiting.front() {
            let is_migration = query.is_migration();
            let free = self.threads.iter().position(|thread| thread.pending() == 0);
            let has_room = free.is_some() || self.threads.len() < THREADS;
            if !has_room || is_migration && self.migrating + 1 >= THREADS {
                return Ok(());
            }
            let Some(query) = self.waiting.pop_front() else { return Ok(()) };
            let link = query.link;
            let at = match free {
                Some(at) => at,
                None => {
                    self.threads.push(start().map_err(|error| (link, error))?);
                    self.threads.len() - 1
                }
            };
            if self.threads[at].submit(query).is_err() {
                return Err((link, io::Error::other("the resolver's thread has ended")));
            }
            self.wanted.push((link, is_migration));
            self.migrating += usize::from(is_migration);
        }
        Ok(())
    }

    /// What has been found for a link that still wants it.
    pub(super) fn poll(&mut self) -> Option<Answer> {
        while let Some(answer) = self.threads.iter_mut().find_map(Worker::poll) {
            self.migrating -= usize::from(answer.target.owner == LinkOwner::Migrate);
            if let Some(at) = self.wanted.iter().position(|(link, _)| *link == answer.link) {
                self.wanted.swap_remove(at);
                return Some(answer);
            }
        }
        None
    }
}

/// Waits for the addresses of a name.
pub(super) fn resolve(query: Query) -> Answer {
    let Query { link, target } = query;
    let addresses =
        (target.host.as_str(), target.port).to_socket_addrs().map(|found| found.collect::<Vec<_>>());
    let addresses = addresses.and_then(|found: Vec<_>| {
        if found.is_empty() { Err(io::Error::other("the name has no address")) } else { Ok(found) }
    });
    Answer { link, target, addresses }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::{Duration, Instant};

    use super::*;

    /// A thread that has an answer when the test says so.
    fn start(may_answer: Receiver<()>) -> io::Result<Worker<Query, Answer>> {
        let may_answer = Mutex::new(may_answer);
        let work = move |Query { link, target }| {
            let _ = may_answer.lock().expect("not poisoned").recv();
            Answer { link, target, addresses: Ok(Vec::new()) }
        };
        Worker::start("test", work, || ())
    }

    fn query(link: u64, owner: LinkOwner) -> Query {
        Query {
            link: LinkId(link),
            target: Target { host: "h".into(), port: 1, source: None, owner, tls: false, mptcp: false },
        }
    }

    struct Bench {
        names: Names,
        threads: Mutex<Vec<Sender<()>>>,
    }

    impl Bench {
        fn run(&mut self) {
            let started = self.names.run(|| {
                let (sender, receiver) = channel();
                self.threads.lock().expect("not poisoned").push(sender);
                start(receiver)
            });
            assert!(started.is_ok());
        }

        fn started(&self) -> usize {
            self.threads.lock().expect("not poisoned").len()
        }

        /// Has a thread answer what it has.
        fn answer(&mut self, thread: usize) -> Option<u64> {
            self.threads.lock().expect("not poisoned")[thread].send(()).expect("it is there");
            let busy = |names: &Names| names.threads.iter().map(Worker::pending).sum::<usize>();
            let (before, began) = (busy(&self.names), Instant::now());
            loop {
                let answer = self.names.poll();
                if busy(&self.names) < before {
                    return answer.map(|answer| answer.link.0);
                }
                assert!(began.elapsed() < Duration::from_secs(10));
                std::thread::yield_now();
            }
        }
    }

    #[test]
    fn migrations_leave_a_thread_to_the_others_and_what_is_not_wanted_goes() {
        let mut bench = Bench { names: Names::default(), threads: Mutex::default() };
        for link in 1..=100 {
            bench.names.ask(query(link, LinkOwner::Migrate));
            bench.run();
        }
        assert_eq!((bench.started(), bench.names.waiting.len()), (3, 97));
        bench.names.ask(query(200, LinkOwner::Primary));
        bench.run();
        assert_eq!((bench.started(), bench.names.waiting.len()), (4, 97));
        // The primary's comes before all that wait.
        bench.names.ask(query(201, LinkOwner::Sentinel));
        assert_eq!(bench.names.waiting.front().map(|query| query.link), Some(LinkId(201)));
        (2..=99).for_each(|link| bench.names.cancel(LinkId(link)));
        assert_eq!(bench.names.waiting.len(), 2);
        assert_eq!(bench.answer(0), Some(1));
        // Nothing wants that any more.
        assert_eq!(bench.answer(1), None);
        bench.run();
        assert!(bench.names.waiting.is_empty());
        assert_eq!(bench.answer(3), Some(200));
        assert_eq!((bench.started(), bench.names.migrating), (4, 2));
    }
}
