//! Keys of slots, and statistics a slot: COUNTKEYSINSLOT, GETKEYSINSLOT, FLUSHSLOT, SLOT-STATS.

use super::{done, keys, service, slot, wrong_arguments};
use crate::base::crc::SLOTS;
use crate::base::number;
use crate::base::slot_set::SlotSet;
use crate::commands::support::args::{integer, is};
use crate::engine::{ControlCall, Done, Engine, Outcome, Wait};
use crate::resp::{CommandError, Reply};
use crate::services::config::SlotStatsKinds;

/// The database that the client has selected.
fn selected(call: &ControlCall<'_>) -> usize {
    call.engine.clients.sessions.live(call.client).db as usize
}

/// A slot's number where any number is one, but not each a slot.
fn numbered(number: i64, error: &'static str) -> Result<u16, CommandError> {
    let slot = u16::try_from(number).ok().filter(|slot| *slot < SLOTS);
    slot.ok_or(CommandError::text(error))
}

/// `CLUSTER COUNTKEYSINSLOT slot`
pub(super) fn count_keys(call: &mut ControlCall<'_>) -> Outcome {
    service(call.engine)?;
    let slot = numbered(integer(call.args.at(2))?, "ERR Invalid slot")?;
    call.engine.note_data_read();
    let count =
        if call.engine.lists_slot(slot) { keys::count_in(call.engine, selected(call), slot) } else { 0 };
    call.reply.count(count);
    Ok(Done::Replied)
}

/// `CLUSTER GETKEYSINSLOT slot count`
pub(super) fn get_keys(call: &mut ControlCall<'_>) -> Outcome {
    const INVALID: &str = "ERR Invalid slot or number of keys";
    service(call.engine)?;
    let (number, most) = (integer(call.args.at(2))?, integer(call.args.at(3))?);
    let slot = numbered(number, INVALID)?;
    let most = usize::try_from(most).map_err(|_| CommandError::text(INVALID))?;
    let most = if call.engine.lists_slot(slot) { most } else { 0 };
    call.engine.note_data_read();
    keys::write_some(call.engine, selected(call), slot, most, call.reply);
    Ok(Done::Replied)
}

/// `CLUSTER FLUSHSLOT slot [ASYNC|SYNC]`, of Valkey: large values are freed in slices either way.
pub(super) fn flush_slot(call: &mut ControlCall<'_>) -> Outcome {
    service(call.engine)?;
    let slot = slot(call.args.at(2))?;
    match call.args.get(3) {
        None => {}
        Some(_) if call.args.len() > 4 => return Err(wrong_arguments(call)),
        Some(word) if is(word, "ASYNC") || is(word, "SYNC") => {}
        Some(_) => return Err(CommandError::SYNTAX),
    }
    keys::remove_all(call.engine, slot);
    done(call)
}

/// What SLOT-STATS orders by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Metric {
    Keys,
    Memory,
    Cpu,
    BytesIn,
    BytesOut,
}

/// `CLUSTER SLOT-STATS SLOTSRANGE first last`, `CLUSTER SLOT-STATS ORDERBY metric [LIMIT count] [ASC|DESC]`
pub(super) fn stats(call: &mut ControlCall<'_>) -> Outcome {
    service(call.engine)?;
    call.engine.note_data_read();
    match call.args.at(2) {
        word if is(word, "SLOTSRANGE") && call.args.len() == 5 => stats_of_range(call),
        word if is(word, "ORDERBY") && call.args.len() >= 4 => stats_in_order(call),
        _ => Err(wrong_arguments(call)),
    }
}

/// The slots of this node's shard.
fn slots_of_shard(engine: &Engine) -> Result<SlotSet, CommandError> {
    let topology = &service(engine)?.topology;
    Ok(topology.node(topology.primary_of(topology.me())).slots().clone())
}

fn stats_of_range(call: &mut ControlCall<'_>) -> Outcome {
    let (first, last) = (slot(call.args.at(3))?, slot(call.args.at(4))?);
    if first > last {
        return Err(CommandError::new(format!(
            "ERR Start slot number {first} is greater than end slot number {last}"
        )));
    }
    let mine = slots_of_shard(call.engine)?;
    let slots: Vec<u16> = (first..=last).filter(|slot| mine.contains(*slot)).collect();
    show_stats(call, &slots)
}

