//! HOTKEYS: which keys take the most processor time, and the most bytes of requests and replies.

use crate::base::crc::SLOTS;
use crate::base::number;
use crate::base::slot_set::SlotSet;
use crate::commands::support::args::is;
use crate::engine::{ClientCall, ControlCall, Done, Engine, Outcome};
use crate::resp::{Args, CommandError, Reply};
use crate::services::analysis::hot_keys::{HotKeys, HotKeysOptions};

/// An integer in a range, or an error that says what it may be.
fn in_range(args: Args<'_>, at: usize, range: (i64, i64), error: &'static str) -> Result<u64, CommandError> {
    let number = args.get(at).and_then(number::parse_i64).filter(|n| (range.0..=range.1).contains(n));
    number.map(|n| n as u64).ok_or(CommandError::text(error))
}

/// Reads `METRICS count [CPU] [NET]`; returns where the options begin. Other words are metrics that other versions may know.
fn parse_metrics(args: Args<'_>, options: &mut HotKeysOptions) -> Result<usize, CommandError> {
    const TWICE: [CommandError; 2] = [
        CommandError::text("ERR METRICS CPU defined more than once!"),
        CommandError::text("ERR METRICS NET defined more than once!"),
    ];
    if args.len() < 4 || !is(args.at(2), "METRICS") {
        return Err(CommandError::text("ERR METRICS parameter is required"));
    }
    let count = in_range(args, 3, (1, 2), "ERR METRICS count must be > 0 and <= 2")? as usize;
    let end = 4 + count;
    for at in 4..end.min(args.len()) {
        let [twice_cpu, twice_net] = TWICE;
        let (chosen, twice) = match args.at(at) {
            word if is(word, "CPU") => (&mut options.cpu, twice_cpu),
            word if is(word, "NET") => (&mut options.net, twice_net),
            _ => continue,
        };
        if std::mem::replace(chosen, true) {
            return Err(twice);
        }
    }
    if args.len() < end {
        return Err(CommandError::text("ERR METRICS count does not match number of metric types provided"));
    }
    if !options.cpu && !options.net {
        return Err(CommandError::text("ERR METRICS no valid metrics passed. Supported: CPU|NET"));
    }
    Ok(end)
}

/// The slots that a node serves itself; all, if it is no node of a cluster.
fn own_slots(engine: &Engine) -> SlotSet {
    engine.cluster.as_ref().map_or_else(SlotSet::full, |mode| mode.service.topology.myself().slots().clone())
}

/// Reads `SLOTS count slot …`, whose first word is at `at`.
fn parse_slots(engine: &Engine, args: Args<'_>, at: usize) -> Result<SlotSet, CommandError> {
    let range = (1, i64::from(SLOTS));
    let count = in_range(args, at + 1, range, "ERR SLOTS count must be between 1 and 16384")? as usize;
    if at + 1 + count >= args.len() {
        return Err(CommandError::text("ERR not enough slot numbers provided"));
    }
    let (own, mut slots) = (own_slots(engine), SlotSet::new());
    for at in at + 2..at + 2 + count {
        let number = number::parse_i64(args.at(at)).and_then(|number| u16::try_from(number).ok());
        let slot = number.filter(|slot| *slot < SLOTS);
        let slot = slot.ok_or(CommandError::text("ERR Invalid or out of range slot"))?;
        if !own.contains(slot) {
            return Err(CommandError::new(format!("ERR slot {slot} not handled by this node")));
        }
        if !slots.insert(slot) {
            return Err(CommandError::text("ERR duplicate slot number"));
        }
    }
    Ok(slots)
}

