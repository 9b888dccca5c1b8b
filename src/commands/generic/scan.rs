//! KEYS and SCAN: the keys of a database.
//!
//! The cursor of SCAN is a position in the order of hashes, so every key that exists throughout is returned
//! exactly once, even if the table is resized in between.

use crate::base::glob;
use crate::commands::support::args::is;
use crate::commands::support::collection_scan::{STEPS_PER_ELEMENT, parse_cursor, scan_count, selective};
use crate::commands::support::options::OptionReader;
use crate::engine::{Call, Done, Outcome};
use crate::resp::{Args, CommandError};
use crate::structures::table::EntryValue;

pub(in crate::commands) fn keys(call: &mut Call<'_>) -> Outcome {
    let pattern = selective(call.args.at(1));
    let env = call.db.env;
    let open = call.reply.open();
    let mut count = 0;
    for entry in call.db.database().table().iter() {
        let shown = pattern.is_none_or(|pattern| glob::matches(pattern, entry.key));
        if shown && !env.is_past(entry.deadline) {
            call.reply.bulk(entry.key);
            count += 1;
        }
    }
    call.reply.close_array(open, count);
    Ok(Done::Replied)
}

struct Options<'a> {
    pattern: Option<&'a [u8]>,
    count: u64,
    type_name: Option<&'a [u8]>,
}

