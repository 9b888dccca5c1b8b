//! String commands on parts of a value: STRLEN, APPEND, GETRANGE and its alias SUBSTR, SETRANGE.

use crate::commands::support::args;
use crate::engine::{Call, Done, Outcome};
use crate::keyspace::{Ttl, event};
use crate::resp::CommandError;

pub(in crate::commands) fn strlen(call: &mut Call<'_>) -> Outcome {
    let length = call.db.string(call.args.at(1))?.map_or(0, |text| text.len());
    call.reply.count(length);
    Ok(Done::Replied)
}

pub(in crate::commands) fn append(call: &mut Call<'_>) -> Outcome {
    let (key, tail) = (call.args.at(1), call.args.at(2));
    let old = call.db.string_to_write(key)?.map(|(_, text)| text.len());
    let Some(old) = old else {
        call.db.set_found(key, None, tail, Ttl::Clear, event::APPEND);
        call.reply.count(tail.len());
        return Ok(Done::Replied);
    };
    let length = old + tail.len();
    call.db.string_bytes(key, length)?[old..].copy_from_slice(tail);
    call.db.string_changed(key, event::APPEND);
    call.reply.count(length);
    Ok(Done::Replied)
}

pub(in crate::commands) fn getrange(call: &mut Call<'_>) -> Outcome {
    let start = args::integer(call.args.at(2))?;
    let end = args::integer(call.args.at(3))?;
    let mut digits = itoa::Buffer::new();
    let text = call.db.string(call.args.at(1))?;
    let bytes = text.map_or(&b""[..], |text| text.bytes(&mut digits));
    call.reply.bulk(range_of(bytes, start, end));
    Ok(Done::Replied)
}

pub(in crate::commands) fn substr(call: &mut Call<'_>) -> Outcome {
    getrange(call)
}

/// The bytes from index `start` to `end`, both included; negative indexes count from the end.
fn range_of(bytes: &[u8], start: i64, end: i64) -> &[u8] {
    if start < 0 && end < 0 && start > end {
        return &[];
    }
    let length = bytes.len() as i64;
    let absolute = |index: i64| if index < 0 { length.saturating_add(index).max(0) } else { index };
    let (start, end) = (absolute(start), absolute(end).min(length - 1));
    if start > end { &[] } else { &bytes[start as usize..=end as usize] }
}

pub(in crate::commands) fn setrange(call: &mut Call<'_>) -> Outcome {
    let (key, patch) = (call.args.at(1), call.args.at(3));
    let offset = args::integer(call.args.at(2))?;
    let offset = usize::try_from(offset).map_err(|_| CommandError::text("ERR offset is out of range"))?;
    let old = call.db.string_to_write(key)?.map_or(0, |(_, text)| text.len());
    if patch.is_empty() {
        call.reply.count(old);
        return Ok(Done::Replied);
    }
    let end = offset.checked_add(patch.len()).ok_or(CommandError::TOO_LONG)?;
    let bytes = call.db.string_bytes(key, end)?;
    bytes[offset..end].copy_from_slice(patch);
    let length = bytes.len();
    call.db.string_changed(key, event::SETRANGE);
    call.reply.count(length);
    Ok(Done::Replied)
}

#[cfg(test)]
mod tests {
    use crate::commands::support::testing::TestServer;

    #[test]
    fn parts_of_strings() {
        let mut server = TestServer::new();
        server.script(
            r#"
            APPEND a foo => :3
            APPEND a "" => :3
            APPEND a bar => :6
            STRLEN a => :6
            STRLEN none => :0
            GETRANGE a 0 2 => "foo"
            GETRANGE a -3 -1 => "bar"
            GETRANGE a -1 -3 => ""
            GETRANGE a 4 100 => "ar"
            GETRANGE a -100 0 => "f"
            GETRANGE a 2 1 => ""
            GETRANGE none 0 -1 => ""
            GETRANGE a x 1 => -ERR value is not an integer or out of range
            GETRANGE a 0 -9223372036854775808 => "f"
            SUBSTR a 1 1 => "o"
            SETRANGE a 3 BAR => :6
            GET a => "fooBAR"
            SETRANGE a 8 x => :9
            GET a => "fooBAR\x00\x00x"
            SETRANGE none 5 "" => :0
            EXISTS none => :0
            SETRANGE none 2 x => :3
            SETRANGE a -1 x => -ERR offset is out of range
            SETRANGE a 9223372036854775807 x => -ERR string exceeds maximum allowed size (proto-max-bulk-len)
            SETRANGE a 536870912 x => -ERR string exceeds maximum allowed size (proto-max-bulk-len)
            SETRANGE a 536870912 "" => :9
            SET n 12345
            STRLEN n => :5
            GETRANGE n 1 2 => "23"
            SETRANGE n 1 99 => :5
            INCR n => :19946
            "#,
        );
    }

    #[test]
    fn long_strings_grow() {
        let mut server = TestServer::new();
        let mut model = String::new();
        for round in 0..200 {
            let piece = "x".repeat(round % 17).to_string() + &round.to_string();
            model.push_str(&piece);
            assert_eq!(server.run(&format!("APPEND a {piece}")), format!(":{}", model.len()));
        }
        assert_eq!(server.run("GET a"), format!("{model:?}"));
    }

    #[test]
    fn events() {
        let mut server = TestServer::new();
        server.notify("KEA");
        server.run("APPEND a 1");
        server.run("SETRANGE a 0 x");
        server.run("SETRANGE a 0 \"\"");
        assert_eq!(server.events(), "append a; setrange a");
    }
}
