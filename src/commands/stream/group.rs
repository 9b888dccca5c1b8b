//! Consumer-group commands: XGROUP, XACK, XPENDING.

use crate::commands::stream::support::{
    self as parts, check_consumer, no_group, no_key_or_group, reply_id, subcommand_syntax,
};
use crate::commands::support::args::{self, is};
use crate::commands::support::options::OptionReader;
use crate::engine::{Call, Done, Outcome};
use crate::keyspace::{Typed, event};
use crate::resp::{CommandError, Reply};
use crate::value::stream::{self, Log, Pending, Stream, StreamId};

const NO_KEY: CommandError = CommandError::text(
    "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the \
     MKSTREAM option to create an empty stream automatically.",
);

/// The options of CREATE and SETID.
#[derive(Default)]
struct Options {
    mkstream: bool,
    entries_read: Option<u64>,
}

impl Options {
    fn parse(call: &Call<'_>, create: bool) -> Result<Options, CommandError> {
        let mut options = Options::default();
        let mut words = OptionReader::new(call.args, 5);
        while let Some(word) = words.next() {
            if create && is(word, "MKSTREAM") {
                options.mkstream = true;
            } else if is(word, "ENTRIESREAD") && words.remaining() > 0 {
                options.entries_read = match words.integer()? {
                    -1 => None,
                    read => Some(u64::try_from(read).map_err(|_| {
                        CommandError::text("ERR value for ENTRIESREAD must be positive or -1")
                    })?),
                };
            } else {
                return Err(subcommand_syntax(call));
            }
        }
        Ok(options)
    }
}

impl Options {
    /// No group can have been given more entries than there ever were.
    fn entries_read_of(&self, log: &Log) -> Option<u64> {
        self.entries_read.map(|read| read.min(log.entries_added()))
    }
}

pub(in crate::commands) fn xgroup_create(call: &mut Call<'_>) -> Outcome {
    let options = Options::parse(call, true)?;
    let (key, name) = (call.args.at(2), call.args.at(3));
    let last = call.db.edit::<Stream>(key)?.map(|edit| edit.peek().log.last_id());
    if last.is_none() && !options.mkstream {
        return Err(NO_KEY);
    }
    if call.args.len() > 8 {
        return Err(subcommand_syntax(call));
    }
    let id = match call.args.at(4) {
        b"$" => last.unwrap_or(StreamId::ZERO),
        id => parts::id(id)?,
    };
    let mut edit = call.db.edit_or_create::<Stream>(key)?;
    if edit.peek().groups.get(name).is_some() {
        return Err(CommandError::text("BUSYGROUP Consumer Group name already exists"));
    }
    let is_new = edit.is_new();
    let (stream, _, limits) = edit.parts();
    if is_new {
        stream.set_default_retention(limits.stream_retention());
    }
    let entries_read = options.entries_read_of(&stream.log);
    stream.groups.create(name, stream::Group::new(id, entries_read));
    if is_new {
        edit.finish(1, event::XGROUP_CREATE);
    } else {
        edit.finish_metadata(1, &[event::XGROUP_CREATE]);
    }
    call.reply.ok();
    Ok(Done::Replied)
}

pub(in crate::commands) fn xgroup_setid(call: &mut Call<'_>) -> Outcome {
    let options = Options::parse(call, false)?;
    let (key, name) = (call.args.at(2), call.args.at(3));
    let too_many = (call.args.len() > 7).then(|| subcommand_syntax(call));
    let mut edit = call.db.edit::<Stream>(key)?.ok_or(NO_KEY)?;
    if edit.peek().groups.get(name).is_none() {
        return Err(no_group(key, name));
    }
    if let Some(error) = too_many {
        return Err(error);
    }
    let id = match call.args.at(4) {
        b"$" => edit.peek().log.last_id(),
        id => parts::id_or_edge(id, 0)?,
    };
    let Stream { log, groups, .. } = edit.get();
    if let Some(group) = groups.get_mut(name) {
        group.set_position(id, options.entries_read_of(log));
    }
    edit.finish_metadata(1, &[event::XGROUP_SETID]);
    call.reply.ok();
    Ok(Done::Replied)
}

