//! Scripts in the engine: runs a script step by step, and executes the commands that it calls.
//!
//! A script is part of the call of EVAL: what it changes is one unit, at one moment, and its commands are calls within that
//! call, by the same client. One that takes longer than `busy-reply-threshold` goes on a slice a turn (`busy.rs`).

mod busy;
mod functions;
mod rights;

pub use busy::QueueProgress;
pub use functions::{Functions, RestorePolicy};

use crate::base::crc::key_slot;
use crate::base::ids::ClientId;
use crate::engine::clients::session::{Role, state};
use crate::engine::clients::slow_script::SlowScript;
use crate::engine::command::spec::flag;
use crate::engine::metrics::cluster_compat::ScriptSlots;
use crate::engine::{Done, Engine, Outcome};
use crate::keyspace::FreeInParts;
use crate::resp::{Args, CommandError, Reply};
use crate::services::config::REDIS_VERSION;
use crate::services::scripting::{
    Event, Exchange, Flags, FunctionId, Input, Interpreter, MAX_MEMORY, Options, Script, ScriptCache,
    parse_shebang,
};
use crate::sys::clock::Ticks;
use busy::Suspended;

/// The interpreter, its scripts, and the one that is running.
pub struct Scripting {
    /// Made for the first script; not here while one is running.
    interpreter: Option<Box<Interpreter>>,
    cache: ScriptCache,
    /// The script that is running, while a command that it calls is.
    suspended: Option<Box<Suspended>>,
    functions: Functions,
    /// Memory of the interpreter, bytes.
    memory: usize,
    insecure: bool,
    /// DEBUG SET-DISABLE-DENY-SCRIPTS: scripts may call commands that they otherwise may not.
    pub may_call_all: bool,
}

/// A script that is running.
struct Run {
    interpreter: Box<Interpreter>,
    client: ClientId,
    name: Name,
    read_only: bool,
    allows_oom: bool,
    /// Memory was short when it began.
    is_short_of_memory: bool,
    /// It has called a command that writes: it may not be ended any more.
    has_written: bool,
    is_killed: bool,
    started: Ticks,
    /// It has taken longer than `busy-reply-threshold`.
    is_slow: bool,
    /// The database that its client had selected, and has again afterwards.
    db: u32,
    /// `cluster-compatibility-sample-ratio`
    slots: Option<ScriptSlots>,
    /// In cluster mode: the slot of its keys so far, and whether that may change.
    slot: Option<u16>,
    may_cross: bool,
}

/// What is running.
enum Name {
    /// A script, by its SHA-1.
    Script([u8; 40]),
    /// A library's function.
    Function(Box<[u8]>),
}

impl Name {
    fn as_bytes(&self) -> &[u8] {
        match self {
            Name::Script(sha1) => sha1,
            Name::Function(name) => name,
        }
    }

    fn kind(&self) -> SlowScript {
        match self {
            Name::Script(_) => SlowScript::Script,
            Name::Function(_) => SlowScript::Function,
        }
    }
}

/// What is to be run.
struct Start {
    function: FunctionId,
    flags: Flags,
    name: Name,
}

/// Figures of scripts.
#[derive(Clone, Copy, Debug, Default)]
pub struct ScriptFigures {
    pub cached: usize,
    pub evicted: u64,
    /// Bytes of the interpreter.
    pub interpreter_memory: usize,
    /// Bytes of the cache.
    pub cache_memory: usize,
}

impl Scripting {
    pub(in crate::engine) fn new(seed: u64) -> Self {
        Scripting {
            interpreter: None,
            cache: ScriptCache::new(seed),
            suspended: None,
            functions: Functions::default(),
            memory: 0,
            insecure: false,
            may_call_all: false,
        }
    }

    /// Whether a script has gone over its time and goes on a slice a turn.
    #[inline]
    pub(in crate::engine) fn is_busy(&self) -> bool {
        self.suspended.is_some()
    }

    /// Libraries of functions.
    pub fn functions(&self) -> &Functions {
        &self.functions
    }

    pub fn figures(&self) -> ScriptFigures {
        ScriptFigures {
            cached: self.cache.count(),
            evicted: self.cache.evicted,
            interpreter_memory: self.memory,
            cache_memory: self.cache.memory(),
        }
    }

    /// Sets the count of evicted scripts back.
    pub(in crate::engine) fn reset_evicted(&mut self) {
        self.cache.evicted = 0;
    }

    pub fn script(&self, sha1: &[u8]) -> Option<&Script> {
        self.cache.find_sha1(sha1).and_then(|index| self.cache.get(index))
    }
}

