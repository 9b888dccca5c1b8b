//! A transfer: what is sent to the target of one MIGRATE, and what its replies mean.
//!
//! ```text
//! AUTH [user] password          if there is a password
//! SELECT db                     if the link isn't there already: then both are answered before a key is sent
//! RESTORE key ttl payload …     as many as the window has room for, the rest as replies come
//! ```

use std::collections::VecDeque;

use super::{Failure, Order};
use crate::base::number::IntegerBuffer;

/// Bytes of payloads that may wait for their replies; a larger payload goes alone.
const WINDOW: usize = 1024 * 1024;
/// What is kept of a reply's line, bytes.
const LINE: usize = 1023;
/// How a target refuses a payload of a version that it doesn't know.
const WRONG_VERSION: &[u8] = b"ERR DUMP payload version or checksum are wrong";

/// A key that the target is to have next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its place among the request's keys.
    pub key: usize,
    /// How many forms of its payload the target has refused: the next one is wanted.
    pub refused: usize,
}

/// A request that the target hasn't answered.
#[derive(Debug)]
enum Unanswered {
    Login,
    Select,
    Restore { wanted: Wanted, size: usize },
}

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Transfer {
    unanswered: VecDeque<Unanswered>,
    /// Bytes of the payloads among them.
    size: usize,
    /// The beginning of a reply's line.
    line: Vec<u8>,
    /// A key that was asked for, until its payload is here.
    asked: Option<Wanted>,
    /// Keys whose payloads were refused for their version.
    again: VecDeque<Wanted>,
    /// The first key that was never asked for.
    next: usize,
    /// The target waits to be sent keys until AUTH and SELECT are answered.
    is_greeting: bool,
    /// AUTH or SELECT has failed: no more keys are sent, and those that were are not acknowledged.
    is_refused: bool,
    /// A key's reply has come.
    pub(super) has_answer: bool,
    /// Keys that the target has.
    pub(super) moved: Vec<usize>,
    /// The target's first error.
    pub(super) error: Option<Vec<u8>>,
}

impl Transfer {
    /// Begins on a link whose database is `selected`; returns what is sent first.
    pub(super) fn begin(order: &Order, selected: Option<i64>) -> (Transfer, Vec<u8>) {
        let mut bytes = Vec::new();
        let mut unanswered = VecDeque::new();
        if let Some(login) = &order.login {
            let user = login.user.as_deref();
            put(&mut bytes, [b"AUTH".as_slice()].into_iter().chain(user).chain([&*login.password]));
            unanswered.push_back(Unanswered::Login);
        }
        let is_greeting = selected != Some(order.db);
        if is_greeting {
            put(&mut bytes, [b"SELECT", IntegerBuffer::new().format(order.db).as_bytes()].into_iter());
            unanswered.push_back(Unanswered::Select);
        }
        let transfer = Transfer {
            unanswered,
            size: 0,
            line: Vec::new(),
            asked: None,
            again: VecDeque::new(),
            next: 0,
            is_greeting,
            is_refused: false,
            has_answer: false,
            moved: Vec::new(),
            error: None,
        };
        (transfer, bytes)
    }

    /// The key whose payload is to be sent next, if there is room; [`Self::restore`] or [`Self::skip`] follows.
    pub(super) fn ask(&mut self, order: &Order) -> Option<Wanted> {
        let is_full = self.size > WINDOW;
        if self.is_greeting || self.is_refused || is_full || self.asked.is_some() {
            return None;
        }
        let wanted = match self.again.pop_front() {
            Some(wanted) => wanted,
            None if self.next < order.keys => {
                self.next += 1;
                Wanted { key: self.next - 1, refused: 0 }
            }
            None => return None,
        };
        self.asked = Some(wanted.clone());
        Some(wanted)
    }

    /// Whether this key was asked for, and isn't here yet.
    pub(super) fn waits_for(&self, wanted: &Wanted) -> bool {
        self.asked.as_ref() == Some(wanted)
    }

    /// The request that gives the target the key that was asked for; `ttl` in ms, 0 for none.
    pub(super) fn restore(&mut self, order: &Order, key: &[u8], ttl: u64, payload: &[u8]) -> Vec<u8> {
        let Some(wanted) = self.asked.take() else { return Vec::new() };
        let mut bytes = Vec::with_capacity(payload.len() + key.len() + 128);
        let mut digits = IntegerBuffer::new();
        let words = [order.restore, key, digits.format(ttl).as_bytes(), payload];
        let replace = order.replace.then_some(b"REPLACE".as_slice());
        put(&mut bytes, words.into_iter().chain(replace));
        self.size += bytes.len();
        self.unanswered.push_back(Unanswered::Restore { wanted, size: bytes.len() });
        bytes
    }

    /// The key that was asked for is gone, or has no other form that the target could read.
    pub(super) fn skip(&mut self) {
        if let Some(wanted) = self.asked.take()
            && wanted.refused > 0
        {
            self.fail(WRONG_VERSION);
        }
    }

