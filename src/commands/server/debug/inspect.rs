//! DEBUG OBJECT, SDSLEN, LISTPACK and HTSTATS: reply with the representation of a value or a table.

use super::Debug;
use crate::commands::generic::object::REFERENCES;
use crate::commands::support::args;
use crate::engine::{Done, Outcome};
use crate::keyspace::StoredValue;
use crate::keyspace::idle_seconds;
use crate::resp::CommandError;
use crate::value::Value;
use crate::value::list::{End, List};

fn wants_full(debug: &Debug<'_>) -> bool {
    debug.args.get(1).is_some_and(|word| word.eq_ignore_ascii_case(b"full"))
}

/// The fields that DEBUG OBJECT adds for a list of several nodes.
fn list_details(list: &List, fill: i64, compress: usize) -> String {
    let List::Quicklist(nodes) = list else { return String::new() };
    let count = nodes.node_count();
    let mean = list.len() as f64 / count.max(1) as f64;
    let bytes = nodes.memory(0);
    format!(
        " ql_nodes:{count} ql_avg_node:{mean:.2} ql_listpack_max:{fill} ql_compressed:{} \
         ql_uncompressed_size:{bytes}",
        u8::from(compress != 0),
    )
}

pub(super) fn object(debug: &mut Debug<'_>) -> Outcome {
    let key = debug.args.at(0);
    let clock = debug.engine.lru_clock();
    let limits = &debug.engine.settings.limits;
    let (fill, compress) = (limits.list_max_listpack_size, limits.list_compress_depth);
    let mut view = debug.engine.view_of(debug.client);
    // It sees keys past their deadline.
    view.env.ignore_expiry = true;
    let place = view.hash(key);
    let at = view.lookup_silent(key).ok_or(CommandError::NO_SUCH_KEY)?;
    let (encoding, bytes, details) = match view.stored_value(at) {
        StoredValue::Int(_) => ("int", 8, String::new()),
        StoredValue::Bytes(bytes) => {
            (if view.is_raw(at) { "raw" } else { "embstr" }, bytes.len(), String::new())
        }
        StoredValue::Object(value) => {
            let details = if let Value::List(list) = value {
                list_details(list, fill, compress)
            } else {
                String::new()
            };
            (value.encoding(), value.memory_usage(0), details)
        }
    };
    let word = view.access(at);
    let idle = if clock.is_lfu() { 0 } else { idle_seconds(word, &clock) };
    debug.reply.simple(&format!(
        "Value at:{place:#x} refcount:{REFERENCES} encoding:{encoding} serializedlength:{bytes} lru:{word} \
         lru_seconds_idle:{idle}{details}"
    ));
    Ok(Done::Replied)
}

pub(super) fn sdslen(debug: &mut Debug<'_>) -> Outcome {
    let key = debug.args.at(0);
    let mut view = debug.engine.view_of(debug.client);
    let at = view.lookup_silent(key).ok_or(CommandError::NO_SUCH_KEY)?;
    let StoredValue::Bytes(value) = view.stored_value(at) else {
        return Err(CommandError::text("ERR Not an sds encoded string."));
    };
    let (key, value) = (key.len(), value.len());
    let whole = view.database().table().entry_memory(at);
    debug.reply.simple(&format!(
        "key_sds_len:{key}, key_sds_avail:0, key_zmalloc: {key}, val_sds_len:{value}, val_sds_avail:0, \
         val_zmalloc: {}",
        whole.saturating_sub(key)
    ));
    Ok(Done::Replied)
}

pub(super) fn listpack(debug: &mut Debug<'_>) -> Outcome {
    let not_one = CommandError::text("ERR Not a listpack encoded object.");
    let mut view = debug.engine.view_of(debug.client);
    let at = view.lookup_silent(debug.args.at(0)).ok_or(CommandError::NO_SUCH_KEY)?;
    let StoredValue::Object(value) = view.stored_value(at) else { return Err(not_one) };
    if !value.encoding().starts_with("listpack") {
        return Err(not_one);
    }
    let mut words: Vec<String> = Vec::new();
    let mut add = |word: std::borrow::Cow<'_, [u8]>| words.push(word.escape_ascii().to_string());
    match value {
        Value::List(list) => list.range(0, list.len(), End::Back, |item| add(item.to_cow())),
        Value::Set(set) => set.iter().for_each(|member| add(member.to_cow())),
        Value::Zset(zset) => zset.iter().for_each(|(member, _)| add(member.to_cow())),
        Value::Hash(hash) => hash.iter().for_each(|field| {
            add(field.name.to_cow());
            add(field.value.to_cow());
        }),
        Value::Stream(_) | Value::VectorSet(_) => return Err(not_one),
    }
    log::info!("{} elements: {}", value.element_count(), words.join(" "));
    debug.reply.simple("Listpack structure printed on stdout");
    Ok(Done::Replied)
}

/// The statistics of one table as text.
fn describe(keys: usize, bytes: usize, full: bool) -> String {
    if keys == 0 {
        return "No stats available for empty dictionaries\n".to_string();
    }
    let mut text = format!("Segmented table:\n number of elements: {keys}\n");
    if full {
        text.push_str(&format!(" bytes: {bytes}\n bytes an element: {:.1}\n", bytes as f64 / keys as f64));
    }
    text
}

pub(super) fn htstats(debug: &mut Debug<'_>) -> Outcome {
    let index = args::integer(debug.args.at(0))?;
    let full = wants_full(debug);
    debug.engine.note_data_read();
    let databases = debug.engine.data.keyspace.databases();
    let database = usize::try_from(index).ok().and_then(|index| databases.get(index));
    let database = database.ok_or(CommandError::text("ERR Out of range database"))?;
    let table = describe(database.len(), database.table().memory_usage(), full);
    // Deadlines are in the entries: there is no second table.
    let text = format!("[Dictionary HT]\n{table}[Expires HT]\n{}", describe(database.expires(), 0, false));
    debug.reply.verbatim(b"txt", text.as_bytes());
    Ok(Done::Replied)
}

pub(super) fn htstats_key(debug: &mut Debug<'_>) -> Outcome {
    let full = wants_full(debug);
    let mut view = debug.engine.view_of(debug.client);
    let at = view.lookup_silent(debug.args.at(0)).ok_or(CommandError::NO_SUCH_KEY)?;
    match view.stored_value(at) {
        StoredValue::Object(value) if matches!(value.encoding(), "hashtable" | "skiplist") => {
            let text = describe(value.element_count(), value.memory_usage(0), full);
            debug.reply.verbatim(b"txt", text.as_bytes());
            Ok(Done::Replied)
        }
        _ => Err(CommandError::text(
            "ERR The value stored at the specified key is not represented using an hash table",
        )),
    }
}