impl<'a> Options<'a> {
    fn parse(args: Args<'a>) -> Result<Options<'a>, CommandError> {
        let mut options = Options { pattern: None, count: 10, type_name: None };
        let mut words = OptionReader::new(args, 2);
        while let Some(word) = words.next() {
            if is(word, "NOVALUES") {
                return Err(CommandError::text("ERR NOVALUES option can only be used in HSCAN"));
            } else if is(word, "COUNT") {
                options.count = scan_count(&mut words)?;
            } else if is(word, "MATCH") {
                options.pattern = selective(words.value()?);
            } else if is(word, "TYPE") {
                options.type_name = Some(words.value()?);
            } else {
                return Err(CommandError::SYNTAX);
            }
        }
        Ok(options)
    }

    fn shows_type(&self, value: &EntryValue<'_, crate::value::Value>) -> bool {
        let name = match value {
            EntryValue::Object(value) => value.type_name(),
            EntryValue::Embedded(tag, _) => crate::value::embedded::type_name(*tag),
            EntryValue::Int(_) | EntryValue::Bytes(_) => "string",
        };
        self.type_name.is_none_or(|wanted| wanted.eq_ignore_ascii_case(name.as_bytes()))
    }
}

pub(in crate::commands) fn scan(call: &mut Call<'_>) -> Outcome {
    let mut cursor = parse_cursor(call.args.at(1))?;
    let options = Options::parse(call.args)?;
    let env = call.db.env;
    let (mut shown, mut expired) = (Vec::new(), Vec::new());
    let (mut seen, mut steps) = (0, 0);
    let table = call.db.database().table();
    loop {
        cursor = table.scan(cursor, |entry| {
            seen += 1;
            if options.pattern.is_some_and(|pattern| !glob::matches(pattern, entry.key)) {
                return;
            }
            if env.is_past(entry.deadline) {
                expired.push(entry.key.to_vec());
            } else if options.shows_type(&entry.value) {
                shown.push(entry.at);
            }
        });
        steps += 1;
        if cursor == 0 || seen >= options.count || steps > options.count.saturating_mul(STEPS_PER_ELEMENT) {
            break;
        }
    }
    call.reply.array(2);
    call.reply.bulk_integer(cursor as i64);
    call.reply.array(shown.len());
    for at in shown {
        call.reply.bulk(table.key(at));
    }
    for key in expired {
        // The lookup deletes the expired key.
        call.db.lookup_silent(&key);
    }
    Ok(Done::Replied)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::commands::support::testing::TestServer;

    /// All keys that a full SCAN returns, in order; it must end.
    fn walk(server: &mut TestServer, options: &str) -> Vec<String> {
        let (mut cursor, mut keys) = ("0".to_string(), Vec::new());
        for _ in 0..10_000 {
            let reply = server.run(&format!("SCAN {cursor} {options}"));
            let (head, rest) = reply[2..].split_once("\" [").expect("cursor and keys");
            cursor = head.to_string();
            let list = rest.trim_end_matches(']');
            keys.extend(
                list.split(' ').filter(|key| !key.is_empty()).map(|key| key.trim_matches('"').to_string()),
            );
            if cursor == "0" {
                return keys;
            }
        }
        panic!("a walk without end");
    }

    #[test]
    fn scan_returns_every_key_exactly_once() {
        let mut server = TestServer::new();
        for n in 0..3000 {
            server.run(&format!("SET key:{n} {n}"));
        }
        for count in [1, 10, 100, 10_000] {
            let keys = walk(&mut server, &format!("COUNT {count}"));
            assert_eq!((keys.len(), keys.iter().collect::<BTreeSet<_>>().len()), (3000, 3000));
        }
        assert_eq!(walk(&mut server, "MATCH key:12?? COUNT 50").len(), 100);
        assert_eq!(walk(&mut server, "MATCH * TYPE STRING").len(), 3000);
        assert_eq!(walk(&mut server, "TYPE list").len(), 0);
        assert_eq!(walk(&mut server, "TYPE nonsense").len(), 0);
    }

    #[test]
    fn scan_while_the_table_grows_and_shrinks() {
        let mut server = TestServer::new();
        for n in 0..500 {
            server.run(&format!("SET stays:{n} {n}"));
        }
        let (mut cursor, mut seen, mut round) = ("0".to_string(), Vec::new(), 0);
        loop {
            let reply = server.run(&format!("SCAN {cursor} MATCH stays:*"));
            let (head, rest) = reply[2..].split_once("\" [").expect("cursor and keys");
            cursor = head.to_string();
            seen.extend(rest.split('"').filter(|word| word.starts_with("stays")).map(str::to_string));
            if cursor == "0" {
                break;
            }
            for n in 0..60 {
                let verb = if round % 50 < 25 { "SET" } else { "DEL" };
                let value = if verb == "SET" { " x" } else { "" };
                server.run(&format!("{verb} comes:{}:{n}{value}", round % 25));
            }
            round += 1;
        }
        seen.sort();
        let distinct: BTreeSet<_> = seen.iter().collect();
        assert_eq!((seen.len(), distinct.len()), (500, 500));
    }

    #[test]
    fn expired_keys_are_not_returned() {
        let mut server = TestServer::new();
        server.script("SET a 1 PX 1\n SET b 1");
        server.advance(2);
        assert_eq!(server.run("KEYS *"), "[\"b\"]");
        assert_eq!(server.run("DBSIZE"), ":2");
        assert_eq!(walk(&mut server, "COUNT 100"), ["b"]);
        assert_eq!(server.run("DBSIZE"), ":1");
    }

    #[test]
    fn replies_and_errors() {
        let mut server = TestServer::new();
        server.script(
            r#"
            SCAN 0 => ["0" []]
            KEYS * => []
            SET h?llo 1
            KEYS h\?llo => ["h?llo"]
            KEYS h[a-b]llo => []
            SCAN x => -ERR invalid cursor
            SCAN -1 => -ERR invalid cursor
            SCAN 1.5 => -ERR invalid cursor
            SCAN 18446744073709551616 => -ERR invalid cursor
            SCAN 18446744073709551615 => ["0" []]
            SCAN 0 COUNT => -ERR syntax error
            SCAN 0 COUNT x => -ERR value is not an integer or out of range
            SCAN 0 COUNT 0 => -ERR syntax error
            SCAN 0 FOO 1 => -ERR syntax error
            SCAN 0 NOVALUES => -ERR NOVALUES option can only be used in HSCAN
            SCAN 0 COUNT 9223372036854775807 => ["0" ["h?llo"]]
            "#,
        );
    }
}