fn parse_start(engine: &Engine, args: Args<'_>) -> Result<HotKeysOptions, CommandError> {
    let mut options =
        HotKeysOptions { cpu: false, net: false, count: 10, duration_ms: 0, sample_ratio: 1, slots: None };
    let mut at = parse_metrics(args, &mut options)?;
    while at < args.len() {
        let word = args.at(at);
        if at + 1 == args.len() {
            return Err(CommandError::SYNTAX);
        }
        if is(word, "COUNT") {
            options.count = in_range(args, at + 1, (1, 64), "ERR COUNT must be between 1 and 64")? as usize;
        } else if is(word, "DURATION") {
            let range = (1, 1_000_000);
            options.duration_ms =
                1000 * in_range(args, at + 1, range, "ERR DURATION must be between 1 and 1000000")?;
        } else if is(word, "SAMPLE") {
            let range = (1, i64::from(i32::MAX));
            options.sample_ratio = in_range(args, at + 1, range, "ERR SAMPLE ratio must be positive")?;
        } else if is(word, "SLOTS") {
            if !engine.is_cluster() {
                return Err(CommandError::text("ERR SLOTS parameter cannot be used in non-cluster mode"));
            }
            if options.slots.is_some() {
                return Err(CommandError::text("ERR SLOTS parameter already specified"));
            }
            let slots = parse_slots(engine, args, at)?;
            at += slots.len();
            options.slots = Some(slots);
        } else {
            return Err(CommandError::SYNTAX);
        }
        at += 2;
    }
    Ok(options)
}

pub(in crate::commands) fn start(call: &mut ControlCall<'_>) -> Outcome {
    const GOES_ON: CommandError = CommandError::text("ERR hotkey tracking session already in progress");
    if call.engine.hot_keys().is_some_and(HotKeys::is_active) {
        return Err(GOES_ON);
    }
    let options = parse_start(call.engine, call.args)?;
    call.engine.start_hot_keys(options);
    call.reply.ok();
    Ok(Done::Replied)
}

pub(in crate::commands) fn stop(call: &mut ControlCall<'_>) -> Outcome {
    if call.engine.stop_hot_keys() {
        call.reply.ok()
    } else {
        call.reply.null()
    }
    Ok(Done::Replied)
}

pub(in crate::commands) fn reset(call: &mut ControlCall<'_>) -> Outcome {
    if !call.engine.reset_hot_keys() {
        return Err(CommandError::text("ERR hotkey tracking session in progress, stop tracking first"));
    }
    call.reply.ok();
    Ok(Done::Replied)
}

fn write_keys(reply: &mut Reply, name: &str, keys: &[(&[u8], u64)]) {
    reply.bulk(name.as_bytes());
    reply.array(2 * keys.len());
    for (key, figure) in keys {
        reply.bulk(key);
        reply.integer(*figure as i64);
    }
}

/// Ranges of slots, of which one of a single slot is that alone.
fn write_slots(reply: &mut Reply, slots: &SlotSet) {
    reply.bulk(b"selected-slots");
    let ranges: Vec<_> = slots.ranges().collect();
    reply.array(ranges.len());
    for range in ranges {
        let (first, last) = range.into_inner();
        let ends = if first == last { vec![first] } else { vec![first, last] };
        reply.array(ends.len());
        ends.iter().for_each(|slot| reply.integer((*slot).into()));
    }
}

