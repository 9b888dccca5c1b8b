//! INFO's section of Sentinel mode.

use super::Page;
use crate::engine::Engine;
use crate::services::sentinel::flag;

pub(super) fn sentinel(engine: &mut Engine, page: &mut Page) {
    let now = engine.now();
    let Some(mode) = &engine.sentinel else { return };
    let service = &mode.service;
    let (tilt_since, total_tilt) = service.tilt();
    page.field("sentinel_masters", service.groups().len());
    page.field("sentinel_tilt", u8::from(tilt_since.is_some()));
    let seconds = tilt_since.map_or(-1, |since| (now.saturating_sub(since) / 1000) as i64);
    page.field("sentinel_tilt_since_seconds", seconds);
    page.field("sentinel_total_tilt", total_tilt);
    page.field("sentinel_running_scripts", service.scripts().running());
    page.field("sentinel_scripts_queue_length", service.scripts().jobs().len());
    let simulated = service.simulated;
    let flags = u8::from(simulated.crash_after_election) + 2 * u8::from(simulated.crash_after_promotion);
    page.field("sentinel_simulate_failure_flags", flags);
    for (number, group) in service.groups().enumerate() {
        let primary = service.at(group.primary);
        let status = match () {
            () if primary.is(flag::O_DOWN) => "odown",
            () if primary.is(flag::S_DOWN) => "sdown",
            () => "ok",
        };
        let address = &primary.address;
        page.line(format_args!(
            "master{number}:name={},status={status},address={}:{},slaves={},sentinels={}",
            group.name,
            address.announced(service.settings.announce_hostnames),
            address.port,
            group.replicas.len(),
            group.sentinels.len() + 1
        ));
    }
}
