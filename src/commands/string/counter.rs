//! Counter commands on strings: INCR, DECR, INCRBY, DECRBY, INCRBYFLOAT.

use crate::base::number::Extended;
use crate::commands::support::args;
use crate::engine::{Call, Done, Outcome};
use crate::keyspace::{Detached, Text, event};
use crate::resp::CommandError;
use crate::structures::table::NewValue;

pub(in crate::commands) fn incr(call: &mut Call<'_>) -> Outcome {
    add(call, 1)
}

pub(in crate::commands) fn decr(call: &mut Call<'_>) -> Outcome {
    add(call, -1)
}

pub(in crate::commands) fn incrby(call: &mut Call<'_>) -> Outcome {
    let by = args::integer(call.args.at(2))?;
    add(call, by)
}

pub(in crate::commands) fn decrby(call: &mut Call<'_>) -> Outcome {
    let by = args::integer(call.args.at(2))?;
    let by = by.checked_neg().ok_or(CommandError::text("ERR decrement would overflow"))?;
    add(call, by)
}

#[inline]
fn add(call: &mut Call<'_>, by: i64) -> Outcome {
    let sum = call.db.increment(call.args.at(1), by)?;
    call.reply.integer(sum);
    Ok(Done::Replied)
}

/// INCRBYFLOAT is propagated as a SET of the sum: a replica on another machine might round differently.
pub(in crate::commands) fn incrbyfloat(call: &mut Call<'_>) -> Outcome {
    let key = call.args.at(1);
    let at = call.db.lookup_write(key);
    let deadline = at.and_then(|at| call.db.deadline(at));
    let old = match at.map(|at| call.db.text(at)).transpose()? {
        None => Some(Extended::from_i64(0)),
        Some(Text::Int(n)) => Some(Extended::from_i64(n)),
        Some(Text::Bytes(bytes)) => Extended::parse(bytes),
    };
    let old = old.ok_or(CommandError::NOT_FLOAT)?;
    let by = Extended::parse(call.args.at(2)).ok_or(CommandError::NOT_FLOAT)?;
    let sum = old.checked_add(by);
    let sum = sum.ok_or(CommandError::text("ERR increment would produce NaN or Infinity"))?;
    let mut text = Vec::with_capacity(32);
    sum.push_text(&mut text);
    call.reply.bulk(&text);
    call.propagation.rewrite_as([b"SET".as_slice(), key, &text, b"KEEPTTL"]);
    // Stored as a string even if the sum is an integer, as in Redis: OBJECT ENCODING shows it.
    let sum = Detached { value: NewValue::Owned(text), deadline, edited: false };
    call.db.insert_detached(key, sum, event::INCRBYFLOAT);
    Ok(Done::Replied)
}

#[cfg(test)]
mod tests {
    use crate::commands::support::testing::TestServer;

    #[test]
    fn integers() {
        let mut server = TestServer::new();
        server.script(
            r#"
            INCR n => :1
            INCRBY n 41 => :42
            DECR n => :41
            DECRBY n 141 => :-100
            SET n 9223372036854775807
            INCR n => -ERR increment or decrement would overflow
            DECRBY n -9223372036854775808 => -ERR decrement would overflow
            SET n " 11"
            INCR n => -ERR value is not an integer or out of range
            INCRBY m 1.5 => -ERR value is not an integer or out of range
            SET n 20 EX 100
            INCR n => :21
            TTL n => :100
            "#,
        );
    }

    #[test]
    fn floats() {
        let mut server = TestServer::new();
        server.propagate();
        server.script(
            r#"
            INCRBYFLOAT x 1 => "1"
            INCRBYFLOAT x 0.25 => "1.25"
            INCRBYFLOAT x 1.8e2 => "181.25"
            SET x 17179869184
            INCRBYFLOAT x 1.5 => "17179869185.5"
            SET x abc
            INCRBYFLOAT x 1 => -ERR value is not a valid float
            INCRBYFLOAT y " 1" => -ERR value is not a valid float
            INCRBYFLOAT y +inf => -ERR increment would produce NaN or Infinity
            SET x 3 PX 5000
            "#,
        );
        server.propagated();
        assert_eq!(server.run("INCRBYFLOAT x -1.1"), "\"1.9\"");
        assert_eq!(server.run("PTTL x"), ":5000");
        assert_eq!(server.propagated(), "SET x 1.9 KEEPTTL");
    }
}
