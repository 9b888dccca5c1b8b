//! Tests of INFO.

use super::human;
use crate::commands::support::testing::TestServer;

fn info(server: &mut TestServer, sections: &str) -> String {
    server.run(&format!("INFO {sections}")).replace("\\r\\n", "\n")
}

#[test]
fn sections_by_default_by_name_and_all() {
    let mut server = TestServer::new();
    let text = info(&mut server, "");
    for title in
        ["Server", "Clients", "Memory", "Persistence", "Stats", "Replication", "CPU", "Modules", "Cluster"]
    {
        assert_eq!(text.matches(&format!("# {title}\n")).count(), 1, "{title}");
    }
    assert!(!text.contains("# Commandstats"));
    let text = info(&mut server, "cpu EVERYTHING default");
    assert_eq!(text.matches("# CPU").count(), 1);
    assert!(text.contains("# Commandstats\ncmdstat_info:calls=1,"));
    assert_eq!(info(&mut server, "nosuch"), "\"\"");
    let text = info(&mut server, "clients keyspace");
    assert!(text.starts_with("\"# Clients\nconnected_clients:1\n"), "{text}");
    assert!(text.ends_with("\n# Keyspace\n\""), "{text}");
}

#[test]
fn what_happened_is_counted() {
    let mut server = TestServer::new();
    server.script(
        "SET a 1 EX 100
         SET b 2
         GET a => \"1\"
         GET c => nil
         GET => -ERR wrong number of arguments for 'get' command
         GET a b => -ERR wrong number of arguments for 'get' command",
    );
    let text = info(&mut server, "everything");
    assert!(text.contains("db0:keys=2,expires=1,avg_ttl=100000"), "{text}");
    assert!(text.contains("keyspace_hits:1\nkeyspace_misses:1\n"));
    assert!(text.contains("errorstat_ERR:count=2\n"));
    assert!(text.contains("cmdstat_get:calls=2,") && text.contains(",rejected_calls=2,failed_calls=0"));
    assert!(text.contains("latency_percentiles_usec_set:p50="));
    assert!(text.contains("redis_version:8.6.0\nredloop_version:"));
    assert!(text.contains("\natomicvar_api:atomic-builtin\ngcc_version:0.0.0\nprocess_id:"));
    assert!(text.contains("role:master\nconnected_slaves:0\n"));
}

#[test]
fn too_many_error_codes_are_no_longer_told_apart() {
    let mut server = TestServer::new();
    (0..200).for_each(|n| server.engine.metrics.stats.error(format!("CODE{n}").as_bytes()));
    assert_eq!(info(&mut server, "errorstats"), "\"# Errorstats\nerrorstat_ERRORSTATS_DISABLED:count=1\n\"");
    assert_eq!(server.engine.metrics.stats.error_replies, 200);
}

#[test]
fn bytes_for_people() {
    let shown = [0, 1023, 1024, 1_500_000, 3 << 30, 5 << 40].map(human);
    assert_eq!(shown, ["0B", "1023B", "1.00K", "1.43M", "3.00G", "5.00T"]);
}

#[test]
fn what_a_cluster_could_not_do_is_counted() {
    let counted = |server: &mut TestServer, script: &str| {
        let before = server.engine.metrics.stats.cluster_incompatible;
        script.lines().for_each(|line| drop(server.run(line)));
        server.engine.metrics.stats.cluster_incompatible - before
    };
    let mut server = TestServer::new();
    assert!(!info(&mut server, "stats").contains("cluster_incompatible_ops"));
    assert_eq!(counted(&mut server, "SELECT 1\nMSET foo 1 bar 2\nSELECT 0\nSWAPDB 0 1\nMSET foo 1 bar 2"), 2);
    server.run("CONFIG SET cluster-compatibility-sample-ratio 100");
    assert!(info(&mut server, "stats").contains("cluster_incompatible_ops:2\n"));
    assert_eq!(counted(&mut server, "MSET foo 1 bar 2\nDEL foo bar\nMSET {a}1 1 {a}2 2\nGET foo"), 2);
    assert_eq!(counted(&mut server, "MULTI\nSET foo 1\nDEL bar\nEXEC\nMULTI\nEXEC\nSSUBSCRIBE foo bar"), 2);
    let mut server = TestServer::new();
    server.run("CONFIG SET cluster-compatibility-sample-ratio 100");
    assert_eq!(
        counted(&mut server, "SORT l BY w_*\nSORT l BY w{l}_* GET o{l}_* GET #\nSORT l BY nosort GET o_*"),
        2
    );
    assert_eq!(counted(&mut server, "COPY k l\nCOPY k k DB 1\nMOVE k 1"), 3);
}

#[test]
fn what_expires_by_itself_is_counted_apart() {
    let mut server = TestServer::new();
    let counts = |server: &mut TestServer| {
        let text = info(server, "stats");
        let names = ["expired_keys:", "expired_keys_active:", "expired_subkeys:", "expired_subkeys_active:"];
        let lines = text.lines().filter_map(|line| names.iter().find_map(|name| line.strip_prefix(name)));
        lines.map(|number| number.parse().expect("a number")).collect::<Vec<u64>>()
    };
    server.script("SET a 1 PX 10\n HSET h a 1 b 2 c 3 => :3\n HPEXPIRE h 10 FIELDS 1 a => [:1]");
    server.advance(11);
    server.script("GET a => nil\n HGET h a => nil");
    assert_eq!(counts(&mut server), [1, 0, 1, 0]);
    server.script("SET a 1 PX 10\n HPEXPIRE h 10 FIELDS 1 b => [:1]");
    server.advance(11);
    server.engine.tick();
    assert_eq!(counts(&mut server), [2, 1, 2, 1]);
}

#[test]
fn the_peak_of_memory_has_its_moment() {
    let mut server = TestServer::new();
    let peak = |server: &mut TestServer| {
        let text = info(server, "memory");
        let number = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
            line.parse::<u64>().expect("a number")
        };
        (number("used_memory_peak:"), number("used_memory_peak_time:"))
    };
    // Other tests allocate meanwhile.
    let (before, _) = peak(&mut server);
    server.advance(5000);
    server.engine.metrics.stats.peak_memory = 0;
    let (_, at) = peak(&mut server);
    assert_eq!(at, server.engine.now() / 1000);
    server.engine.metrics.stats.peak_memory = usize::MAX / 2;
    server.advance(5000);
    assert!(peak(&mut server).1 == at && before > 0);
}
