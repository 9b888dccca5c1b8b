//! The inner side of an interpreter: what the functions that scripts call need of the engine, they get by suspending the
//! coroutine in which Lua runs.

use std::cell::{Cell, RefCell};

use corosensei::Yielder;

use super::exchange::{Event, Exchange, Input, Targets};
use super::raised;
use super::random::Random;
use crate::sys::lua::{self, Kept, Stack};

pub type Resumed = (Input, Box<Exchange>);
pub type Suspended = (Event, Box<Exchange>);

/// Most memory that an interpreter's scripts may use, bytes.
pub const MAX_MEMORY: usize = 1 << 30;
/// Bytes of the coroutine's stack that have to be left where a value is nested deeper: 200 nested calls of C functions, and what
/// the last one needs.
pub const STACK_RESERVE: usize = STACK / 2;
/// Bytes of the coroutine's stack; memory is only what has been used of it. AddressSanitizer makes frames many times as large.
pub const STACK: usize = if cfg!(system_allocator) { 256 << 20 } else { 16 << 20 };

/// The error of a script that is to end.
pub const KILLED: &str = "Script killed by user with SCRIPT KILL...";

/// State of the running script, as its functions see it.
pub struct Host<'a> {
    yielder: &'a Yielder<Resumed, Suspended>,
    exchange: Cell<Option<Box<Exchange>>>,
    /// The protocol of replies to the script.
    pub resp3: Cell<bool>,
    pub targets: Cell<Targets>,
    /// The script is to end; each of its steps fails.
    pub killed: Cell<bool>,
    pub random: RefCell<Random>,
    /// Tables that scripts see only through a view, by the identities of these.
    pub views: RefCell<Vec<(usize, Kept)>>,
    /// What scripts get as the metatable of strings and of the globals, and the identity of these.
    pub string_metatable: Cell<Option<Kept>>,
    pub globals_metatable: Cell<Option<Kept>>,
    pub globals: Cell<usize>,
    /// What scripts get as the metatables of userdata (`newproxy`), by these, if they can have some.
    pub proxies: Cell<Option<Kept>>,
    /// The function that notes where an error is raised that a function of C passes on.
    pub locator: Cell<Kept>,
    /// Where that was.
    pub place: RefCell<Option<Place>>,
    /// Calls since the last tick.
    calls: Cell<u32>,
}

/// Where an error was raised: a source, and a line in it.
pub type Place = (String, i32);

impl<'a> Host<'a> {
    pub fn new(yielder: &'a Yielder<Resumed, Suspended>, exchange: Box<Exchange>) -> Self {
        Host {
            yielder,
            exchange: Cell::new(Some(exchange)),
            resp3: Cell::new(false),
            targets: Cell::new(Targets::ALL),
            killed: Cell::new(false),
            random: RefCell::new(Random::default()),
            views: RefCell::default(),
            string_metatable: Cell::new(None),
            globals_metatable: Cell::new(None),
            globals: Cell::new(0),
            proxies: Cell::new(None),
            locator: Cell::new(Kept::NONE),
            place: RefCell::default(),
            calls: Cell::new(0),
        }
    }

    /// Tells the engine, and waits for what it has to say.
    pub fn suspend(&self, event: Event) -> Input {
        let exchange = self.exchange.take().unwrap_or_default();
        let (input, exchange) = self.yielder.suspend((event, exchange));
        self.exchange.set(Some(exchange));
        input
    }

    /// Works on what is exchanged.
    pub fn with<R>(&self, work: impl FnOnce(&mut Exchange) -> R) -> R {
        let mut exchange = self.exchange.take().unwrap_or_default();
        let result = work(&mut exchange);
        self.exchange.set(Some(exchange));
        result
    }

    /// Lets the engine look at the clock. Whether the script is to end.
    pub fn is_ended(&self) -> bool {
        if !self.killed.get() && matches!(self.suspend(Event::Tick), Input::Kill) {
            self.killed.set(true);
        }
        self.killed.get()
    }

    /// The same; an error if the script is to end.
    pub fn tick(&self, stack: &mut Stack<'_>) -> lua::Result<()> {
        if self.is_ended() { Err(self.raise_killed(stack)) } else { Ok(()) }
    }

    /// For what a script can call without end while few instructions run: a tick each so many calls.
    pub fn count_call(&self, stack: &mut Stack<'_>) -> lua::Result<()> {
        const CALLS: u32 = 64;
        self.calls.set(self.calls.get() + 1);
        if self.calls.get() < CALLS && !self.killed.get() {
            return Ok(());
        }
        self.calls.set(0);
        self.tick(stack)
    }

    /// The error of a script that is to end.
    pub fn raise_killed(&self, stack: &mut Stack<'_>) -> lua::Error {
        self.killed.set(true);
        raised::raise(stack, KILLED)
    }

    /// Pushes the table that a value in a slot is a view of; if it isn't one, nothing, and returns false.
    pub fn push_real(&self, stack: &mut Stack<'_>, slot: usize) -> lua::Result<bool> {
        let identity = stack.identity(slot);
        let real = self.views.borrow().iter().find(|(view, _)| *view == identity).map(|(_, real)| *real);
        match real {
            Some(real) => stack.push_kept(real).map(|()| true),
            None => Ok(false),
        }
    }

    /// Whether it is a view.
    pub fn is_view(&self, stack: &Stack<'_>, slot: usize) -> bool {
        let identity = stack.identity(slot);
        self.views.borrow().iter().any(|(view, _)| *view == identity)
    }
}