pub(in crate::commands) fn xgroup_destroy(call: &mut Call<'_>) -> Outcome {
    let (key, name) = (call.args.at(2), call.args.at(3));
    let mut edit = call.db.edit::<Stream>(key)?.ok_or(NO_KEY)?;
    let group = edit.get().groups.remove(name);
    // A change of the key, so that clients that wait for the group are tried again and get an error.
    edit.finish(usize::from(group.is_some()), event::XGROUP_DESTROY);
    call.reply.integer(i64::from(group.is_some()));
    if let Some(group) = group {
        let mut rest = Stream::new();
        rest.groups.create(name, group);
        call.db.lazy_free_value(rest.wrap());
    }
    Ok(Done::Replied)
}

pub(in crate::commands) fn xgroup_createconsumer(call: &mut Call<'_>) -> Outcome {
    let (key, name) = (call.args.at(2), call.args.at(3));
    let now = call.now() as i64;
    let mut edit = call.db.edit::<Stream>(key)?.ok_or(NO_KEY)?;
    let group = edit.peek().groups.get(name).ok_or_else(|| no_group(key, name))?;
    check_consumer(group, call.args.at(4))?;
    let group = edit.get().groups.get_mut(name);
    let created = group.is_some_and(|group| group.create_consumer(call.args.at(4), now).is_some());
    let events = [event::XGROUP_CREATECONSUMER];
    edit.finish_metadata(usize::from(created), if created { &events } else { &[] });
    call.reply.integer(i64::from(created));
    Ok(Done::Replied)
}

pub(in crate::commands) fn xgroup_delconsumer(call: &mut Call<'_>) -> Outcome {
    let (key, name) = (call.args.at(2), call.args.at(3));
    let mut edit = call.db.edit::<Stream>(key)?.ok_or(NO_KEY)?;
    if edit.peek().groups.get(name).is_none() {
        return Err(no_group(key, name));
    }
    let group = edit.get().groups.get_mut(name);
    let pending = group.and_then(|group| group.delete_consumer(call.args.at(4)));
    let events = [event::XGROUP_DELCONSUMER];
    let deleted = pending.is_some();
    edit.finish_metadata(usize::from(deleted), if deleted { &events } else { &[] });
    call.reply.count(pending.unwrap_or(0));
    Ok(Done::Replied)
}

pub(in crate::commands) fn xgroup_help(call: &mut Call<'_>) -> Outcome {
    call.reply.help(
        call.args.at(0),
        &[
            "CREATE <key> <groupname> <id|$> [option]",
            "    Create a new consumer group. Options are:",
            "    * MKSTREAM",
            "      Create the empty stream if it does not exist.",
            "    * ENTRIESREAD entries_read",
            "      Set the group's entries_read counter (internal use).",
            "CREATECONSUMER <key> <groupname> <consumer>",
            "    Create a new consumer in the specified group.",
            "DELCONSUMER <key> <groupname> <consumer>",
            "    Remove the specified consumer.",
            "DESTROY <key> <groupname>",
            "    Remove the specified group.",
            "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
            "    Set the current group ID and entries_read counter.",
        ],
    );
    Ok(Done::Replied)
}

pub(in crate::commands) fn xack(call: &mut Call<'_>) -> Outcome {
    let name = call.args.at(2);
    let ids = call.args.tail(3);
    // A lookup for reading: a missing key counts as a miss and is a `keymiss` event.
    let edit = match call.db.lookup_read(call.args.at(1)) {
        Some(_) => call.db.edit::<Stream>(call.args.at(1))?,
        None => None,
    };
    let Some(mut edit) = edit.filter(|edit| edit.peek().groups.get(name).is_some()) else {
        call.reply.integer(0);
        return Ok(Done::Replied);
    };
    // All ids are checked first: an invalid one must not leave others acknowledged.
    for id in ids.iter() {
        parts::id(id)?;
    }
    let mut acknowledged = 0;
    if let Some(group) = edit.get().groups.get_mut(name) {
        let is_pending = |id: &&[u8]| parts::id(id).is_ok_and(|id| group.acknowledge(id).is_some());
        acknowledged = ids.iter().filter(is_pending).count();
    }
    edit.finish_metadata(acknowledged, &[]);
    call.reply.count(acknowledged);
    Ok(Done::Replied)
}

