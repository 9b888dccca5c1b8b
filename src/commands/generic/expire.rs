//! Key expiration commands: EXPIRE, TTL and their kin, PERSIST.
//!
//! Every deadline is stored and propagated as a Unix time in milliseconds.

use crate::commands::string::already_expired;
use crate::commands::support::args::{self, is};
use crate::engine::{Call, Done, Outcome};
use crate::keyspace::event;
use crate::resp::{Args, CommandError};

/// The conditions of EXPIRE: NX, XX, GT, LT.
#[derive(Clone, Copy, Debug, Default)]
struct Conditions {
    none_yet: bool,
    one_already: bool,
    later: bool,
    earlier: bool,
}

impl Conditions {
    fn parse(args: Args<'_>) -> Result<Conditions, CommandError> {
        let mut conditions = Conditions::default();
        for word in args.iter().skip(3) {
            if is(word, "NX") {
                conditions.none_yet = true;
            } else if is(word, "XX") {
                conditions.one_already = true;
            } else if is(word, "GT") {
                conditions.later = true;
            } else if is(word, "LT") {
                conditions.earlier = true;
            } else {
                return Err(CommandError::new(
                    [b"ERR Unsupported option ", CommandError::quotable(word, usize::MAX)].concat(),
                ));
            }
        }
        let Conditions { none_yet, one_already, later, earlier } = conditions;
        if none_yet && (one_already || later || earlier) {
            return Err(CommandError::text(
                "ERR NX and XX, GT or LT options at the same time are not compatible",
            ));
        }
        if later && earlier {
            return Err(CommandError::text("ERR GT and LT options at the same time are not compatible"));
        }
        Ok(conditions)
    }

    /// Whether a key with deadline `current` gets deadline `new`; no deadline counts as infinitely late.
    fn met(self, current: Option<u64>, new: i64) -> bool {
        let current = current.map(|deadline| deadline as i64);
        !(self.none_yet && current.is_some()
            || self.one_already && current.is_none()
            || self.later && current.is_none_or(|current| new <= current)
            || self.earlier && current.is_some_and(|current| new >= current))
    }
}

pub(in crate::commands) fn expire(call: &mut Call<'_>) -> Outcome {
    let now = call.now();
    expire_at(call, now, 1000)
}

pub(in crate::commands) fn pexpire(call: &mut Call<'_>) -> Outcome {
    let now = call.now();
    expire_at(call, now, 1)
}

pub(in crate::commands) fn expireat(call: &mut Call<'_>) -> Outcome {
    expire_at(call, 0, 1000)
}

pub(in crate::commands) fn pexpireat(call: &mut Call<'_>) -> Outcome {
    expire_at(call, 0, 1)
}

/// Sets the deadline: the argument times `scale` plus `base` (Unix ms).
fn expire_at(call: &mut Call<'_>, base: u64, scale: i64) -> Outcome {
    let key = call.args.at(1);
    let conditions = Conditions::parse(call.args)?;
    let amount = args::integer(call.args.at(2))?;
    let deadline = amount.checked_mul(scale).and_then(|amount| amount.checked_add(base as i64));
    let deadline = deadline.ok_or_else(|| CommandError::invalid_expire(call.name))?;
    let at = call.db.lookup_write(key);
    let Some(at) = at.filter(|at| conditions.met(call.db.deadline(*at), deadline)) else {
        call.reply.integer(0);
        return Ok(Done::Replied);
    };
    // A deadline before 1970 is stored as 0.
    let stored = deadline.max(0) as u64;
    if already_expired(call, stored) {
        call.db.remove_overdue(key);
        call.propagation.rewrite_as_expired(key);
    } else {
        call.db.set_deadline(key, at, Some(stored), event::EXPIRE);
        if base != 0 || scale != 1 {
            let mut digits = itoa::Buffer::new();
            let words = [b"PEXPIREAT".as_slice(), key, digits.format(deadline).as_bytes()];
            call.propagation.rewrite_as(words.into_iter().chain(call.args.iter().skip(3)));
        }
    }
    call.reply.integer(1);
    Ok(Done::Replied)
}

pub(in crate::commands) fn ttl(call: &mut Call<'_>) -> Outcome {
    reply_deadline(call, |deadline, now| to_seconds(deadline.saturating_sub(now)))
}

pub(in crate::commands) fn pttl(call: &mut Call<'_>) -> Outcome {
    reply_deadline(call, u64::saturating_sub)
}

pub(in crate::commands) fn expiretime(call: &mut Call<'_>) -> Outcome {
    reply_deadline(call, |deadline, _| to_seconds(deadline))
}

pub(in crate::commands) fn pexpiretime(call: &mut Call<'_>) -> Outcome {
    reply_deadline(call, |deadline, _| deadline)
}

fn to_seconds(ms: u64) -> u64 {
    ms.saturating_add(500) / 1000
}

fn reply_deadline(call: &mut Call<'_>, show: fn(u64, u64) -> u64) -> Outcome {
    let now = call.now();
    let answer = match call.db.lookup_no_touch(call.args.at(1)) {
        None => -2,
        Some(at) => call.db.deadline(at).map_or(-1, |deadline| show(deadline, now) as i64),
    };
    call.reply.integer(answer);
    Ok(Done::Replied)
}

