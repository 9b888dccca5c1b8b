//! What other clients are told while something runs for longer than `busy-reply-threshold`.

use crate::resp::CommandError;

const SCRIPT: CommandError = CommandError::text(
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
);
const FUNCTION: CommandError = CommandError::text(
    "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.",
);

/// What is running for so long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SlowScript {
    Script,
    Function,
}

impl SlowScript {
    pub fn error(self) -> CommandError {
        match self {
            SlowScript::Script => SCRIPT,
            SlowScript::Function => FUNCTION,
        }
    }

    /// The command that ends it.
    pub fn kill_command(self) -> &'static str {
        match self {
            SlowScript::Script => "SCRIPT KILL",
            SlowScript::Function => "FUNCTION KILL",
        }
    }
}
