//! An interpreter: one Lua state in a coroutine of its own.
//!
//! A function that a script calls needs the engine; but no Lua state is borrowed from the engine, nor the engine from it.
//! Instead the coroutine is suspended with an [`Event`], the engine does what is asked and resumes it with an [`Input`]. A script
//! that takes too long is one that isn't resumed for a while.
//!
//! ```text
//! Ready ─ Compile → Compiled              Ready ─ Run → ┬ Call ─ Reply or Refuse →┐
//! Ready ─ Release → Ready                               ├ Tick ─ Continue or Kill →┤ … → Finished
//! Ready ─ Load → (Tick, Log) … → Loaded                 └ Log, CheckRights …      →┘
//! Ready ─ Free → Freed
//! ```

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};

use super::basics::compile_text;
use super::builder::Options;
use super::convert::ReplyWriter;
use super::exchange::{self, Event, Exchange, FunctionId, Input, Targets};
use super::host::{Host, Resumed, STACK, STACK_RESERVE, Suspended};
use super::number;
use super::raised::{Failed, with_code};
use super::registration::{Registered, Registration};
use super::sandbox::{self, Sandbox};
use crate::resp::{Args, Reply};
use crate::sys::lua::{Kept, Kind, Result, Stack, State};

/// What errors call scripts of EVAL.
const SCRIPT_CHUNK: &std::ffi::CStr = c"@user_script";
/// What errors call libraries.
const LIBRARY_CHUNK: &std::ffi::CStr = c"@user_function";
/// What compiling leaves is collected a step each so many times.
const COMPILED_A_STEP: u32 = 25;
/// Memory from which what a script leaves is collected at once, bytes.
const COLLECTED: usize = 16 << 20;

/// See the module's description.
pub struct Interpreter {
    coroutine: Coroutine<Resumed, Suspended, (), DefaultStack>,
    /// Free between two uses.
    spare: Box<Exchange>,
    is_running: bool,
}

impl Interpreter {
    /// An interpreter that waits for work.
    pub fn new(options: Options) -> std::io::Result<Self> {
        let stack = DefaultStack::new(STACK)?;
        let coroutine = Coroutine::with_stack(stack, move |yielder: &Yielder<_, _>, (_, exchange)| {
            let _ended = work(yielder, exchange, options);
        });
        let mut interpreter = Interpreter { coroutine, spare: Box::default(), is_running: false };
        let exchange = interpreter.exchange();
        let (_, exchange) = interpreter.resume(Input::Continue, exchange);
        interpreter.put_back(exchange);
        Ok(interpreter)
    }

    /// Buffers to exchange.
    pub fn exchange(&mut self) -> Box<Exchange> {
        std::mem::take(&mut self.spare)
    }

    /// Buffers that are used no more.
    pub fn put_back(&mut self, mut exchange: Box<Exchange>) {
        exchange.clear();
        self.spare = exchange;
    }

    /// Frees some of what scripts and functions have left in some tens of microseconds; true once nothing is left. It can't be
    /// used for anything else any more.
    pub fn free_some(&mut self) -> bool {
        let exchange = self.exchange();
        let (event, exchange) = self.resume(Input::Free, exchange);
        self.put_back(exchange);
        !matches!(event, Event::Freed { is_done: false })
    }

    /// Lets Lua go on until it needs something.
    pub fn resume(&mut self, input: Input, exchange: Box<Exchange>) -> (Event, Box<Exchange>) {
        if self.coroutine.done() {
            return (Event::Finished, exchange);
        }
        match self.coroutine.resume((input, exchange)) {
            CoroutineResult::Yield((event, exchange)) => {
                self.is_running = matches!(
                    event,
                    Event::Call { .. } | Event::CheckRights | Event::Log { .. } | Event::Tick
                );
                (event, exchange)
            }
            CoroutineResult::Return(()) => {
                self.is_running = false;
                (Event::Finished, Box::default())
            }
        }
    }
}

impl Drop for Interpreter {
    /// Ends the running script, then Lua.
    fn drop(&mut self) {
        while self.is_running {
            self.resume(Input::Kill, Box::default());
        }
        self.resume(Input::Quit, Box::default());
    }
}

