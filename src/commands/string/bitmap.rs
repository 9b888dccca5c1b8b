//! Bitmap commands on strings: SETBIT, GETBIT, BITCOUNT, BITPOS, BITOP.

use crate::base::number;
use crate::commands::support::args::integer;
use crate::engine::{Call, Done, Outcome};
use crate::keyspace::event;
use crate::resp::CommandError;
use crate::structures::bits::{self, Operation, Unit};

/// Parses the offset of a bit, below 8 × `max_string`; with a `width` (BITFIELD), `#n` is the n-th field of
/// `width` bits.
pub(in crate::commands) fn bit_offset(
    text: &[u8],
    width: Option<u32>,
    max_string: u64,
) -> Result<u64, CommandError> {
    const OUT_OF_RANGE: CommandError = CommandError::text("ERR bit offset is not an integer or out of range");
    let (digits, scale) = match (text, width) {
        ([b'#', digits @ ..], Some(width)) => (digits, i64::from(width)),
        _ => (text, 1),
    };
    let offset = number::parse_i64(digits).and_then(|number| number.checked_mul(scale));
    let offset = offset.and_then(|offset| u64::try_from(offset).ok());
    offset.filter(|offset| offset / 8 < max_string).ok_or(OUT_OF_RANGE)
}

fn unit(word: &[u8]) -> Result<Unit, CommandError> {
    if word.eq_ignore_ascii_case(b"bit") {
        Ok(Unit::Bit)
    } else if word.eq_ignore_ascii_case(b"byte") {
        Ok(Unit::Byte)
    } else {
        Err(CommandError::SYNTAX)
    }
}

pub(in crate::commands) fn setbit(call: &mut Call<'_>) -> Outcome {
    const NO_BIT: CommandError = CommandError::text("ERR bit is not an integer or out of range");
    let key = call.args.at(1);
    let offset = bit_offset(call.args.at(2), None, call.db.env.max_string)?;
    let on = match number::parse_i64(call.args.at(3)) {
        Some(0) => false,
        Some(1) => true,
        _ => return Err(NO_BIT),
    };
    let length = (offset / 8 + 1) as usize;
    let grows = call.db.string_to_write(key)?.is_none_or(|(_, text)| text.len() < length);
    let before = bits::set_bit(call.db.string_bytes(key, length)?, offset, on);
    if grows || before != on {
        call.db.string_changed(key, event::SETBIT);
    }
    call.reply.integer(i64::from(before));
    Ok(Done::Replied)
}

pub(in crate::commands) fn getbit(call: &mut Call<'_>) -> Outcome {
    let offset = bit_offset(call.args.at(2), None, call.db.env.max_string)?;
    let mut digits = itoa::Buffer::new();
    let text = call.db.string(call.args.at(1))?;
    let bit = text.is_some_and(|text| bits::get_bit(text.bytes(&mut digits), offset));
    call.reply.integer(i64::from(bit));
    Ok(Done::Replied)
}

pub(in crate::commands) fn bitcount(call: &mut Call<'_>) -> Outcome {
    let args = call.args;
    if args.len() > 5 {
        return Err(CommandError::SYNTAX);
    }
    let start = args.get(2).map_or(Ok(0), integer)?;
    let end = args.get(3).map_or(Ok(-1), integer)?;
    let unit = args.get(4).map_or(Ok(Unit::Byte), unit)?;
    let mut digits = itoa::Buffer::new();
    let text = call.db.string(args.at(1))?;
    let count = text.map_or(0, |text| {
        let bytes = text.bytes(&mut digits);
        // Without a range there are no indexes to convert.
        if args.len() == 2 { bits::count_ones(bytes) } else { bits::count_range(bytes, start, end, unit) }
    });
    call.reply.integer(count as i64);
    Ok(Done::Replied)
}

pub(in crate::commands) fn bitpos(call: &mut Call<'_>) -> Outcome {
    let args = call.args;
    let bit = match integer(args.at(2))? {
        0 => false,
        1 => true,
        _ => return Err(CommandError::text("ERR The bit argument must be 1 or 0.")),
    };
    if args.len() > 6 {
        return Err(CommandError::SYNTAX);
    }
    let start = args.get(3).map_or(Ok(0), integer)?;
    let unit = args.get(5).map_or(Ok(Unit::Byte), unit)?;
    let end = args.get(4).map(integer).transpose()?;
    let mut digits = itoa::Buffer::new();
    // A missing key is an endless string of 0 bits.
    let position = match call.db.string(args.at(1))? {
        None if bit => -1,
        None => 0,
        Some(text) => bits::position(text.bytes(&mut digits), bit, start, end, unit),
    };
    call.reply.integer(position);
    Ok(Done::Replied)
}

fn operation(word: &[u8], sources: usize) -> Result<Operation, CommandError> {
    const NAMES: &[(&str, Operation)] = &[
        ("AND", Operation::And),
        ("OR", Operation::Or),
        ("XOR", Operation::Xor),
        ("NOT", Operation::Not),
        ("DIFF", Operation::Diff),
        ("DIFF1", Operation::Diff1),
        ("ANDOR", Operation::AndOr),
        ("ONE", Operation::One),
    ];
    let found = NAMES.iter().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()));
    let (name, operation) = found.ok_or(CommandError::SYNTAX)?;
    let needs_two = matches!(operation, Operation::Diff | Operation::Diff1 | Operation::AndOr);
    if *operation == Operation::Not && sources != 1 {
        return Err(CommandError::text("ERR BITOP NOT must be called with a single source key."));
    }
    if needs_two && sources < 2 {
        return Err(CommandError::new(format!(
            "ERR BITOP {name} must be called with at least two source keys."
        )));
    }
    Ok(*operation)
}

