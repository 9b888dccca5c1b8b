//! Scripts: Lua interpreters that run as coroutines of the engine, their sandbox and their libraries.

mod api;
pub mod arguments;
mod basics;
pub mod bit;
mod builder;
mod cache;
pub mod cjson;
pub mod cmsgpack;
mod convert;
mod coroutines;
mod exchange;
mod host;
mod interpreter;
pub mod libraries;
pub mod lua_struct;
mod number;
mod pattern;
mod raised;
mod random;
mod registration;
mod sandbox;
mod shebang;
mod tables;
mod text;

pub use api::sha1_hex;
pub use builder::Options;
pub use cache::{Script, ScriptCache};
pub use exchange::{Event, Exchange, Function, FunctionId, Input, Targets};
pub use host::MAX_MEMORY;
pub use interpreter::Interpreter;

pub use shebang::{Flags, parse as parse_shebang};