/// The coroutine.
fn work(yielder: &Yielder<Resumed, Suspended>, exchange: Box<Exchange>, options: Options) -> Result<()> {
    let host = Host::new(yielder, exchange);
    let registration = Registration::default();
    let state = State::new(options.memory, STACK - STACK_RESERVE);
    let sandbox = sandbox::open(&state, &host, &registration, options)?;
    let compiled = {
        let mut stack = state.stack();
        stack.push_table(0, 0)?;
        stack.keep()?
    };
    let mut work = Work {
        state: &state,
        host: &host,
        sandbox,
        registration: &registration,
        compiled,
        names: Vec::new(),
        free: Vec::new(),
        compiled_since_step: 0,
        cycles: None,
    };
    let mut event = Event::Ready;
    loop {
        host.with(|exchange| exchange.memory = state.used());
        event = match host.suspend(event) {
            Input::Quit => return Ok(()),
            Input::Compile { name } => Event::Compiled(work.compile(name)),
            Input::Load => Event::Loaded(work.load().unwrap_or_else(|_| Err(NO_MEMORY.to_vec()))),
            Input::Release(function) => work.release(function),
            Input::Run { function, keys, resp3 } => work.run(function, keys, resp3),
            Input::Free => work.free(),
            _ => Event::Ready,
        };
    }
}

/// The text of what failed because scripts have all memory that they may have.
const NO_MEMORY: &[u8] = b"not enough memory";

/// What the coroutine works with.
struct Work<'a, 'h> {
    state: &'a State<'h>,
    host: &'h Host<'h>,
    sandbox: Sandbox,
    registration: &'h Registration,
    /// The table of functions by their ids.
    compiled: Kept,
    /// What they are, one less than the id.
    names: Vec<Named>,
    free: Vec<u32>,
    compiled_since_step: u32,
    /// Cycles of the collector that free what is left: that which has begun may hold it.
    cycles: Option<u32>,
}

/// A function that is kept.
struct Named {
    /// What errors call it.
    name: Box<str>,
    /// A library's, which gets keys and arguments as its arguments.
    is_library: bool,
}

impl Work<'_, '_> {
    fn compile(&mut self, name: Box<str>) -> std::result::Result<FunctionId, Vec<u8>> {
        let source = self.host.with(|exchange| std::mem::take(&mut exchange.request));
        let mut stack = self.state.stack();
        let compiled = compile_text(&mut stack, &source, SCRIPT_CHUNK);
        self.host.with(|exchange| exchange.request = source);
        let kept = match compiled {
            Ok(true) => self.keep(&mut stack, Named { name, is_library: false }),
            Ok(false) => return Err(text_of(&stack)),
            Err(error) => Err(error),
        };
        kept.map_err(|_| NO_MEMORY.to_vec())
    }

    /// Collects some of what compiling has left.
    fn collect_some(&mut self, stack: &mut Stack<'_>) {
        const STEPS: usize = 50;
        self.compiled_since_step += 1;
        if self.compiled_since_step < COMPILED_A_STEP {
            return;
        }
        self.compiled_since_step = 0;
        for _ in 0..STEPS {
            // The end of a cycle.
            if stack.collect_some(0) {
                break;
            }
        }
    }

    /// Keeps the topmost value, a function, until it is released.
    fn keep(&mut self, stack: &mut Stack<'_>, named: Named) -> Result<FunctionId> {
        self.collect_some(stack);
        let id = self.free.last().copied().unwrap_or(self.names.len() as u32 + 1);
        let function = stack.count();
        stack.push_kept(self.compiled)?;
        stack.push_copy(function)?;
        stack.set_item(function + 1, id as i32)?;
        match self.free.pop() {
            Some(id) => self.names[id as usize - 1] = named,
            None => self.names.push(named),
        }
        Ok(FunctionId(id))
    }