/// Which script a request runs.
#[derive(Clone, Copy)]
pub enum Wanted<'a> {
    Text(&'a [u8]),
    Sha1(&'a [u8]),
}

/// How far a script got.
enum Progress {
    Finished,
    /// It has gone over its time.
    Suspended,
}

impl Engine {
    /// EVAL and its kin: runs a script with the arguments `args`, the first `keys` of which are keys.
    pub fn run_script(
        &mut self,
        client: ClientId,
        wanted: Wanted<'_>,
        (args, keys): (Args<'_>, usize),
        read_only: bool,
        reply: &mut Reply,
    ) -> Outcome {
        // What it calls is shown by itself, behind it.
        let index = self.find_or_load(wanted)?;
        let Some(script) = self.scripting.cache.get(index) else { return Err(NO_SCRIPT) };
        let start = Start { function: script.function, flags: script.flags, name: Name::Script(script.sha1) };
        self.scripting.cache.touch(index);
        self.start(client, start, (args, keys), read_only, reply)
    }

    /// Runs a script or a function.
    fn start(
        &mut self,
        client: ClientId,
        Start { function, flags, name }: Start,
        (args, keys): (Args<'_>, usize),
        read_only: bool,
        reply: &mut Reply,
    ) -> Outcome {
        let is_short_of_memory = self.settings.maxmemory > 0 && self.is_short_of_memory();
        self.check_declared(client, flags, read_only, is_short_of_memory)?;
        let declared = flags.has(Flags::DECLARED);
        let session = self.clients.sessions.live_mut(client);
        session.set(state::IN_SCRIPT, true);
        let db = session.db;
        if flags.has(Flags::NO_CLUSTER) {
            self.metrics.stats.cluster_incompatible += 1;
        }
        let may_cross = !declared || flags.has(Flags::ALLOW_CROSS_SLOT_KEYS);
        let slots = self.slots_of_script(args.head(keys), may_cross);
        let slot = args.head(keys).iter().next().map(key_slot).filter(|_| self.settings.is_cluster);
        let Some(mut interpreter) = self.interpreter_of(&name).take() else { return Err(NO_SCRIPT) };
        let mut exchange = interpreter.exchange();
        exchange.begin_request(args.len());
        args.iter().for_each(|argument| exchange.push_argument(argument));
        let mut run = Box::new(Run {
            interpreter,
            client,
            name,
            read_only: read_only || declared && flags.has(Flags::NO_WRITES),
            allows_oom: declared && flags.has(Flags::ALLOW_OOM),
            is_short_of_memory,
            has_written: false,
            is_killed: false,
            started: self.clock.ticks(),
            is_slow: false,
            db,
            slots,
            slot,
            may_cross,
        });
        let input = Input::Run { function, keys, resp3: reply.is_resp3() };
        let (progress, exchange) = self.drive(&mut run, input, exchange);
        match progress {
            Progress::Finished => {
                self.finish_script(*run, exchange, reply);
                Ok(Done::Replied)
            }
            Progress::Suspended => {
                self.scripting.suspended = Some(Suspended::new(run, exchange));
                Ok(Done::Suspended)
            }
        }
    }

    /// Where the interpreter is that runs this.
    fn interpreter_of(&mut self, name: &Name) -> &mut Option<Box<Interpreter>> {
        match name {
            Name::Script(_) => &mut self.scripting.interpreter,
            Name::Function(_) => &mut self.scripting.functions.interpreter,
        }
    }

    /// The script in the cache; one that is given as a text is compiled if it isn't there.
    fn find_or_load(&mut self, wanted: Wanted<'_>) -> Result<usize, CommandError> {
        match wanted {
            Wanted::Sha1(sha1) => self.scripting.cache.find_sha1(sha1).ok_or(NO_SCRIPT),
            Wanted::Text(text) => match self.scripting.cache.find_text(text) {
                Some(index) => {
                    self.scripting.cache.expect_text(index);
                    Ok(index)
                }
                None => self.load_script(text, false),
            },
        }
    }

    /// Compiles a script; one that SCRIPT LOAD brings stays. Its place in the cache.
    fn load_script(&mut self, text: &[u8], stays: bool) -> Result<usize, CommandError> {
        if let Some(index) = self.scripting.cache.find_text(text) {
            if stays {
                self.scripting.cache.keep(index);
            }
            return Ok(index);
        }
        let with_code = |text: Vec<u8>| CommandError::new([b"ERR ".as_slice(), &text].concat());
        let (flags, first_line) = parse_shebang(text).map_err(with_code)?;
        let name = crate::services::scripting::sha1_hex(text);
        let name = String::from_utf8_lossy(&name).into_owned().into_boxed_str();
        let interpreter = self.interpreter()?;
        let mut exchange = interpreter.exchange();
        exchange.request.extend_from_slice(&text[first_line..]);
        let (event, exchange) = interpreter.resume(Input::Compile { name }, exchange);
        let memory = exchange.memory;
        interpreter.put_back(exchange);
        self.scripting.memory = memory;
        let Event::Compiled(compiled) = event else { return Err(NO_SCRIPT) };
        let function = compiled
            .map_err(|text| with_code([b"Error compiling script (new function): ", &text[..]].concat()))?;
        let (index, gone) = self.scripting.cache.add(text, flags, function, stays);
        if let Some(gone) = gone {
            let interpreter = self.interpreter()?;
            let exchange = interpreter.exchange();
            let (_, exchange) = interpreter.resume(Input::Release(gone), exchange);
            interpreter.put_back(exchange);
        }
        Ok(index)
    }

    /// SCRIPT LOAD: the script's SHA-1.
    pub fn keep_script(&mut self, text: &[u8]) -> Result<[u8; 40], CommandError> {
        let index = self.load_script(text, true)?;
        self.scripting.cache.get(index).map(|script| script.sha1).ok_or(NO_SCRIPT)
    }

    /// SCRIPT FLUSH: the interpreter and all scripts; freed in slices if `lazily`.
    pub fn flush_scripts(&mut self, lazily: bool) {
        self.scripting.cache.clear();
        let memory = std::mem::take(&mut self.scripting.memory);
        if let Some(interpreter) = self.scripting.interpreter.take() {
            self.drop_interpreter(interpreter, memory, lazily);
        }
    }

    /// Frees an interpreter whose values take `memory` bytes; a large one in slices if `lazily`.
    fn drop_interpreter(&mut self, interpreter: Box<Interpreter>, memory: usize, lazily: bool) {
        /// Bytes that are freed at once.
        const SMALL: usize = 1 << 20;
        if lazily && memory > SMALL {
            self.data.keyspace.lazy_free.other(interpreter);
        }
    }

    /// The interpreter, made anew for the first script and where its sandbox is to be another one.
    fn interpreter(&mut self) -> Result<&mut Interpreter, CommandError> {
        let options = self.sandbox_options(false);
        if self.scripting.interpreter.is_none() {
            let made = Interpreter::new(options);
            let made = made.map_err(|error| CommandError::new(format!("ERR no interpreter: {error}")))?;
            self.scripting.interpreter = Some(Box::new(made));
            self.scripting.insecure = options.insecure;
        }
        self.scripting.interpreter.as_deref_mut().ok_or(NO_SCRIPT)
    }

    fn sandbox_options(&self, runs_functions: bool) -> Options {
        Options {
            runs_functions,
            insecure: self.config.lua_enable_deprecated_api,
            version: REDIS_VERSION,
            memory: MAX_MEMORY,
        }
    }

    /// A changed `lua-enable-deprecated-api` changes the sandbox: scripts start anew.
    pub(in crate::engine) fn refresh_sandbox(&mut self) {
        if self.scripting.interpreter.is_some()
            && self.scripting.insecure != self.config.lua_enable_deprecated_api
        {
            self.flush_scripts(true);
        }
    }

    /// Lets a script go on until it is over or has gone over its time.
    fn drive(&mut self, run: &mut Run, input: Input, exchange: Box<Exchange>) -> (Progress, Box<Exchange>) {
        let slice_started = self.clock.ticks();
        let (mut input, mut exchange) = (input, exchange);
        loop {
            let event;
            (event, exchange) = run.interpreter.resume(input, exchange);
            input = match event {
                Event::Call { resp3, targets } => self.call_for_script(run, &mut exchange, resp3, targets),
                Event::CheckRights => self.check_rights_for_script(run, &mut exchange),
                Event::Log { level } => {
                    log_line(level, &exchange.request);
                    Input::Continue
                }
                Event::Tick if self.is_over_time(run, slice_started) => {
                    return (Progress::Suspended, exchange);
                }
                Event::Tick => Input::Continue,
                Event::Finished
                | Event::Ready
                | Event::Compiled(_)
                | Event::Loaded(_)
                | Event::Freed { .. } => {
                    return (Progress::Finished, exchange);
                }
            };
        }
    }

    /// Ends a script: its client has what was its own again, and its reply.
    fn finish_script(&mut self, run: Run, mut exchange: Box<Exchange>, reply: &mut Reply) {
        let Run { mut interpreter, name, client, db, .. } = run;
        let session = self.clients.sessions.live_mut(client);
        session.db = db;
        session.set(state::IN_SCRIPT, false);
        // What its commands changed is propagated, not the request.
        self.frame.propagation.suppress();
        if exchange.errors.is_empty() && exchange.reply.first() == Some(&b'-') {
            self.frame.call.fail();
        }
        for code in std::mem::take(&mut exchange.errors) {
            self.metrics.stats.error(&code);
        }
        reply.raw(&exchange.reply);
        match name {
            Name::Script(_) => self.scripting.memory = exchange.memory,
            Name::Function(_) => self.scripting.functions.memory = exchange.memory,
        }
        interpreter.put_back(exchange);
        *self.interpreter_of(&name) = Some(interpreter);
    }

    /// What a script declares decides whether it may run at all.
    fn check_declared(
        &self,
        client: ClientId,
        flags: Flags,
        read_only: bool,
        is_short_of_memory: bool,
    ) -> Result<(), CommandError> {
        if !flags.has(Flags::DECLARED) {
            return if self.settings.hides_data { Err(CommandError::MASTER_DOWN) } else { Ok(()) };
        }
        let obeys = self.clients.sessions.live(client).role != Role::Normal;
        if self.settings.is_cluster && !obeys && flags.has(Flags::NO_CLUSTER) {
            return Err(CommandError::text("ERR Can not run script on cluster, 'no-cluster' flag is set."));
        }
        if self.settings.hides_data && !flags.has(Flags::ALLOW_STALE) {
            return Err(CommandError::text(
                "MASTERDOWN Link with MASTER is down, replica-serve-stale-data is set to 'no' and 'allow-stale' flag is \
                 not set on the script.",
            ));
        }
        if !flags.has(Flags::NO_WRITES) {
            if !obeys && self.settings.is_read_only {
                return Err(CommandError::text(
                    "READONLY Can not run script with write flag on readonly replica",
                ));
            }
            if !obeys && let Some(error) = self.script_disk_error() {
                return Err(error);
            }
            if read_only {
                return Err(CommandError::text(
                    "ERR Can not execute a script with write flag using *_ro command.",
                ));
            }
            if !obeys && self.lacks_replicas() {
                return Err(CommandError::NO_REPLICAS);
            }
            if is_short_of_memory && !obeys && !flags.has(Flags::ALLOW_OOM) {
                return Err(CommandError::text(
                    "OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'",
                ));
            }
        }
        Ok(())
    }

    /// The flags of the script or function that a request runs, if it is known.
    fn declared_flags(&self, command: &str, text: &[u8]) -> Option<Flags> {
        if command.starts_with("fcall") {
            let function = self.scripting.functions.libraries().function(text)?;
            return Some(function.flags.with(Flags::DECLARED));
        }
        let cache = &self.scripting.cache;
        let by_sha1 = command.starts_with("evalsha");
        let found = if by_sha1 { cache.find_sha1(text) } else { cache.find_text(text) };
        match found.and_then(|index| cache.get(index)) {
            Some(script) => Some(script.flags),
            None if by_sha1 => None,
            None => parse_shebang(text).ok().map(|(flags, _)| flags),
        }
    }

    /// The flags with which a request is admitted: those of its command, but of a script those that it declares.
    pub(in crate::engine) fn admission_flags(
        &self,
        id: crate::engine::command::table::CommandId,
        args: Args<'_>,
    ) -> u64 {
        let command = self.commands.get(id);
        if command.flags & flag::RUNS_SCRIPT == 0 {
            return command.flags;
        }
        let Some(text) = args.get(1) else { return command.flags };
        let Some(declared) =
            self.declared_flags(&command.name, text).filter(|flags| flags.has(Flags::DECLARED))
        else {
            return command.flags;
        };
        let mut flags = command.flags & !(flag::STALE | flag::DENYOOM | flag::WRITE | flag::MAY_REPLICATE);
        if !declared.has(Flags::NO_WRITES) {
            flags |= flag::WRITE;
            if !declared.has(Flags::ALLOW_OOM) {
                flags |= flag::DENYOOM;
            }
        }
        if declared.has(Flags::ALLOW_STALE) {
            flags |= flag::STALE;
        }
        flags
    }
}

impl FreeInParts for Interpreter {
    fn free_some(&mut self, parts: usize) -> bool {
        (0..parts).any(|_| Interpreter::free_some(self))
    }
}

const NO_SCRIPT: CommandError = CommandError::text("NOSCRIPT No matching script. Please use EVAL.");

/// Writes a script's line to the log.
fn log_line(level: u8, line: &[u8]) {
    let level = match level {
        0 => log::Level::Trace,
        1 => log::Level::Debug,
        2 => log::Level::Info,
        _ => log::Level::Warn,
    };
    log::log!(level, "{}", String::from_utf8_lossy(line));
}
