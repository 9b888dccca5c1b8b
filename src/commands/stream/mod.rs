//! Stream commands on entries: XADD, XTRIM, XDEL, XLEN, XSETID, XRANGE, XREVRANGE.
//!
//! XREAD and XREADGROUP are in `read`, consumer groups in `group` and `claim`, deletion that minds groups in `delete`, and requests that
//! are appended once in `idempotency`.

mod claim;
mod delete;
mod group;
mod idempotency;
mod info;
mod read;
pub mod specs;
mod support;

use crate::commands::support::args::{self, is};
use crate::commands::support::options::OptionReader;
use crate::engine::clients::session::Role;
use crate::engine::{Call, Done, Outcome};
use crate::keyspace::event;
use crate::resp::CommandError;
use crate::value::stream::{
    AppendError, Log, NewId, PartialId, References, Stream, StreamId, Trim, TrimTo, Trimmed,
};
use idempotency::Request;
use support::{self as parts, reply_entries, reply_id};

/// The options of XADD and XTRIM, and XADD's id.
struct Options<'a> {
    trim: Option<Trim>,
    references: References,
    /// The producer whose request XADD's is.
    producer: Option<Request<'a>>,
    /// The index of the trim's threshold.
    threshold_at: usize,
    nomkstream: bool,
    /// The index of XADD's id; the end of the request for XTRIM.
    id_at: usize,
    /// XADD's id; `None` is `*`.
    id: Option<PartialId>,
}

/// The options of a trim, before it is checked whether they exclude each other.
#[derive(Default)]
struct Wanted {
    to: Option<TrimTo>,
    approximate: bool,
    threshold_at: usize,
    limit: Option<i64>,
}

impl Wanted {
    /// Parses the arguments of `word`, which is MAXLEN or MINID.
    fn threshold(&mut self, word: &[u8], words: &mut OptionReader<'_>) -> Result<(), CommandError> {
        const BOTH: CommandError = CommandError::text(
            "ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
        );
        if self.to.is_some() {
            return Err(BOTH);
        }
        let mut threshold = words.value()?;
        self.approximate = false;
        if words.remaining() > 0 && matches!(threshold, b"~" | b"=") {
            self.approximate = threshold == b"~";
            threshold = words.value()?;
        }
        self.to = Some(if is(word, "MAXLEN") {
            let len = args::integer(threshold)?;
            let len = u64::try_from(len)
                .map_err(|_| CommandError::text("ERR The MAXLEN argument must be >= 0."))?;
            TrimTo::Len(len)
        } else {
            TrimTo::MinId(parts::id(threshold)?)
        });
        self.threshold_at = words.index() - 1;
        Ok(())
    }

    /// The trim, if there is one. `obeys`: the request comes from a log or a primary, where the threshold is the
    /// result of an approximate trim, and a limit has no effect.
    fn trim(&self, obeys: bool, node_entries: usize) -> Result<Option<Trim>, CommandError> {
        let Some(to) = self.to else {
            return match self.limit {
                None | Some(0) => Ok(None),
                Some(_) => Err(CommandError::text(
                    "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy",
                )),
            };
        };
        let limit = match self.limit {
            _ if obeys => 0,
            Some(_) if !self.approximate => {
                return Err(CommandError::text(
                    "ERR syntax error, LIMIT cannot be used without the special ~ option",
                ));
            }
            Some(limit) => limit as u64,
            None if self.approximate => default_limit(node_entries),
            None => 0,
        };
        Ok(Some(Trim { to, approximate: self.approximate, limit }))
    }
}

/// The most entries an approximate trim removes without a LIMIT: those of a hundred nodes.
fn default_limit(node_entries: usize) -> u64 {
    match node_entries.saturating_mul(100) {
        0 => 10_000,
        limit => limit.min(1_000_000) as u64,
    }
}

