//! MEMORY: USAGE, TOP, STATS, DOCTOR, PURGE, MALLOC-STATS.

use crate::commands::support::args::is;
use crate::commands::support::options::OptionReader;
use crate::engine::metrics::report::{self, MemoryReport};
use crate::engine::{Call, ClientCall, ControlCall, Done, Outcome};

use crate::keyspace::StoredValue;
use crate::resp::CommandError;
use crate::services::analysis;

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

/// MEMORY TOP: the reply follows when the walk over the database is over.
pub(in crate::commands) fn memory_top(call: &mut ControlCall<'_>) -> Outcome {
    const DEPTH: CommandError = CommandError::text("ERR PREFIX depth must be between 0 and 16");
    const COUNT: CommandError = CommandError::text("ERR COUNT must be between 1 and 1000");
    let (mut depth, mut count) = (1, 10);
    let mut options = OptionReader::new(call.args, 2);
    while let Some(word) = options.next() {
        let (value, range, error) = match word {
            word if is(word, "PREFIX") => (&mut depth, 0..=analysis::MAX_DEPTH, DEPTH),
            word if is(word, "COUNT") => (&mut count, 1..=analysis::MAX_LISTED, COUNT),
            _ => return Err(CommandError::SYNTAX),
        };
        *value = usize::try_from(options.integer()?).ok().filter(|n| range.contains(n)).ok_or(error)?;
    }
    call.engine.request_analysis(call.client, depth, count);
    Ok(Done::Deferred)
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
        ("cluster.links", call.engine.cluster_links().1 as usize),
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
            "TOP [PREFIX <depth>] [COUNT <count>]",
            "    Show which keys and which prefixes take the most memory (10 of each by default, 1000",
            "    at most), from a walk over the database in slices. A prefix is the first <depth> parts",
            "    of a key that end with ':' (1 by default, 0 for none).",
            "USAGE <key> [SAMPLES <count>]",
            "    Show how many bytes a key and its value take. Of lists and streams <count> nodes",
            "    are looked at (5 by default, 0 for all).",
        ],
    );
    Ok(Done::Replied)
}

#[cfg(test)]
mod tests {
    use crate::base::ids::ClientId;
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

    #[test]
    fn tracked_keys_are_overhead() {
        let mut server = TestServer::new();
        let keys: Vec<String> = (0..50).map(|number| format!("{number}{}", "k".repeat(1000))).collect();
        server.run("HOTKEYS START METRICS 1 NET");
        let overhead = |server: &TestServer| server.engine.memory_report().overhead;
        let before = overhead(&server);
        for key in &keys {
            server.run(&format!("GET {key}"));
        }
        let tracked = overhead(&server);
        assert!(tracked >= before + 50_000, "{before} {tracked}");
        server.script("HOTKEYS STOP\nHOTKEYS RESET");
        assert!(overhead(&server) + 50_000 <= tracked);
    }

    /// The reply of a MEMORY TOP, after turns until it is there.
    fn top(server: &mut TestServer, client: ClientId, line: &str) -> String {
        assert_eq!(server.run_as(client, line), "(blocked)");
        server.engine.tick();
        server.posted(client)
    }

    #[test]
    fn top_shows_the_biggest_keys_and_prefixes() {
        let mut server = TestServer::new();
        let client = server.client;
        server.run(&format!("SET user:1:big {}", "x".repeat(5000)));
        server.run(&format!("SET user:2:small {}", "x".repeat(300)));
        server.run("SET plain 12345");
        for item in 0..2000 {
            server.run(&format!("RPUSH queue:jobs item:{item}"));
        }
        let usage = |server: &mut TestServer, key: &str| server.run(&format!("MEMORY USAGE {key}"));
        let (list, big, small) = (
            usage(&mut server, "queue:jobs"),
            usage(&mut server, "user:1:big"),
            usage(&mut server, "user:2:small"),
        );
        let reply = top(&mut server, client, "MEMORY TOP COUNT 2");
        let expected = format!(
            "\"biggest-keys\" [[\"key\" \"queue:jobs\" \"bytes\" {list} \"type\" \"list\" \"elements\" :2000] \
             [\"key\" \"user:1:big\" \"bytes\" {big} \"type\" \"string\" \"elements\" :5000]]"
        );
        assert!(reply.contains(&expected), "{reply}\n{expected}");
        let number = |text: &str| text[1..].parse::<u64>().expect("a number");
        let user = number(&big) + number(&small);
        let expected = format!(
            "\"prefix-depth\" :1 \"prefix-error-bytes\" :0 \"biggest-prefixes\" \
             [[\"prefix\" \"queue:\" \"bytes\" {list} \"keys\" :1 \"error-bytes\" :0] \
             [\"prefix\" \"user:\" \"bytes\" :{user} \"keys\" :2 \"error-bytes\" :0]]"
        );
        assert!(reply.contains(&expected), "{reply}\n{expected}");
        assert!(reply.starts_with("[\"database\" :0 \"started-at-ms\" :17"), "{reply}");
        assert!(reply.contains("\"keys\" :4 \"bytes\" :"), "{reply}");
        let reply = top(&mut server, client, "memory top prefix 2 count 1000");
        assert!(reply.contains("\"prefix\" \"user:1:\"") && reply.contains("\"prefix\" \"\""), "{reply}");
        let reply = top(&mut server, client, "MEMORY TOP PREFIX 0");
        assert!(
            reply.ends_with("\"biggest-prefixes\" []]") && reply.contains("\"key\" \"plain\""),
            "{reply}"
        );
        assert_eq!(server.engine.analyses.finished, 3);
        assert!(server.run("INFO analysis").contains("memory_top_last_keys:4"));
    }

