//! Vector set commands on one set and its elements: VREM, VCARD, VDIM, VEMB, VISMEMBER, VRANGE, VRANDMEMBER, VLINKS, VINFO,
//! VSETATTR, VGETATTR. VADD is in `add`, VSIM in `similar`.

mod add;
mod cost;
mod similar;
pub mod specs;
#[cfg(test)]
mod tests;
mod vector_args;

use std::collections::HashSet;
use std::ops::Bound;

use crate::base::number;
use crate::base::rng::Rng;
use crate::commands::support::args::is;
use crate::commands::support::random_count;
use crate::engine::{Call, Done, Outcome};
use crate::keyspace::event;
use crate::resp::{CommandError, Reply};
use crate::structures::hnsw::{Graph, Quantization};
use crate::value::vector_set::VectorSet;

/// The name of a quantization in replies.
fn quantization_name(quantization: Quantization) -> &'static str {
    match quantization {
        Quantization::None => "f32",
        Quantization::Int8 => "int8",
        Quantization::Binary => "bin",
    }
}

fn vrem(call: &mut Call<'_>) -> Outcome {
    let mut removed = false;
    if let Some(mut edit) = call.db.edit::<VectorSet>(call.args.at(1))?
        && let Ok(place) = edit.peek().find(call.args.at(2))
    {
        edit.get().remove(place);
        edit.finish(1, event::VECTOR_SET);
        removed = true;
    }
    call.reply.boolean(removed);
    Ok(Done::Replied)
}

fn vcard(call: &mut Call<'_>) -> Outcome {
    let len = call.db.read::<VectorSet>(call.args.at(1))?.map_or(0, VectorSet::len);
    call.reply.count(len);
    Ok(Done::Replied)
}

fn vdim(call: &mut Call<'_>) -> Outcome {
    const MISSING: CommandError = CommandError::text("ERR key does not exist");
    let dim = call.db.read::<VectorSet>(call.args.at(1))?.ok_or(MISSING)?.graph().dim();
    call.reply.count(dim);
    Ok(Done::Replied)
}

fn vemb(call: &mut Call<'_>) -> Outcome {
    let options = call.args.tail(3);
    if options.iter().any(|option| !is(option, "RAW")) {
        return Err(CommandError::text("ERR invalid option"));
    }
    let reply = &mut *call.reply;
    let name = call.args.at(2);
    let set = call.db.read::<VectorSet>(call.args.at(1))?;
    let Some((set, id)) = set.and_then(|set| Some((set, set.id(name)?))) else {
        reply.null();
        return Ok(Done::Replied);
    };
    let graph = set.graph();
    if options.is_empty() {
        reply.array(graph.dim());
        set.vector(id).iter().for_each(|x| reply.double(f64::from(*x)));
        return Ok(Done::Replied);
    }
    let has_range = graph.quantization() == Quantization::Int8;
    reply.array(3 + usize::from(has_range));
    reply.simple(quantization_name(graph.quantization()));
    reply.bulk(graph.raw(id));
    reply.double(f64::from(graph.norm(id)));
    if has_range {
        reply.double(f64::from(graph.quant_range(id)));
    }
    Ok(Done::Replied)
}

fn vismember(call: &mut Call<'_>) -> Outcome {
    let name = call.args.at(2);
    let set = call.db.read::<VectorSet>(call.args.at(1))?;
    call.reply.boolean(set.is_some_and(|set| set.id(name).is_some()));
    Ok(Done::Replied)
}

fn vsetattr(call: &mut Call<'_>) -> Outcome {
    let mut is_set = false;
    if let Some(mut edit) = call.db.edit::<VectorSet>(call.args.at(1))?
        && let Some(id) = edit.peek().id(call.args.at(2))
    {
        edit.get().set_attribute(id, call.args.at(3));
        edit.finish(1, event::VECTOR_SET);
        is_set = true;
    }
    call.reply.boolean(is_set);
    Ok(Done::Replied)
}

fn vgetattr(call: &mut Call<'_>) -> Outcome {
    let name = call.args.at(2);
    let set = call.db.read::<VectorSet>(call.args.at(1))?;
    match set.and_then(|set| set.attribute(set.id(name)?)) {
        Some(attribute) => call.reply.bulk(attribute),
        None => call.reply.null(),
    }
    Ok(Done::Replied)
}

fn vlinks(call: &mut Call<'_>) -> Outcome {
    let with_scores = call.args.len() > 3;
    if call.args.len() > 4 || with_scores && !is(call.args.at(3), "WITHSCORES") {
        return Err(CommandError::wrong_arity(call.name));
    }
    let reply = &mut *call.reply;
    let name = call.args.at(2);
    let set = call.db.read::<VectorSet>(call.args.at(1))?;
    let Some((set, id)) = set.and_then(|set| Some((set, set.id(name)?))) else {
        reply.null();
        return Ok(Done::Replied);
    };
    let graph = set.graph();
    reply.array(graph.level(id) + 1);
    for layer in (0..=graph.level(id)).rev() {
        let count = graph.links(id, layer).count();
        if with_scores {
            reply.map(count)
        } else {
            reply.array(count)
        }
        for (other, distance) in graph.links(id, layer) {
            reply.bulk(set.name(other));
            if with_scores {
                // As a float, in Redis as well.
                reply.double(f64::from(Graph::similarity(distance) as f32));
            }
        }
    }
    Ok(Done::Replied)
}

