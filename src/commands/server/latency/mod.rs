//! LATENCY: replies with the events of the latency monitor and with histograms of the commands' execution times.

mod report;
mod top;

pub(in crate::commands) use top::latency_top;

use crate::engine::command::table::CommandId;
use crate::engine::metrics::stats::Histogram;
use crate::engine::{ClientCall, Done, Outcome};
use crate::resp::{CommandError, Reply};

pub(in crate::commands) fn latency_latest(call: &mut ClientCall<'_>) -> Outcome {
    let last = |series: &crate::engine::metrics::latency::LatencySeries| {
        series.samples.back().copied().unwrap_or_default()
    };
    call.reply.array(call.metrics.latency.events.len());
    for (event, series) in &call.metrics.latency.events {
        let (time, ms) = last(series);
        call.reply.array(4);
        call.reply.bulk(event.as_bytes());
        call.reply.integer(time as i64);
        call.reply.integer(ms as i64);
        call.reply.integer(series.max as i64);
    }
    Ok(Done::Replied)
}

pub(in crate::commands) fn latency_history(call: &mut ClientCall<'_>) -> Outcome {
    let Some(series) = call.metrics.latency.series(call.args.at(2)) else {
        call.reply.array(0);
        return Ok(Done::Replied);
    };
    call.reply.array(series.samples.len());
    for (time, ms) in &series.samples {
        call.reply.array(2);
        call.reply.integer(*time as i64);
        call.reply.integer(*ms as i64);
    }
    Ok(Done::Replied)
}

pub(in crate::commands) fn latency_reset(call: &mut ClientCall<'_>) -> Outcome {
    let events = &mut call.metrics.latency.events;
    let before = events.len();
    if call.args.len() == 2 {
        events.clear();
        call.metrics.large_calls.clear();
    } else {
        events.retain(|event, _| !call.args.tail(2).iter().any(|word| word == event.as_bytes()));
    }
    call.reply.count(before - events.len());
    Ok(Done::Replied)
}

pub(in crate::commands) fn latency_graph(call: &mut ClientCall<'_>) -> Outcome {
    let event = call.args.at(2);
    let Some(series) = call.metrics.latency.series(event) else {
        let text = [b"ERR No samples available for event '", event, b"'"].concat();
        return Err(CommandError::new(text));
    };
    let text = report::graph(&String::from_utf8_lossy(event), series, call.now() / 1000);
    call.reply.verbatim(b"txt", text.as_bytes());
    Ok(Done::Replied)
}

pub(in crate::commands) fn latency_doctor(call: &mut ClientCall<'_>) -> Outcome {
    let mut text =
        report::doctor(&call.metrics.latency, call.settings.latency_threshold_ms, call.now() / 1000);
    text.push_str(&top::summary(call));
    call.reply.verbatim(b"txt", text.as_bytes());
    Ok(Done::Replied)
}

/// The calls and, for each doubling of time that has calls in it, how many took at most that long. The limits are named as Redis's
/// histogram names them, which has 128 steps to a doubling and counts the first step of the next one, too; nothing there takes longer
/// than a second or so.
fn write_histogram(histogram: &Histogram, reply: &mut Reply) {
    const FIRST_NANOS: u64 = 1024;
    const LAST: u32 = 20;
    const LONGEST_USEC: i64 = 1_073_741;
    reply.map(2);
    reply.bulk(b"calls");
    reply.integer(histogram.total() as i64);
    reply.bulk(b"histogram_usec");
    let open = reply.open();
    let (mut steps, mut before) = (0, 0);
    for doubling in 0..=LAST {
        let limit = FIRST_NANOS << doubling;
        let (count, name) = match doubling {
            LAST => (histogram.total(), LONGEST_USEC),
            _ => (histogram.count_up_to(limit - 1), ((limit + limit / 128 - 1) / 1000) as i64),
        };
        if count > before {
            reply.integer(name);
            reply.integer(count as i64);
            steps += 1;
        }
        before = count;
        if count == histogram.total() {
            break;
        }
    }
    reply.close_map(open, steps);
}

