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
    for title in ["Server", "Clients", "Memory", "Persistence", "Stats", "Replication", "CPU", "Cluster"] {
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
    assert!(text.contains("redis_version:8.0.0\nredloop_version:"));
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