pub(in crate::commands) fn persist(call: &mut Call<'_>) -> Outcome {
    let key = call.args.at(1);
    let at = call.db.lookup_write(key).filter(|at| call.db.deadline(*at).is_some());
    if let Some(at) = at {
        call.db.set_deadline(key, at, None, event::PERSIST);
    }
    call.reply.integer(i64::from(at.is_some()));
    Ok(Done::Replied)
}

#[cfg(test)]
mod tests {
    use crate::commands::support::testing::{START_MS, TestServer};

    #[test]
    fn times_to_live() {
        let mut server = TestServer::new();
        let in_50_s = START_MS / 1000 + 50;
        server.script(&format!(
            r#"
            TTL a => :-2
            EXPIRE a 10 => :0
            SET a 1
            TTL a => :-1
            PTTL a => :-1
            EXPIRETIME a => :-1
            PERSIST a => :0
            EXPIRE a 10 => :1
            TTL a => :10
            PEXPIRE a 1499 => :1
            TTL a => :1
            PTTL a => :1499
            EXPIREAT a {in_50_s} => :1
            EXPIRETIME a => :{in_50_s}
            PEXPIREAT a {in_50_s}501 => :1
            PEXPIRETIME a => :{in_50_s}501
            EXPIRETIME a => :{}
            PERSIST a => :1
            PERSIST none => :0
            EXPIRE a x => -ERR value is not an integer or out of range
            EXPIRE a 9223372036854775807 => -ERR invalid expire time in 'expire' command
            EXPIRE a -9223372036854775808 => -ERR invalid expire time in 'expire' command
            PEXPIRE a 9223372036854775807 => -ERR invalid expire time in 'pexpire' command
            EXPIREAT a 9223372036854776 => -ERR invalid expire time in 'expireat' command
            PEXPIREAT a 9223372036854775807 => :1
            PTTL a => :{}
            "#,
            in_50_s + 1,
            i64::MAX as u64 - START_MS,
        ));
        server.script("EXPIRE a -1 => :1\n EXISTS a => :0");
    }

    #[test]
    fn conditions() {
        let mut server = TestServer::new();
        server.script(
            r#"
            SET a 1
            EXPIRE a 10 XX => :0
            EXPIRE a 10 GT => :0
            EXPIRE a 10 NX => :1
            EXPIRE a 20 NX => :0
            EXPIRE a 20 LT => :0
            EXPIRE a 10 GT => :0
            EXPIRE a 20 xx gt => :1
            EXPIRE a 15 LT => :1
            EXPIRE a 20 XX LT => :0
            TTL a => :15
            PERSIST a => :1
            EXPIRE a 7 LT => :1
            EXPIRE a 1 NX XX => -ERR NX and XX, GT or LT options at the same time are not compatible
            EXPIRE a 1 NX LT => -ERR NX and XX, GT or LT options at the same time are not compatible
            EXPIRE a 1 LT GT => -ERR GT and LT options at the same time are not compatible
            EXPIRE a 1 AB => -ERR Unsupported option AB
            EXPIRE none 1 AB => -ERR Unsupported option AB
            "#,
        );
    }

    #[test]
    fn events_and_feed() {
        let mut server = TestServer::new();
        server.notify("KEA");
        server.propagate();
        server.script("SET a 1\n EXPIRE a 10 NX => :1\n PERSIST a => :1\n PEXPIREAT a 5 => :1");
        assert_eq!(server.events(), "set a; expire a; persist a; del a");
        let later = START_MS + 10_000;
        assert_eq!(server.propagated(), format!("SET a 1; PEXPIREAT a {later} NX; PERSIST a; DEL a"));
    }

    #[test]
    fn no_key_expires_in_import_mode() {
        let config = crate::services::config::Config { import_mode: true, ..Default::default() };
        let mut server = TestServer::with(config);
        server.script("SET a 1 PX 10\n SET b 1\n PEXPIREAT b 5 => :1");
        server.advance(20);
        server.engine.tick();
        server.script("GET a => nil\n TTL a => :-2\n DBSIZE => :2\n KEYS * => []");
        server.script("CLIENT IMPORT-SOURCE ON\n TTL a => :0\n INCR a => :2\n COPY b c => :1");
        server.script("SCAN 0 MATCH a => [\"0\" [\"a\"]]\n CLIENT IMPORT-SOURCE OFF\n EXISTS a b c => :0");
    }

    #[test]
    fn keys_expire_at_their_deadline() {
        let mut server = TestServer::new();
        server.notify("KEA");
        server.propagate();
        server.script("SET a 1 PX 100\n SET b 1 PX 100\n SET c 1 PX 1000");
        server.advance(100);
        server.script("GET a => \"1\"");
        server.events();
        server.propagated();
        server.advance(1);
        server.script("GET a => nil\n DBSIZE => :2");
        server.engine.tick();
        server.script("DBSIZE => :1");
        assert_eq!(server.events(), "expired a; expired b");
        assert_eq!(server.propagated(), "DEL a; DEL b");
    }
}