pub(in crate::commands) fn latency_histogram(call: &mut ClientCall<'_>) -> Outcome {
    let registry = &call.commands;
    let wanted: Vec<CommandId> = if call.args.len() == 2 {
        registry.iter().map(|command| command.id).collect()
    } else {
        let named = call.args.tail(2).iter().filter_map(|name| registry.find_full(name));
        named.flat_map(|id| std::iter::once(id).chain(registry.get(id).subcommands.iter().copied())).collect()
    };
    let histogram = |id: &CommandId| &call.metrics.stats.commands[id.0 as usize].histogram;
    let wanted: Vec<CommandId> = wanted.into_iter().filter(|id| histogram(id).total() > 0).collect();
    call.reply.map(wanted.len());
    for id in &wanted {
        call.reply.bulk(registry.get(*id).name.as_bytes());
        write_histogram(histogram(id), call.reply);
    }
    Ok(Done::Replied)
}

pub(in crate::commands) fn latency_help(call: &mut ClientCall<'_>) -> Outcome {
    call.reply.help(
        call.args.at(0),
        &[
            "DOCTOR",
            "    Judge what was noticed, in words.",
            "GRAPH <event>",
            "    Draw the delays of an event.",
            "HISTORY <event>",
            "    List the delays of an event with their times.",
            "LATEST",
            "    List the last delay of each event.",
            "RESET [<event> ...]",
            "    Forget the delays of some events, or of all and what TOP lists.",
            "HISTOGRAM [<command> ...]",
            "    Show how many calls took up to how many microseconds, for some commands or",
            "    all.",
            "TOP [COUNT <count>]",
            "    List the calls that held the server up the longest in the last hour, with",
            "    their clients and how much they went through.",
        ],
    );
    Ok(Done::Replied)
}

#[cfg(test)]
mod tests {
    use crate::commands::support::testing::TestServer;

    #[test]
    fn events_come_and_go() {
        let mut server = TestServer::new();
        server.script("CONFIG SET latency-monitor-threshold 100");
        for (ms, seconds) in [(150, 2), (300, 3)] {
            let (settings, now) = (server.engine.settings.clone(), server.engine.now());
            server.engine.metrics.latency.note("command", ms, &settings, now);
            server.advance(seconds * 1000);
        }
        server.script(
            "LATENCY LATEST => [[\"command\" :1700000002 :300 :300]]
             LATENCY HISTORY command => [[:1700000000 :150] [:1700000002 :300]]
             LATENCY HISTORY other => []
             LATENCY GRAPH other => -ERR No samples available for event 'other'
             LATENCY RESET other => :0",
        );
        let graph = server.run("LATENCY GRAPH command");
        assert!(graph.contains("command - high 300 ms, low 150 ms (all time high 300 ms)"), "{graph}");
        assert!(server.run("LATENCY DOCTOR").contains("command"));
        server.script("LATENCY RESET => :1\nLATENCY LATEST => []");
    }

    #[test]
    fn histograms_of_some_commands() {
        let mut server = TestServer::new();
        server.script("SET a b\nSET a c\nCONFIG RESETSTAT\nSET a d\nGET a => \"d\"");
        let one = server.run("LATENCY HISTOGRAM set nosuch");
        assert!(one.starts_with("[\"set\" [\"calls\" :1 \"histogram_usec\" [:"), "{one}");
        assert!(server.run("LATENCY HISTOGRAM config").starts_with("[\"config|resetstat\""));
        assert!(server.run("LATENCY HISTOGRAM").contains("\"get\""));
    }

    #[test]
    fn limits_are_those_of_redis() {
        let mut server = TestServer::new();
        server.script("CONFIG RESETSTAT");
        let id = server.engine.commands.find_full(b"echo").expect("a command");
        let histogram = &mut server.engine.metrics.stats.commands[id.0 as usize].histogram;
        for nanos in [500, 2_000, 30_000, 60_000, 400_000_000, 1_200_000_000, 5_000_000_000] {
            histogram.record(nanos, 1);
        }
        server.script(
            "LATENCY HISTOGRAM echo => [\"echo\" [\"calls\" :7 \"histogram_usec\" [:1 :1 :2 :2 :33 :3 :66 :4 :541065 :5 :1073741 :7]]]",
        );
    }
}
