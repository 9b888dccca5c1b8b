//! HyperLogLog commands: PFADD, PFCOUNT, PFMERGE, PFDEBUG, PFSELFTEST; the value is an ordinary string.
//!
//! A dense HyperLogLog never changes its size and is changed in place; a sparse one is small, and written anew.
//! PFCOUNT caches the count in the string, which changes the value: it is propagated, but is no keyspace event.

use crate::base::rng::Rng;
use crate::commands::support::args::is;
use crate::engine::{Call, Done, Outcome};
use crate::keyspace::{DbView, Text, event};
use crate::resp::{Args, CommandError};
use crate::structures::registers;
use crate::value::hyperloglog::{self as hll, REGISTERS, Registers, Union};

const NOT_A_HYPERLOGLOG: CommandError =
    CommandError::text("WRONGTYPE Key is not a valid HyperLogLog string value.");
const CORRUPT: CommandError = CommandError::text("INVALIDOBJ Corrupted HLL object detected");

impl From<hll::Corrupt> for CommandError {
    fn from(_: hll::Corrupt) -> Self {
        CORRUPT
    }
}

/// The bytes of a string with a HyperLogLog's header; the registers are not checked.
fn registers_of(text: Text<'_>) -> Result<&[u8], CommandError> {
    match text {
        Text::Bytes(bytes) if hll::is_hyperloglog(bytes) => Ok(bytes),
        Text::Bytes(_) | Text::Int(_) => Err(NOT_A_HYPERLOGLOG),
    }
}

pub(in crate::commands) fn pfadd(call: &mut Call<'_>) -> Outcome {
    let key = call.args.at(1);
    let elements = call.args.tail(2);
    let (mut bytes, is_new) = match call.db.string_to_write(key)? {
        None => (hll::empty(), true),
        Some((_, text)) => {
            let bytes = registers_of(text)?;
            if hll::is_dense(bytes) {
                return add_dense(call);
            }
            (bytes.to_vec(), false)
        }
    };
    let most = call.db.env.limits.hll_sparse_max_bytes;
    let mut changed = is_new;
    for element in elements.iter() {
        changed |= hll::add(&mut bytes, element, most)?;
    }
    if changed {
        hll::invalidate_count(&mut bytes);
        call.db.update_string(key, &bytes, event::PFADD);
    }
    call.db.mark_edited(key);
    call.reply.integer(i64::from(changed));
    Ok(Done::Replied)
}

fn add_dense(call: &mut Call<'_>) -> Outcome {
    let key = call.args.at(1);
    let bytes = call.db.string_bytes(key, hll::DENSE_SIZE)?;
    let mut changed = false;
    for element in call.args.tail(2).iter() {
        changed |= hll::add_dense(bytes, element);
    }
    if changed {
        hll::invalidate_count(bytes);
        call.db.string_changed(key, event::PFADD);
    }
    call.reply.integer(i64::from(changed));
    Ok(Done::Replied)
}

pub(in crate::commands) fn pfcount(call: &mut Call<'_>) -> Outcome {
    if call.args.len() > 2 {
        let registers = union(&mut call.db, call.args.tail(1))?.into_registers();
        call.reply.integer(registers.count() as i64);
        return Ok(Done::Replied);
    }
    let key = call.args.at(1);
    let Some(text) = call.db.string(key)? else {
        call.reply.integer(0);
        return Ok(Done::Replied);
    };
    let bytes = registers_of(text)?;
    let count = match hll::cached_count(bytes) {
        Some(count) => count,
        None => {
            let count = hll::count(bytes)?;
            hll::cache_count(call.db.string_bytes(key, 0)?, count);
            call.db.string_changed(key, event::SILENT);
            count
        }
    };
    call.reply.integer(count as i64);
    Ok(Done::Replied)
}

/// The union of the HyperLogLogs at `keys`.
fn union(db: &mut DbView<'_>, keys: Args<'_>) -> Result<Union, CommandError> {
    let mut union = Union::default();
    // The first key that is no whole HyperLogLog decides about the error, so the sparse ones are merged on the way.
    let places = db.find_all_checked(keys.iter(), |db, at| {
        let bytes = registers_of(db.text(at)?)?;
        if !hll::is_dense(bytes) {
            union.add_sparse(bytes)?;
        }
        Ok(())
    })?;
    let mut dense = Vec::new();
    for at in places.into_iter().flatten() {
        let bytes = registers_of(db.text(at)?)?;
        if hll::is_dense(bytes) {
            dense.push(bytes);
        }
    }
    union.set_dense(&dense);
    Ok(union)
}

pub(in crate::commands) fn pfmerge(call: &mut Call<'_>) -> Outcome {
    let union = union(&mut call.db, call.args.tail(1))?;
    let key = call.args.at(1);
    let mut bytes = match call.db.string_to_write(key)? {
        None => hll::empty(),
        Some((_, Text::Bytes(bytes))) if hll::is_dense(bytes) => {
            union.store_dense(call.db.string_bytes(key, hll::DENSE_SIZE)?);
            call.db.string_changed(key, event::PFADD);
            call.reply.ok();
            return Ok(Done::Replied);
        }
        Some((_, text)) => text.to_vec(),
    };
    let dense = union.has_dense();
    union.into_registers().store(&mut bytes, dense, call.db.env.limits.hll_sparse_max_bytes)?;
    hll::invalidate_count(&mut bytes);
    call.db.update_string(key, &bytes, event::PFADD);
    call.db.mark_edited(key);
    call.reply.ok();
    Ok(Done::Replied)
}

