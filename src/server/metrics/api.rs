//! What the page shows, as JSON: an endpoint for each section, each only for a user with the right to the command that shows the same.
//!
//! Every answer is bounded. Names of keys are only in answers to users who may read these keys.

use std::cmp::Reverse;

use serde_json::{Map, Value, json};

use super::text::text;
use super::{clients, cluster, quotas};
use crate::commands::info_text;
use crate::engine::Engine;
use crate::engine::metrics::slowlog::{LogEntry, LogKind};
use crate::resp::{Args, Span};
use crate::services::acl::{User, access};
use crate::services::history::{BUCKETS, COUNTERS, GAUGES, History, Range, bounds};
use crate::services::http::{Request, Response};

/// Columns of the history in an answer, commands, and entries of logs.
const COLUMNS: usize = 120;
const COMMANDS: usize = 40;
const ENTRIES: usize = 30;
/// Keys and prefixes.
const NAMES: usize = 20;
/// A walk over the keys begins at most so long after the one before, ms.
const WALK_MS: u64 = 15_000;

const SECTIONS: [&[u8]; 8] =
    [b"server", b"clients", b"memory", b"persistence", b"stats", b"replication", b"cpu", b"keyspace"];

/// Sections with the command whose right is needed.
const RIGHTS: [(&str, &[&str]); 7] = [
    ("commands", &["latency", "histogram"]),
    ("turns", &["latency", "latest"]),
    ("slowlog", &["slowlog", "get"]),
    ("keys", &["memory", "top"]),
    ("hotkeys", &["hotkeys", "get"]),
    ("clients", &["client", "list"]),
    ("cluster", &["cluster", "nodes"]),
];

/// Whether a user may call a command without keys.
pub fn may(engine: &Engine, user: &User, words: &[&str]) -> bool {
    let (mut bytes, mut spans) = (Vec::new(), Vec::new());
    for word in words {
        spans.push(Span { start: bytes.len(), len: word.len() });
        bytes.extend_from_slice(word.as_bytes());
    }
    let second = words.get(1).map(|word| word.as_bytes());
    let command = engine.commands.resolve(words[0].as_bytes(), second);
    command.is_ok_and(|id| engine.acl.check(&engine.commands, user, id, Args::new(&bytes, &spans), 0).is_ok())
}

/// Answers what is below `/api/`.
pub fn answer(engine: &mut Engine, history: Option<&History>, user: &User, request: &Request) -> Response {
    let section = request.path.strip_prefix("/api/").unwrap_or_default();
    let right = RIGHTS.iter().find(|(name, _)| *name == section);
    if let Some((_, words)) = right
        && !may(engine, user, words)
    {
        let what = words.join(" ").to_uppercase();
        return Response::text(403, &format!("This section needs the right to {what}."));
    }
    let value = match section {
        "now" => now(engine, user),
        "history" => history.map_or(json!({ "columns": [] }), |history| columns(history, request)),
        "commands" => commands(engine),
        "turns" => turns(engine, user),
        "slowlog" => slow_log(engine, user),
        "keys" => keys(engine, user, request),
        "hotkeys" => hot_keys(engine, user),
        "clients" => clients::list(engine, request),
        "quotas" => quotas::list(engine),
        "cluster" => cluster::list(engine),
        _ => return Response::text(404, "There is no such section."),
    };
    let body = value.to_string().into_bytes();
    Response { status: 200, content_type: "application/json", body, headers: &[] }
}

/// What INFO says, and what the page needs of the configuration.
fn now(engine: &mut Engine, user: &User) -> Value {
    let info = info_text(engine, &SECTIONS);
    let fields: Map<String, Value> = info
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_string(), value.into()))
        .collect();
    let settings: Map<String, Value> = ["appendonly", "appendfsync", "save", "maxmemory-policy"]
        .iter()
        .map(|name| (name.to_string(), text(&engine.config.get_text(name).unwrap_or_default()).into()))
        .collect();
    let rights: Map<String, Value> =
        RIGHTS.iter().map(|(name, words)| (name.to_string(), may(engine, user, words).into())).collect();
    json!({ "time": engine.now(), "user": text(&user.name), "info": fields, "config": settings, "may": rights })
}

