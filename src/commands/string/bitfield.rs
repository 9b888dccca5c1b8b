//! BITFIELD and BITFIELD_RO: integers of any width inside a string.
//!
//! All operations are parsed before the first one runs, so that an error in one leaves the string unchanged.

use crate::base::number;
use crate::commands::string::bitmap::bit_offset;
use crate::commands::support::args::is;
use crate::commands::support::options::OptionReader;
use crate::engine::{Call, Done, Outcome};
use crate::keyspace::event;
use crate::resp::{Args, CommandError, Reply};
use crate::structures::bits::{Field, Overflow};

#[derive(Clone, Copy)]
enum Action {
    Get,
    Set(i64),
    Increment(i64),
}

#[derive(Clone, Copy)]
struct Operation {
    field: Field,
    offset: u64,
    action: Action,
    overflow: Overflow,
}

impl Operation {
    /// The length in bytes that the string needs for the operation; 0 for one that only reads.
    fn min_length(&self) -> u64 {
        match self.action {
            Action::Get => 0,
            Action::Set(_) | Action::Increment(_) => (self.offset + u64::from(self.field.bits()) - 1) / 8 + 1,
        }
    }
}

fn field(text: &[u8]) -> Result<Field, CommandError> {
    const NO_TYPE: CommandError = CommandError::text(
        "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
    );
    let (signed, width) = match text {
        [b'i', width @ ..] => (true, width),
        [b'u', width @ ..] => (false, width),
        _ => return Err(NO_TYPE),
    };
    let width = number::parse_i64(width).and_then(|width| u32::try_from(width).ok());
    width.and_then(|width| Field::new(signed, width)).ok_or(NO_TYPE)
}

fn parse(args: Args<'_>, max_string: u64) -> Result<Vec<Operation>, CommandError> {
    let mut operations = Vec::new();
    let mut overflow = Overflow::Wrap;
    let mut options = OptionReader::new(args, 2);
    while let Some(word) = options.next() {
        if is(word, "OVERFLOW") {
            overflow = overflow_type(options.value()?)?;
            continue;
        }
        let words = if is(word, "GET") {
            2
        } else if is(word, "SET") || is(word, "INCRBY") {
            3
        } else {
            return Err(CommandError::SYNTAX);
        };
        if options.remaining() < words {
            return Err(CommandError::SYNTAX);
        }
        let field = field(options.value()?)?;
        let offset = bit_offset(options.value()?, Some(field.bits()), max_string)?;
        let action = match words {
            2 => Action::Get,
            _ if is(word, "SET") => Action::Set(options.integer()?),
            _ => Action::Increment(options.integer()?),
        };
        operations.push(Operation { field, offset, action, overflow });
    }
    Ok(operations)
}

fn overflow_type(word: &[u8]) -> Result<Overflow, CommandError> {
    if is(word, "WRAP") {
        Ok(Overflow::Wrap)
    } else if is(word, "SAT") {
        Ok(Overflow::Saturate)
    } else if is(word, "FAIL") {
        Ok(Overflow::Fail)
    } else {
        Err(CommandError::text("ERR Invalid OVERFLOW type specified"))
    }
}

pub(in crate::commands) fn bitfield(call: &mut Call<'_>) -> Outcome {
    let operations = parse(call.args, call.db.env.max_string)?;
    let min_length = operations.iter().map(Operation::min_length).max().unwrap_or(0);
    if min_length == 0 { read(call, &operations) } else { write(call, &operations, min_length as usize) }
}

pub(in crate::commands) fn bitfield_ro(call: &mut Call<'_>) -> Outcome {
    let operations = parse(call.args, call.db.env.max_string)?;
    if operations.iter().any(|operation| operation.min_length() > 0) {
        return Err(CommandError::text("ERR BITFIELD_RO only supports the GET subcommand"));
    }
    read(call, &operations)
}

fn read(call: &mut Call<'_>, operations: &[Operation]) -> Outcome {
    let mut digits = itoa::Buffer::new();
    let text = call.db.string(call.args.at(1))?;
    let bytes = text.map_or(&b""[..], |text| text.bytes(&mut digits));
    call.reply.array(operations.len());
    for operation in operations {
        call.reply.integer(operation.field.get(bytes, operation.offset));
    }
    Ok(Done::Replied)
}

