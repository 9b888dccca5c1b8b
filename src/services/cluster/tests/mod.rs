//! Tests of the service: what one node does with what others say.

mod election;
mod failure;
mod links;
mod membership;
mod slots;

use super::bench::Bench;
use super::*;

fn slots(first: u16, end: u16) -> SlotSet {
    (first..end).collect()
}

fn is_fail(body: &Body) -> bool {
    matches!(body, Body::Fail(_))
}

fn is_update(body: &Body) -> bool {
    matches!(body, Body::Update { .. })
}

/// This node is a replica of `a`, with `r`, among the primaries `a`, `b`, `c`.
fn replica_bench() -> Bench {
    let mut bench = Bench::new("abc");
    bench.add('r', flag::REPLICA);
    bench.make_replica('r', 'a');
    bench.make_replica('m', 'a');
    bench.cluster.local =
        Local { offset: 500, is_link_up: true, last_interaction: bench.now, ..Local::default() };
    bench
}