fn stats_in_order(call: &mut ControlCall<'_>) -> Outcome {
    let told = |kind| call.engine.config.cluster_slot_stats_enabled.contains(kind);
    let (cpu, net) = (told(SlotStatsKinds::CPU), told(SlotStatsKinds::NET));
    let metric = match call.args.at(3) {
        word if is(word, "KEY-COUNT") => Metric::Keys,
        word if is(word, "CPU-USEC") && cpu => Metric::Cpu,
        word if is(word, "MEMORY-BYTES") && told(SlotStatsKinds::MEM) => Metric::Memory,
        word if is(word, "NETWORK-BYTES-IN") && net => Metric::BytesIn,
        word if is(word, "NETWORK-BYTES-OUT") && net => Metric::BytesOut,
        _ => return Err(CommandError::text("ERR Unrecognized sort metric for ORDERBY.")),
    };
    let (limit, descending) = order_options(call)?;
    let mine = slots_of_shard(call.engine)?;
    if metric == Metric::Memory && call.engine.measures_slots(call.client, &mine) {
        return Ok(Done::Blocked(Box::new(Wait::for_answer())));
    }
    let value = |slot: u16| match metric {
        Metric::Keys => keys::count(call.engine, slot) as u64,
        Metric::Memory => call.engine.slot_memory(slot),
        Metric::Cpu => call.engine.slot_stats(slot).micros,
        Metric::BytesIn => call.engine.slot_stats(slot).bytes_in,
        Metric::BytesOut => call.engine.slot_stats(slot).bytes_out,
    };
    let mut slots: Vec<(u64, u16)> = mine.iter().map(|slot| (value(slot), slot)).collect();
    // Slots with the same value come in ascending order either way.
    slots.sort_by_key(|(value, slot)| (if descending { u64::MAX - value } else { *value }, *slot));
    let slots: Vec<u16> = slots.into_iter().take(limit).map(|(_, slot)| slot).collect();
    show_stats(call, &slots)
}

/// LIMIT, and whether the greatest value is the first.
fn order_options(call: &ControlCall<'_>) -> Result<(usize, bool), CommandError> {
    const LIMIT: &str = "ERR Limit has to lie in between 1 and 16384 (maximum number of slots).";
    let (mut limit, mut descending) = (None, None);
    let mut index = 4;
    while index < call.args.len() {
        let word = call.args.at(index);
        let is_second = match word {
            word if is(word, "LIMIT") && index + 1 < call.args.len() => {
                index += 1;
                let number =
                    number::parse_i64(call.args.at(index)).and_then(|limit| usize::try_from(limit).ok());
                let number = number.filter(|limit| (1..=SLOTS.into()).contains(limit));
                limit.replace(number.ok_or(CommandError::text(LIMIT))?).is_some()
            }
            word if is(word, "ASC") => descending.replace(false).is_some(),
            word if is(word, "DESC") => descending.replace(true).is_some(),
            _ => return Err(CommandError::SYNTAX),
        };
        if is_second {
            return Err(CommandError::text("ERR Multiple filters of the same type are disallowed."));
        }
        index += 1;
    }
    Ok((limit.unwrap_or(SLOTS.into()), descending.unwrap_or(true)))
}

/// Shows the figures of slots, once their memory is measured.
fn show_stats(call: &mut ControlCall<'_>, slots: &[u16]) -> Outcome {
    if call.engine.config.cluster_slot_stats_enabled.contains(SlotStatsKinds::MEM) {
        let mut measured = SlotSet::new();
        for slot in slots {
            measured.insert(*slot);
        }
        if call.engine.measures_slots(call.client, &measured) {
            return Ok(Done::Blocked(Box::new(Wait::for_answer())));
        }
    }
    write_stats(call.engine, slots, call.reply);
    Ok(Done::Replied)
}

fn write_stats(engine: &Engine, slots: &[u16], reply: &mut Reply) {
    let told = |kind| engine.config.cluster_slot_stats_enabled.contains(kind);
    let (cpu, net, mem) = (told(SlotStatsKinds::CPU), told(SlotStatsKinds::NET), told(SlotStatsKinds::MEM));
    reply.array(slots.len());
    for slot in slots {
        let stats = engine.slot_stats(*slot);
        let figures = [
            (true, "key-count", keys::count(engine, *slot) as u64),
            (mem, "memory-bytes", if mem { engine.slot_memory(*slot) } else { 0 }),
            (cpu, "cpu-usec", stats.micros),
            (net, "network-bytes-in", stats.bytes_in),
            (net, "network-bytes-out", stats.bytes_out),
        ];
        reply.array(2);
        reply.integer((*slot).into());
        reply.map(figures.iter().filter(|(is_told, ..)| *is_told).count());
        for (_, name, value) in figures.iter().filter(|(is_told, ..)| *is_told) {
            reply.bulk(name.as_bytes());
            reply.integer(*value as i64);
        }
    }
}
