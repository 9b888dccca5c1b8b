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
use mlua::{Error, Function, Lua, LuaOptions, Result, StdLib, Table, Value};

use super::api::Functions;
use super::convert::ReplyWriter;
use super::exchange::{self, Event, Exchange, FunctionId, Input, Targets};
use super::host::{Host, Resumed, STACK, Suspended, without_limit};
use super::raised::{visible, with_code};
use super::registration::{Registered, Registration};
use super::sandbox::{self, Options, Sandbox};
use crate::resp::{CommandError, Reply};

/// What errors call scripts of EVAL.
const SCRIPT_CHUNK: &[u8] = b"@user_script";
/// What errors call libraries.
const LIBRARY_CHUNK: &[u8] = b"@user_function";
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
    let libraries = StdLib::TABLE | StdLib::STRING | StdLib::MATH;
    let lua = Lua::new_with(libraries, LuaOptions::new())?;
    lua.scope(|scope| {
        let functions = Functions { lua: &lua, scope, host: &host };
        let registration = Registration::new(&lua)?;
        let sandbox = sandbox::open(&functions, options, &registration)?;
        lua.set_memory_limit(options.memory)?;
        let compiled = lua.create_table()?;
        let mut state = State {
            lua: &lua,
            host: &host,
            sandbox,
            registration,
            compiled,
            names: Vec::new(),
            free: Vec::new(),
        };
        let mut event = Event::Ready;
        loop {
            host.with(|exchange| exchange.memory = lua.used_memory());
            event = match host.suspend(event) {
                Input::Quit => return Ok(()),
                Input::Compile { name } => Event::Compiled(state.compile(name)),
                Input::Load => Event::Loaded(state.load().unwrap_or_else(|error| Err(state.text_of(error)))),
                Input::Release(function) => state.release(function)?,
                Input::Run { function, keys, resp3 } => state.run(function, keys, resp3),
                _ => Event::Ready,
            };
        }
    })
}

/// What the coroutine works with.
struct State<'a> {
    lua: &'a Lua,
    host: &'a Host<'a>,
    sandbox: Sandbox,
    registration: Rc<RefCell<Registration>>,
    /// Functions by their ids.
    compiled: Table,
    /// What they are, one less than the id.
    names: Vec<Named>,
    free: Vec<u32>,
}

/// A function that is kept.
struct Named {
    /// What errors call it.
    name: Box<str>,
    /// A library's, which gets keys and arguments as its arguments.
    is_library: bool,
}

