//! INFO quotas: each quota with its limits, what was counted, and what is stored.

use super::Page;
use crate::engine::Engine;
use crate::services::quota::{Over, Subject};

pub(super) fn quotas(engine: &mut Engine, page: &mut Page) {
    let quotas = &engine.clients.quotas.quotas;
    page.field("quotas", quotas.iter().count());
    page.field("quota_delayed_clients", engine.clients.quotas.delayed_count());
    if quotas.limits_storage() {
        engine.note_data_read();
    }
    let quotas = &engine.clients.quotas.quotas;
    for (number, quota) in (0..).zip(quotas.iter()) {
        let (limits, used, stored) = (&quota.limits, quotas.used(number), engine.stored_of(quota));
        let subject = match &quota.subject {
            Subject::User(name) => format!("user={}", plain(name)),
            Subject::Database(number) => format!("db={number}"),
        };
        let over = if limits.over == Over::Delay { "delay" } else { "error" };
        page.line(format_args!(
            "quota{number}:{subject},over={over},requests={},requests_per_sec_limit={},bytes={},bytes_per_sec_limit={},\
             keys={},keys_limit={},memory={},memory_limit={},refused={},delayed={},delayed_usec={}",
            used.requests,
            limits.requests,
            used.bytes,
            limits.bytes,
            stored.keys,
            limits.keys,
            stored.bytes,
            limits.memory,
            used.refused,
            used.delayed,
            used.delayed_us,
        ));
    }
}

/// A name as a value of a field, whatever is in it.
fn plain(name: &[u8]) -> String {
    let is_separator = |sign: char| ",=:".contains(sign) || sign.is_control();
    String::from_utf8_lossy(name).chars().map(|sign| if is_separator(sign) { '_' } else { sign }).collect()
}
