//! Tests of MIGRATE's links: queues, retries, timeouts and what stays open.

use super::*;

/// Migrations with a target that answers what a test has it answer.
#[derive(Default)]
struct Bench {
    migrations: Migrations,
    now: u64,
    links: u64,
    /// What was sent, by link.
    sent: Vec<(LinkId, String)>,
    closed: Vec<LinkId>,
    over: Vec<Over>,
}

impl Bench {
    fn order(port: u16, keys: usize) -> Order {
        Order {
            host: (*b"host").into(),
            port: Some(port).filter(|port| *port > 0),
            db: 0,
            timeout_ms: 1000,
            restore: b"RESTORE",
            keys,
            ..Order::default()
        }
    }

    fn begin(&mut self, request: RequestId, order: Order) {
        self.migrations.begin(request, order, self.now);
        self.act();
    }

    /// Carries out the actions; every key has the payload `p`.
    fn act(&mut self) {
        while let Some(action) = self.migrations.next_action() {
            match action {
                Action::Open { target, .. } => {
                    self.links += 1;
                    assert!(self.migrations.opened(target, LinkId(self.links)));
                }
                Action::Send(link, bytes) => {
                    let text = String::from_utf8_lossy(&bytes);
                    let words = text.split("\r\n").filter(|word| !word.starts_with(['*', '$']));
                    let text = words.collect::<Vec<_>>().join(" ").trim().to_string();
                    self.sent.push((link, text));
                }
                Action::Close(link) => self.closed.push(link),
                Action::Dump(asked) => {
                    let key = format!("k{}", asked.wanted.key);
                    self.migrations.restore(&asked, key.as_bytes(), 0, b"p");
                }
                Action::Over(over) => self.over.push(over),
            }
        }
    }

    fn connected(&mut self, link: u64) {
        self.migrations.connected(LinkId(link), self.now);
        self.act();
    }

    fn received(&mut self, link: u64, bytes: &str) {
        self.migrations.received(LinkId(link), bytes.as_bytes(), self.now);
        self.act();
    }

    fn closed(&mut self, link: u64) {
        self.migrations.closed(LinkId(link), false, self.now);
        self.act();
    }

    fn advance(&mut self, ms: u64) {
        self.now += ms;
        self.migrations.tick(self.now);
        self.act();
    }

    fn sent(&mut self) -> Vec<String> {
        self.sent.drain(..).map(|(link, text)| format!("{}: {text}", link.0)).collect()
    }

    fn over(&mut self) -> Vec<Over> {
        std::mem::take(&mut self.over)
    }

    /// A bench with an unused link 1 to port 1, in database 0.
    fn with_link() -> Bench {
        let mut bench = Bench::default();
        bench.begin(1, Bench::order(1, 1));
        bench.connected(1);
        bench.received(1, "+OK\r\n");
        bench.received(1, "+OK\r\n");
        assert_eq!(bench.over(), [moved(1, &[0])]);
        bench.sent();
        bench
    }
}

fn moved(request: RequestId, keys: &[usize]) -> Over {
    Over { request, moved: keys.to_vec(), ..Over::default() }
}

fn failed(request: RequestId, keys: &[usize], failure: Failure) -> Over {
    Over { request, moved: keys.to_vec(), error: None, failure: Some(failure) }
}

#[test]
fn a_link_is_kept_and_its_database_known() {
    let mut bench = Bench::default();
    bench.begin(1, Bench::order(1, 2));
    assert!(bench.sent().is_empty());
    bench.connected(1);
    assert_eq!(bench.sent(), ["1: SELECT 0"]);
    bench.received(1, "+OK\r\n");
    assert_eq!(bench.sent(), ["1: RESTORE k0 0 p", "1: RESTORE k1 0 p"]);
    bench.received(1, "+OK\r\n+OK\r\n");
    assert_eq!(bench.over(), [moved(1, &[0, 1])]);
    // The next request doesn't select the database again, unless something went wrong.
    bench.begin(2, Bench::order(1, 1));
    assert_eq!(bench.sent(), ["1: RESTORE k0 0 p"]);
    bench.received(1, "-BUSYKEY x\r\n");
    let error = Some(b"BUSYKEY x".to_vec());
    assert_eq!(bench.over(), [Over { request: 2, error, ..Over::default() }]);
    bench.begin(3, Bench::order(1, 1));
    assert_eq!(bench.sent(), ["1: SELECT 0"]);
    assert_eq!(bench.migrations.link_count(), 1);
}

