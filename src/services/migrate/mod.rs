//! MIGRATE's links: to which servers keys are being moved, which requests wait for which link, when one has taken too long.
//!
//! ```text
//! request ─▶ queue of its target ─▶ link: connect ─▶ the request's transfer (`transfer`) ─▶ the next request
//!                                     └─ closed 10 s after its last use; at most 64 are open
//! ```
//!
//! A target has one link, and a link one transfer at a time, as replies tell only by their order what they answer. Nothing
//! here knows a key: the engine, which carries out the [`Action`]s, has the keys of each request, by their places in it.

mod transfer;

use std::collections::VecDeque;

use crate::base::ids::LinkId;
use transfer::Transfer;
pub use transfer::Wanted;

/// Links that may be open (`MIGRATE_SOCKET_CACHE_ITEMS`).
pub const MAX_LINKS: usize = 64;
/// How long an unused link stays open, ms (`MIGRATE_SOCKET_CACHE_TTL`).
const UNUSED_MS: u64 = 10_000;

/// Names a request, for as long as it isn't over.
pub type RequestId = u64;

/// Who the target is to take the keys from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// `None`: the default user.
    pub user: Option<Box<[u8]>>,
    pub password: Box<[u8]>,
}

/// What a request asks for.
#[derive(Clone, Debug, Default)]
pub struct Order {
    /// A name or an address.
    pub host: Box<[u8]>,
    /// `None`: there is none such, so nothing is tried.
    pub port: Option<u16>,
    pub login: Option<Login>,
    /// The target's database.
    pub db: i64,
    /// How long the target may leave a request or reply waiting, ms.
    pub timeout_ms: u64,
    pub replace: bool,
    /// The command that gives the target a key.
    pub restore: &'static [u8],
    /// How many keys it is about.
    pub keys: usize,
}

/// How the link to the target failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    Connecting,
    Writing,
    Reading,
    /// It was given up from here.
    Abandoned,
}

/// How a request ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Over {
    pub request: RequestId,
    /// Keys that the target has acknowledged, by their places in the request.
    pub moved: Vec<usize>,
    /// The target's first error, without its `-`.
    pub error: Option<Vec<u8>>,
    pub failure: Option<Failure>,
}

/// What is to be done, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Open a link to this host and port; [`Migrations::opened`] names it.
    Open {
        target: u64,
        host: String,
        port: u16,
    },
    Send(LinkId, Vec<u8>),
    Close(LinkId),
    /// Give the target a key of a request: [`Migrations::restore`], or [`Migrations::skip`].
    Dump(Asked),
    Over(Over),
}

/// A key that a target is to be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    target: u64,
    pub request: RequestId,
    pub wanted: Wanted,
}

/// See the head of this file.
#[derive(Debug, Default)]
pub struct Migrations {
    targets: Vec<Target>,
    last_target: u64,
    /// Requests to further targets, while all links are in use.
    waiting: VecDeque<Waiting>,
    actions: VecDeque<Action>,
}

#[derive(Debug)]
struct Target {
    id: u64,
    host: Box<[u8]>,
    port: u16,
    link: Option<LinkId>,
    is_connected: bool,
    /// The database that the link is in, if that is known.
    selected: Option<i64>,
    /// When the link was last used, ms.
    used_ms: u64,
    running: Option<Running>,
    queue: VecDeque<Waiting>,
}

/// A request that waits for a link.
#[derive(Debug)]
struct Waiting {
    request: RequestId,
    port: u16,
    order: Order,
}

/// The request that a target's link is used for.
#[derive(Debug)]
struct Running {
    request: RequestId,
    order: Order,
    /// Once the link is connected.
    transfer: Option<Transfer>,
    /// When the target has been silent for too long, ms.
    deadline: u64,
    /// The socket hasn't taken all that was sent.
    is_unsent: bool,
    /// The link was opened anew for it already.
    is_retried: bool,
}

impl Running {
    /// The target isn't silent.
    fn note_progress(&mut self, now: u64) {
        self.deadline = now.saturating_add(self.order.timeout_ms);
    }
}

impl Migrations {
    /// Links that are open or being opened.
    pub fn link_count(&self) -> usize {
        self.targets.len()
    }

