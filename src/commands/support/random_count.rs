//! The count of SRANDMEMBER, HRANDFIELD and ZRANDMEMBER, and replies of random elements with repetition.
//!
//! A negative count asks for elements that may repeat, so that a small request can ask for a reply of any size.
//! Such a reply ends at the client's limit of unsent replies, or else at 1 GiB with an error.

use crate::commands::support::args;
use crate::engine::{Done, Outcome};
use crate::resp::{CommandError, Reply};

/// Longest reply with repetition, in bytes, for a client without a limit of unsent replies.
const MAX_REPLY_BYTES: usize = 1 << 30;

/// Bytes of the shortest element in a reply: an empty bulk string.
const MIN_ELEMENT_BYTES: usize = 6;

/// Parses the count: how many elements, and whether they may repeat (the count is negative).
pub(in crate::commands) fn parse(arg: &[u8]) -> Result<(usize, bool), CommandError> {
    let count = args::signed(arg)?;
    Ok((count.unsigned_abs() as usize, count < 0))
}

/// Calls `write_element` `count` times, for a reply that begins at byte `start`. From `max_reply` bytes on (0: no
/// limit) the connection is closed instead; without a limit, more than [`MAX_REPLY_BYTES`] are an error.
pub(in crate::commands) fn reply_with_repetition(
    reply: &mut Reply,
    start: usize,
    count: usize,
    max_reply: u64,
    mut write_element: impl FnMut(&mut Reply),
) -> Outcome {
    if max_reply == 0 && count > MAX_REPLY_BYTES / MIN_ELEMENT_BYTES {
        reply.truncate(start);
        return Err(CommandError::text("ERR value is out of range"));
    }
    for _ in 0..count {
        write_element(reply);
        let written = reply.len() - start;
        if max_reply > 0 && written as u64 >= max_reply {
            return Ok(Done::ReplyTooLarge);
        }
        if written > MAX_REPLY_BYTES {
            reply.truncate(start);
            return Err(CommandError::text("ERR value is out of range"));
        }
    }
    Ok(Done::Replied)
}