impl<'a> Options<'a> {
    fn parse(call: &Call<'a>, xadd: bool) -> Result<Self, CommandError> {
        let mut wanted = Wanted::default();
        let (mut references, mut producer) = (None, None);
        let obeys = call.session.role != Role::Normal;
        let (mut nomkstream, mut id) = (false, None);
        let mut words = OptionReader::new(call.args, 2);
        while let Some(word) = words.next() {
            // As the last word, XADD takes the name of an option for the id.
            let more = words.remaining() > 0;
            if xadd && word == b"*" {
                break;
            } else if more && (is(word, "MAXLEN") || is(word, "MINID")) {
                wanted.threshold(word, &mut words)?;
            } else if more && is(word, "LIMIT") {
                let limit = words.integer()?;
                if limit < 0 {
                    return Err(CommandError::text("ERR The LIMIT argument must be >= 0."));
                }
                wanted.limit = Some(limit);
            } else if references.is_none()
                && let Some(given) = delete::references(word)
            {
                references = Some(given);
            } else if xadd && is(word, "NOMKSTREAM") {
                nomkstream = true;
            } else if xadd && more && is(word, "IDMPAUTO") {
                producer = Some(Request::parse_auto(producer.is_some(), &mut words)?);
            } else if xadd && words.remaining() > 1 && is(word, "IDMP") {
                producer = Some(Request::parse(producer.is_some(), &mut words)?);
            } else if xadd {
                id = Some(parts::partial_id(word)?);
                if producer.is_some() && !obeys {
                    return Err(idempotency::NEEDS_AUTO_ID);
                }
                break;
            } else {
                return Err(CommandError::SYNTAX);
            }
        }
        if xadd && wanted.to.is_none() && wanted.limit == Some(0) {
            return Err(CommandError::text(
                "ERR syntax error, LIMIT cannot be used without the special ~ option",
            ));
        }
        let trim = wanted.trim(obeys, call.db.env.limits.stream_node_max_entries)?;
        // The id is the last word that was read; without one, XADD has no fields either and is of wrong arity.
        let id_at = words.index() - 1;
        let references = references.unwrap_or_default();
        let threshold_at = wanted.threshold_at;
        Ok(Options { trim, references, producer, threshold_at, nomkstream, id_at, id })
    }

    /// Propagates the request with the id that came of it, and what an approximate trim came to: the same entries
    /// have to be left elsewhere.
    #[cold]
    fn propagate(&self, call: &mut Call<'a>, id: Option<StreamId>, left: &Left) {
        let args = call.args;
        let id = id.map(StreamId::to_text);
        let approximate = self.trim.is_some_and(|trim| trim.approximate);
        let mut digits = itoa::Buffer::new();
        let least = left.first_id.to_text();
        let cut_at = left.cut_at.map(StreamId::to_text);
        let threshold = match (self.trim.map(|trim| trim.to), &cut_at) {
            // How many are left depends on what groups refer to; up to where entries were looked at doesn't.
            (_, Some(cut_at)) => cut_at.as_ref(),
            // It was exact.
            _ if self.references != References::Keep => args.at(self.threshold_at),
            (Some(TrimTo::MinId(_)), None) => least.as_ref(),
            _ => digits.format(left.len).as_bytes(),
        };
        call.propagation.rewrite_as(args.iter().enumerate().map(|(at, arg)| match &id {
            Some(id) if at == self.id_at => id.as_ref(),
            _ if cut_at.is_some() && at + 2 == self.threshold_at => b"MINID",
            _ if approximate && at + 1 == self.threshold_at => b"=",
            _ if approximate && at == self.threshold_at => threshold,
            _ => arg,
        }));
    }
}

/// The state of a log after a trim.
struct Left {
    len: usize,
    first_id: StreamId,
    /// See [`Trimmed::cut_at`].
    cut_at: Option<StreamId>,
}

impl Left {
    fn of(log: &Log, trimmed: &Trimmed) -> Self {
        let first_id = if log.is_empty() { StreamId::MAX } else { log.first_id() };
        Left { len: log.len(), first_id, cut_at: trimmed.cut_at }
    }
}

