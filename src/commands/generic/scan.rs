//! KEYS and SCAN: the keys of a database.
//!
//! The cursor of SCAN is a position in the order of hashes, so every key that exists throughout is returned
//! exactly once, even if the table is resized in between.

use crate::base::crc::pattern_slot;
use crate::base::glob;
use crate::commands::support::args::is;
use crate::commands::support::collection_scan::{STEPS_PER_ELEMENT, parse_cursor, scan_count, selective};
use crate::commands::support::options::OptionReader;
use crate::engine::clients::session::{Role, state};
use crate::engine::{Call, Done, Outcome, Wait};
use crate::keyspace::{LISTED_AT_ONCE, ListedKeys};
use crate::resp::{Args, CommandError};
use crate::structures::table::EntryValue;
use crate::value::Value;

pub(in crate::commands) fn keys(call: &mut Call<'_>) -> Outcome {
    let pattern = selective(call.args.at(1));
    let env = call.db.env;
    let may_wait = call.session.role == Role::Normal && !call.session.is(state::IN_EXEC | state::IN_SCRIPT);
    if may_wait && call.db.len() >= LISTED_AT_ONCE {
        let keys = ListedKeys {
            client: call.session.client,
            pattern: pattern.map(Into::into),
            now: if env.ignore_expiry { 0 } else { env.now },
            max_bytes: env.max_reply,
        };
        if call.db.list_in_slices(keys) {
            return Ok(Done::Blocked(Box::new(Wait::for_answer())));
        }
    }
    let open = call.reply.open();
    let mut count = 0;
    let database = call.db.database();
    for entry in database.table().iter() {
        let shown =
            pattern.is_none_or(|pattern| glob::matches(pattern, entry.key)) && database.shows(entry.key);
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

    fn shows_type(&self, value: &EntryValue<'_, Value>) -> bool {
        self.type_name.is_none_or(|wanted| is_of_type(value, wanted))
    }
}

/// Whether a value is of the type of that name.
pub(super) fn is_of_type(value: &EntryValue<'_, Value>, wanted: &[u8]) -> bool {
    let name = match value {
        EntryValue::Object(value) => value.type_name(),
        EntryValue::Embedded(tag, _) => crate::value::embedded::type_name(*tag),
        EntryValue::Int(_) | EntryValue::Bytes(_) => "string",
    };
    wanted.eq_ignore_ascii_case(name.as_bytes())
}

/// With `lazyexpire-nested-arbitrary-keys no`, a command that looks at keys which it doesn't name leaves them where they are, if it is
/// in a transaction or script: their DELs could be of other slots than the unit.
pub(super) fn spare_expired_in_units(call: &mut Call<'_>) {
    if call.propagation.spares_expired_in_units && call.session.is(state::IN_EXEC | state::IN_SCRIPT) {
        call.db.env.retain_expired = true;
    }
}

pub(in crate::commands) fn scan(call: &mut Call<'_>) -> Outcome {
    spare_expired_in_units(call);
    let mut cursor = parse_cursor(call.args.at(1))?;
    let options = Options::parse(call.args)?;
    let env = call.db.env;
    let (mut shown, mut expired) = (Vec::new(), Vec::new());
    let (mut seen, mut steps) = (0, 0);
    let database = call.db.database();
    // A node of a cluster needn't look at other slots than the one of all that can match.
    let only = options.pattern.filter(|_| database.is_in_slot_order()).and_then(pattern_slot);
    loop {
        cursor = database.scan(cursor, only, |entry| {
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
        call.reply.bulk(database.table().key(at));
    }
    for key in expired {
        // The lookup deletes the expired key.
        call.db.lookup_silent(&key);
    }
    Ok(Done::Replied)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashMap};

    use crate::base::ids::ClientId;
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

    /// The keys of an array of bulk strings.
    fn listed(reply: &[u8]) -> Vec<String> {
        let text = String::from_utf8_lossy(reply);
        let mut lines = text.split("\r\n");
        let count =
            lines.next().and_then(|line| line.strip_prefix('*')?.parse::<usize>().ok()).expect("an array");
        let keys: Vec<String> =
            lines.filter(|line| !line.is_empty() && !line.starts_with('$')).map(String::from).collect();
        assert_eq!(keys.len(), count);
        keys
    }

    /// What has been posted to each client since this was last asked.
    fn posted(server: &mut TestServer) -> HashMap<ClientId, Vec<u8>> {
        let outbox = &mut server.engine.clients.outbox;
        let mut found: HashMap<_, Vec<u8>> = HashMap::new();
        outbox.iter().for_each(|(to, bytes)| found.entry(to).or_default().extend_from_slice(bytes));
        outbox.take_posts(|_, _| {});
        outbox.clear();
        found
    }

    #[test]
    fn keys_in_slices_answers_with_those_of_one_moment() {
        let mut server = TestServer::new();
        let (lister, second) = (server.connect(), server.connect());
        for n in 0..60_000 {
            server.run(&format!("SET key:{n} {n}"));
        }
        server.run("PEXPIRE key:7 1");
        server.run("PEXPIRE key:8 50");
        server.advance(10);
        let wanted: BTreeSet<String> = (0..60_000).filter(|n| *n != 7).map(|n| format!("key:{n}")).collect();
        server.engine.clock.set_reading_step(200_000);
        assert_eq!(server.run_as(lister, "KEYS *"), "(blocked)");
        assert_eq!(server.run_as(second, "KEYS *9999"), "(blocked)");
        let (mut turns, mut n) = (0, 0);
        let mut reply = Vec::new();
        while reply.is_empty() {
            assert!(turns < 10_000);
            turns += 1;
            // Keys that come, go, are replaced, renamed and come back meanwhile.
            for _ in 0..50 {
                n = (n + 7919) % 60_000;
                server.run(&format!("DEL key:{n}"));
                server.run(&format!("SET new:{n} {n}"));
                server.run(&format!("SET key:{} again", (n + 100) % 60_000));
                server.run(&format!("RENAME key:{} other:{n}", (n + 31) % 60_000));
                server.run(&format!("SADD back:{} a", n % 50));
                server.run(&format!("SREM back:{} a", n % 50));
            }
            server.advance(1);
            server.engine.tick();
            reply = posted(&mut server).remove(&lister).unwrap_or_default();
        }
        assert!(turns > 20, "{turns}");
        let keys = listed(&reply);
        assert_eq!(keys.len(), wanted.len());
        assert_eq!(keys.into_iter().collect::<BTreeSet<_>>(), wanted);
        // The other began at the same time, and goes on by itself; FLUSHALL has it end.
        assert!(server.engine.is_being_answered(second) && !server.engine.is_being_answered(lister));
        server.run("FLUSHALL");
        server.engine.tick();
        let keys = listed(&posted(&mut server)[&second]);
        assert_eq!(
            keys.into_iter().collect::<BTreeSet<_>>(),
            ["key:19999", "key:29999", "key:39999", "key:49999", "key:59999", "key:9999"]
                .map(String::from)
                .into()
        );
        assert_eq!(server.run_as(second, "KEYS *"), "[]");
    }

    #[test]
    fn keys_in_slices_ends_with_its_client() {
        let mut server = TestServer::new();
        for n in 0..20_000 {
            server.run(&format!("SET key:{n} {n}"));
        }
        let clients: Vec<_> = (0..5).map(|_| server.connect()).collect();
        for client in &clients[..4] {
            assert_eq!(server.run_as(*client, "KEYS *"), "(blocked)");
        }
        // No more than four wait at a time, and none where waiting isn't allowed.
        assert!(server.run_as(clients[4], "KEYS *").len() > 200_000);
        server.run("MULTI");
        server.run("KEYS key:1234?");
        assert!(server.run("EXEC").contains("key:12345"));
        let id = server.engine.clients.sessions.live(clients[0]).id;
        assert_eq!(server.run(&format!("CLIENT UNBLOCK {id}")), ":0");
        server.run(&format!("CLIENT KILL ID {id}"));
        server.engine.disconnect(clients[1]);
        let mut answers = Vec::new();
        while server.engine.sleep_ms() == 0 && answers.len() < 2 {
            server.advance(1);
            server.engine.tick();
            answers.extend(posted(&mut server).values().map(|reply| listed(reply).len()));
        }
        assert_eq!(answers, [20_000, 20_000]);
        assert_eq!(server.run_as(clients[2], "KEYS key:1234?"), "(blocked)");
        server.engine.tick();
        assert_eq!(listed(&posted(&mut server)[&clients[2]]).len(), 10);
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