    #[test]
    fn top_refuses_what_it_does_not_know() {
        TestServer::new().script(
            "MEMORY TOP PREFIX 17 => -ERR PREFIX depth must be between 0 and 16
             MEMORY TOP PREFIX -1 => -ERR PREFIX depth must be between 0 and 16
             MEMORY TOP COUNT 0 => -ERR COUNT must be between 1 and 1000
             MEMORY TOP COUNT 1001 => -ERR COUNT must be between 1 and 1000
             MEMORY TOP COUNT x => -ERR value is not an integer or out of range
             MEMORY TOP COUNT => -ERR syntax error
             MEMORY TOP 5 => -ERR syntax error",
        );
    }

    #[test]
    fn top_waits_for_its_own_database_and_depth() {
        let mut server = TestServer::new();
        let (first, other, gone, last) =
            (server.client, server.connect(), server.connect(), server.connect());
        server.script("SET zero 0\nSELECT 1\nSET one 1\nSELECT 0");
        assert_eq!(server.run_as(first, "MEMORY TOP"), "(blocked)");
        assert_eq!(server.run_as(other, "MEMORY TOP COUNT 1"), "(blocked)");
        assert_eq!(server.run_as(gone, "MEMORY TOP PREFIX 5"), "(blocked)");
        assert_eq!(server.run_as(last, "SELECT 1"), "+OK");
        assert_eq!(server.run_as(last, "MEMORY TOP"), "(blocked)");
        assert!(server.run("INFO analysis").contains("memory_top_in_progress:1"));
        assert_eq!(server.engine.sleep_ms(), 0, "the walk doesn't wait for the next periodic jobs");
        server.engine.disconnect(gone);
        server.engine.tick();
        let posts = server.all_posted();
        let of = |client| posts.iter().find(|(to, _)| *to == client).map_or("", |(_, reply)| reply.as_str());
        let (one, two) = (of(first), of(other));
        assert!(one == two && one.contains("\"zero\"") && !one.contains("\"one\""), "{one} {two}");
        assert_eq!(posts.len(), 2);
        server.engine.tick();
        let reply = server.posted(last);
        assert!(reply.contains("\"database\" :1") && reply.contains("\"one\""), "{reply}");
        assert_eq!((server.engine.analyses.finished, server.engine.analysis_progress()), (2, None));
        assert!(server.engine.start_analysis(0, 1) && !server.engine.start_analysis(0, 2));
        assert!(!server.engine.start_analysis(16, 1));
    }

    #[test]
    fn top_in_a_transaction_and_in_resp3() {
        let mut server = TestServer::new();
        let client = server.client;
        server.script("SET a 1\nMULTI\nMEMORY TOP => +QUEUED\nGET a => +QUEUED");
        let reply = top(&mut server, client, "EXEC");
        assert!(reply.starts_with("[[\"database\" :0") && reply.ends_with("] \"1\"]"), "{reply}");
        server.resp3();
        let reply = top(&mut server, client, "MEMORY TOP");
        assert!(reply.starts_with("{\"database\": :0") || reply.starts_with('{'), "{reply}");
        let refused = server.run("EVAL \"return redis.call('MEMORY', 'TOP')\" 0");
        assert!(refused.starts_with("-ERR This Redis command is not allowed from script"), "{refused}");
    }

    #[test]
    fn top_names_only_what_the_user_may_read() {
        let mut server = TestServer::new();
        server.script(
            "ACL SETUSER reader on nopass +@all %R~mine:* %W~theirs:*
             SET mine:a 1\nSET theirs:a 1234567890",
        );
        let reader = server.connect();
        assert_eq!(server.run_as(reader, "AUTH reader x"), "+OK");
        let reply = top(&mut server, reader, "MEMORY TOP");
        assert!(reply.contains("\"mine:a\"") && reply.contains("\"prefix\" \"mine:\""), "{reply}");
        assert!(!reply.contains("theirs") && reply.contains("\"hidden-names\" :2"), "{reply}");
        assert_eq!(server.run("ACL SETUSER reader -@admin"), "+OK");
        assert!(server.run_as(reader, "MEMORY TOP").starts_with("-NOPERM"));
    }
}