    /// Runs a library, which registers its functions.
    fn load(&mut self) -> Result<std::result::Result<Vec<exchange::Function>, Vec<u8>>> {
        let source = self.host.with(|exchange| std::mem::take(&mut exchange.request));
        let mut stack = self.state.stack();
        let stack = &mut *stack;
        if !compile_text(stack, &source, LIBRARY_CHUNK)? {
            return Ok(Err([b"Error compiling function: ", &text_of(stack)[..]].concat()));
        }
        self.host.killed.set(false);
        self.registration.begin(stack)?;
        let called = self.sandbox.show_library_globals(stack, true).and_then(|()| stack.call(0, 0));
        self.sandbox.show_library_globals(stack, false)?;
        let outcome = stack.count();
        let registered = self.registration.end(stack)?;
        let failure = match called {
            Ok(true) => None,
            Ok(false) => Some(failure_text(stack, outcome)),
            Err(_) => Some(with_code(NO_MEMORY)),
        };
        if let Some(text) = failure {
            return Ok(Err([b"Error registering functions: ", &text[..]].concat()));
        }
        let mut kept = Vec::with_capacity(registered.len());
        for (place, Registered { name, description, flags }) in (1..).zip(registered) {
            let shown = String::from_utf8_lossy(&name).into();
            stack.push_item(outcome + 1, place)?;
            let id = self.keep(stack, Named { name: shown, is_library: true })?;
            stack.truncate(outcome + 1);
            kept.push(exchange::Function { name, description, flags, id });
        }
        Ok(Ok(kept))
    }

    fn release(&mut self, function: FunctionId) -> Event {
        let mut stack = self.state.stack();
        let emptied = stack.push_kept(self.compiled).and_then(|()| {
            let table = stack.count();
            stack.push_nil()?;
            stack.set_item(table, function.0 as i32)
        });
        // What isn't emptied isn't used again.
        if emptied.is_ok() {
            self.free.push(function.0);
        }
        Event::Ready
    }

    /// Frees some of what is left.
    fn free(&mut self) -> Event {
        const CYCLES: u32 = 2;
        let mut stack = self.state.stack();
        if self.cycles.is_none() {
            stack.forget(self.compiled);
            self.registration.forget(&mut stack);
            for name in [b"KEYS", b"ARGV"] {
                let emptied = stack.push_kept(self.sandbox.globals).and_then(|()| {
                    stack.push_nil()?;
                    stack.set_field(1, name)
                });
                debug_assert!(emptied.is_ok() || !stack.has_memory(0));
                stack.truncate(0);
            }
        }
        let mut cycles = self.cycles.unwrap_or(CYCLES);
        cycles -= u32::from(cycles > 0 && stack.collect_some(0));
        self.cycles = Some(cycles);
        Event::Freed { is_done: cycles == 0 }
    }

    /// Runs a function. Whatever fails is the reply: an error that left the loop would end the interpreter, and all that
    /// it keeps.
    fn run(&mut self, id: FunctionId, keys: usize, resp3: bool) -> Event {
        self.host.resp3.set(false);
        self.host.targets.set(Targets::ALL);
        self.host.killed.set(false);
        self.host.place.take();
        let mut stack = self.state.stack();
        let done = self.call(&mut stack, id, keys);
        self.finish(&mut stack, done, resp3, id);
        if stack.used() > COLLECTED {
            stack.truncate(0);
            stack.collect();
        }
        Event::Finished
    }

    /// Calls a function; its result or its error is the topmost value.
    fn call(&self, stack: &mut Stack<'_>, id: FunctionId, keys: usize) -> Result<bool> {
        stack.push_kept(self.sandbox.handler)?;
        let handler = stack.count();
        stack.push_kept(self.compiled)?;
        stack.push_item(handler + 1, id.0 as i32)?;
        let is_library = self.named(id).is_some_and(|named| named.is_library);
        if !is_library {
            stack.push_kept(self.sandbox.globals)?;
        }
        let globals = stack.count();
        self.host.with(|exchange| {
            let arguments = exchange.args();
            for (list, name) in [(arguments.head(keys), b"KEYS"), (arguments.tail(keys), b"ARGV")] {
                push_list(stack, list)?;
                if !is_library {
                    stack.set_field(globals, name)?;
                }
            }
            Ok(())
        })?;
        if is_library {
            return stack.call(2, handler);
        }
        stack.truncate(globals - 1);
        stack.call(0, handler)
    }