/// The arguments of XPENDING with a range.
struct Filter<'a> {
    min_idle_ms: i64,
    start: StreamId,
    end: StreamId,
    count: usize,
    consumer: Option<&'a [u8]>,
}

impl<'a> Filter<'a> {
    fn parse(call: &Call<'a>) -> Result<Option<Self>, CommandError> {
        let args = call.args;
        if args.len() == 3 {
            return Ok(None);
        }
        if !(6..=9).contains(&args.len()) {
            return Err(CommandError::SYNTAX);
        }
        let (mut at, mut min_idle_ms) = (3, 0);
        if is(args.at(3), "IDLE") {
            min_idle_ms = args::integer(args.at(4))?;
            if args.len() < 8 {
                return Err(CommandError::SYNTAX);
            }
            at = 5;
        }
        let count = parts::count(args.at(at + 2))?;
        let (start, end) = (parts::range_start(args.at(at))?, parts::range_end(args.at(at + 1))?);
        Ok(Some(Filter { min_idle_ms, start, end, count, consumer: args.get(at + 3) }))
    }

    fn reply(&self, reply: &mut Reply, group: &stream::Group, now: i64) {
        let of_consumer = self.consumer.map(|name| group.find_consumer(name));
        let open = reply.open();
        let mut count = 0;
        let mut show = |(id, pending): (StreamId, &Pending)| {
            reply_pending(reply, group, id, pending, now);
            count += 1;
        };
        let wanted = |(id, pending): &(StreamId, &Pending)| {
            let idle = now.saturating_sub(pending.delivered_ms);
            *id <= self.end && (self.min_idle_ms == 0 || idle >= self.min_idle_ms)
        };
        let in_range = |(id, _): &(StreamId, &Pending)| *id <= self.end;
        match of_consumer {
            None => {
                let all = group.pending_from(self.start).take_while(in_range).filter(wanted);
                all.take(self.count).for_each(&mut show);
            }
            Some(Some(consumer)) => {
                let all = group.pending_with(consumer, self.start).take_while(in_range).filter(wanted);
                all.take(self.count).for_each(&mut show);
            }
            Some(None) => {}
        }
        reply.close_array(open, count);
    }
}

fn reply_pending(reply: &mut Reply, group: &stream::Group, id: StreamId, pending: &Pending, now: i64) {
    reply.array(4);
    reply_id(reply, id);
    reply.bulk(group.consumer(pending.consumer).map_or(b"", |consumer| consumer.name()));
    reply.integer(now.saturating_sub(pending.delivered_ms).max(0));
    reply.integer(pending.deliveries as i64);
}

/// Writes XPENDING's summary: the number of pending entries, the first and last id, the number per consumer.
fn reply_summary(reply: &mut Reply, group: &stream::Group) {
    reply.array(4);
    reply.count(group.pending_count());
    let mut pending = group.pending_from(StreamId::ZERO);
    let Some((first, _)) = pending.next() else {
        reply.null();
        reply.null();
        reply.null_array();
        return;
    };
    reply_id(reply, first);
    reply_id(reply, pending.next_back().map_or(first, |(last, _)| last));
    let busy = || group.consumers().filter(|(_, consumer)| consumer.pending_count() > 0);
    reply.array(busy().count());
    for (_, consumer) in busy() {
        reply.array(2);
        reply.bulk(consumer.name());
        reply.bulk_integer(consumer.pending_count() as i64);
    }
}

pub(in crate::commands) fn xpending(call: &mut Call<'_>) -> Outcome {
    let filter = Filter::parse(call)?;
    let (key, name) = (call.args.at(1), call.args.at(2));
    let now = call.now() as i64;
    let stream = call.db.read::<Stream>(key)?;
    let group = stream.and_then(|stream| stream.groups.get(name));
    let group = group.ok_or_else(|| no_key_or_group(key, name, ""))?;
    match filter {
        None => reply_summary(call.reply, group),
        Some(filter) => filter.reply(call.reply, group, now),
    }
    Ok(Done::Replied)
}

#[cfg(test)]
#[path = "group_tests.rs"]
mod tests;
