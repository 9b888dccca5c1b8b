//! Quotas in `/metrics` and on the page: limits, what was counted, what is stored. Nothing without a quota.

use serde_json::{Value, json};

use crate::engine::Engine;
use crate::services::exposition::{Exposition, Kind};
use crate::services::quota::{Limits, Over, Quota, Subject, Use};

/// Quotas that the page shows.
const ROWS: usize = 100;

/// The labels of a quota: what it is of, and which.
fn labels(quota: &Quota) -> (&'static str, String) {
    match &quota.subject {
        Subject::User(name) => ("user", String::from_utf8_lossy(name).into_owned()),
        Subject::Database(number) => ("db", number.to_string()),
    }
}

pub(super) fn write(engine: &Engine, out: &mut Exposition) {
    let quotas = &engine.clients.quotas.quotas;
    if quotas.is_empty() {
        return;
    }
    type Count = fn(&Use) -> f64;
    let counters: [(&str, &str, Count); 5] = [
        ("redloop_quota_requests_total", "Requests counted for a quota.", |it| it.requests as f64),
        ("redloop_quota_bytes_total", "Bytes received and sent.", |it| it.bytes as f64),
        ("redloop_quota_refused_total", "Requests refused beyond a limit.", |it| it.refused as f64),
        ("redloop_quota_delayed_total", "Requests that had to wait.", |it| it.delayed as f64),
        ("redloop_quota_delay_seconds_total", "Time that they were told to wait.", |it| {
            it.delayed_us as f64 / 1e6
        }),
    ];
    for (metric, help, count) in counters {
        let mut family = out.family(metric, Kind::Counter, help);
        for (index, quota) in (0..).zip(quotas.iter()) {
            let (of, name) = labels(quota);
            family.sample(&[("of", of), ("name", &name)], count(&quotas.used(index)));
        }
    }
    let mut family = out.family("redloop_quota_stored", Kind::Gauge, "What is stored that a quota counts.");
    for quota in quotas.iter() {
        let ((of, name), stored) = (labels(quota), engine.stored_of(quota));
        for (what, value) in [("keys", stored.keys), ("bytes", stored.bytes)] {
            family.sample(&[("of", of), ("name", &name), ("what", what)], value);
        }
    }
    let mut family = out.family("redloop_quota_limit", Kind::Gauge, "Limits of a quota.");
    for quota in quotas.iter() {
        let ((of, name), Limits { memory, keys, requests, bytes, .. }) = (labels(quota), quota.limits);
        for (what, value) in [
            ("requests per second", requests),
            ("bytes per second", bytes),
            ("keys", keys),
            ("bytes", memory),
        ] {
            if value > 0 {
                family.sample(&[("of", of), ("name", &name), ("what", what)], value);
            }
        }
    }
    let waiting = engine.clients.quotas.delayed_count();
    out.single("redloop_quota_delayed_clients", Kind::Gauge, "Clients whose requests wait.", waiting);
}

/// What the page shows of the first quotas.
pub(super) fn list(engine: &Engine) -> Value {
    let quotas = &engine.clients.quotas.quotas;
    let rows = (0..).zip(quotas.iter()).take(ROWS).map(|(index, quota)| {
        let ((of, name), used, stored) = (labels(quota), quotas.used(index), engine.stored_of(quota));
        let Limits { memory, keys, requests, bytes, over } = quota.limits;
        json!({
            "of": of, "name": name, "delays": over == Over::Delay, "refused": used.refused, "delayed": used.delayed,
            "delayed_us": used.delayed_us, "requests": [used.requests, requests], "bytes": [used.bytes, bytes],
            "keys": [stored.keys, keys], "memory": [stored.bytes, memory],
        })
    });
    let rows: Vec<Value> = rows.collect();
    json!({ "quotas": rows, "count": quotas.iter().count(), "waiting": engine.clients.quotas.delayed_count(), "time": engine.now() })
}