#[test]
fn what_was_moved_and_is_not_yet_over_is_given_up_with_the_rest() {
    let mut bench = Bench::default();
    bench.begin(1, Bench::order(1, 1));
    bench.connected(1);
    bench.received(1, "+OK\r\n");
    bench.sent();
    // A pause holds the actions back.
    bench.migrations.received(LinkId(1), b"+OK\r\n", bench.now);
    bench.migrations.abandon();
    bench.act();
    assert_eq!(bench.over(), [failed(1, &[0], Failure::Abandoned)]);
}

#[test]
fn requests_to_one_target_wait_for_each_other() {
    let mut bench = Bench::default();
    for request in 1..=3 {
        bench.begin(request, Bench::order(1, 1));
    }
    bench.begin(4, Bench::order(2, 1));
    bench.connected(1);
    bench.received(1, "+OK\r\n");
    bench.connected(2);
    assert_eq!(bench.sent(), ["1: SELECT 0", "1: RESTORE k0 0 p", "2: SELECT 0"]);
    bench.received(1, "+OK\r\n");
    assert_eq!(bench.over(), [moved(1, &[0])]);
    assert_eq!(bench.sent(), ["1: RESTORE k0 0 p"]);
    // What the link's end does to one request, the next one has a new link for.
    bench.received(1, "garbage\r\n");
    assert_eq!(bench.over(), [failed(2, &[], Failure::Reading)]);
    bench.connected(3);
    bench.received(3, "+OK\r\n");
    bench.received(3, "+OK\r\n");
    assert_eq!(bench.over(), [moved(3, &[0])]);
    assert_eq!(bench.closed, [LinkId(1)]);
}

#[test]
fn a_link_that_was_closed_meanwhile_is_opened_again() {
    let mut bench = Bench::with_link();
    bench.begin(2, Bench::order(1, 1));
    bench.migrations.sent(LinkId(1), 0, 0);
    bench.closed(1);
    assert!(bench.over().is_empty());
    bench.connected(2);
    assert_eq!(bench.sent(), ["1: RESTORE k0 0 p", "2: SELECT 0"]);
    // Once only.
    bench.received(2, "+OK\r\n");
    bench.migrations.sent(LinkId(2), 0, 0);
    bench.closed(2);
    assert_eq!(bench.over(), [failed(2, &[], Failure::Reading)]);
    assert_eq!(bench.migrations.link_count(), 0);
    // A closed link that isn't used is forgotten.
    let mut bench = Bench::with_link();
    bench.closed(1);
    assert_eq!(bench.migrations.link_count(), 0);
}

#[test]
fn what_was_acknowledged_before_the_end_has_moved() {
    let mut bench = Bench::with_link();
    bench.begin(2, Bench::order(1, 3));
    bench.received(1, "+OK\r\n");
    bench.closed(1);
    assert_eq!(bench.over(), [failed(2, &[0], Failure::Writing)]);
}

