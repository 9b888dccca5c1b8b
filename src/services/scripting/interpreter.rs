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
//! ```

use std::cell::RefCell;
use std::rc::Rc;

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};
use mlua::{Error, Function, Result, StdLib, Table, Value};

use super::api::Functions;
use super::convert::ReplyWriter;
use super::exchange::{self, Event, Exchange, FunctionId, Input, Targets};
use super::host::{Host, Resumed, STACK, STACK_RESERVE, Suspended};
use super::number;
use super::raised::{ErrorTable, visible, with_code};
use super::registration::{Registered, Registration};
use super::sandbox::{self, Options, Sandbox};
use crate::resp::{Args, CommandError, Reply};
use crate::sys::lua::{self, Kept, Kind, Stack, State};

/// What errors call scripts of EVAL.
const SCRIPT_CHUNK: &[u8] = b"@user_script";
/// What errors call libraries.
const LIBRARY_CHUNK: &[u8] = b"@user_function";
/// What compiling leaves is collected a step each so many times.
const COMPILED_A_STEP: u32 = 50;
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

    /// Lets Lua go on until it needs something.
    pub fn resume(&mut self, input: Input, exchange: Box<Exchange>) -> (Event, Box<Exchange>) {
        if self.coroutine.done() {
            return (Event::Finished, exchange);
        }
        match self.coroutine.resume((input, exchange)) {
            CoroutineResult::Yield((event, exchange)) => {
                self.is_running =
                    !matches!(event, Event::Ready | Event::Compiled(_) | Event::Loaded(_) | Event::Finished);
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
    let state = State::new(options.memory, STACK - STACK_RESERVE)?;
    let lua = state.lua();
    lua.load_std_libs(StdLib::TABLE | StdLib::STRING | StdLib::MATH)?;
    lua.scope(|scope| {
        let functions = Functions { state: &state, lua, scope, host: &host };
        let registration = Registration::new(lua)?;
        let sandbox = sandbox::open(&functions, options, &registration)?;
        let compiled = lua.create_table()?;
        let mut work = Work {
            state: &state,
            host: &host,
            kept: Keeps {
                compiled: state.keep(&compiled)?,
                globals: state.keep(&sandbox.globals)?,
                handler: state.keep(&sandbox.handler)?,
            },
            sandbox,
            registration,
            compiled,
            names: Vec::new(),
            free: Vec::new(),
            compiled_since_step: 0,
        };
        let mut event = Event::Ready;
        loop {
            host.with(|exchange| exchange.memory = state.used());
            event = match host.suspend(event) {
                Input::Quit => return Ok(()),
                Input::Compile { name } => Event::Compiled(work.compile(name)),
                Input::Load => Event::Loaded(work.load().unwrap_or_else(|error| Err(work.text_of(error)))),
                Input::Release(function) => work.release(function)?,
                Input::Run { function, keys, resp3 } => work.run(function, keys, resp3),
                _ => Event::Ready,
            };
        }
    })
}

/// What the coroutine works with.
struct Work<'a, 'h> {
    state: &'a State<'h>,
    host: &'h Host<'h>,
    kept: Keeps,
    sandbox: Sandbox,
    registration: Rc<RefCell<Registration>>,
    /// Functions by their ids.
    compiled: Table,
    /// What they are, one less than the id.
    names: Vec<Named>,
    free: Vec<u32>,
    compiled_since_step: u32,
}

/// What runs need on the stack.
struct Keeps {
    compiled: Kept,
    globals: Kept,
    handler: Kept,
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
        let compiled = sandbox::compile(self.state.lua(), &source, SCRIPT_CHUNK);
        self.host.with(|exchange| exchange.request = source);
        let kept = compiled.and_then(|function| self.keep(function, Named { name, is_library: false }));
        kept.map_err(|error| self.text_of(error))
    }

    /// Collects some of what compiling has left.
    fn collect_some(&mut self) -> Result<()> {
        const STEPS: usize = 50;
        self.compiled_since_step += 1;
        if self.compiled_since_step < COMPILED_A_STEP {
            return Ok(());
        }
        self.compiled_since_step = 0;
        for _ in 0..STEPS {
            // The end of a cycle.
            if self.state.lua().gc_step()? {
                break;
            }
        }
        Ok(())
    }

    /// Keeps a function until it is released.
    fn keep(&mut self, function: Function, named: Named) -> Result<FunctionId> {
        self.collect_some()?;
        let id = self.free.last().copied().unwrap_or(self.names.len() as u32 + 1);
        self.compiled.raw_set(id, function)?;
        match self.free.pop() {
            Some(id) => self.names[id as usize - 1] = named,
            None => self.names.push(named),
        }
        Ok(FunctionId(id))
    }

    /// What a script would see of an error, as text.
    fn text_of(&self, error: Error) -> Vec<u8> {
        let text = visible(self.state.lua(), Value::Error(Box::new(error)));
        text.ok().and_then(|text| text.as_string().map(|text| text.as_bytes().to_vec())).unwrap_or_default()
    }

    /// Runs a library, which registers its functions.
    fn load(&mut self) -> Result<std::result::Result<Vec<exchange::Function>, Vec<u8>>> {
        let source = self.host.with(|exchange| std::mem::take(&mut exchange.request));
        let library = match sandbox::compile(self.state.lua(), &source, LIBRARY_CHUNK) {
            Ok(library) => library,
            Err(error) => return Ok(Err([b"Error compiling function: ", &self.text_of(error)[..]].concat())),
        };
        self.revive()?;
        self.registration.borrow_mut().begin();
        self.sandbox.show_library_globals(true)?;
        let outcome = self.sandbox.xpcall.call::<(bool, Value)>((library, &self.sandbox.visible));
        self.sandbox.show_library_globals(false)?;
        let (registered, functions) = self.registration.borrow_mut().end(self.state.lua())?;
        let failure = match outcome {
            Ok((true, _)) => None,
            Ok((false, value)) => Some(self.failure_text(value)?),
            Err(error) => Some(with_code(&self.text_of(error))),
        };
        if let Some(text) = failure {
            return Ok(Err([b"Error registering functions: ", &text[..]].concat()));
        }
        let mut kept = Vec::with_capacity(registered.len());
        for (place, Registered { name, description, flags }) in (1..).zip(registered) {
            let shown = String::from_utf8_lossy(&name).into();
            let id = self.keep(functions.raw_get(place)?, Named { name: shown, is_library: true })?;
            kept.push(exchange::Function { name, description, flags, id });
        }
        Ok(Ok(kept))
    }

    /// The text of an error value, with its code.
    fn failure_text(&self, value: Value) -> Result<Vec<u8>> {
        let (value, has_code) = match &value {
            Value::Table(table) => (table.raw_get("err")?, true),
            _ => (value, false),
        };
        let text = self.state.lua().coerce_string(value)?.map(|text| text.as_bytes().to_vec());
        Ok(match text {
            Some(text) if has_code => text,
            Some(text) => with_code(&text),
            None => b"ERR unknown error".to_vec(),
        })
    }

    /// Ends what is left of the last script's end.
    fn revive(&self) -> Result<()> {
        if self.host.killed.replace(false) {
            sandbox::reset_hook(self.state.lua())?;
        }
        Ok(())
    }

    fn release(&mut self, function: FunctionId) -> Result<Event> {
        self.compiled.raw_set(function.0, Value::Nil)?;
        self.free.push(function.0);
        Ok(Event::Ready)
    }

    /// Runs a function. Whatever fails is the reply: an error that left the loop would end the interpreter, and all that
    /// it keeps.
    fn run(&mut self, id: FunctionId, keys: usize, resp3: bool) -> Event {
        if let Err(error) = self.try_run(id, keys, resp3) {
            let text = with_code(&self.text_of(error));
            let mut reply = Reply::new(Vec::new(), resp3);
            reply.error(&CommandError::new(text));
            self.host.with(|exchange| exchange.reply = reply.into_bytes());
        }
        Event::Finished
    }

    fn try_run(&mut self, id: FunctionId, keys: usize, resp3: bool) -> Result<()> {
        self.host.resp3.set(false);
        self.host.targets.set(Targets::ALL);
        self.revive()?;
        let mut stack = self.state.stack();
        let done = self.call(&mut stack, id, keys);
        self.finish(&mut stack, done, resp3, id);
        drop(stack);
        if self.state.used() > COLLECTED {
            self.state.collect();
        }
        Ok(())
    }

    /// Calls a function; its result or its error is the topmost value.
    fn call(&self, stack: &mut Stack<'_>, id: FunctionId, keys: usize) -> lua::Result<bool> {
        stack.push_kept(self.kept.handler)?;
        let handler = stack.count();
        stack.push_kept(self.kept.compiled)?;
        stack.push_item(handler + 1, id.0 as i32)?;
        let is_library = self.named(id).is_some_and(|named| named.is_library);
        if !is_library {
            stack.push_kept(self.kept.globals)?;
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
    fn finish(&self, stack: &mut Stack<'_>, done: lua::Result<bool>, resp3: bool, id: FunctionId) {
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

/// Pushes the list of arguments.
fn push_list(stack: &mut Stack<'_>, arguments: Args<'_>) -> lua::Result<()> {
    stack.push_table(arguments.len(), 0)?;
    let list = stack.count();
    for (index, argument) in (1..).zip(arguments.iter()) {
        stack.push_text(argument)?;
        stack.set_item(list, index)?;
    }
    Ok(())
}

/// The error of a script that failed, which is the topmost value, and where that was.
fn failure(stack: &mut Stack<'_>, name: &str) -> ErrorTable {
    let error = stack.count();
    if stack.kind(error) != Kind::Table {
        let text = stack.text(error).unwrap_or(b"execution failure");
        let shown = &text[..text.len().min(100)];
        return ErrorTable {
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
    ErrorTable { text, counted }
}

#[cfg(test)]
#[path = "interpreter_tests.rs"]
mod tests;