/// The map of HOTKEYS GET.
fn write(engine: &Engine, hot: &HotKeys, reply: &mut Reply) {
    let figure = |reply: &mut Reply, name: &str, value: u64| {
        reply.bulk(name.as_bytes());
        reply.integer(value as i64);
    };
    let (cpu, net) = (hot.by_cpu(), hot.by_net());
    let chooses = hot.options.slots.is_some();
    let is_sampled = chooses && hot.options.sample_ratio > 1;
    let more = [(cpu.is_some(), 3), (net.is_some(), 2), (chooses, 2), (is_sampled, 2)];
    reply.map(more.iter().filter(|(is_told, _)| *is_told).fold(7, |all, (_, count)| all + count));
    figure(reply, "tracking-active", u64::from(hot.is_active()));
    figure(reply, "sample-ratio", hot.options.sample_ratio);
    write_slots(reply, hot.options.slots.as_ref().unwrap_or(&own_slots(engine)));
    let sums = [
        (is_sampled, "sampled-commands-selected-slots", hot.of_slots_sampled),
        (chooses, "all-commands-selected-slots", hot.of_slots),
        (true, "all-commands-all-slots", hot.all),
    ];
    for (_, name, sum) in sums.iter().filter(|(is_told, ..)| *is_told) {
        figure(reply, &format!("{name}-us"), sum.nanos / 1000);
    }
    for (_, name, sum) in sums.iter().filter(|(is_told, ..)| *is_told) {
        figure(reply, &format!("net-bytes-{name}"), sum.bytes);
    }
    figure(reply, "collection-start-time-unix-ms", hot.started_ms);
    figure(reply, "collection-duration-ms", hot.duration_ms(engine.now()));
    if cpu.is_some() {
        let (system, user) = engine.cpu_times().process;
        let ms = |seconds: f64| (seconds * 1000.0).max(0.0) as u64;
        figure(reply, "total-cpu-time-user-ms", ms(user - hot.cpu_before.1));
        figure(reply, "total-cpu-time-sys-ms", ms(system - hot.cpu_before.0));
    }
    if net.is_some() {
        figure(reply, "total-net-bytes", hot.tracked_bytes);
    }
    if let Some(keys) = cpu {
        write_keys(reply, "by-cpu-time-us", &keys);
    }
    if let Some(keys) = net {
        write_keys(reply, "by-net-bytes", &keys);
    }
}

pub(in crate::commands) fn get(call: &mut ControlCall<'_>) -> Outcome {
    match call.engine.hot_keys() {
        None => call.reply.null(),
        Some(hot) => {
            call.reply.array(1);
            write(call.engine, hot, call.reply);
        }
    }
    Ok(Done::Replied)
}

pub(in crate::commands) fn help(call: &mut ClientCall<'_>) -> Outcome {
    call.reply.help(
        call.args.at(0),
        &[
            "START METRICS <count> [CPU] [NET] [COUNT <k>] [DURATION <seconds>] [SAMPLE <ratio>] [SLOTS <count> <slot> ...]",
            "    Begin to track which keys take the most processor time (CPU) or bytes of requests and",
            "    replies (NET): the <k> first (10 by default, 64 at most), until STOP or for <seconds>,",
            "    in one of <ratio> calls (each by default). SLOTS needs cluster mode.",
            "STOP",
            "    End the tracking; GET goes on to show what it found.",
            "GET",
            "    Show what was found, or null if nothing was tracked.",
            "RESET",
            "    Forget what was found, and free its memory, after STOP.",
        ],
    );
    Ok(Done::Replied)
}

#[cfg(test)]
mod tests {
    use crate::commands::support::testing::{START_MS, TestServer};
    use crate::services::cluster::{Cluster, Settings};
    use crate::services::config::Config;