impl State<'_> {
    fn compile(&mut self, name: Box<str>) -> std::result::Result<FunctionId, Vec<u8>> {
        let source = self.host.with(|exchange| std::mem::take(&mut exchange.request));
        let compiled = sandbox::compile(self.lua, &source, SCRIPT_CHUNK);
        self.host.with(|exchange| exchange.request = source);
        let kept = compiled.and_then(|function| self.keep(function, Named { name, is_library: false }));
        kept.map_err(|error| self.text_of(error))
    }

    /// Keeps a function until it is released.
    fn keep(&mut self, function: Function, named: Named) -> Result<FunctionId> {
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
        let text = visible(self.lua, Value::Error(Box::new(error)));
        text.ok().and_then(|text| text.as_string().map(|text| text.as_bytes().to_vec())).unwrap_or_default()
    }

    /// Runs a library, which registers its functions.
    fn load(&mut self) -> Result<std::result::Result<Vec<exchange::Function>, Vec<u8>>> {
        let source = self.host.with(|exchange| std::mem::take(&mut exchange.request));
        let library = match sandbox::compile(self.lua, &source, LIBRARY_CHUNK) {
            Ok(library) => library,
            Err(error) => return Ok(Err([b"Error compiling function: ", &self.text_of(error)[..]].concat())),
        };
        self.revive()?;
        self.registration.borrow_mut().begin();
        self.sandbox.show_library_globals(true)?;
        let outcome = self.sandbox.xpcall.call::<(bool, Value)>((library, &self.sandbox.visible));
        self.sandbox.show_library_globals(false)?;
        let (registered, functions) = self.registration.borrow_mut().end(self.lua)?;
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
        let text = self.lua.coerce_string(value)?.map(|text| text.as_bytes().to_vec());
        Ok(match text {
            Some(text) if has_code => text,
            Some(text) => with_code(&text),
            None => b"ERR unknown error".to_vec(),
        })
    }

    /// Ends what is left of the last script's end.
    fn revive(&self) -> Result<()> {
        if self.host.killed.replace(false) {
            sandbox::reset_hook(self.lua)?;
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
        let function: Function = self.compiled.raw_get(id.0)?;
        let is_library = self.names.get(id.0 as usize - 1).is_some_and(|named| named.is_library);
        let (keys, arguments) = without_limit(self.lua, || self.arguments(keys))?;
        let handler = &self.sandbox.handler;
        let outcome = if is_library {
            self.sandbox.call.call::<(bool, Value)>((function, keys, arguments, handler))
        } else {
            self.sandbox.globals.raw_set("KEYS", keys)?;
            self.sandbox.globals.raw_set("ARGV", arguments)?;
            self.sandbox.xpcall.call::<(bool, Value)>((function, handler))
        };
        let (done, value) = match outcome {
            Ok(outcome) => outcome,
            Err(error) => {
                let value = || visible(self.lua, Value::Error(Box::new(error)));
                (false, without_limit(self.lua, value)?)
            }
        };
        without_limit(self.lua, || self.finish(done, &value, resp3, id))?;
        drop(value);
        if self.lua.used_memory() > COLLECTED {
            self.lua.gc_collect()?;
        }
        Ok(())
    }

    /// The tables of the keys and of the arguments behind them.
    fn arguments(&self, keys: usize) -> Result<(Table, Table)> {
        self.host.with(|exchange| {
            let arguments = exchange.args();
            let list = |arguments: crate::resp::Args<'_>| {
                let list = self.lua.create_table_with_capacity(arguments.len(), 0)?;
                for (index, argument) in arguments.iter().enumerate() {
                    list.raw_set(index + 1, self.lua.create_string(argument)?)?;
                }
                Ok::<_, mlua::Error>(list)
            };
            Ok((list(arguments.head(keys))?, list(arguments.tail(keys))?))
        })
    }

    /// Writes the reply.
    fn finish(&self, done: bool, value: &Value, resp3: bool, id: FunctionId) -> Result<()> {
        let buffer = self.host.with(|exchange| {
            exchange.reply.clear();
            std::mem::take(&mut exchange.reply)
        });
        let mut writer = ReplyWriter {
            host: self.host,
            names: &self.sandbox.names,
            reply: Reply::new(buffer, resp3),
            resp3: self.host.resp3.get(),
            errors: Vec::new(),
        };
        if done {
            writer.write(value, 0);
        } else {
            let name = self.names.get(id.0 as usize - 1).map_or("", |named| &*named.name);
            self.write_failure(&mut writer, value, name)?;
        }
        self.host.with(|exchange| {
            exchange.errors = writer.errors;
            exchange.reply = writer.reply.into_bytes();
        });
        Ok(())
    }

    /// Writes the error of a script that failed, and where that was.
    fn write_failure(&self, writer: &mut ReplyWriter<'_>, error: &Value, name: &str) -> Result<()> {
        let Value::Table(table) = error else {
            let text = match error {
                Value::String(text) => text.as_bytes().to_vec(),
                _ => b"execution failure".to_vec(),
            };
            let shown = &text[..text.len().min(100)];
            writer.error(&[format!("ERR Error running script {name}, ").as_bytes(), shown].concat(), false);
            return Ok(());
        };
        let text_of = |field: &str| -> Result<Option<Vec<u8>>> {
            let value = table.raw_get::<Value>(field)?;
            let text = self.lua.coerce_string(value)?;
            Ok(text.map(|text| text.as_bytes().to_vec()))
        };
        let mut text = text_of("err")?.unwrap_or_else(|| b"ERR unknown error".to_vec());
        if let (Some(source), Some(line)) = (text_of("source")?, text_of("line")?) {
            let place = [format!(" script: {name}, on ").as_bytes(), &source, b":", &line, b"."].concat();
            text.extend_from_slice(&place);
        }
        let counted = matches!(table.raw_get("ignore_error_stats_update")?, Value::Boolean(true));
        writer.error(&text, counted);
        Ok(())
    }
}

#[cfg(test)]
#[path = "interpreter_tests.rs"]
mod tests;