    /// What is to be done next.
    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Begins with a request, or lets it wait for its link.
    pub fn begin(&mut self, request: RequestId, order: Order, now: u64) {
        let Some(port) = order.port else {
            let failure = Some(Failure::Connecting);
            return self.actions.push_back(Action::Over(Over { request, failure, ..Over::default() }));
        };
        self.waiting.push_back(Waiting { request, port, order });
        self.place_waiting(now);
    }

    /// Gives waiting requests, in their order, to their targets, as far as there are links.
    fn place_waiting(&mut self, now: u64) {
        while let Some(waiting) = self.waiting.pop_front() {
            let Waiting { port, order, .. } = &waiting;
            let is_it = |target: &Target| target.host == order.host && target.port == *port;
            let at = match self.targets.iter().position(is_it) {
                Some(at) => at,
                None if self.targets.len() < MAX_LINKS || self.close_least_used() => {
                    self.add_target(&order.host, *port)
                }
                None => return self.waiting.push_front(waiting),
            };
            self.targets[at].queue.push_back(waiting);
            self.start_next(at, now);
        }
    }

    fn add_target(&mut self, host: &[u8], port: u16) -> usize {
        self.last_target += 1;
        self.targets.push(Target {
            id: self.last_target,
            host: host.into(),
            port,
            link: None,
            is_connected: false,
            selected: None,
            used_ms: 0,
            running: None,
            queue: VecDeque::new(),
        });
        self.targets.len() - 1
    }

    /// Closes the link that has been unused for the longest time; false if all are in use.
    fn close_least_used(&mut self) -> bool {
        let unused = self.targets.iter().enumerate().filter(|(_, target)| target.running.is_none());
        let Some((at, _)) = unused.min_by_key(|(_, target)| target.used_ms) else { return false };
        self.remove_target(at);
        true
    }

    fn remove_target(&mut self, at: usize) {
        let target = self.targets.swap_remove(at);
        self.actions.extend(target.link.map(Action::Close));
    }

    /// Begins with the next request of a target whose link is free.
    fn start_next(&mut self, at: usize, now: u64) {
        let target = &mut self.targets[at];
        if target.running.is_some() {
            return;
        }
        let Some(Waiting { request, order, .. }) = target.queue.pop_front() else { return };
        target.used_ms = now;
        let mut running =
            Running { request, order, transfer: None, deadline: 0, is_unsent: false, is_retried: false };
        running.note_progress(now);
        target.running = Some(running);
        if target.is_connected { self.start_transfer(at) } else { self.open(at) }
    }

    fn open(&mut self, at: usize) {
        let target = &self.targets[at];
        let (id, port) = (target.id, target.port);
        let host = String::from_utf8_lossy(&target.host).into_owned();
        // One that hasn't been carried out yet would be a second link.
        self.actions.retain(|action| !matches!(action, Action::Open { target, .. } if *target == id));
        self.actions.push_back(Action::Open { target: id, host, port });
    }

    fn start_transfer(&mut self, at: usize) {
        let target = &mut self.targets[at];
        let (Some(link), Some(running)) = (target.link, &mut target.running) else { return };
        let (transfer, bytes) = Transfer::begin(&running.order, target.selected);
        running.transfer = Some(transfer);
        // It isn't known until the transfer is over.
        target.selected = None;
        if !bytes.is_empty() {
            running.is_unsent = true;
            self.actions.push_back(Action::Send(link, bytes));
        }
        self.ask(at);
    }

    /// Asks for the next key of a target's transfer.
    fn ask(&mut self, at: usize) {
        let target = &mut self.targets[at];
        let Some(Running { request, order, transfer: Some(transfer), .. }) = &mut target.running else {
            return;
        };
        if let Some(wanted) = transfer.ask(order) {
            let asked = Asked { target: target.id, request: *request, wanted };
            self.actions.push_back(Action::Dump(asked));
        }
    }

    fn at_link(&self, link: LinkId) -> Option<usize> {
        self.targets.iter().position(|target| target.link == Some(link))
    }

    fn at_target(&self, id: u64) -> Option<usize> {
        self.targets.iter().position(|target| target.id == id)
    }