    fn named(&self, id: FunctionId) -> Option<&Named> {
        self.names.get((id.0 as usize).checked_sub(1)?)
    }

    /// Writes the reply.
    fn finish(&self, stack: &mut Stack<'_>, done: Result<bool>, resp3: bool, id: FunctionId) {
        let buffer = self.host.with(|exchange| {
            exchange.reply.clear();
            std::mem::take(&mut exchange.reply)
        });
        let mut writer = ReplyWriter {
            reply: Reply::new(buffer, resp3),
            resp3: self.host.resp3.get(),
            errors: Vec::new(),
        };
        match done {
            Ok(true) => writer.write(stack),
            Ok(false) => {
                let name = self.named(id).map_or("", |named| &*named.name);
                let text = failure(stack, name);
                writer.error(&text.text, text.counted);
            }
            // Its arguments were too many.
            Err(_) => writer.error(b"ERR not enough memory", false),
        }
        self.host.with(|exchange| {
            exchange.errors = writer.errors;
            exchange.reply = writer.reply.into_bytes();
        });
    }
}

/// The topmost value, a text.
fn text_of(stack: &Stack<'_>) -> Vec<u8> {
    stack.text(stack.count()).unwrap_or_default().to_vec()
}

/// The text of an error value, with its code.
fn failure_text(stack: &mut Stack<'_>, slot: usize) -> Vec<u8> {
    let has_code = stack.kind(slot) == Kind::Table;
    let found = if has_code && stack.push_field(slot, b"err").is_ok() { stack.count() } else { slot };
    let text = match stack.number(found) {
        Some(number) => Some(number::lua_digits(number)),
        None => stack.text(found).map(<[u8]>::to_vec),
    };
    match text {
        Some(text) if has_code => text,
        Some(text) => with_code(&text),
        None => b"ERR unknown error".to_vec(),
    }
}

/// Pushes the list of arguments.
fn push_list(stack: &mut Stack<'_>, arguments: Args<'_>) -> Result<()> {
    stack.push_table(arguments.len(), 0)?;
    let list = stack.count();
    for (index, argument) in (1..).zip(arguments.iter()) {
        stack.push_text(argument)?;
        stack.set_item(list, index)?;
    }
    Ok(())
}

/// The error of a script that failed, which is the topmost value, and where that was.
fn failure(stack: &mut Stack<'_>, name: &str) -> Failed {
    let error = stack.count();
    if stack.kind(error) != Kind::Table {
        let text = stack.text(error).unwrap_or(b"execution failure");
        let shown = &text[..text.len().min(100)];
        return Failed {
            text: [format!("ERR Error running script {name}, ").as_bytes(), shown].concat(),
            counted: false,
        };
    }
    let mut text_of = |field: &[u8]| -> Option<Vec<u8>> {
        stack.push_field(error, field).ok()?;
        let slot = stack.count();
        let text = match stack.number(slot) {
            Some(number) => Some(number::lua_digits(number)),
            None => stack.text(slot).map(<[u8]>::to_vec),
        };
        stack.truncate(error);
        text
    };
    let mut text = text_of(b"err").unwrap_or_else(|| b"ERR unknown error".to_vec());
    // The text ends at a zero, and the place follows.
    text.truncate(memchr::memchr(0, &text).unwrap_or(text.len()));
    if let (Some(source), Some(line)) = (text_of(b"source"), text_of(b"line")) {
        let place = [format!(" script: {name}, on ").as_bytes(), &source, b":", &line, b"."].concat();
        text.extend_from_slice(&place);
    }
    let counted = stack.push_field(error, b"ignore_error_stats_update").is_ok()
        && stack.kind(error + 1) == Kind::Boolean
        && stack.boolean(error + 1);
    Failed { text, counted }
}

#[cfg(test)]
#[path = "interpreter_tests.rs"]
mod tests;
