//! Libraries of functions in the engine: they are loaded, deleted, dumped and restored, and their functions are run as
//! scripts are. They have an interpreter of their own, so that neither sees what the other leaves.

use super::{Name, Start};
use crate::base::ids::ClientId;
use crate::engine::{Engine, Outcome};
use crate::resp::{Args, Reply};
use crate::services::persist::functions as payloads;
use crate::services::scripting::libraries::{Libraries, Library, Released, metadata};
use crate::services::scripting::{Event, Flags, Function, Input, Interpreter};

/// How long a client's library may take to register its functions, ms.
const LOAD_LIMIT_MS: u64 = 500;

/// The libraries and their interpreter.
#[derive(Default)]
pub struct Functions {
    /// Made for the first library; not here while a function is running.
    pub(super) interpreter: Option<Box<Interpreter>>,
    libraries: Libraries,
    /// Memory of the interpreter, bytes.
    pub(super) memory: usize,
}

/// What FUNCTION RESTORE does with the libraries there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RestorePolicy {
    /// They stay, and none may be in the payload.
    Append,
    /// Those of the same names go.
    Replace,
    /// All go.
    Flush,
}

impl Functions {
    pub fn libraries(&self) -> &Libraries {
        &self.libraries
    }

    /// Bytes of the interpreter.
    pub fn interpreter_memory(&self) -> usize {
        self.memory
    }
}

/// A text without a code.
type Text = Vec<u8>;

impl Engine {
    /// FCALL and FCALL_RO: runs a function with the arguments `args`, the first `keys` of which are keys.
    pub fn run_function(
        &mut self,
        client: ClientId,
        function: &Function,
        (args, keys): (Args<'_>, usize),
        read_only: bool,
        reply: &mut Reply,
    ) -> Outcome {
        let name = Name::Function(function.name.clone().into());
        let start = Start { function: function.id, flags: function.flags.with(Flags::DECLARED), name };
        self.start(client, start, (args, keys), read_only, reply)
    }

    /// FUNCTION LOAD: the library's name. One of the same name is replaced if `replace`. The library's time is limited if
    /// `limited`: if a client brings it.
    pub fn load_library(&mut self, source: &[u8], replace: bool, limited: bool) -> Result<Vec<u8>, Text> {
        let mut libraries = std::mem::take(&mut self.scripting.functions.libraries);
        let loaded = self.load_into(&mut libraries, source, replace, limited);
        self.scripting.functions.libraries = libraries;
        loaded
    }

    fn load_into(
        &mut self,
        libraries: &mut Libraries,
        source: &[u8],
        replace: bool,
        limited: bool,
    ) -> Result<Vec<u8>, Text> {
        let found = metadata(source)?;
        libraries.check(&found.name, replace)?;
        let functions = self.run_library(found.code, limited)?;
        let library = Library { name: found.name.clone(), source: source.to_vec(), functions };
        match libraries.add(library) {
            Ok(replaced) => self.release_functions(replaced),
            Err((text, refused)) => {
                self.release_functions(refused);
                return Err(text);
            }
        }
        Ok(found.name)
    }

    /// Runs a library's code: the functions it registers.
    fn run_library(&mut self, code: &[u8], limited: bool) -> Result<Vec<Function>, Text> {
        let started = self.clock.ticks();
        let options = self.sandbox_options(true);
        let functions = &mut self.scripting.functions;
        let mut interpreter = match functions.interpreter.take() {
            Some(interpreter) => interpreter,
            None => {
                let made = Interpreter::new(options);
                Box::new(made.map_err(|error| format!("no interpreter: {error}").into_bytes())?)
            }
        };
        let mut exchange = interpreter.exchange();
        exchange.request.extend_from_slice(code);
        let (mut input, mut is_late) = (Input::Load, false);
        let loaded = loop {
            let event;
            (event, exchange) = interpreter.resume(input, exchange);
            input = match event {
                Event::Loaded(loaded) => break loaded,
                Event::Log { level } => {
                    super::log_line(level, &exchange.request);
                    Input::Continue
                }
                Event::Tick if limited => {
                    is_late |= self.clock.nanos(started, self.clock.ticks()) > LOAD_LIMIT_MS * 1_000_000;
                    if is_late { Input::Kill } else { Input::Continue }
                }
                Event::Finished | Event::Ready => break Err(b"the interpreter has ended".to_vec()),
                _ => Input::Continue,
            };
        };
        let functions = &mut self.scripting.functions;
        functions.memory = exchange.memory;
        interpreter.put_back(exchange);
        functions.interpreter = Some(interpreter);
        if is_late {
            loaded.map_err(|_| b"Error registering functions: ERR FUNCTION LOAD timeout".to_vec())
        } else {
            loaded
        }
    }

    /// Has the interpreter forget functions.
    fn release_functions(&mut self, released: Released) {
        let functions = &mut self.scripting.functions;
        let Some(interpreter) = functions.interpreter.as_mut() else { return };
        for function in released {
            let exchange = interpreter.exchange();
            let (_, exchange) = interpreter.resume(Input::Release(function), exchange);
            functions.memory = exchange.memory;
            interpreter.put_back(exchange);
        }
    }

    /// FUNCTION DELETE; false if there is no library of this name.
    pub fn delete_library(&mut self, name: &[u8]) -> bool {
        let Some(released) = self.scripting.functions.libraries.delete(name) else { return false };
        self.release_functions(released);
        true
    }

    /// FUNCTION FLUSH: the libraries, and the interpreter with all they have left in it; freed in slices if `lazily`.
    pub fn flush_libraries(&mut self, lazily: bool) {
        let Functions { interpreter, memory, .. } = std::mem::take(&mut self.scripting.functions);
        if let Some(interpreter) = interpreter {
            self.drop_interpreter(interpreter, memory, lazily);
        }
    }

    /// FUNCTION DUMP.
    pub fn dump_libraries(&self) -> Vec<u8> {
        let sources = self.scripting.functions.libraries.iter().map(|library| &library.source[..]);
        payloads::dump(sources, self.config.rdbcompression)
    }

    /// FUNCTION RESTORE: all libraries of the payload, or none.
    pub fn restore_libraries(
        &mut self,
        payload: &[u8],
        policy: RestorePolicy,
        limited: bool,
    ) -> Result<(), Text> {
        let options = self.settings.dump_options;
        let sources = payloads::restore(payload, options.any_version, options.skip_checksum);
        let sources = sources.map_err(|refusal| refusal.text().as_bytes().to_vec())?;
        let mut libraries = Libraries::default();
        for source in sources {
            if let Err(text) = self.load_into(&mut libraries, &source, false, limited) {
                self.release_functions(libraries.all_ids());
                return Err(text);
            }
        }
        if policy == RestorePolicy::Flush {
            let old = std::mem::replace(&mut self.scripting.functions.libraries, libraries);
            self.release_functions(old.all_ids());
            return Ok(());
        }
        match self.scripting.functions.libraries.join(libraries, policy == RestorePolicy::Replace) {
            Ok(replaced) => {
                self.release_functions(replaced);
                Ok(())
            }
            Err((text, refused)) => {
                self.release_functions(refused);
                Err(text)
            }
        }
    }
}