fn vinfo(call: &mut Call<'_>) -> Outcome {
    let reply = &mut *call.reply;
    let Some(set) = call.db.read::<VectorSet>(call.args.at(1))? else {
        reply.null_array();
        return Ok(Done::Replied);
    };
    let graph = set.graph();
    let input = set.projection().map_or(0, |projection| projection.input());
    reply.map(9);
    reply.simple("quant-type");
    reply.simple(quantization_name(graph.quantization()));
    for (name, number) in [
        ("hnsw-m", graph.m() as u64),
        ("vector-dim", graph.dim() as u64),
        ("projection-input-dim", input as u64),
        ("size", set.len() as u64),
        ("max-level", graph.max_level() as u64),
        ("attributes-count", set.attribute_count() as u64),
        ("vset-uid", set.uid()),
        ("hnsw-max-node-uid", set.last_number()),
    ] {
        reply.simple(name);
        reply.integer(number as i64);
    }
    Ok(Done::Replied)
}

fn vrandmember(call: &mut Call<'_>) -> Outcome {
    let start = call.reply.len();
    let max_reply = call.db.env.max_reply;
    let Some(given) = call.args.get(2) else {
        let drawn = call.db.read_with_rng::<VectorSet>(call.args.at(1))?;
        match drawn.and_then(|(set, rng)| Some(set.name(set.random_id(rng)?))) {
            Some(name) => call.reply.bulk(name),
            None => call.reply.null(),
        }
        return Ok(Done::Replied);
    };
    if call.args.len() > 3 {
        return Err(CommandError::wrong_arity(call.name));
    }
    const NOT_INTEGER: CommandError = CommandError::text("ERR COUNT value is not an integer");
    let count = number::parse_i64(given).ok_or(NOT_INTEGER)?;
    let key = if count == 0 { None } else { call.db.read_with_rng::<VectorSet>(call.args.at(1))? };
    let Some((set, rng)) = key else {
        call.reply.array(0);
        return Ok(Done::Replied);
    };
    let many = count.unsigned_abs() as usize;
    if count > 0 {
        write_distinct(set, rng, many.min(set.len()), call.reply);
        return Ok(Done::Replied);
    }
    call.reply.array(many);
    random_count::reply_with_repetition(call.reply, start, many, max_reply, |reply| {
        reply.bulk(set.random_id(rng).map_or(b"", |id| set.name(id)));
    })
}

/// Writes so many elements, none twice: drawn one by one if they are few, else those that follow each other.
fn write_distinct(set: &VectorSet, rng: &mut Rng, count: usize, reply: &mut Reply) {
    /// Of so many elements one may be wanted, for them to be drawn.
    const FEW: usize = 5;
    /// Draws for an element that is wanted; where ids are sparse, some are drawn again and again.
    const DRAWS: usize = 20;
    reply.array(count);
    let mut drawn = HashSet::new();
    if count <= set.len() / FEW {
        for _ in 0..count * DRAWS {
            let Some(id) = set.random_id(rng) else { break };
            if drawn.insert(id) {
                reply.bulk(set.name(id));
            }
            if drawn.len() == count {
                return;
            }
        }
    }
    if set.graph().is_sparse() {
        let rest = set.ids_by_name().filter(|id| !drawn.contains(id)).take(count - drawn.len());
        return rest.for_each(|id| reply.bulk(set.name(id)));
    }
    let first = set.random_id(rng).unwrap_or(0);
    let ids = set.graph().ids_from(first).chain(set.graph().ids().take_while(|id| *id < first));
    let rest = ids.filter(|id| !drawn.contains(id)).take(count - drawn.len());
    rest.for_each(|id| reply.bulk(set.name(id)));
}

/// An end of a range of names: `-`, `+`, `[name` or `(name`.
enum RangeEnd<'a> {
    Lowest,
    Highest,
    Included(&'a [u8]),
    Excluded(&'a [u8]),
}

impl<'a> RangeEnd<'a> {
    fn parse(text: &'a [u8]) -> Option<RangeEnd<'a>> {
        Some(match text {
            b"-" => RangeEnd::Lowest,
            b"+" => RangeEnd::Highest,
            [b'[', name @ ..] if !name.is_empty() => RangeEnd::Included(name),
            [b'(', name @ ..] if !name.is_empty() => RangeEnd::Excluded(name),
            _ => return None,
        })
    }
}

fn vrange(call: &mut Call<'_>) -> Outcome {
    const MISPLACED: CommandError =
        CommandError::text("ERR '-' can only be used as first argument, '+' only as second");
    if call.args.len() > 5 {
        return Err(CommandError::wrong_arity(call.name));
    }
    let most = match call.args.get(4) {
        None => -1,
        Some(count) => number::parse_i64(count).ok_or(CommandError::text("ERR invalid COUNT value"))?,
    };
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let end = |at, error| RangeEnd::parse(call.args.at(at)).ok_or(CommandError::text(error));
    let start = end(2, "ERR invalid start range format")?;
    let end = end(3, "ERR invalid end range format")?;
    let start = match start {
        RangeEnd::Lowest => Bound::Unbounded,
        RangeEnd::Included(name) => Bound::Included(name),
        RangeEnd::Excluded(name) => Bound::Excluded(name),
        RangeEnd::Highest => return Err(MISPLACED),
    };
    let is_within = |name: &&[u8]| match end {
        RangeEnd::Highest => true,
        RangeEnd::Included(last) => *name <= last,
        RangeEnd::Excluded(last) => *name < last,
        RangeEnd::Lowest => false,
    };
    if matches!(end, RangeEnd::Lowest) {
        return Err(MISPLACED);
    }
    let Some(set) = call.db.read::<VectorSet>(call.args.at(1))? else {
        call.reply.array(0);
        return Ok(Done::Replied);
    };
    let open = call.reply.open();
    let mut count = 0;
    for name in set.names_from(start).take_while(is_within).take(most) {
        call.reply.bulk(name);
        count += 1;
    }
    call.reply.close_array(open, count);
    Ok(Done::Replied)
}
