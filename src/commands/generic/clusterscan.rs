//! CLUSTERSCAN: walks over the keys of a whole cluster, slot by slot.
//!
//! ```text
//! cursor:   fingerprint-{tag}-position        0: the beginning; at the end of the walk, too
//! ```
//!
//! The tag is one of the slot that is walked over: it leads clients to the node that serves it. The position is one in the order of this
//! process's hashes, which the fingerprint names; for any other the walk over the slot begins anew.

use super::scan::is_of_type;
use crate::base::crc::{SLOTS, key_slot, pattern_slot};
use crate::base::slot_tag::slot_tag;
use crate::base::{glob, number};
use crate::commands::support::args::is;
use crate::commands::support::collection_scan::{STEPS_PER_ELEMENT, scan_count, selective};
use crate::commands::support::options::OptionReader;
use crate::engine::{ControlCall, Done, Engine, Outcome};
use crate::resp::{Args, CommandError};

const TYPES: [&str; 7] = ["string", "list", "set", "zset", "hash", "stream", "vectorset"];

struct Options<'a> {
    pattern: Option<&'a [u8]>,
    count: u64,
    type_name: Option<&'static str>,
    /// SLOT.
    slot: Option<u16>,
    /// That of all keys which the pattern can match.
    pattern_slot: Option<u16>,
}

impl<'a> Options<'a> {
    fn parse(args: Args<'a>) -> Result<Self, CommandError> {
        let mut options =
            Options { pattern: None, count: 10, type_name: None, slot: None, pattern_slot: None };
        let mut words = OptionReader::new(args, 2);
        while let Some(word) = words.next() {
            match word {
                word if is(word, "NOVALUES") => {
                    return Err(CommandError::text("ERR NOVALUES option can only be used in HSCAN"));
                }
                word if is(word, "NOSCORES") => {
                    return Err(CommandError::text("ERR NOSCORES option can only be used in ZSCAN"));
                }
                word if is(word, "COUNT") => options.count = scan_count(&mut words)?,
                word if is(word, "MATCH") => {
                    options.pattern = selective(words.value()?);
                    options.pattern_slot = options.pattern.and_then(pattern_slot);
                }
                word if is(word, "TYPE") => options.type_name = Some(type_name(words.value()?)?),
                word if is(word, "SLOT") => {
                    let value = words.value()?;
                    if options.slot.is_some() {
                        return Err(CommandError::text("ERR SLOT option can only be specified once"));
                    }
                    let number = number::parse_i64(value).and_then(|slot| u16::try_from(slot).ok());
                    let slot = number.filter(|slot| *slot < SLOTS);
                    options.slot = Some(slot.ok_or(CommandError::text("ERR Invalid or out of range slot"))?);
                }
                _ => return Err(CommandError::SYNTAX),
            }
        }
        Ok(options)
    }

    /// Whether no key of SLOT can match.
    fn exclude_all(&self) -> bool {
        matches!((self.slot, self.pattern_slot), (Some(slot), Some(other)) if slot != other)
    }
}

fn type_name(word: &[u8]) -> Result<&'static str, CommandError> {
    let known = TYPES.into_iter().find(|name| is(word, name));
    known.ok_or_else(|| {
        CommandError::new(format!("ERR unknown type name '{}'", String::from_utf8_lossy(word)))
    })
}

/// Names the order of this process's hashes, in six characters.
fn fingerprint(engine: &Engine) -> [u8; 6] {
    let hash = engine.data.keyspace.hasher().hash(b"cursors of CLUSTERSCAN");
    std::array::from_fn(|at| b'0' + (hash >> (6 * at) & 0x3f) as u8)
}

/// The slot and the position of a cursor other than 0.
fn parse_cursor(text: &[u8], fingerprint: [u8; 6]) -> Option<(u16, u64)> {
    let mut parts = text.splitn(3, |byte| *byte == b'-');
    let (whose, tag, position) = (parts.next()?, parts.next()?, number::parse_i64(parts.next()?)?);
    let position = u64::try_from(position).ok()?;
    Some((key_slot(tag), if whose == fingerprint { position } else { 0 }))
}

/// A cursor at the beginning of a slot.
fn beginning_of(slot: u16) -> String {
    format!("0-{{{}}}-0", slot_tag(slot))
}

