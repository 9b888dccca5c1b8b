//! What an interpreter and the engine pass each other: requests, their replies, and when a script needs either.

use super::shebang::Flags;
use crate::resp::{Args, Span};
use crate::sys::lua::append_bulk;

/// The bytes that go with an [`Event`] or an [`Input`]; one is passed back and forth, so that its buffers are used again.
#[derive(Debug, Default)]
pub struct Exchange {
    /// A request as a RESP array and its arguments' places in it; or text.
    pub request: Vec<u8>,
    pub spans: Vec<Span>,
    /// RESP: the reply to a request, or what a script returned.
    pub reply: Vec<u8>,
    /// Codes of the errors in what a script returned that the server hasn't counted.
    pub errors: Vec<Vec<u8>>,
    /// Memory of the interpreter, bytes.
    pub memory: usize,
}

impl Exchange {
    /// The request.
    pub fn args(&self) -> Args<'_> {
        Args::new(&self.request, &self.spans)
    }

    /// Begins a request of `count` arguments.
    pub fn begin_request(&mut self, count: usize) {
        self.request.clear();
        self.spans.clear();
        self.request.push(b'*');
        self.request.extend_from_slice(itoa::Buffer::new().format(count).as_bytes());
        self.request.extend_from_slice(b"\r\n");
    }

    /// Adds an argument.
    #[inline]
    pub fn push_argument(&mut self, argument: &[u8]) {
        let start = append_bulk(&mut self.request, argument);
        self.spans.push(Span { start, len: argument.len() });
    }

    /// Forgets what is in it; of large buffers the memory, too.
    pub fn clear(&mut self) {
        /// Bytes of a buffer that are kept.
        const KEPT: usize = 64 * 1024;
        for buffer in [&mut self.request, &mut self.reply] {
            buffer.clear();
            buffer.shrink_to(KEPT);
        }
        self.spans.clear();
        self.spans.shrink_to(KEPT / size_of::<Span>());
        self.errors.clear();
    }
}

/// A compiled function of an interpreter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionId(pub u32);

/// A function that a library has registered.
#[derive(Clone, PartialEq, Debug)]
pub struct Function {
    pub name: Vec<u8>,
    pub description: Option<Vec<u8>>,
    pub flags: Flags,
    /// In the interpreter that has loaded the library.
    pub id: FunctionId,
}

/// Whom a script's commands are propagated to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Targets(u8);

impl Targets {
    pub const NONE: Targets = Targets(0);
    pub const LOG: Targets = Targets(1);
    pub const REPLICAS: Targets = Targets(2);
    pub const ALL: Targets = Targets(3);

    /// Of the number that a script passes; `None` if there is a bit too many.
    pub fn from_bits(bits: i64) -> Option<Targets> {
        u8::try_from(bits).ok().filter(|bits| bits & !3 == 0).map(Targets)
    }

    pub fn bits(self) -> u8 {
        self.0
    }
}

/// What an interpreter is told.
#[derive(Debug)]
pub enum Input {
    /// Compile the text in `request`; `name` is what errors call the script.
    Compile { name: Box<str> },
    /// Load the library whose code is in `request`.
    Load,
    /// Forget a function.
    Release(FunctionId),
    /// Run a function with the arguments in `request`, the first `keys` of which are keys: a script finds them in `KEYS` and
    /// `ARGV`, a library's function gets them as its arguments. What it returns is wanted as RESP3 if `resp3`.
    Run { function: FunctionId, keys: usize, resp3: bool },
    /// The answer to [`Event::Call`] is in `reply`.
    Reply,
    /// The request of [`Event::Call`] is refused with the text in `reply`, which has no code.
    Refuse,
    /// The answer to [`Event::CheckRights`] is yes or no; or the text in `reply` is an error.
    Rights(Option<bool>),
    /// Go on after [`Event::Tick`] or [`Event::Log`].
    Continue,
    /// End the script with an error.
    Kill,
    /// Free some of what scripts and functions have left: it isn't used again.
    Free,
    /// End the interpreter.
    Quit,
}

/// What an interpreter needs or has done.
#[derive(Debug)]
pub enum Event {
    /// Waits for a function to compile or to run.
    Ready,
    /// The text was compiled; or why not, as text without a code.
    Compiled(Result<FunctionId, Vec<u8>>),
    /// The library was loaded, and has registered these functions; or why not, as text without a code.
    Loaded(Result<Vec<Function>, Vec<u8>>),
    /// The script calls a command: `request`. Its reply is wanted as RESP3 if `resp3`.
    Call { resp3: bool, targets: Targets },
    /// The script asks whether its user may call `request`.
    CheckRights,
    /// A line for the log is in `request`; 0 is the level of debugging, 3 that of warnings.
    Log { level: u8 },
    /// The script has run for a while without any other event.
    Tick,
    /// Some was freed; nothing is left if `is_done`.
    Freed { is_done: bool },
    /// The script is over, and `reply` is its reply.
    Finished,
}
