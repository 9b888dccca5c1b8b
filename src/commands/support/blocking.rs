//! What commands that pop from the first of several keys share, and how they wait.

use std::ops::Range;

use crate::commands::support::args::{self, is};
use crate::engine::{Done, TimeoutReply, Wait};
use crate::resp::{Args, CommandError};

/// A call waits for a value of type `type_name` at any of the keys among its arguments.
pub(in crate::commands) fn wait(
    type_name: &'static str,
    args: Args<'_>,
    keys: Range<usize>,
    deadline: Option<u64>,
    on_timeout: TimeoutReply,
) -> Done {
    Done::Blocked(Box::new(Wait {
        keys: keys.map(|at| Box::from(args.at(at))).collect(),
        type_name,
        even_if_gone: false,
        deadline,
        on_timeout,
        request: None,
    }))
}

/// `numkeys key… END [COUNT count]`, END being the one to pop from.
pub(in crate::commands) struct ManyPop<End> {
    /// Where the keys stand.
    pub keys: Range<usize>,
    pub end: End,
    pub count: usize,
}

impl<End> ManyPop<End> {
    /// Reads the arguments from `at` on.
    pub fn parse(
        args: Args<'_>,
        at: usize,
        end: impl Fn(&[u8]) -> Result<End, CommandError>,
    ) -> Result<Self, CommandError> {
        let number = args::at_least(args.at(at), 1, "ERR numkeys should be greater than 0")?;
        let side = at.saturating_add(number).saturating_add(1);
        let end = end(args.get(side).ok_or(CommandError::SYNTAX)?)?;
        let mut count = None;
        let mut options = args.tail(side + 1).iter();
        while let Some(option) = options.next() {
            if !is(option, "COUNT") || count.is_some() {
                return Err(CommandError::SYNTAX);
            }
            let value = options.next().ok_or(CommandError::SYNTAX)?;
            count = Some(args::at_least(value, 1, "ERR count should be greater than 0")?);
        }
        Ok(ManyPop { keys: at + 1..side, end, count: count.unwrap_or(1) })
    }
}