pub(in crate::commands) fn bitop(call: &mut Call<'_>) -> Outcome {
    let (target, keys) = (call.args.at(2), call.args.tail(3));
    let operation = operation(call.args.at(1), keys.len())?;
    let mut present = Vec::with_capacity(keys.len());
    for key in keys.iter() {
        let found = call.db.lookup_read(key);
        found.map_or(Ok(()), |at| call.db.text(at).map(drop))?;
        present.push(found.is_some());
    }
    // All lookups come first: one could delete an expired key and move the strings.
    let mut digits = vec![itoa::Buffer::new(); keys.len()];
    let mut sources = Vec::with_capacity(keys.len());
    for ((key, present), digits) in keys.iter().zip(present).zip(&mut digits) {
        let table = call.db.database().table();
        let at = if present { table.find(call.db.hash(key), key) } else { None };
        sources.push(match at {
            None => &b""[..],
            Some(at) => call.db.text(at)?.bytes(digits),
        });
    }
    let result = bits::combine(operation, &sources);
    let length = result.len();
    if length == 0 {
        call.db.remove(target);
    } else {
        call.db.overwrite_with_string(target, result);
    }
    call.reply.count(length);
    Ok(Done::Replied)
}

#[cfg(test)]
mod tests {
    use crate::commands::support::testing::TestServer;

    #[test]
    fn single_bits() {
        let mut server = TestServer::new();
        server.notify("KEA");
        server.script(
            r#"
            SETBIT a 1 1 => :0
            GET a => "@"
            SETBIT a 1 1 => :1
            SETBIT a 1 0 => :1
            SETBIT a 20 0 => :0
            STRLEN a => :3
            SETBIT a 20 0 => :0
            GETBIT a 1 => :0
            GETBIT a 100000 => :0
            GETBIT none 0 => :0
            SET n 1
            SETBIT n 6 1 => :0
            GET n => "3"
            GETBIT n 7 => :1
            SETBIT a -1 1 => -ERR bit offset is not an integer or out of range
            SETBIT a x 1 => -ERR bit offset is not an integer or out of range
            SETBIT a 4294967296 1 => -ERR bit offset is not an integer or out of range
            SETBIT a 0 2 => -ERR bit is not an integer or out of range
            SETBIT a 0 x => -ERR bit is not an integer or out of range
            GETBIT a 4294967296 => -ERR bit offset is not an integer or out of range
            "#,
        );
        assert_eq!(server.events(), "setbit a; setbit a; setbit a; set n; setbit n");
    }

    #[test]
    fn counts_and_positions() {
        let mut server = TestServer::new();
        server.script(
            r#"
            BITCOUNT none => :0
            BITCOUNT none 0 -1 => :0
            SET a foobar
            BITCOUNT a => :26
            BITCOUNT a 0 0 => :4
            BITCOUNT a 1 => :22
            BITCOUNT a -2 -1 => :7
            BITCOUNT a 5 30 BIT => :17
            BITCOUNT a -1 -2 => :0
            BITCOUNT a 0 0 FOO => -ERR syntax error
            BITCOUNT a 0 x => -ERR value is not an integer or out of range
            BITCOUNT a 0 1 BIT 2 => -ERR syntax error
            BITPOS none 0 => :0
            BITPOS none 1 => :-1
            SET b "\xff\xf0\x00"
            BITPOS b 0 => :12
            BITPOS b 1 2 => :-1
            BITPOS b 1 0 0 => :0
            BITPOS b 0 0 0 => :-1
            BITPOS b 0 1 -1 BIT => :12
            SET b "\xff\xff\xff"
            BITPOS b 0 => :24
            BITPOS b 0 1 => :24
            BITPOS b 0 0 -1 => :-1
            BITPOS b 2 => -ERR The bit argument must be 1 or 0.
            BITPOS b 0 0 -1 FOO => -ERR syntax error
            SET e ""
            BITPOS e 0 => :-1
            "#,
        );
    }

    #[test]
    fn combinations() {
        let mut server = TestServer::new();
        server.notify("KEA");
        server.script(
            r#"
            MSET a "\x0f\xff" b "\x3c"
            BITOP AND d a b none => :2
            GET d => "\x00\x00"
            BITOP and d a b => :2
            GET d => "\x0c\x00"
            BITOP OR d a b => :2
            GET d => "?\xff"
            BITOP XOR d a b => :2
            GET d => "3\xff"
            BITOP NOT d a => :2
            GET d => "\xf0\x00"
            BITOP DIFF d a b => :2
            GET d => "\x03\xff"
            BITOP DIFF1 d a b => :2
            GET d => "0\x00"
            BITOP ANDOR d a b => :2
            GET d => "\x0c\x00"
            BITOP ONE d a b a => :2
            GET d => "0\x00"
            BITOP NOT d a b => -ERR BITOP NOT must be called with a single source key.
            BITOP DIFF d a => -ERR BITOP DIFF must be called with at least two source keys.
            BITOP FOO d a => -ERR syntax error
            BITOP AND d none => :0
            EXISTS d => :0
            SET n 11
            BITOP OR n n n => :2
            GET n => "11"
            "#,
        );
        assert!(server.events().ends_with("del d; set n; set n"));
    }
}
