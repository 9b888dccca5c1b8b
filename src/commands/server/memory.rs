//! MEMORY: USAGE, STATS, DOCTOR, PURGE, MALLOC-STATS.

use crate::commands::support::args::is;
use crate::commands::support::options::OptionReader;
use crate::engine::metrics::report::{self, MemoryReport};
use crate::engine::{Call, ClientCall, ControlCall, Done, Outcome};

use crate::keyspace::StoredValue;
use crate::resp::CommandError;

/// The default of SAMPLES: nodes of a list or stream that MEMORY USAGE measures.
const DEFAULT_SAMPLES: usize = 5;

pub(in crate::commands) fn memory_usage(call: &mut Call<'_>) -> Outcome {
    let mut samples = DEFAULT_SAMPLES;
    let mut options = OptionReader::new(call.args, 3);
    while let Some(word) = options.next() {
        if !is(word, "SAMPLES") {
            return Err(CommandError::SYNTAX);
        }
        samples = usize::try_from(options.integer()?).map_err(|_| CommandError::SYNTAX)?;
    }
    let Some(at) = call.db.lookup_silent(call.args.at(2)) else {
        call.reply.null();
        return Ok(Done::Replied);
    };
    let entry = call.db.database().table().entry_memory(at);
    let behind = match call.db.stored_value(at) {
        StoredValue::Object(value) => value.memory_usage(samples),
        StoredValue::Int(_) | StoredValue::Bytes(_) => 0,
    };
    call.reply.count(entry + behind);
    Ok(Done::Replied)
}

enum Figure {
    Count(usize),
    Difference(i64),
    Ratio(f64),
}

/// The names and values of MEMORY STATS after the databases.
fn totals(figures: &MemoryReport) -> Vec<(&'static str, Figure)> {
    use Figure::{Count, Difference, Ratio};
    let lost = figures.resident as i64 - figures.used as i64;
    let fragmentation = figures.fragmentation();
    vec![
        ("overhead.db.hashtable.lut", Count(figures.tables())),
        // No table is ever rehashed as a whole.
        ("overhead.db.hashtable.rehashing", Count(0)),
        ("overhead.total", Count(figures.overhead)),
        ("db.dict.rehashing.count", Count(0)),
        ("keys.count", Count(figures.keys)),
        ("keys.bytes-per-key", Count(figures.dataset.checked_div(figures.keys).unwrap_or(0))),
        ("dataset.bytes", Count(figures.dataset)),
        ("dataset.percentage", Ratio(figures.dataset_percent())),
        ("peak.percentage", Ratio(figures.peak_percent())),
        ("allocator.allocated", Count(figures.used)),
        ("allocator.active", Count(figures.resident)),
        ("allocator.resident", Count(figures.resident)),
        ("allocator.muzzy", Count(0)),
        ("allocator-fragmentation.ratio", Ratio(fragmentation)),
        ("allocator-fragmentation.bytes", Difference(lost)),
        ("allocator-rss.ratio", Ratio(1.0)),
        ("allocator-rss.bytes", Count(0)),
        ("rss-overhead.ratio", Ratio(1.0)),
        ("rss-overhead.bytes", Count(0)),
        ("fragmentation", Ratio(fragmentation)),
        ("fragmentation.bytes", Difference(lost)),
    ]
}

pub(in crate::commands) fn memory_stats(call: &mut ControlCall<'_>) -> Outcome {
    call.engine.note_data_read();
    let figures = call.engine.memory_report();
    let (scripts, functions) = (call.engine.scripting.figures(), call.engine.scripting.functions());
    let heads = [
        ("peak.allocated", figures.peak),
        ("total.allocated", figures.used),
        ("startup.allocated", figures.startup),
        ("replication.backlog", figures.backlog),
        ("replica.fullsync.buffer", 0),
        ("clients.slaves", figures.replicas),
        ("clients.normal", figures.clients),
        ("cluster.links", 0),
        ("aof.buffer", 0),
        ("lua.caches", scripts.cache_memory),
        ("functions.caches", functions.libraries().memory()),
        ("script.VMs", scripts.interpreter_memory + functions.interpreter_memory()),
    ];
    let totals = totals(&figures);
    call.reply.map(heads.len() + figures.databases.len() + totals.len());
    for (name, bytes) in heads {
        call.reply.bulk(name.as_bytes());
        call.reply.count(bytes);
    }
    for database in &figures.databases {
        call.reply.bulk(format!("db.{}", database.index).as_bytes());
        call.reply.map(2);
        call.reply.bulk(b"overhead.hashtable.main");
        call.reply.count(database.overhead);
        // Deadlines are in the entries: they take no table of their own.
        call.reply.bulk(b"overhead.hashtable.expires");
        call.reply.count(0);
    }
    for (name, figure) in totals {
        call.reply.bulk(name.as_bytes());
        match figure {
            Figure::Count(n) => call.reply.count(n),
            Figure::Difference(n) => call.reply.integer(n),
            Figure::Ratio(x) => call.reply.double(x),
        }
    }
    Ok(Done::Replied)
}

