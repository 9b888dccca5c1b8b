//! ZSCAN and ZRANDMEMBER.

use crate::base::number::{push_f64, push_general};
use crate::commands::support::args::is;
use crate::commands::support::collection_scan::{self, ScanOptions, ScannedType};
use crate::commands::support::listpack_reply::write_entry;
use crate::commands::support::random_count;
use crate::commands::zset::{open_elements, write_element};
use crate::engine::{Call, Done, Outcome};
use crate::resp::CommandError;
use crate::value::zset::Zset;

pub(in crate::commands) fn zscan(call: &mut Call<'_>) -> Outcome {
    let cursor = collection_scan::parse_cursor(call.args.at(2))?;
    let Some(zset) = call.db.read::<Zset>(call.args.at(1))? else {
        collection_scan::reply_empty(call.reply);
        return Ok(Done::Replied);
    };
    let options = ScanOptions::parse(call.args, cursor, ScannedType::Zset)?;
    // A score is a bulk string in RESP3 as well; Redis prints those of a skiplist with 17 digits.
    let is_listpack = zset.as_listpack().is_some();
    let mut text = Vec::new();
    options.scan(call.reply, |cursor, found| {
        zset.scan(cursor, 1, |member, score| {
            if !found.matches(member) {
                return;
            }
            found.write(member);
            if !options.names_only {
                text.clear();
                if is_listpack {
                    push_f64(&mut text, score)
                } else {
                    push_general(&mut text, score, 17)
                }
                found.write_text(&text);
            }
        })
    });
    Ok(Done::Replied)
}

pub(in crate::commands) fn zrandmember(call: &mut Call<'_>) -> Outcome {
    let count = call.args.get(2).map(random_count::parse).transpose()?;
    let with_scores = match call.args.get(3) {
        None => false,
        Some(word) if is(word, "WITHSCORES") && call.args.len() == 4 => true,
        Some(_) => return Err(CommandError::SYNTAX),
    };
    if with_scores && count.is_some_and(|(count, _)| count > i64::MAX as usize / 2) {
        return Err(CommandError::text("ERR value is out of range"));
    }
    let max_reply = call.db.env.max_reply;
    let found = call.db.read_with_rng::<Zset>(call.args.at(1))?;
    let Some((count, repeats)) = count else {
        match found.and_then(|(zset, rng)| zset.random(rng)) {
            None => call.reply.null(),
            Some((member, _)) => write_entry(call.reply, member),
        }
        return Ok(Done::Replied);
    };
    let Some((zset, rng)) = found else {
        call.reply.array(0);
        return Ok(Done::Replied);
    };
    if !repeats {
        open_elements(call.reply, count.min(zset.len()), with_scores);
        zset.sample(count, rng, |member, score| write_element(call.reply, member, score, with_scores));
        return Ok(Done::Replied);
    }
    let start = call.reply.len();
    open_elements(call.reply, count, with_scores);
    random_count::reply_with_repetition(call.reply, start, count, max_reply, |reply| {
        if let Some((member, score)) = zset.random(rng) {
            write_element(reply, member, score, with_scores);
        }
    })
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