fn xadd(call: &mut Call<'_>) -> Outcome {
    let options = Options::parse(call, true)?;
    let args = call.args;
    let first_field = options.id_at + 1;
    let words = args.len().saturating_sub(first_field);
    if words < 2 || words % 2 == 1 {
        return Err(CommandError::wrong_arity(call.name));
    }
    let new_id = match options.id {
        None => NewId::Auto(call.now()),
        Some(PartialId::AutoSequence(ms)) => NewId::AutoSequence(ms),
        Some(PartialId::Time(ms)) => NewId::Exact(StreamId::new(ms, 0)),
        Some(PartialId::Full(id)) => NewId::Exact(id),
    };
    if new_id == NewId::Exact(StreamId::ZERO) {
        return Err(CommandError::text("ERR The ID specified in XADD must be greater than 0-0"));
    }
    let key = args.at(1);
    let (role, now) = (call.session.role, call.now());
    let mut edit = if options.nomkstream {
        let Some(edit) = call.db.edit::<Stream>(key)? else {
            call.reply.null();
            return Ok(Done::Replied);
        };
        edit
    } else {
        call.db.edit_or_create::<Stream>(key)?
    };
    let request = options.producer.as_ref().map(|producer| producer.identified(args, first_field));
    if let Some(request) = &request
        && let Some(seen) = request.seen(&mut edit, &options, role, now)
    {
        edit.finish_metadata(1, &[]);
        return replied_before(call, &options, seen);
    }
    if edit.peek().log.last_id() == StreamId::MAX {
        edit.finish(0, event::XADD);
        return Err(CommandError::text(
            "ERR The stream has exhausted the last possible ID, unable to add more items",
        ));
    }
    let fields = (0..words / 2).map(|i| (args.at(first_field + 2 * i), args.at(first_field + 2 * i + 1)));
    let is_new = edit.is_new();
    let (stream, _, limits) = edit.parts();
    if is_new {
        stream.set_default_retention(limits.stream_retention());
    }
    let id = match stream.log.append(new_id, fields, limits) {
        Ok(id) => id,
        Err(error) => {
            edit.finish(0, event::XADD);
            return Err(not_appended(error));
        }
    };
    if let Some(request) = &request {
        request.record(stream, id, limits);
    }
    let trimmed = options.trim.map_or(Trimmed::default(), |trim| stream.trim(trim, options.references));
    let left = Left::of(&stream.log, &trimmed);
    let events = [event::XADD, event::XTRIM];
    edit.finish_with_events(1, if trimmed.removed > 0 { &events } else { &events[..1] });
    reply_id(call.reply, id);
    let complete = matches!(options.id, Some(PartialId::Full(_) | PartialId::Time(_)));
    if call.propagation.has_consumers() && (!complete || options.trim.is_some_and(|trim| trim.approximate)) {
        options.propagate(call, (!complete).then_some(id), &left);
    }
    Ok(Done::Replied)
}

/// Replies to a request that was appended before; `seen` is the entry's id, unless only the primary knows it.
#[cold]
fn replied_before(call: &mut Call<'_>, options: &Options<'_>, seen: Option<StreamId>) -> Outcome {
    match seen {
        Some(id) => reply_id(call.reply, id),
        None => call.reply.null(),
    }
    // With the id of the entry it is the same request elsewhere, whatever has expired there.
    if let Some(id) = seen.filter(|_| call.propagation.has_consumers()) {
        let (args, id) = (call.args, id.to_text());
        let words = args.iter().enumerate();
        let words = words.map(|(at, arg)| if at == options.id_at { id.as_ref() } else { arg });
        call.propagation.rewrite_as(words);
    }
    Ok(Done::Replied)
}

fn not_appended(error: AppendError) -> CommandError {
    CommandError::text(match error {
        AppendError::NotAbove => {
            "ERR The ID specified in XADD is equal or smaller than the target stream top item"
        }
        AppendError::TooLarge => "ERR Elements are too large to be stored",
    })
}

fn xtrim(call: &mut Call<'_>) -> Outcome {
    const NO_STRATEGY: CommandError =
        CommandError::text("ERR syntax error, XTRIM must be called with a trimming strategy");
    let options = Options::parse(call, false)?;
    let trim = options.trim.ok_or(NO_STRATEGY)?;
    let key = call.args.at(1);
    let Some(mut edit) = call.db.edit::<Stream>(key)? else {
        call.reply.integer(0);
        return Ok(Done::Replied);
    };
    let stream = edit.get();
    let trimmed = stream.trim(trim, options.references);
    let left = Left::of(&stream.log, &trimmed);
    edit.finish(trimmed.removed, event::XTRIM);
    call.reply.count(trimmed.removed);
    if trim.approximate && call.propagation.has_consumers() {
        options.propagate(call, None, &left);
    }
    Ok(Done::Replied)
}