/// A figure with as many digits as a chart can show.
fn figure(value: f32) -> Value {
    let value = f64::from(value);
    if value.fract() == 0.0 || value > 1000.0 {
        json!(value as i64)
    } else {
        json!((value * 100.0).round() / 100.0)
    }
}

/// Columns after `since`, of the range that is asked for; the page asks again until there is no more.
fn columns(history: &History, request: &Request) -> Value {
    let range =
        if request.parameter("range").as_deref() == Some("hour") { Range::Hour } else { Range::Minutes };
    let since = request.number("since").unwrap_or(0).min(u64::MAX - 1);
    let mut columns = history.after(range, since);
    let shown: Vec<Value> = columns
        .by_ref()
        .take(COLUMNS)
        .map(|column| {
            let values: Vec<Value> = column.values.iter().map(|value| figure(*value)).collect();
            json!([column.tick, values, column.calls])
        })
        .collect();
    let (step, length) = range.shape();
    let names: Vec<&str> = COUNTERS.iter().chain(&GAUGES).copied().collect();
    let more = columns.next().is_some();
    json!({
        "step": step, "length": length, "names": names, "bounds": bounds().map(|nanos| nanos as f64 / 1000.0),
        "buckets": BUCKETS, "bytes": history.bytes(), "columns": shown, "more": more,
    })
}

/// The commands that took the most time, with their histograms.
fn commands(engine: &Engine) -> Value {
    let all = engine.commands.iter().zip(&engine.metrics.stats.commands);
    let mut used: Vec<_> = all.filter(|(_, stats)| stats.calls > 0).collect();
    used.sort_by_key(|(_, stats)| Reverse(stats.nanos));
    let total: u64 = used.iter().map(|(_, stats)| stats.nanos).sum();
    let count = used.len();
    let shown: Vec<Value> = used
        .into_iter()
        .take(COMMANDS)
        .map(|(command, stats)| {
            let micros = |percent: f64| stats.histogram.percentile(percent) as f64 / 1000.0;
            let mut before = 0;
            let up_to = stats.histogram.counts_up_to(bounds()).into_iter().chain([stats.histogram.total()]);
            let histogram: Vec<u64> = up_to.map(|sum| sum - std::mem::replace(&mut before, sum)).collect();
            json!({
                "name": &*command.name, "calls": stats.calls, "us": stats.nanos as f64 / 1000.0, "failed": stats.failed,
                "rejected": stats.rejected, "p50": micros(50.0), "p99": micros(99.0), "p999": micros(99.9),
                "max": micros(100.0), "histogram": histogram,
            })
        })
        .collect();
    json!({ "commands": shown, "count": count, "us": total as f64 / 1000.0 })
}

/// The longest turns and calls.
fn turns(engine: &Engine, user: &User) -> Value {
    let now = engine.now();
    let name = |id| engine.commands.get(id).name.to_string();
    let turns: Vec<Value> = engine
        .metrics
        .turns
        .longest(now)
        .into_iter()
        .map(|turn| {
            let call = turn.call.as_ref().map(|call| {
                json!({ "command": name(call.command), "us": call.us, "id": call.client_id, "addr": call.address,
                        "client": text(&call.client_name) })
            });
            json!({ "time": turn.time_ms, "us": turn.nanos / 1000, "cause": turn.cause, "calls": turn.calls, "call": call })
        })
        .collect();
    let longest = engine.metrics.large_calls.longest(now);
    let calls: Vec<Value> = longest
        .into_iter()
        .take(ENTRIES)
        .map(|call| {
            let bytes = call.key.as_deref().unwrap_or_default();
            let may_see = user.selectors().any(|selector| {
                selector.allows_database(Some(call.db))
                    && (selector.allows_every_key(access::READ)
                        || call.key_is_whole && selector.allows_key(bytes, access::READ))
            });
            let key = call.key.as_deref().filter(|_| may_see).map(text);
            json!({
                "command": name(call.command), "time": call.time_ms, "us": call.us, "key": key,
                "hidden": call.key.is_some() && !may_see, "elements": call.elements,
                "request": call.request_bytes, "reply": call.reply_bytes, "id": call.client_id,
                "addr": call.address, "client": text(&call.client_name), "user": text(&call.user),
            })
        })
        .collect();
    let cause = engine.metrics.stats.longest_turn_cause;
    json!({ "turns": turns, "calls": calls, "longest_us": engine.metrics.stats.longest_turn_nanos / 1000, "cause": cause })
}