    /// The link to a target has this id. False: it isn't needed any more.
    pub fn opened(&mut self, target: u64, link: LinkId) -> bool {
        let Some(at) = self.at_target(target) else { return false };
        self.targets[at].link = Some(link);
        true
    }

    /// A link is connected.
    pub fn connected(&mut self, link: LinkId, now: u64) {
        let Some(at) = self.at_link(link) else { return };
        self.targets[at].is_connected = true;
        if let Some(running) = &mut self.targets[at].running {
            running.note_progress(now);
            self.start_transfer(at);
        }
    }

    /// The socket has taken some of what was sent, or all (`unsent` is 0).
    pub fn sent(&mut self, link: LinkId, unsent: usize, now: u64) {
        let Some(at) = self.at_link(link) else { return };
        if let Some(running) = &mut self.targets[at].running {
            running.is_unsent = unsent > 0;
            running.note_progress(now);
        }
    }

    /// The payload of the key that a target was asked to be given; `ttl` in ms, 0 for none.
    pub fn restore(&mut self, asked: &Asked, key: &[u8], ttl: u64, payload: &[u8]) {
        let Some((at, transfer, order)) = self.asking(asked) else { return };
        let bytes = transfer.restore(order, key, ttl, payload);
        let target = &mut self.targets[at];
        self.actions.extend(target.link.map(|link| Action::Send(link, bytes)));
        if let Some(running) = &mut target.running {
            running.is_unsent = true;
        }
        self.ask(at);
    }

    /// A key that was asked for is gone, or has no further form.
    pub fn skip(&mut self, asked: &Asked, now: u64) {
        let Some((at, transfer, _)) = self.asking(asked) else { return };
        transfer.skip();
        self.go_on(at, now);
    }

    /// The transfer that still waits for a key.
    fn asking(&mut self, asked: &Asked) -> Option<(usize, &mut Transfer, &Order)> {
        let at = self.at_target(asked.target)?;
        let Running { request, order, transfer, .. } = self.targets[at].running.as_mut()?;
        let transfer = transfer.as_mut().filter(|transfer| transfer.waits_for(&asked.wanted))?;
        (*request == asked.request).then_some((at, transfer, &*order))
    }

    /// A target has sent this.
    pub fn received(&mut self, link: LinkId, bytes: &[u8], now: u64) {
        let Some(at) = self.at_link(link) else { return };
        let Some(running) = &mut self.targets[at].running else {
            // It wasn't asked anything.
            self.remove_target(at);
            return self.place_waiting(now);
        };
        running.note_progress(now);
        let Some(transfer) = &mut running.transfer else { return };
        match transfer.receive(bytes) {
            Ok(()) => self.go_on(at, now),
            Err(failure) => {
                running.is_retried = true;
                self.fail(at, failure, now);
            }
        }
    }

    /// Asks for the next key, or ends the transfer.
    fn go_on(&mut self, at: usize, now: u64) {
        self.ask(at);
        let target = &mut self.targets[at];
        let Some(Running { order, transfer: Some(transfer), .. }) = &target.running else { return };
        if transfer.is_over(order) {
            target.selected = transfer.error.is_none().then_some(order.db);
            self.end(at, None, now);
        }
    }

    /// A link has been closed by the other end, or couldn't be opened, because it was refused or for another reason.
    pub fn closed(&mut self, link: LinkId, was_refused: bool, now: u64) {
        let Some(at) = self.at_link(link) else { return };
        let target = &mut self.targets[at];
        let failure = match &target.running {
            Some(running) if running.is_unsent || was_refused => Failure::Writing,
            _ if target.is_connected => Failure::Reading,
            _ => Failure::Connecting,
        };
        target.link = None;
        self.fail(at, failure, now);
    }

    /// A link is of no use any more: its request is begun anew if the target may not have seen it, or ends.
    fn fail(&mut self, at: usize, failure: Failure, now: u64) {
        let target = &mut self.targets[at];
        self.actions.extend(target.link.take().map(Action::Close));
        target.is_connected = false;
        target.selected = None;
        let Some(running) = &mut target.running else {
            self.remove_target(at);
            return self.place_waiting(now);
        };
        let may_be_unseen = running.transfer.as_ref().is_some_and(|it| !it.has_answer && it.error.is_none());
        if may_be_unseen && !running.is_retried {
            // It is usual that the other end has closed a link that was unused for some time.
            running.is_retried = true;
            running.transfer = None;
            running.is_unsent = false;
            running.note_progress(now);
            return self.open(at);
        }
        self.end(at, Some(failure), now);
    }