    #[test]
    fn requests_that_are_wrong() {
        TestServer::new().script(
            "HOTKEYS START => -ERR METRICS parameter is required
             HOTKEYS START METRICS => -ERR METRICS parameter is required
             HOTKEYS START COUNT 2 CPU NET => -ERR METRICS parameter is required
             HOTKEYS START METRICS 0 => -ERR METRICS count must be > 0 and <= 2
             HOTKEYS START METRICS x CPU => -ERR METRICS count must be > 0 and <= 2
             HOTKEYS START METRICS 3 CPU NET => -ERR METRICS count must be > 0 and <= 2
             HOTKEYS START METRICS 2 CPU => -ERR METRICS count does not match number of metric types provided
             HOTKEYS START METRICS 2 NET NET => -ERR METRICS NET defined more than once!
             HOTKEYS START METRICS 2 CPU cpu => -ERR METRICS CPU defined more than once!
             HOTKEYS START METRICS 1 GPU => -ERR METRICS no valid metrics passed. Supported: CPU|NET
             HOTKEYS START METRICS 1 CPU NET => -ERR syntax error
             HOTKEYS START METRICS 1 CPU COUNT => -ERR syntax error
             HOTKEYS START METRICS 1 CPU COUNT 65 => -ERR COUNT must be between 1 and 64
             HOTKEYS START METRICS 1 CPU DURATION 0 => -ERR DURATION must be between 1 and 1000000
             HOTKEYS START METRICS 1 CPU SAMPLE 0 => -ERR SAMPLE ratio must be positive
             HOTKEYS START METRICS 1 CPU SAMPLE 2147483648 => -ERR SAMPLE ratio must be positive
             HOTKEYS START METRICS 1 CPU SLOTS 1 0 => -ERR SLOTS parameter cannot be used in non-cluster mode
             HOTKEYS START METRICS 1 CPU FOO 1 => -ERR syntax error
             HOTKEYS STOP x => -ERR wrong number of arguments for 'hotkeys|stop' command
             HOTKEYS => -ERR wrong number of arguments for 'hotkeys' command
             HOTKEYS STOP => nil\nHOTKEYS GET => nil\nHOTKEYS RESET",
        );
    }

    /// A node of a cluster that serves the first thousand slots.
    fn node() -> TestServer {
        let config = Config { cluster_enabled: true, ..Config::default() };
        let settings = Settings::from_config(&config);
        let mut server = TestServer::with(config);
        server.engine.enter_cluster_mode(Cluster::new(START_MS, 1, settings));
        server.script("CLUSTER ADDSLOTSRANGE 0 999\nCONFIG SET cluster-require-full-coverage no");
        server
    }

    #[test]
    fn slots_that_are_wrong() {
        node().script(
            "HOTKEYS START METRICS 1 CPU SLOTS => -ERR syntax error
             HOTKEYS START METRICS 1 CPU SLOTS 0 => -ERR SLOTS count must be between 1 and 16384
             HOTKEYS START METRICS 1 CPU SLOTS 16385 => -ERR SLOTS count must be between 1 and 16384
             HOTKEYS START METRICS 1 CPU SLOTS 2 0 => -ERR not enough slot numbers provided
             HOTKEYS START METRICS 1 CPU SLOTS 2 0 0 => -ERR duplicate slot number
             HOTKEYS START METRICS 1 CPU SLOTS 1 0 SLOTS 1 5 => -ERR SLOTS parameter already specified
             HOTKEYS START METRICS 1 CPU SLOTS 1 -1 => -ERR Invalid or out of range slot
             HOTKEYS START METRICS 1 CPU SLOTS 1 16384 => -ERR Invalid or out of range slot
             HOTKEYS START METRICS 1 CPU SLOTS 1 abc => -ERR Invalid or out of range slot
             HOTKEYS START METRICS 1 CPU SLOTS 1 1000 => -ERR slot 1000 not handled by this node
             HOTKEYS START METRICS 1 CPU SLOTS 1 5 6 => -ERR syntax error",
        );
    }

