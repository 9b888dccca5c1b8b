//! HGETDEL, HGETEX and HSETEX: hash commands that read or set fields and change their deadlines or remove them.
//!
//! They are propagated as their effect, with absolute times: HDEL, HPERSIST, HPEXPIREAT, HSETEX with PXAT.

use super::expiry::{is_soon, propagate_deadline, propagate_persisted, propagate_removed};
use super::field_args::{Expiry, Options, OptionsOf, named_fields};
use crate::commands::string::already_expired;
use crate::commands::support::listpack_reply::write_entry;
use crate::engine::{Call, Done, Outcome};
use crate::keyspace::event;
use crate::resp::{Args, CommandError};
use crate::value::hash::Hash;

pub(in crate::commands) fn hgetdel(call: &mut Call<'_>) -> Outcome {
    let key = call.args.at(1);
    call.db.holds::<Hash>(key)?;
    let fields = named_fields(call.args, 2)?;
    call.db.sweep_expired_fields_before_write(key, fields.iter());
    call.reply.array(fields.len());
    let Some(mut edit) = call.db.edit::<Hash>(key)? else {
        (0..fields.len()).for_each(|_| call.reply.null());
        return Ok(Done::Replied);
    };
    let hash = edit.get();
    let mut removed = 0;
    for field in fields.iter() {
        match hash.find(field) {
            None => call.reply.null(),
            Some((value, _)) => {
                write_entry(call.reply, value);
                removed += usize::from(hash.remove(field));
            }
        }
    }
    edit.finish(removed, event::HDEL);
    call.propagation.rewrite_as([b"HDEL".as_slice(), key].into_iter().chain(fields.iter()));
    Ok(Done::Replied)
}

pub(in crate::commands) fn hgetex(call: &mut Call<'_>) -> Outcome {
    let key = call.args.at(1);
    call.db.holds::<Hash>(key)?;
    let Options { expiry, fields, .. } = Options::parse(call, OptionsOf::Hgetex)?;
    call.db.sweep_expired_fields_before_write(key, fields.iter());
    let over = matches!(expiry, Expiry::At(deadline) if already_expired(call, deadline));
    let now = call.db.env.field_now();

    call.reply.array(fields.len());
    let Some(mut edit) = call.db.edit::<Hash>(key)? else {
        (0..fields.len()).for_each(|_| call.reply.null());
        return Ok(Done::Replied);
    };
    if expiry == Expiry::None {
        for field in fields.iter() {
            match edit.peek().find(field) {
                None => call.reply.null(),
                Some((value, _)) => write_entry(call.reply, value),
            }
        }
        return Ok(Done::Replied);
    }
    let hash = edit.get();
    hash.allow_deadlines();
    let (mut changed, mut soon) = (Vec::new(), Vec::new());
    for field in fields.iter() {
        let Some((value, old)) = hash.find(field) else {
            call.reply.null();
            continue;
        };
        write_entry(call.reply, value);
        let changes = match expiry {
            Expiry::At(_) if over => hash.remove(field),
            Expiry::At(deadline) => hash.set_deadline(field, Some(deadline)),
            Expiry::Persist => old.is_some() && hash.set_deadline(field, None),
            Expiry::None | Expiry::Keep => false,
        };
        if changes {
            changed.push(field);
        }
        if changes && old.is_some_and(|old| is_soon(old, now)) {
            soon.push(field);
        }
    }
    let event = match expiry {
        _ if over => event::HDEL,
        Expiry::Persist => event::HPERSIST,
        _ => event::HEXPIRE,
    };
    edit.finish(changed.len(), event);
    propagate_hgetex(call, key, (expiry, over), fields, &changed, &soon);
    Ok(Done::Replied)
}

fn propagate_hgetex(
    call: &mut Call<'_>,
    key: &[u8],
    (expiry, over): (Expiry, bool),
    fields: Args<'_>,
    changed: &[&[u8]],
    soon: &[&[u8]],
) {
    match expiry {
        _ if over => propagate_removed(call, key, changed),
        Expiry::At(deadline) => {
            propagate_deadline(call, key, deadline, &[], &fields.iter().collect::<Vec<_>>())
        }
        Expiry::Persist => propagate_persisted(call, key, soon, fields),
        Expiry::None | Expiry::Keep => {}
    }
}