pub(in crate::commands) fn clusterscan(call: &mut ControlCall<'_>) -> Outcome {
    if !call.engine.is_cluster() {
        return Err(CommandError::text("ERR This instance has cluster support disabled"));
    }
    let options = Options::parse(call.args)?;
    let fingerprint = fingerprint(call.engine);
    let only = options.slot.or(options.pattern_slot);
    if call.args.at(1) == b"0" {
        let slot = only.unwrap_or(0);
        return Ok(nothing_yet(call, (!options.exclude_all()).then_some(slot)));
    }
    let (slot, position) =
        parse_cursor(call.args.at(1), fingerprint).ok_or(CommandError::text("ERR Invalid cursor"))?;
    if options.slot.is_some_and(|wanted| wanted != slot) {
        return Err(CommandError::text("ERR Cursor slot mismatch with SLOT argument"));
    }
    if let Some(wanted) = options.pattern_slot.filter(|wanted| *wanted != slot) {
        // The walk goes on to the pattern's slot, but not back to it.
        return Ok(nothing_yet(call, (!options.exclude_all() && wanted > slot).then_some(wanted)));
    }
    let last = if only.is_some() { slot } else { last_of_owner(call.engine, slot) };
    let found = walk(call, &options, (slot, position), last);
    let cursor = match found.next {
        Some((slot, 0)) => beginning_of(slot),
        Some((slot, position)) => {
            format!("{}-{{{}}}-{position}", String::from_utf8_lossy(&fingerprint), slot_tag(slot))
        }
        None if only.is_none() && last + 1 < SLOTS => beginning_of(last + 1),
        None => "0".into(),
    };
    call.reply.array(2);
    call.reply.bulk(cursor.as_bytes());
    call.reply.array(found.keys.len());
    found.keys.iter().for_each(|key| call.reply.bulk(key));
    Ok(Done::Replied)
}

/// Replies with no keys and where the walk begins, or that it is over.
fn nothing_yet(call: &mut ControlCall<'_>, slot: Option<u16>) -> Done {
    call.reply.array(2);
    call.reply.bulk(slot.map_or("0".into(), beginning_of).as_bytes());
    call.reply.array(0);
    Done::Replied
}

/// The last of the slots from `slot` on, side by side, that are served by the same node.
fn last_of_owner(engine: &Engine, slot: u16) -> u16 {
    let Some(mode) = &engine.cluster else { return slot };
    let topology = &mode.service.topology;
    let owner = topology.owner(slot);
    (slot..SLOTS).take_while(|next| topology.owner(*next) == owner).last().unwrap_or(slot)
}

#[derive(Default)]
struct Found {
    keys: Vec<Box<[u8]>>,
    /// Slot and position where the walk goes on, unless all slots are done.
    next: Option<(u16, u64)>,
}

/// Walks on from a slot and a position in it, at most to the end of slot `last`.
fn walk(call: &mut ControlCall<'_>, options: &Options<'_>, from: (u16, u64), last: u16) -> Found {
    let (mut found, mut expired) = (Found { next: Some(from), ..Found::default() }, Vec::new());
    let (mut seen, mut steps) = (0, 0);
    let mut view = call.engine.view_of(call.client);
    let (env, database) = (view.env, view.database());
    while let Some((slot, position)) = found.next {
        if seen >= options.count || steps > options.count.saturating_mul(STEPS_PER_ELEMENT) {
            break;
        }
        let position = database.scan_slot(slot, position, |entry| {
            seen += 1;
            if options.pattern.is_some_and(|pattern| !glob::matches(pattern, entry.key)) {
                return;
            }
            if env.is_past(entry.deadline) {
                expired.push(entry.key.to_vec());
            } else if options.type_name.is_none_or(|name| is_of_type(&entry.value, name.as_bytes())) {
                found.keys.push(entry.key.into());
            }
        });
        steps += 1;
        found.next = match position {
            0 if slot < last => {
                database.next_slot(slot + 1).filter(|next| *next <= last).map(|next| (next, 0))
            }
            0 => None,
            _ => Some((slot, position)),
        };
    }
    for key in expired {
        // The lookup deletes the expired key.
        view.lookup_silent(&key);
    }
    found
}