pub(in crate::commands) fn pfdebug(call: &mut Call<'_>) -> Outcome {
    let (word, key) = (call.args.at(1), call.args.at(2));
    if is(word, "SIMD") {
        if !is(key, "ON") && !is(key, "OFF") {
            return Err(CommandError::text("ERR Argument must be ON or OFF"));
        }
        registers::allow_simd(is(key, "ON"));
        call.reply.simple(if registers::uses_simd() { "enabled" } else { "disabled" });
        return Ok(Done::Replied);
    }
    let Some((_, text)) = call.db.string_to_write(key)? else {
        return Err(CommandError::text("ERR The specified key does not exist"));
    };
    registers_of(text)?;
    // As in Redis, any subcommand makes the encoding `raw`: a string whose bytes were writable counts as edited.
    let bytes: &[u8] = call.db.string_bytes(key, 0)?;
    if is(word, "GETREG") {
        let mut registers = Registers::new();
        registers.merge(bytes)?;
        make_dense(call)?;
        call.reply.array(REGISTERS);
        for value in registers.values() {
            call.reply.integer(i64::from(*value));
        }
    } else if is(word, "DECODE") {
        if hll::is_dense(bytes) {
            return Err(CommandError::text("ERR HLL encoding is not sparse"));
        }
        call.reply.bulk(hll::describe_sparse(bytes).as_bytes());
    } else if is(word, "ENCODING") {
        call.reply.simple(if hll::is_dense(bytes) { "dense" } else { "sparse" });
    } else if is(word, "TODENSE") {
        let was_sparse = make_dense(call)?;
        call.reply.integer(i64::from(was_sparse));
    } else {
        return Err(CommandError::new([b"ERR Unknown PFDEBUG subcommand '", word, b"'"].concat()));
    }
    Ok(Done::Replied)
}

/// Converts the HyperLogLog at PFDEBUG's key to the dense encoding; returns whether it was sparse.
fn make_dense(call: &mut Call<'_>) -> Result<bool, CommandError> {
    let key = call.args.at(2);
    let Some((_, text)) = call.db.string_to_write(key)? else { return Ok(false) };
    if hll::is_dense(registers_of(text)?) {
        return Ok(false);
    }
    let mut bytes = text.to_vec();
    hll::make_dense(&mut bytes)?;
    call.db.update_string(key, &bytes, event::SILENT);
    Ok(true)
}

pub(in crate::commands) fn pfselftest(call: &mut Call<'_>) -> Outcome {
    let most = call.db.env.limits.hll_sparse_max_bytes;
    self_test(call.db.rng, most)?;
    call.reply.ok();
    Ok(Done::Replied)
}

/// Counts a million different elements in both encodings, and compares the two counts and the right one at each
/// power of ten.
fn self_test(rng: &mut Rng, sparse_max_bytes: usize) -> Result<(), CommandError> {
    let failed = |what: String| CommandError::new(format!("ERR TESTFAILED {what}"));
    let seed = rng.next_u64();
    let (mut sparse, mut dense) = (hll::empty(), hll::empty());
    hll::make_dense(&mut dense)?;
    let mut checkpoint = 1;
    for n in 1..=1_000_000u64 {
        let element = (n ^ seed).to_le_bytes();
        hll::add_dense(&mut dense, &element);
        hll::add(&mut sparse, &element, sparse_max_bytes)?;
        if n != checkpoint {
            continue;
        }
        if n < sparse_max_bytes as u64 / 2 && hll::is_dense(&sparse) {
            return Err(failed("sparse encoding not used".into()));
        }
        let count = hll::count(&dense)?;
        if count != hll::count(&sparse)? {
            return Err(failed("dense/sparse disagree".into()));
        }
        // Six times the standard error; with ten elements one collision is allowed.
        let most = if n == 10 { 1 } else { (1.04 / 128.0 * 6.0 * n as f64).ceil() as u64 };
        let error = count.abs_diff(n);
        if error > most {
            return Err(failed(format!("Too big error. card:{n} abserr:{error}")));
        }
        checkpoint *= 10;
    }
    let mut registers = Registers::new();
    registers.merge(&dense)?;
    let mut copy = hll::empty();
    registers.store(&mut copy, true, sparse_max_bytes)?;
    let mut again = Registers::new();
    again.merge(&copy)?;
    match registers.values().iter().zip(again.values()).position(|(a, b)| a != b) {
        None => Ok(()),
        Some(at) => {
            let (right, wrong) = (registers.values()[at], again.values()[at]);
            Err(failed(format!("Register {at} should be {right} but is {wrong}")))
        }
    }
}

#[cfg(test)]
#[path = "hyperloglog_tests.rs"]
mod tests;
