//! What a reader of the command stream costs the writes: SETs pipelined by 16, as the network executes them, with a
//! reader that throws the stream away and without one.
//!
//! The ratio of processor times is printed, not checked: it belongs to a quiet machine and a release build
//! (`cargo test --release --test stream_cost -- --nocapture`; at most 1.08). Checked is what no load can change: every
//! write is in the stream once, as long as it came, and the backlog is no longer than a turn's writes.

use redloop::base::ids::ClientId;
use redloop::base::rng::Rng;
use redloop::commands::FAMILIES;
use redloop::engine::clients::session::Peer;
use redloop::engine::{Engine, ExecStatus, Prepared};
use redloop::resp::parser::parse_fast;
use redloop::resp::{Args, Reply, Span};
use redloop::services::command_stream::ReaderKind;
use redloop::services::config::Config;
use redloop::sys::clock::Clock;
use redloop::sys::process::cpu_times;

const PIPELINE: usize = 16;
/// Connections that are served in a turn.
const CONNECTIONS: usize = 50;
const KEYS: u64 = 100_000;
#[cfg(debug_assertions)]
const TURNS: usize = 20;
#[cfg(not(debug_assertions))]
const TURNS: usize = 500;
#[cfg(debug_assertions)]
const ROUNDS: usize = 3;
#[cfg(not(debug_assertions))]
const ROUNDS: usize = 21;

/// Requests of one read of a connection.
fn requests(rng: &mut Rng) -> Vec<u8> {
    let set = |_| {
        let key = rng.below(KEYS);
        format!("*3\r\n$3\r\nSET\r\n$16\r\nkey:{key:012}\r\n$32\r\n{}\r\n", "x".repeat(32))
    };
    (0..PIPELINE).map(set).collect::<String>().into_bytes()
}

/// Executes the requests of one read: all are parsed and prepared, then prefetched, then executed.
fn serve(
    engine: &mut Engine,
    client: ClientId,
    input: &[u8],
    spans: &mut Vec<Span>,
    prepared: &mut Vec<Prepared>,
    reply: &mut Reply,
) {
    engine.start_unit();
    spans.clear();
    prepared.clear();
    let mut ends = [(0, 0); PIPELINE + 1];
    for number in 0..PIPELINE {
        let (start, first) = ends[number];
        let end = start + parse_fast(&input[start..], spans).expect("a whole request");
        ends[number + 1] = (end, spans.len());
        prepared.push(engine.prepare(Args::new(&input[start..end], &spans[first..]), 0));
    }
    engine.prefetch(prepared, 0);
    for (number, prepared) in prepared.iter().enumerate() {
        let ((start, first), (end, last)) = (ends[number], ends[number + 1]);
        let args = Args::new(&input[start..end], &spans[first..last]);
        assert_eq!(engine.execute(client, *prepared, args, reply), ExecStatus::Done);
    }
    engine.flush_batch();
    reply.truncate(0);
}

/// Serves the reads, `TURNS` turns; what it took, ns of this thread a request.
fn run(engine: &mut Engine, client: ClientId, reads: &[Vec<u8>], reader: bool) -> f64 {
    let consumer = reader.then(|| engine.attach_reader(ReaderKind::Log));
    let (mut spans, mut prepared) = (Vec::new(), Vec::new());
    let mut reply = Reply::new(Vec::new(), false);
    let start = thread_seconds();
    for turn in 0..TURNS {
        engine.start_turn();
        for number in 0..CONNECTIONS {
            let input = &reads[(turn * CONNECTIONS + number) % reads.len()];
            serve(engine, client, input, &mut spans, &mut prepared, &mut reply);
        }
        if let Some(consumer) = consumer {
            let backlog = engine.backlog_mut();
            while let piece = backlog.read(consumer).expect("all is kept").len()
                && piece > 0
            {
                backlog.consume(consumer, piece);
            }
        }
        engine.end_turn();
    }
    let nanos = (thread_seconds() - start) * 1e9;
    if let Some(consumer) = consumer {
        engine.detach_reader(consumer);
    }
    nanos / (TURNS * CONNECTIONS * PIPELINE) as f64
}

/// Processor time of this thread.
fn thread_seconds() -> f64 {
    let (system, user) = cpu_times().thread;
    system + user
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[test]
fn a_reader_costs_little() {
    let mut engine = Engine::new(FAMILIES, Config::default(), Clock::real(), 1);
    let client = engine.connect(0, 0, Peer::Internal);
    let mut rng = Rng::new(1);
    let reads: Vec<Vec<u8>> = (0..4000).map(|_| requests(&mut rng)).collect();
    let bytes_of = |turns: usize| -> u64 {
        let all = (0..turns * CONNECTIONS).map(|read| reads[read % reads.len()].len() as u64);
        all.sum()
    };
    run(&mut engine, client, &reads, false);
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let before = engine.backlog().end();
        without.push(run(&mut engine, client, &reads, false));
        assert_eq!(engine.backlog().end(), before);
        with.push(run(&mut engine, client, &reads, true));
        let select = "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n".len() as u64;
        assert_eq!(engine.backlog().end() - before, select + bytes_of(TURNS));
        assert!(engine.backlog().memory_usage() <= 2 * bytes_of(1) as usize + (128 << 10));
    }
    let mut ratios: Vec<f64> = with.iter().zip(&without).map(|(with, without)| with / without).collect();
    let (without, with) = (median(&mut without), median(&mut with));
    println!(
        "SET P{PIPELINE}: {without:.1} ns a request without a reader, {with:.1} ns with one; ratio of medians {:.3}, \
         median of ratios {:.3}",
        with / without,
        median(&mut ratios)
    );
}
