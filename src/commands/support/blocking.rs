//! Blocking commands: how a call waits for keys, and the arguments of LMPOP, ZMPOP, BLMPOP and BZMPOP.

use std::ops::Range;

use crate::commands::support::args::{self, is};
use crate::commands::support::options::OptionReader;
use crate::engine::{Awaited, Done, TimeoutReply, Wait};
use crate::resp::{Args, CommandError};

/// Blocks the client until one of the keys, which are arguments of the call, holds a value of type `type_name`
/// (as TYPE names it), or until `deadline` (Unix ms, `None`: for ever).
pub(in crate::commands) fn wait(
    type_name: &'static str,
    args: Args<'_>,
    keys: Range<usize>,
    deadline: Option<u64>,
    on_timeout: TimeoutReply,
) -> Done {
    Done::Blocked(Box::new(Wait {
        keys: keys.map(|at| Box::from(args.at(at))).collect(),
        awaited: Awaited::Type(type_name),
        deadline,
        retry_ms: None,
        on_timeout,
        resolved: None,
        nanos: 0,
    }))
}

/// The arguments `numkeys key… END [COUNT count]`; END says at which end to pop.
pub(in crate::commands) struct ManyPop<End> {
    /// The indexes of the keys among the arguments.
    pub keys: Range<usize>,
    pub end: End,
    pub count: usize,
}

impl<End> ManyPop<End> {
    /// Parses the arguments from `numkeys`, at index `at`, on.
    pub fn parse(
        args: Args<'_>,
        at: usize,
        end: impl Fn(&[u8]) -> Result<End, CommandError>,
    ) -> Result<Self, CommandError> {
        let number = args::at_least(args.at(at), 1, "ERR numkeys should be greater than 0")?;
        let side = at.saturating_add(number).saturating_add(1);
        let end = end(args.get(side).ok_or(CommandError::SYNTAX)?)?;
        let mut count = None;
        let mut options = OptionReader::new(args, side + 1);
        while let Some(option) = options.next() {
            if !is(option, "COUNT") || count.is_some() {
                return Err(CommandError::SYNTAX);
            }
            count = Some(options.at_least(1, "ERR count should be greater than 0")?);
        }
        Ok(ManyPop { keys: at + 1..side, end, count: count.unwrap_or(1) })
    }
}

#[cfg(test)]
#[path = "blocking_tests.rs"]
mod tests;