    /// Whether all has been sent and answered.
    pub(super) fn is_over(&self, order: &Order) -> bool {
        let all_asked = self.next == order.keys && self.again.is_empty() && self.asked.is_none();
        self.unanswered.is_empty() && (all_asked || self.is_refused)
    }

    /// Takes the target's replies; an error if they are none.
    pub(super) fn receive(&mut self, mut bytes: &[u8]) -> Result<(), Failure> {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            self.keep(&bytes[..end]);
            bytes = &bytes[end + 1..];
            let mut line = std::mem::take(&mut self.line);
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            self.answered(&line)?;
        }
        self.keep(bytes);
        Ok(())
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = LINE.saturating_sub(self.line.len());
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn answered(&mut self, line: &[u8]) -> Result<(), Failure> {
        let error = match line.split_first() {
            Some((b'+', _)) => None,
            Some((b'-', text)) => Some(text),
            _ => return Err(Failure::Reading),
        };
        let Some(request) = self.unanswered.pop_front() else { return Err(Failure::Reading) };
        match request {
            Unanswered::Login | Unanswered::Select => {
                self.is_refused |= error.is_some();
                let greeted = |waits: &Unanswered| matches!(waits, Unanswered::Restore { .. });
                self.is_greeting &= !self.unanswered.iter().all(greeted);
            }
            Unanswered::Restore { wanted, size } => {
                self.size -= size;
                self.has_answer = true;
                match error {
                    None if !self.is_refused => self.moved.push(wanted.key),
                    Some(text) if text.starts_with(WRONG_VERSION) && !self.is_refused => {
                        self.again.push_back(Wanted { refused: wanted.refused + 1, ..wanted });
                        return Ok(());
                    }
                    _ => {}
                }
            }
        }
        if let Some(text) = error {
            self.fail(text);
        }
        Ok(())
    }

    /// Notes the first error.
    fn fail(&mut self, text: &[u8]) {
        self.error.get_or_insert_with(|| text.to_vec());
    }
}