pub(in crate::commands) fn hsetex(call: &mut Call<'_>) -> Outcome {
    let key = call.args.at(1);
    let options = Options::parse(call, OptionsOf::Hsetex)?;
    let exists = call.db.holds::<Hash>(key)?;
    let fields = options.fields.iter().step_by(2);
    let key_condition_met = options.key_exists.is_none_or(|wanted| wanted == exists);
    let sets = key_condition_met && field_condition_met(call, key, &options)?;
    let mut was_emptied = false;
    if options.fields_exist.is_some() || options.expiry == Expiry::Keep {
        match sets {
            true => was_emptied = call.db.sweep_expired_fields_keep_hash(key, fields),
            false => call.db.sweep_expired_fields_before_write(key, fields),
        }
    }
    if !sets {
        call.reply.integer(0);
        return Ok(Done::Replied);
    }
    call.reply.integer(1);
    if let Expiry::At(deadline) = options.expiry
        && already_expired(call, deadline)
    {
        return remove_pairs(call, key, &options);
    }
    set_pairs(call, key, &options)?;
    if was_emptied || options.key_exists.is_some() || matches!(options.expiry, Expiry::At(_)) {
        propagate_hsetex(call, key, &options);
    }
    if was_emptied {
        propagate_key_deadline(call, key);
    }
    Ok(Done::Replied)
}

/// Whether the condition FNX or FXX, if there is one, is met.
fn field_condition_met(call: &mut Call<'_>, key: &[u8], options: &Options<'_>) -> Result<bool, CommandError> {
    let Some(wanted) = options.fields_exist else { return Ok(true) };
    let now = call.db.env.field_now();
    // The caller has looked the key up; a silent lookup doesn't count it again.
    let hash = call.db.lookup_silent(key).map(|at| call.db.typed::<Hash>(at)).transpose()?;
    let has = |field| hash.is_some_and(|hash| hash.find(field).is_some_and(|_| !hash.is_past(field, now)));
    Ok(options.fields.iter().step_by(2).all(|field| has(field) == wanted))
}

fn set_pairs(call: &mut Call<'_>, key: &[u8], options: &Options<'_>) -> Result<(), CommandError> {
    let pairs = options.fields;
    let mut edit = call.db.edit_or_create::<Hash>(key)?;
    let (hash, _, limits) = edit.parts();
    hash.expect(options.fields_and_rest.iter(), limits);
    for index in (0..pairs.len()).step_by(2) {
        let field = pairs.at(index);
        hash.set(field, pairs.at(index + 1), options.expiry != Expiry::None, limits);
        if let Expiry::At(deadline) = options.expiry {
            hash.set_deadline(field, Some(deadline));
        }
    }
    let has_deadline = matches!(options.expiry, Expiry::At(_));
    edit.finish_with_events(pairs.len() / 2, &[event::HSET, event::HEXPIRE][..1 + usize::from(has_deadline)]);
    Ok(())
}

/// HSETEX with a deadline in the past: the fields are set and removed at once.
fn remove_pairs(call: &mut Call<'_>, key: &[u8], options: &Options<'_>) -> Outcome {
    let fields: Vec<&[u8]> = options.fields.iter().step_by(2).collect();
    let mut edit = call.db.edit_or_create::<Hash>(key)?;
    let is_new = edit.is_new();
    let (hash, _, limits) = edit.parts();
    // The values decide on the encoding, although they are removed again.
    hash.expect(options.fields_and_rest.iter(), limits);
    hash.allow_deadlines();
    for index in (0..options.fields.len()).step_by(2) {
        hash.set(options.fields.at(index), options.fields.at(index + 1), true, limits);
        hash.remove(options.fields.at(index));
    }
    let events = [event::NEW, event::HSET, event::HDEL];
    let emptied = edit.finish_with_events(fields.len(), &events[usize::from(!is_new)..]);
    if emptied && is_new {
        call.db.also(key, event::DEL);
    }
    propagate_removed(call, key, &fields);
    Ok(Done::Replied)
}

/// Propagates an HSETEX with an absolute deadline, and without the condition on the key, which was met.
fn propagate_hsetex(call: &mut Call<'_>, key: &[u8], options: &Options<'_>) {
    let (mut ms, mut count) = (itoa::Buffer::new(), itoa::Buffer::new());
    let mut words = vec![b"HSETEX".as_slice(), key];
    if let Some(exist) = options.fields_exist {
        words.push(if exist { b"FXX" } else { b"FNX" });
    }
    match options.expiry {
        Expiry::At(deadline) => words.extend([b"PXAT".as_slice(), ms.format(deadline).as_bytes()]),
        Expiry::Keep => words.push(b"KEEPTTL"),
        Expiry::None | Expiry::Persist => {}
    }
    words.extend([b"FIELDS".as_slice(), count.format(options.fields.len() / 2).as_bytes()]);
    call.propagation.rewrite_as(words.into_iter().chain(options.fields.iter()));
}

/// Propagates the deadline of a key that the HDELs of its expired fields take away where they are replayed.
fn propagate_key_deadline(call: &mut Call<'_>, key: &[u8]) {
    let deadline = call.db.lookup_silent(key).and_then(|at| call.db.deadline(at));
    if let Some(deadline) = deadline {
        let mut ms = itoa::Buffer::new();
        call.propagation.rewrite_as([b"PEXPIREAT".as_slice(), key, ms.format(deadline).as_bytes()]);
    }
}

#[cfg(test)]
#[path = "hgetex_tests.rs"]
mod tests;