fn write(call: &mut Call<'_>, operations: &[Operation], length: usize) -> Outcome {
    let key = call.args.at(1);
    let grows = call.db.string_to_write(key)?.is_none_or(|(_, text)| text.len() < length);
    let bytes = call.db.string_bytes(key, length)?;
    call.reply.array(operations.len());
    let mut changes = 0;
    for operation in operations {
        changes += u64::from(perform(operation, bytes, grows, call.reply));
    }
    if changes > 0 {
        call.db.changed(key, changes, event::SETBIT);
    } else if grows {
        // Every operation failed (OVERFLOW FAIL), but the string has grown: without an event, as in Redis.
        call.db.count_change();
    }
    Ok(Done::Replied)
}

/// Performs one operation and replies; true if it changed the string.
fn perform(operation: &Operation, bytes: &mut [u8], grows: bool, reply: &mut Reply) -> bool {
    let &Operation { field, offset, action, overflow } = operation;
    let old = field.get(bytes, offset);
    let (new, answers_new) = match action {
        Action::Get => {
            reply.integer(old);
            return false;
        }
        Action::Set(value) => (field.fit(value, overflow), false),
        Action::Increment(by) => (field.increment(old, by, overflow), true),
    };
    let Some(new) = new else {
        reply.null();
        return false;
    };
    reply.integer(if answers_new { new } else { old });
    field.set(bytes, offset, new);
    grows || old != new
}

#[cfg(test)]
mod tests {
    use crate::commands::support::testing::TestServer;

    #[test]
    fn operations() {
        let mut server = TestServer::new();
        server.script(
            r#"
            BITFIELD a GET u8 0 => [:0]
            EXISTS a => :0
            BITFIELD a SET u8 0 255 SET u8 #1 -1 GET u16 0 => [:0 :0 :65535]
            BITFIELD a INCRBY u8 0 1 => [:0]
            BITFIELD a OVERFLOW SAT INCRBY u8 #1 1 OVERFLOW FAIL INCRBY u8 #1 1 => [:255 nil]
            BITFIELD a SET i5 100 -10 INCRBY i5 100 -1 => [:0 :-11]
            STRLEN a => :14
            BITFIELD_RO a GET i5 100 get u4 8 => [:-11 :15]
            BITFIELD a => []
            BITFIELD_RO a SET u8 0 1 => -ERR BITFIELD_RO only supports the GET subcommand
            BITFIELD a SET u8 0 => -ERR syntax error
            BITFIELD a OVERFLOW => -ERR syntax error
            BITFIELD a OVERFLOW FOO => -ERR Invalid OVERFLOW type specified
            BITFIELD a FOO => -ERR syntax error
            BITFIELD a GET u8 x => -ERR bit offset is not an integer or out of range
            BITFIELD a GET u8 #9223372036854775807 => -ERR bit offset is not an integer or out of range
            BITFIELD a SET u8 0 x => -ERR value is not an integer or out of range
            "#,
        );
        for field in ["u64", "i65", "u0", "i", "x8", "", "U8"] {
            let reply = server.run(&format!("BITFIELD a GET \"{field}\" 0"));
            assert!(reply.starts_with("-ERR Invalid bitfield type."), "{field}");
        }
    }

    #[test]
    fn events_and_propagation() {
        let mut server = TestServer::new();
        server.notify("KEA");
        server.propagate();
        server.script(
            r#"
            BITFIELD a SET u8 0 0 => [:0]
            BITFIELD a SET u8 0 0 => [:0]
            BITFIELD a GET u8 0 => [:0]
            BITFIELD a SET u8 0 7 GET u8 0 => [:0 :7]
            BITFIELD a OVERFLOW FAIL INCRBY i1 0 5 => [nil]
            BITFIELD a OVERFLOW FAIL INCRBY i1 15 5 => [nil]
            STRLEN a => :2
            "#,
        );
        assert_eq!(server.events(), "setbit a; setbit a");
        assert_eq!(
            server.propagated(),
            "BITFIELD a SET u8 0 0; BITFIELD a SET u8 0 7 GET u8 0; BITFIELD a OVERFLOW FAIL INCRBY i1 15 5"
        );
    }
}