fn xdel(call: &mut Call<'_>) -> Outcome {
    let ids = call.args.tail(2);
    let Some(mut edit) = call.db.edit::<Stream>(call.args.at(1))? else {
        call.reply.integer(0);
        return Ok(Done::Replied);
    };
    // All ids are checked first: an invalid one must not leave others deleted.
    for id in ids.iter() {
        parts::id(id)?;
    }
    let log = &mut edit.get().log;
    let deleted = ids.iter().filter(|id| parts::id(id).is_ok_and(|id| log.delete(id))).count();
    edit.finish(deleted, event::XDEL);
    call.reply.count(deleted);
    Ok(Done::Replied)
}

fn xlen(call: &mut Call<'_>) -> Outcome {
    let stream = call.db.read::<Stream>(call.args.at(1))?;
    call.reply.count(stream.map_or(0, Stream::len));
    Ok(Done::Replied)
}

fn xsetid(call: &mut Call<'_>) -> Outcome {
    let args = call.args;
    let id = parts::id(args.at(2))?;
    let (mut added, mut max_deleted) = (None, None);
    let mut options = OptionReader::new(args, 3);
    while let Some(word) = options.next() {
        if is(word, "ENTRIESADDED") {
            let positive = u64::try_from(options.integer()?);
            added = Some(positive.map_err(|_| CommandError::text("ERR entries_added must be positive"))?);
        } else if is(word, "MAXDELETEDID") {
            let given = parts::id(options.value()?)?;
            if id < given {
                return Err(CommandError::text(
                    "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
                ));
            }
            max_deleted = Some(given).filter(|id| *id != StreamId::ZERO);
        } else {
            return Err(CommandError::SYNTAX);
        }
    }
    let mut edit = call.db.edit::<Stream>(args.at(1))?.ok_or(CommandError::NO_SUCH_KEY)?;
    check_new_last_id(&edit.peek().log, id, added)?;
    edit.get().log.set_ids(id, added, max_deleted);
    edit.finish_metadata(1, &[event::XSETID]);
    call.reply.ok();
    Ok(Done::Replied)
}

/// Checks that the last id and count of XSETID agree with the entries of the log.
fn check_new_last_id(log: &Log, id: StreamId, added: Option<u64>) -> Result<(), CommandError> {
    if id < log.max_deleted_id() {
        return Err(CommandError::text(
            "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id",
        ));
    }
    if log.last_entry_id().is_some_and(|last| id < last) {
        return Err(CommandError::text(
            "ERR The ID specified in XSETID is smaller than the target stream top item",
        ));
    }
    if added.is_some_and(|added| (log.len() as u64) > added) {
        return Err(CommandError::text(
            "ERR The entries_added specified in XSETID is smaller than the target stream length",
        ));
    }
    Ok(())
}

fn xrange(call: &mut Call<'_>) -> Outcome {
    let (start, end) = (parts::range_start(call.args.at(2))?, parts::range_end(call.args.at(3))?);
    range(call, start, end, false)
}

fn xrevrange(call: &mut Call<'_>) -> Outcome {
    let (start, end) = (parts::range_start(call.args.at(3))?, parts::range_end(call.args.at(2))?);
    range(call, start, end, true)
}

fn range(call: &mut Call<'_>, start: StreamId, end: StreamId, backward: bool) -> Outcome {
    let args = call.args;
    let mut count = usize::MAX;
    let mut options = OptionReader::new(args, 4);
    while let Some(word) = options.next() {
        if !is(word, "COUNT") {
            return Err(CommandError::SYNTAX);
        }
        count = parts::count(options.value()?)?;
    }
    match call.db.read::<Stream>(args.at(1))? {
        None => call.reply.array(0),
        Some(_) if count == 0 => call.reply.null_array(),
        Some(stream) if backward => {
            reply_entries(call.reply, stream.log.range_rev(start, end).take(count));
        }
        Some(stream) => reply_entries(call.reply, stream.log.range(start, end).take(count)),
    }
    Ok(Done::Replied)
}

#[cfg(test)]
mod tests;