/// The text of MEMORY DOCTOR: the unusual figures, in sentences.
fn complaints(figures: &MemoryReport, clients: usize) -> Vec<&'static str> {
    const CONSIDERABLE: usize = 10 << 20;
    const MUCH_FOR_A_CLIENT: usize = 200 << 10;
    let mut found = Vec::new();
    if figures.peak as f64 > figures.used as f64 * 1.5 {
        found.push(
            "The peak of memory is more than half above what is in use: the process may keep pages for which \
             there is no need at present. MEMORY PURGE gives back what can be given back.",
        );
    }
    if figures.fragmentation() > 1.4 && figures.resident.saturating_sub(figures.used) > CONSIDERABLE {
        found.push(
            "The process takes much more of the machine's memory than is in use. After a peak that is to be \
             expected; otherwise memory is fragmented.",
        );
    }
    if figures.clients / clients.max(1) > MUCH_FOR_A_CLIENT {
        found.push(
            "Clients take more than 200 KiB each on average. CLIENT LIST shows which (tot-mem): they send \
             large requests in pieces, or don't read their replies. client-output-buffer-limit and \
             maxmemory-clients bound them.",
        );
    }
    found
}

pub(in crate::commands) fn memory_doctor(call: &mut ControlCall<'_>) -> Outcome {
    const TOO_LITTLE: usize = 5 << 20;
    let figures = call.engine.memory_report();
    let text = if figures.used < TOO_LITTLE {
        "There is too little data here to judge by.\n".to_string()
    } else {
        let found = complaints(&figures, call.engine.client_report().connected);
        match found.is_empty() {
            true => "Nothing about the use of memory is out of the ordinary.\n".to_string(),
            false => found.iter().map(|complaint| format!(" * {complaint}\n\n")).collect(),
        }
    };
    call.reply.verbatim(b"txt", text.as_bytes());
    Ok(Done::Replied)
}

pub(in crate::commands) fn memory_malloc_stats(call: &mut ClientCall<'_>) -> Outcome {
    call.reply.verbatim(b"txt", report::allocator_report().as_bytes());
    Ok(Done::Replied)
}

pub(in crate::commands) fn memory_purge(call: &mut ClientCall<'_>) -> Outcome {
    report::purge_memory();
    call.reply.ok();
    Ok(Done::Replied)
}

pub(in crate::commands) fn memory_help(call: &mut ClientCall<'_>) -> Outcome {
    call.reply.help(
        call.args.at(0),
        &[
            "DOCTOR",
            "    Judge the use of memory, in words.",
            "MALLOC-STATS",
            "    Show the allocator's own statistics.",
            "PURGE",
            "    Give free memory back to the system.",
            "STATS",
            "    Show where memory goes.",
            "USAGE <key> [SAMPLES <count>]",
            "    Show how many bytes a key and its value take. Of lists and streams <count> nodes",
            "    are looked at (5 by default, 0 for all).",
        ],
    );
    Ok(Done::Replied)
}

#[cfg(test)]
mod tests {
    use crate::commands::support::testing::TestServer;

    #[test]
    fn usage_grows_with_the_value() {
        let mut server = TestServer::new();
        server.script("SET a 1\nMEMORY USAGE none => nil");
        server.run(&format!("SET b {}", "x".repeat(5000)));
        let mut bytes = |line: &str| server.run(line)[1..].parse::<usize>().expect("a number");
        let (a, b) = (bytes("MEMORY USAGE a"), bytes("MEMORY USAGE b SAMPLES 0"));
        assert!((8..200).contains(&a) && (5000..7000).contains(&b), "{a} {b}");
        server.script(
            "MEMORY USAGE a SAMPLES -1 => -ERR syntax error
             MEMORY USAGE a SAMPLES x => -ERR value is not an integer or out of range
             MEMORY USAGE a SAMPLES => -ERR syntax error
             MEMORY USAGE a FOO 1 => -ERR syntax error",
        );
    }

    #[test]
    fn stats_and_doctor_answer() {
        let mut server = TestServer::new();
        server.script("SET a 1");
        server.resp3();
        let stats = server.run("MEMORY STATS");
        for name in ["peak.allocated", "db.0", "overhead.hashtable.main", "keys.count", "fragmentation.bytes"]
        {
            assert!(stats.contains(name), "{name} in {stats}");
        }
        assert!(!server.run("MEMORY DOCTOR").starts_with('-'));
    }
}