    /// A target's request is over; the next one has its link, or its place.
    fn end(&mut self, at: usize, failure: Option<Failure>, now: u64) {
        let target = &mut self.targets[at];
        target.used_ms = now;
        if let Some(Running { request, transfer, .. }) = target.running.take() {
            let (moved, error) = transfer.map(|it| (it.moved, it.error)).unwrap_or_default();
            self.actions.push_back(Action::Over(Over { request, moved, error, failure }));
        }
        if !target.queue.is_empty() {
            self.start_next(at, now);
        } else if target.link.is_none() {
            self.remove_target(at);
        }
        self.place_waiting(now);
    }

    /// Gives up a request of which the target hasn't been sent anything; any other goes on to its end.
    pub fn withdraw(&mut self, request: RequestId, now: u64) {
        let is_it = |waiting: &Waiting| waiting.request == request;
        let before_link = |running: &Running| running.request == request && running.transfer.is_none();
        let connecting =
            self.targets.iter().position(|target| target.running.as_ref().is_some_and(before_link));
        if let Some(at) = connecting {
            // The next one has its own time to connect.
            let link = self.targets[at].link.take();
            self.actions.extend(link.map(Action::Close));
            return self.end(at, Some(Failure::Abandoned), now);
        }
        let queues = self.targets.iter_mut().map(|target| &mut target.queue).chain([&mut self.waiting]);
        for queue in queues {
            if let Some(at) = queue.iter().position(is_it) {
                queue.remove(at);
                let failure = Some(Failure::Abandoned);
                return self.actions.push_back(Action::Over(Over { request, failure, ..Over::default() }));
            }
        }
    }

    /// Ends what has taken too long, and closes links that aren't used.
    pub fn tick(&mut self, now: u64) {
        let due = |target: &Target| target.due_ms().is_some_and(|due| due <= now);
        while let Some(at) = self.targets.iter().position(due) {
            let target = &mut self.targets[at];
            let failure = match &mut target.running {
                None => {
                    self.remove_target(at);
                    continue;
                }
                Some(running) => {
                    running.is_retried = true;
                    match () {
                        () if running.transfer.is_none() => Failure::Connecting,
                        () if running.is_unsent => Failure::Writing,
                        () => Failure::Reading,
                    }
                }
            };
            self.fail(at, failure, now);
        }
    }

    /// When [`Self::tick`] has something to do, ms.
    pub fn next_due(&self) -> Option<u64> {
        self.targets.iter().filter_map(Target::due_ms).min()
    }

    /// Gives up all requests: the keys they are about are no longer this server's to move.
    pub fn abandon(&mut self) {
        self.actions.retain(|action| matches!(action, Action::Close(_) | Action::Over(_)));
        for action in &mut self.actions {
            // A pause has held back that the target has the keys: they are not to be removed any more.
            if let Action::Over(over) = action
                && !over.moved.is_empty()
            {
                over.failure = Some(Failure::Abandoned);
            }
        }
        let mut requests = Vec::new();
        for target in std::mem::take(&mut self.targets) {
            requests.extend(target.running.map(|running| running.request));
            requests.extend(target.queue.into_iter().map(|waiting| waiting.request));
            self.actions.extend(target.link.map(Action::Close));
        }
        requests.extend(std::mem::take(&mut self.waiting).into_iter().map(|waiting| waiting.request));
        let over = |request| Over { request, failure: Some(Failure::Abandoned), ..Over::default() };
        self.actions.extend(requests.into_iter().map(|request| Action::Over(over(request))));
    }
}

impl Target {
    /// When it has to be seen to, ms.
    fn due_ms(&self) -> Option<u64> {
        match &self.running {
            Some(running) => Some(running.deadline),
            None => Some(self.used_ms + UNUSED_MS),
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