    #[test]
    fn only_keys_of_chosen_slots_are_tracked() {
        let mut server = node();
        server.engine.tick();
        server.advance(5000);
        server.engine.tick();
        server.engine.finish_cluster_turn();
        let shown = |server: &mut TestServer| server.run("HOTKEYS GET");
        server.script("HOTKEYS START METRICS 1 NET");
        assert!(shown(&mut server).contains("\"selected-slots\" [[:0 :999]] \"all-commands-all-slots-us\""));
        server.script("HOTKEYS STOP\nHOTKEYS START METRICS 1 NET SAMPLE 1 SLOTS 6 10 5 1 0 6 2 COUNT 3");
        // {06S} is a tag of slot 0, {bsF} one of slot 3.
        server.script("SET {06S}a 12345\nSET {bsF}a 1\nHOTKEYS STOP");
        let reply = shown(&mut server);
        assert!(
            reply.contains("\"selected-slots\" [[:0 :2] [:5 :6] [:10]] \"all-commands-selected"),
            "{reply}"
        );
        assert!(reply.contains("\"net-bytes-all-commands-selected-slots\" :19 "), "{reply}");
        assert!(reply.contains("\"net-bytes-all-commands-all-slots\" :34 "), "{reply}");
        assert!(reply.ends_with("\"by-net-bytes\" [\"{06S}a\" :19]]]"), "{reply}");
        assert!(!reply.contains("sampled"), "{reply}");
        server.script("HOTKEYS START METRICS 1 CPU SAMPLE 1000 SLOTS 1 0");
        let reply = shown(&mut server);
        for field in ["sampled-commands-selected-slots-us", "net-bytes-sampled-commands-selected-slots"] {
            assert!(reply.contains(&format!("\"{field}\" :0")), "{reply}");
        }
    }

    #[test]
    fn keys_of_calls_transactions_and_scripts() {
        let mut server = TestServer::new();
        server.script(
            "SET before 1
             HOTKEYS START METRICS 2 NET GPU COUNT 3
             HOTKEYS START METRICS 1 CPU => -ERR hotkey tracking session already in progress
             HOTKEYS RESET => -ERR hotkey tracking session in progress, stop tracking first
             SET a 123456789012345678901234567890\nGET a => \"123456789012345678901234567890\"
             MSET b 1 c 1\nPING => +PONG
             MULTI\nSET d 1234567890 => +QUEUED\nEVAL \"return redis.call('SET', 'hidden', 1)\" 1 e => +QUEUED
             EXEC => [+OK +OK]",
        );
        // Bytes of the words and of the replies: these requests have no headers. MSET's are shared by its keys.
        let expected = r#""total-net-bytes" :159 "by-net-bytes" ["a" :80 "e" :48 "d" :19]]]"#;
        let reply = server.run("HOTKEYS GET");
        assert!(reply.ends_with(expected), "{reply}");
        assert!(!reply.contains("cpu") && !reply.contains("hidden") && !reply.contains("before"), "{reply}");
        assert!(
            reply
                .starts_with("[[\"tracking-active\" :1 \"sample-ratio\" :1 \"selected-slots\" [[:0 :16383]]")
        );
        server.script("HOTKEYS STOP\nHOTKEYS STOP => nil\nSET a 1\nCONFIG SET hz 20");
        let reply = server.run("HOTKEYS GET");
        assert!(reply.ends_with(expected) && reply.contains("\"tracking-active\" :0"), "{reply}");
        server.script("HOTKEYS RESET\nHOTKEYS GET => nil");
    }

    #[test]
    fn time_is_tracked_until_it_is_over() {
        let mut server = TestServer::new();
        server.script("HOTKEYS START METRICS 1 CPU DURATION 2\nCONFIG SET slowlog-log-slower-than 20000");
        server.advance(1900);
        server.engine.tick();
        assert!(server.run("INFO hotkeys").starts_with("\"# Hotkeys\\r\\nhotkeys-tracking-active:1\\r\\n"));
        server.advance(200);
        server.engine.tick();
        let reply = server.run("HOTKEYS GET");
        assert!(reply.contains("\"tracking-active\" :0") && reply.contains("duration-ms\" :2100"), "{reply}");
        assert!(
            reply.contains("\"total-cpu-time-sys-ms\"") && reply.ends_with("\"by-cpu-time-us\" []]]"),
            "{reply}"
        );
        assert_eq!(server.run("INFO hotkeys").matches("active:0").count(), 1);
        // Nothing is logged as slow for having been tracked.
        server.script("SLOWLOG LEN => :0\nHOTKEYS RESET");
        assert_eq!(server.run("INFO hotkeys"), "\"# Hotkeys\\r\\n\"");
    }
}
