//! XCLAIM and XAUTOCLAIM: pending entries go from one consumer to another.

use crate::base::number;
use crate::commands::stream::support::{
    self as parts, GroupName, check_consumer, consumer_of, no_key_or_group, reply_entry_of, reply_id,
};
use crate::commands::support::args::is;
use crate::commands::support::options::OptionReader;
use crate::engine::{Call, Done, Outcome, Propagation};
use crate::keyspace::event;
use crate::resp::{Args, CommandError, Reply};
use crate::value::stream::{self, Claim, ClaimRequest, ConsumerId, Log, Stream, StreamId};

fn min_idle(arg: &[u8], error: &'static str) -> Result<i64, CommandError> {
    let idle = number::parse_i64(arg).ok_or(CommandError::text(error))?;
    // 0 accepts any entry, even one with its last delivery in the future.
    Ok(if idle <= 0 { i64::MIN } else { idle })
}

/// The options of XCLAIM.
struct Options<'a> {
    min_idle_ms: i64,
    ids: Args<'a>,
    id_count: usize,
    delivered_ms: i64,
    deliveries: Option<u64>,
    force: bool,
    just_id: bool,
    last_id: StreamId,
}

impl<'a> Options<'a> {
    fn parse(call: &Call<'a>) -> Result<Self, CommandError> {
        let args = call.args;
        let now = call.now() as i64;
        let ids = args.tail(5);
        let mut options = Options {
            min_idle_ms: min_idle(args.at(4), "ERR Invalid min-idle-time argument for XCLAIM")?,
            ids,
            id_count: ids.iter().take_while(|id| parts::id(id).is_ok()).count(),
            delivered_ms: now,
            deliveries: None,
            force: false,
            just_id: false,
            last_id: StreamId::ZERO,
        };
        let mut words = OptionReader::new(args, 5 + options.id_count);
        while let Some(word) = words.next() {
            if is(word, "FORCE") {
                options.force = true;
            } else if is(word, "JUSTID") {
                options.just_id = true;
            } else {
                let value = words.next().ok_or_else(|| unrecognized(word))?;
                options.take_valued(word, value, now)?;
            }
        }
        // A client computes TIME from its own clock, which may differ: a time in the future, or negative, is now.
        if !(0..=now).contains(&options.delivered_ms) {
            options.delivered_ms = now;
        }
        Ok(options)
    }

    fn take_valued(&mut self, word: &[u8], value: &[u8], now: i64) -> Result<(), CommandError> {
        let integer = |option: &str| {
            let error = || CommandError::new(format!("ERR Invalid {option} option argument for XCLAIM"));
            number::parse_i64(value).ok_or_else(error)
        };
        if is(word, "IDLE") {
            self.delivered_ms = now.saturating_sub(integer("IDLE")?);
        } else if is(word, "TIME") {
            self.delivered_ms = integer("TIME")?;
        } else if is(word, "RETRYCOUNT") {
            self.deliveries = u64::try_from(integer("RETRYCOUNT")?).ok();
        } else if is(word, "LASTID") {
            self.last_id = parts::id(value)?;
        } else {
            return Err(unrecognized(word));
        }
        Ok(())
    }

    fn request(&self, consumer: ConsumerId, now_ms: i64) -> ClaimRequest {
        ClaimRequest {
            consumer,
            now_ms,
            min_idle_ms: self.min_idle_ms,
            delivered_ms: self.delivered_ms,
            deliveries: self.deliveries,
            just_id: self.just_id,
            force: self.force,
        }
    }
}

fn unrecognized(option: &[u8]) -> CommandError {
    CommandError::new([b"ERR Unrecognized XCLAIM option '", option, b"'"].concat())
}

/// A claim in progress: the reply, the group and the log.
struct Claiming<'c> {
    reply: &'c mut Reply,
    propagation: &'c mut Propagation,
    log: &'c Log,
    group: &'c mut stream::Group,
    name: GroupName<'c>,
    /// An entry was claimed, and the XCLAIM that is propagated for it makes the consumer.
    made_consumer: bool,
}

impl Claiming<'_> {
    /// Claims the entries XCLAIM names; returns how many pending entries changed.
    fn claim(&mut self, options: &Options<'_>, request: &ClaimRequest) -> usize {
        let open = self.reply.open();
        let (mut claimed, mut changes) = (0, 0);
        for word in options.ids.iter().take(options.id_count) {
            let Ok(id) = parts::id(word) else { continue };
            match self.group.claim(self.log, id, request) {
                Claim::Claimed => {
                    self.reply_claimed(id, request.just_id);
                    self.propagate(id, word);
                    claimed += 1;
                }
                Claim::Gone(pending) => {
                    self.name.propagate_pending(self.propagation, self.group, word, &pending)
                }
                Claim::Left => continue,
            }
            changes += 1;
        }
        self.reply.close_array(open, claimed);
        changes
    }

    /// Claims the entries XAUTOCLAIM finds; returns how many pending entries changed.
    fn autoclaim(&mut self, start: StreamId, count: usize, request: &ClaimRequest) -> usize {
        let found = self.group.autoclaim(self.log, start, count, count * ATTEMPTS, request);
        self.reply.array(3);
        reply_id(self.reply, found.next);
        self.reply.array(found.claimed.len());
        for id in &found.claimed {
            self.reply_claimed(*id, request.just_id);
            self.propagate(*id, id.to_text().as_ref());
        }
        self.reply.array(found.gone.len());
        for (id, pending) in &found.gone {
            reply_id(self.reply, *id);
            self.name.propagate_pending(self.propagation, self.group, id.to_text().as_ref(), pending);
        }
        found.claimed.len() + found.gone.len()
    }

    fn reply_claimed(&mut self, id: StreamId, just_id: bool) {
        if just_id {
            reply_id(self.reply, id);
        } else {
            reply_entry_of(self.reply, self.log, id);
        }
    }

    fn propagate(&mut self, id: StreamId, word: &[u8]) {
        self.made_consumer = true;
        if self.propagation.has_consumers()
            && let Some(pending) = self.group.pending(id)
        {
            self.name.propagate_pending(self.propagation, self.group, word, pending);
        }
    }
}

