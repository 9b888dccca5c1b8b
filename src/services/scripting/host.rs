//! The inner side of an interpreter: what the functions that scripts call need of the engine, they get by suspending the
//! coroutine in which Lua runs.

use std::cell::{Cell, RefCell};

use corosensei::Yielder;
use mlua::{Error, Result};

use super::exchange::{Event, Exchange, Input, Targets};
use super::raised::{self, ErrorTable};
use super::random::Random;
use crate::sys::lua::{self, Stack};

pub type Resumed = (Input, Box<Exchange>);
pub type Suspended = (Event, Box<Exchange>);

/// Most memory that an interpreter's scripts may use, bytes.
pub const MAX_MEMORY: usize = 1 << 30;
/// Bytes of the coroutine's stack that have to be left where a Lua coroutine begins: 200 nested calls of C functions, and
/// what the last one needs.
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
    /// Where the stack was when the coroutine began.
    stack_top: usize,
}

impl<'a> Host<'a> {
    pub fn new(yielder: &'a Yielder<Resumed, Suspended>, exchange: Box<Exchange>) -> Self {
        Host {
            yielder,
            exchange: Cell::new(Some(exchange)),
            resp3: Cell::new(false),
            targets: Cell::new(Targets::ALL),
            killed: Cell::new(false),
            random: RefCell::new(Random::default()),
            stack_top: lua::here(),
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

    /// Lets the engine look at the clock; an error if the script is to end.
    pub fn tick(&self) -> Result<()> {
        if !self.killed.get() && matches!(self.suspend(Event::Tick), Input::Kill) {
            self.killed.set(true);
        }
        if self.killed.get() { Err(killed()) } else { Ok(()) }
    }

    /// The same of a function that works on the stack.
    pub fn raise_killed(&self, stack: &mut Stack<'_>) -> lua::Error {
        self.killed.set(true);
        stack.truncate(0);
        raised::push_table(stack, KILLED.as_bytes(), false).err().unwrap_or(lua::Error::Raised)
    }

    /// Whether another Lua coroutine may begin here; each may nest calls as deeply as the first.
    pub fn check_depth(&self) -> Result<()> {
        if self.killed.get() {
            return Err(killed());
        }
        if self.has_stack() { Ok(()) } else { Err(Error::RuntimeError("C stack overflow".into())) }
    }

    /// Whether there is enough of the stack left to go deeper.
    pub fn has_stack(&self) -> bool {
        self.stack_top.wrapping_sub(lua::here()) <= STACK - STACK_RESERVE
    }
}

fn killed() -> Error {
    ErrorTable::plain(KILLED)
}