/// Appends a request.
fn put<'w>(out: &mut Vec<u8>, words: impl Iterator<Item = &'w [u8]> + Clone) {
    let mut digits = IntegerBuffer::new();
    let mut count = |out: &mut Vec<u8>, kind: u8, count: usize| {
        out.push(kind);
        out.extend_from_slice(digits.format(count).as_bytes());
        out.extend_from_slice(b"\r\n");
    };
    count(out, b'*', words.clone().count());
    for word in words {
        count(out, b'$', word.len());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::migrate::Login;

    fn order(keys: usize) -> Order {
        Order { db: 9, keys, restore: b"RESTORE", ..Order::default() }
    }

    /// Sends all keys that there is room for, with payloads of `size` bytes; returns how many.
    fn fill(transfer: &mut Transfer, order: &Order, size: usize) -> usize {
        let mut sent = 0;
        while transfer.ask(order).is_some() {
            transfer.restore(order, b"k", 0, &vec![b'x'; size]);
            sent += 1;
        }
        sent
    }

    #[test]
    fn keys_wait_for_a_database_that_has_to_be_selected() {
        let login = Login { user: Some((*b"me").into()), password: (*b"pass").into() };
        let order = Order { login: Some(login), ..order(1) };
        let (mut transfer, bytes) = Transfer::begin(&order, None);
        assert_eq!(
            bytes.escape_ascii().to_string(),
            r"*3\r\n$4\r\nAUTH\r\n$2\r\nme\r\n$4\r\npass\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n9\r\n"
        );
        assert_eq!(transfer.ask(&order), None);
        transfer.receive(b"+OK\r\n").unwrap();
        assert_eq!(transfer.ask(&order), None);
        transfer.receive(b"+OK\r").unwrap();
        transfer.receive(b"\n").unwrap();
        assert_eq!(transfer.ask(&order), Some(Wanted { key: 0, refused: 0 }));
        let bytes = transfer.restore(&Order { replace: true, ..order.clone() }, b"k\n", 7, b"p\r");
        assert_eq!(
            bytes.escape_ascii().to_string(),
            r"*5\r\n$7\r\nRESTORE\r\n$2\r\nk\n\r\n$1\r\n7\r\n$2\r\np\r\r\n$7\r\nREPLACE\r\n"
        );
        assert!(!transfer.is_over(&order) && !transfer.has_answer);
        transfer.receive(b"+OK\r\n").unwrap();
        assert!(transfer.is_over(&order) && transfer.has_answer);
        assert_eq!((transfer.moved, transfer.error), (vec![0], None));
    }

    #[test]
    fn nothing_is_sent_where_the_login_or_the_database_is_refused() {
        for replies in ["-WRONGPASS no\r\n-NOAUTH x\r\n", "+OK\r\n-WRONGPASS no\r\n"] {
            let login = Login { user: None, password: (*b"pass").into() };
            let order = Order { login: Some(login), ..order(2) };
            let (mut transfer, _) = Transfer::begin(&order, None);
            transfer.receive(replies.as_bytes()).unwrap();
            assert_eq!(transfer.ask(&order), None);
            assert!(transfer.is_over(&order));
            assert_eq!(transfer.error.as_deref(), Some(b"WRONGPASS no".as_slice()));
        }
    }

    #[test]
    fn a_key_behind_a_refused_login_is_not_acknowledged() {
        let login = Login { user: None, password: (*b"pass").into() };
        let order = Order { login: Some(login), ..order(3) };
        let (mut transfer, bytes) = Transfer::begin(&order, Some(9));
        assert_eq!(bytes, b"*2\r\n$4\r\nAUTH\r\n$4\r\npass\r\n");
        assert_eq!(fill(&mut transfer, &order, WINDOW), 1);
        transfer.receive(b"-WRONGPASS no\r\n").unwrap();
        assert!(transfer.ask(&order).is_none() && !transfer.is_over(&order));
        transfer.receive(b"+OK\r\n").unwrap();
        assert!(transfer.is_over(&order) && transfer.moved.is_empty());
    }

    #[test]
    fn a_window_of_payloads_is_on_its_way() {
        let order = order(10);
        let (mut transfer, bytes) = Transfer::begin(&order, Some(9));
        assert!(bytes.is_empty());
        assert_eq!(fill(&mut transfer, &order, WINDOW / 2), 2);
        transfer.receive(b"+OK\r\n").unwrap();
        assert_eq!(fill(&mut transfer, &order, 2 * WINDOW), 1);
        transfer.receive(b"+OK\r\n").unwrap();
        assert_eq!(fill(&mut transfer, &order, 10), 0);
        transfer.receive(b"+OK\r\n").unwrap();
        assert_eq!(fill(&mut transfer, &order, 10), 7);
        transfer.receive("+OK\r\n".repeat(7).as_bytes()).unwrap();
        assert!(transfer.is_over(&order));
        assert_eq!(transfer.moved, (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn each_key_has_its_own_reply() {
        let order = order(4);
        let (mut transfer, _) = Transfer::begin(&order, Some(9));
        assert!(transfer.ask(&order).is_some());
        // A key that is gone is skipped.
        transfer.skip();
        assert_eq!(fill(&mut transfer, &order, 10), 3);
        transfer.receive(b"+OK\r\n-BUSYKEY Target key name already exists.\r\n-OOM\r\n").unwrap();
        assert!(transfer.is_over(&order));
        assert_eq!(transfer.moved, [1]);
        assert_eq!(transfer.error.as_deref(), Some(b"BUSYKEY Target key name already exists.".as_slice()));
    }

    #[test]
    fn an_older_target_gets_another_form() {
        let order = order(2);
        let (mut transfer, _) = Transfer::begin(&order, Some(9));
        assert_eq!(fill(&mut transfer, &order, 10), 2);
        transfer.receive(b"-ERR DUMP payload version or checksum are wrong\r\n+OK\r\n").unwrap();
        assert!(!transfer.is_over(&order));
        assert_eq!(transfer.ask(&order), Some(Wanted { key: 0, refused: 1 }));
        transfer.restore(&order, b"k", 0, b"older");
        transfer.receive(b"-ERR DUMP payload version or checksum are wrong\r\n").unwrap();
        assert_eq!(transfer.ask(&order), Some(Wanted { key: 0, refused: 2 }));
        transfer.skip();
        assert!(transfer.is_over(&order));
        assert_eq!((&*transfer.moved, transfer.error.as_deref()), ([1].as_slice(), Some(WRONG_VERSION)));
    }

    #[test]
    fn what_is_no_reply_ends_it() {
        let order = order(1);
        for bytes in [b"$5\r\n".as_slice(), b"\r\n", b":1\n"] {
            let (mut transfer, _) = Transfer::begin(&order, Some(9));
            fill(&mut transfer, &order, 10);
            assert_eq!(transfer.receive(bytes), Err(Failure::Reading));
        }
        let (mut transfer, _) = Transfer::begin(&order, Some(9));
        assert_eq!(transfer.receive(b"+OK\r\n"), Err(Failure::Reading));
    }

    #[test]
    fn a_line_without_end_takes_no_memory() {
        let order = order(1);
        let (mut transfer, _) = Transfer::begin(&order, Some(9));
        fill(&mut transfer, &order, 10);
        transfer.receive(b"-").unwrap();
        for _ in 0..100 {
            transfer.receive(&[b'x'; 10_000]).unwrap();
        }
        assert!(transfer.line.capacity() < 4096);
        transfer.receive(b"\r\n").unwrap();
        assert_eq!(transfer.error.map(|error| error.len()), Some(LINE - 1));
    }
}