fn has_group(call: &mut Call<'_>) -> Result<(), CommandError> {
    let (key, name) = (call.args.at(1), call.args.at(2));
    let stream = call.db.read::<Stream>(key)?;
    if stream.is_some_and(|stream| stream.groups.get(name).is_some()) {
        Ok(())
    } else {
        Err(no_key_or_group(key, name, ""))
    }
}

/// Calls `claim` with the consumer that the request names, which is created if it doesn't exist; `claim` returns
/// how many pending entries it changed.
fn with_consumer(call: &mut Call<'_>, claim: impl FnOnce(&mut Claiming<'_>, ConsumerId) -> usize) -> Outcome {
    let (key, group_name, now) = (call.args.at(1), call.args.at(2), call.now() as i64);
    // What is propagated is what became of each entry.
    call.propagation.suppress();
    let Some(mut edit) = call.db.edit::<Stream>(key)? else {
        return Err(no_key_or_group(key, group_name, ""));
    };
    if let Some(group) = edit.peek().groups.get(group_name) {
        check_consumer(group, call.args.at(3))?;
    }
    let Stream { log, groups, .. } = edit.get();
    let (mut changes, mut is_new) = (0, false);
    if let Some(group) = groups.get_mut(group_name) {
        let consumer;
        (consumer, is_new) = consumer_of(group, call.args.at(3), now);
        let name = GroupName { key, group: group_name };
        let mut claiming = Claiming {
            reply: call.reply,
            propagation: call.propagation,
            log,
            group,
            name,
            made_consumer: false,
        };
        changes = usize::from(is_new) + claim(&mut claiming, consumer);
        if is_new && !claiming.made_consumer {
            name.propagate_consumer(claiming.propagation, call.args.at(3));
        }
    }
    let events = [event::XGROUP_CREATECONSUMER];
    edit.finish_metadata(changes, if is_new { &events } else { &[] });
    Ok(Done::Replied)
}

pub(in crate::commands) fn xclaim(call: &mut Call<'_>) -> Outcome {
    has_group(call)?;
    let options = Options::parse(call)?;
    let now = call.now() as i64;
    with_consumer(call, |claiming, consumer| {
        let moves = options.last_id > claiming.group.last_delivered();
        if moves {
            claiming.group.set_position(options.last_id, claiming.group.entries_read());
        }
        let changes = claiming.claim(&options, &options.request(consumer, now));
        // Each propagated XCLAIM has the group's position (LASTID); without one it needs an XGROUP SETID.
        if moves && changes == 0 {
            claiming.name.propagate_position(claiming.propagation, claiming.group);
        }
        changes + usize::from(moves && changes == 0)
    })
}

/// How many entries XAUTOCLAIM examines for each that it may claim.
const ATTEMPTS: usize = 10;

pub(in crate::commands) fn xautoclaim(call: &mut Call<'_>) -> Outcome {
    let args = call.args;
    // Redis looks the key up first, but replies with an error of the options first.
    let group = has_group(call);
    let min_idle_ms = min_idle(args.at(4), "ERR Invalid min-idle-time argument for XAUTOCLAIM")?;
    let start = parts::range_start(args.at(5))?;
    let (mut count, mut just_id) = (100, false);
    let mut options = OptionReader::new(args, 6);
    while let Some(word) = options.next() {
        if is(word, "COUNT") {
            const ERROR: &str = "ERR COUNT must be > 0";
            count = options.at_least(1, ERROR)?;
            if count > i64::MAX as usize / size_of::<StreamId>() {
                return Err(CommandError::text(ERROR));
            }
        } else if is(word, "JUSTID") {
            just_id = true;
        } else {
            return Err(CommandError::SYNTAX);
        }
    }
    group?;
    let now_ms = call.now() as i64;
    with_consumer(call, |claiming, consumer| {
        let request = ClaimRequest {
            consumer,
            now_ms,
            min_idle_ms,
            delivered_ms: now_ms,
            deliveries: None,
            just_id,
            force: false,
        };
        claiming.autoclaim(start, count, &request)
    })
}

#[cfg(test)]
#[path = "claim_tests.rs"]
mod tests;