/// The slow log. Arguments may be names of keys: only who may read every key sees them.
fn slow_log(engine: &Engine, user: &User) -> Value {
    let sees_all = user
        .selectors()
        .any(|selector| selector.allows_every_key(access::READ) && selector.databases().is_none());
    let log = engine.metrics.slowlog.log(LogKind::Slow);
    let shown = log.entries.iter().take(ENTRIES).map(|LogEntry { id, time, value, args, peer, client_name }| {
        let words = if sees_all { args.len() } else { 1 };
        let args: Vec<String> = args.iter().take(words).map(|word| text(word)).collect();
        json!({ "id": id, "time": time * 1000, "us": value, "args": args, "addr": peer, "client": text(client_name) })
    });
    let shown: Vec<Value> = shown.collect();
    json!({ "entries": shown, "count": log.entries.len(), "hidden": !sees_all, "over_us": engine.settings.slow_nanos / 1000 })
}

/// What the last walk found. A walk begins if there was none, or if one is asked for and the last is not of just now.
fn keys(engine: &mut Engine, user: &User, request: &Request) -> Value {
    let (database, depth) = (request.number("db").unwrap_or(0), request.number("depth").unwrap_or(1));
    let (database, depth) = (u32::try_from(database).unwrap_or(0), depth.min(4) as usize);
    let allows = user.selectors().any(|selector| selector.allows_database(Some(database)));
    let age = engine.last_analysis().map(|report| engine.now().saturating_sub(report.started_ms));
    let is_other =
        engine.last_analysis().is_none_or(|report| (report.database, report.depth) != (database, depth));
    let is_asked = request.parameter("walk").is_some();
    if allows && is_asked && (is_other || age.is_none_or(|age| age > WALK_MS)) {
        engine.start_analysis(database, depth);
    }
    let progress = engine.analysis_progress().map(|walk| {
        json!({ "db": walk.database, "fraction": walk.fraction, "keys": walk.keys, "bytes": walk.bytes })
    });
    let Some(report) = engine.last_analysis() else { return json!({ "progress": progress, "report": null }) };
    let sees = |name: &[u8]| {
        user.selectors().any(|selector| {
            selector.allows_database(Some(report.database)) && selector.allows_key(name, access::READ)
        })
    };
    let mut hidden = 0;
    let mut readable = |name: &[u8]| {
        let sees = sees(name);
        hidden += usize::from(!sees);
        sees
    };
    let mut biggest = Vec::new();
    for key in report.biggest_keys.iter().take(10 * NAMES).filter(|key| readable(&key.name)).take(NAMES) {
        let shown = json!({ "name": text(&key.name), "bytes": key.bytes, "type": key.kind, "elements": key.elements });
        biggest.push(shown);
    }
    let mut prefixes = Vec::new();
    let found = report.biggest_prefixes.iter().take(10 * NAMES);
    for prefix in found.filter(|prefix| readable(&prefix.prefix)).take(NAMES) {
        prefixes.push(json!({ "name": text(&prefix.prefix), "bytes": prefix.bytes, "keys": prefix.keys, "error": prefix.error }));
    }
    json!({
        "progress": progress,
        "report": {
            "db": report.database, "depth": report.depth, "started": report.started_ms, "took_ms": report.duration_ms,
            "keys": report.keys, "bytes": report.bytes, "biggest": biggest, "prefixes": prefixes, "hidden": hidden,
            "error": report.prefix_error,
        },
    })
}

/// The hottest keys of what is tracked, or was.
fn hot_keys(engine: &Engine, user: &User) -> Value {
    let Some(hot) = engine.hot_keys() else { return Value::Null };
    let shown = |found: Option<Vec<(&[u8], u64)>>| {
        let found = found?;
        let count = found.len();
        let seen = found.into_iter().filter(|(name, _)| engine.may_read_name(user, name));
        let seen: Vec<Value> = seen.map(|(name, sum)| json!({ "name": text(name), "sum": sum })).collect();
        Some(json!({ "hidden": count - seen.len(), "keys": seen }))
    };
    json!({
        "active": hot.is_active(), "started": hot.started_ms, "ratio": hot.options.sample_ratio,
        "took_ms": hot.duration_ms(engine.now()), "cpu": shown(hot.by_cpu()), "net": shown(hot.by_net()),
    })
}