#[test]
fn failures_have_names() {
    let mut bench = Bench::default();
    bench.begin(1, Bench::order(1, 1));
    bench.closed(1);
    bench.begin(2, Bench::order(0, 1));
    bench.begin(3, Bench::order(1, 1));
    bench.advance(999);
    assert_eq!(bench.over(), [failed(1, &[], Failure::Connecting), failed(2, &[], Failure::Connecting)]);
    bench.advance(1);
    assert_eq!(bench.over(), [failed(3, &[], Failure::Connecting)]);
    assert_eq!(bench.closed, [LinkId(2)]);
    bench.begin(4, Bench::order(1, 1));
    bench.migrations.closed(LinkId(3), true, bench.now);
    bench.act();
    assert_eq!(bench.over(), [failed(4, &[], Failure::Writing)]);
    // A target that is silent: no second attempt.
    bench.begin(4, Bench::order(1, 1));
    bench.connected(4);
    bench.migrations.sent(LinkId(4), 0, bench.now);
    bench.received(4, "+OK\r\n");
    bench.advance(1000);
    assert_eq!(bench.over(), [failed(4, &[], Failure::Writing)]);
    bench.begin(5, Bench::order(1, 1));
    bench.connected(5);
    bench.received(5, "+OK\r\n");
    bench.migrations.sent(LinkId(5), 0, bench.now);
    bench.advance(1000);
    assert_eq!(bench.over(), [failed(5, &[], Failure::Reading)]);
}

#[test]
fn a_target_that_goes_on_has_time() {
    let mut bench = Bench::with_link();
    bench.begin(2, Bench::order(1, 3));
    for unsent in [100, 50, 0] {
        bench.advance(900);
        bench.migrations.sent(LinkId(1), unsent, bench.now);
    }
    bench.advance(900);
    bench.received(1, "+OK\r\n");
    bench.advance(900);
    bench.received(1, "+OK\r\n+OK\r\n");
    assert_eq!(bench.over(), [moved(2, &[0, 1, 2])]);
}

#[test]
fn unused_links_are_closed() {
    let mut bench = Bench::with_link();
    assert_eq!(bench.migrations.next_due(), Some(UNUSED_MS));
    bench.advance(UNUSED_MS - 1);
    assert_eq!(bench.migrations.link_count(), 1);
    bench.advance(1);
    assert_eq!((bench.migrations.link_count(), &*bench.closed), (0, [LinkId(1)].as_slice()));
    assert_eq!(bench.migrations.next_due(), None);
    // A link on which something comes that wasn't asked for is no use.
    let mut bench = Bench::with_link();
    bench.received(1, "+OK\r\n");
    assert_eq!((bench.migrations.link_count(), &*bench.closed), (0, [LinkId(1)].as_slice()));
}

#[test]
fn links_are_bounded() {
    let mut bench = Bench::default();
    let requests = MAX_LINKS as u64 + 3;
    for request in 1..=requests {
        bench.begin(request, Bench::order(request as u16, 1));
    }
    assert_eq!((bench.migrations.link_count(), bench.links), (MAX_LINKS, MAX_LINKS as u64));
    // One that ends makes room for one that waits.
    bench.connected(5);
    bench.received(5, "+OK\r\n");
    bench.received(5, "+OK\r\n");
    assert_eq!(bench.over(), [moved(5, &[0])]);
    assert_eq!((bench.links, &*bench.closed), (MAX_LINKS as u64 + 1, [LinkId(5)].as_slice()));
    bench.advance(1000);
    assert_eq!(bench.over().len(), MAX_LINKS);
    bench.advance(1000);
    let rest: Vec<_> = bench.over().iter().map(|over| over.request).collect();
    assert_eq!(rest, [requests - 1, requests]);
    assert_eq!(bench.migrations.link_count(), 0);
}

#[test]
fn many_requests_that_fail_at_once_take_no_stack() {
    let mut bench = Bench::default();
    for request in 0..50_000 {
        bench.begin(request, Bench::order(1, 1));
    }
    bench.migrations.abandon();
    bench.act();
    assert_eq!(bench.over().len(), 50_000);
    assert_eq!((bench.migrations.link_count(), &*bench.closed), (0, [LinkId(1)].as_slice()));
}

#[test]
fn what_is_over_survives_that_the_rest_is_given_up() {
    let mut bench = Bench::with_link();
    bench.migrations.begin(2, Bench::order(1, 1), 0);
    let asked = bench.migrations.next_action();
    assert!(matches!(asked, Some(Action::Dump(_))));
    bench.migrations.closed(LinkId(1), false, 0);
    bench.migrations.begin(3, Bench::order(2, 1), 0);
    bench.migrations.begin(4, Bench::order(0, 1), 0);
    bench.migrations.abandon();
    bench.act();
    let over: Vec<_> = bench.over().iter().map(|over| (over.request, over.failure)).collect();
    let expected = [(4, Failure::Connecting), (2, Failure::Abandoned), (3, Failure::Abandoned)];
    assert_eq!(over, expected.map(|(request, failure)| (request, Some(failure))));
}

#[test]
fn a_key_that_was_asked_for_by_an_earlier_attempt_is_not_taken_for_another() {
    let mut bench = Bench::with_link();
    bench.migrations.begin(2, Bench::order(1, 2), 0);
    let Some(Action::Dump(first)) = bench.migrations.next_action() else { panic!("no key was asked for") };
    bench.migrations.closed(LinkId(1), false, 0);
    bench.act();
    bench.migrations.connected(LinkId(2), 0);
    bench.migrations.restore(&first, b"stale", 0, b"p");
    bench.migrations.received(LinkId(2), b"+OK\r\n", 0);
    bench.migrations.restore(&first, b"k0", 0, b"p");
    bench.migrations.restore(&first, b"stale", 0, b"p");
    bench.act();
    assert_eq!(bench.sent(), ["2: SELECT 0", "2: RESTORE k0 0 p", "2: RESTORE k1 0 p"]);
}

#[test]
fn a_request_that_waits_can_be_withdrawn() {
    let mut bench = Bench::default();
    bench.begin(1, Bench::order(1, 1));
    bench.begin(2, Bench::order(1, 1));
    bench.begin(3, Bench::order(1, 1));
    // It waits for its turn.
    bench.migrations.withdraw(2, bench.now);
    // It waits for its link; the next one gets another.
    bench.migrations.withdraw(1, bench.now);
    bench.act();
    let over: Vec<_> = bench.over.iter().map(|over| (over.request, over.failure)).collect();
    assert_eq!(over, [(2, Some(Failure::Abandoned)), (1, Some(Failure::Abandoned))]);
    assert_eq!((bench.links, bench.closed.as_slice()), (2, &[LinkId(1)][..]));
    bench.connected(2);
    assert_eq!(bench.sent().len(), 1);
    // What has been sent goes on to its end.
    bench.migrations.withdraw(3, bench.now);
    bench.received(2, "+OK\r\n");
    bench.received(2, "+OK\r\n");
    let last = bench.over.last().map(|over| (over.request, over.failure, over.moved.len()));
    assert_eq!(last, Some((3, None, 1)));
    // Where all links are in use.
    for port in 10..10 + MAX_LINKS as u16 {
        bench.begin(u64::from(port), Bench::order(port, 1));
    }
    bench.begin(500, Bench::order(500, 1));
    bench.migrations.withdraw(500, bench.now);
    bench.act();
    assert_eq!(bench.over.last().map(|over| over.request), Some(500));
    assert!(bench.migrations.waiting.is_empty());
}

#[test]
fn a_link_that_was_not_opened_yet_is_opened_once() {
    let mut migrations = Migrations::default();
    migrations.begin(1, Bench::order(1, 1), 0);
    migrations.begin(2, Bench::order(1, 1), 0);
    migrations.withdraw(1, 0);
    let actions: Vec<_> = std::iter::from_fn(|| migrations.next_action()).collect();
    assert!(
        matches!(
            &actions[..],
            [Action::Over(_), Action::Open { .. }] | [Action::Open { .. }, Action::Over(_)]
        ),
        "{actions:?}"
    );
}
