//! redis-benchmark: its tests run through and report figures.

use crate::process::Process;
use crate::sides::{run, tool};

#[test]
fn all_tests() {
    let Some(program) = tool("all_tests", "redis-benchmark", "REDLOOP_REDIS_BENCHMARK") else { return };
    let server = Process::ours(&["--enable-debug-command", "yes"]);
    let tests =
        "ping_inline,ping_mbulk,set,get,incr,lpush,rpush,lpop,rpop,sadd,hset,spop,zadd,zpopmin,lrange,mset";
    for more in [&["-c", "20"][..], &["-P", "16", "-r", "1000"], &["--threads", "2", "-k", "0"]] {
        let mut args = vec!["-q", "-n", "2000", "-t", tests];
        args.extend(more);
        let shown = run(&program, server.port, &args, "");
        let figures: Vec<&str> =
            shown.out.split(['\r', '\n']).filter(|line| line.contains("requests per second")).collect();
        assert!(figures.len() >= 19 && shown.code == Some(0), "{more:?}: {shown:?}");
        assert!(!shown.out.contains("rror") && !shown.err.contains("rror"), "{more:?}: {shown:?}");
    }
}

#[test]
fn one_command() {
    let Some(program) = tool("one_command", "redis-benchmark", "REDLOOP_REDIS_BENCHMARK") else { return };
    let server = Process::ours(&[]);
    for command in [&["XADD", "stream", "*", "a", "1"][..], &["SET", "key:__rand_int__", "v"], &["PING"]] {
        let mut args = vec!["-n", "3000", "-r", "100", "--csv"];
        args.extend(command);
        let shown = run(&program, server.port, &args, "");
        assert!(shown.out.contains("rps"), "{command:?}: {shown:?}");
        assert_eq!((shown.out.lines().count(), shown.code), (2, Some(0)), "{command:?}: {shown:?}");
    }
    let shown = run(&program, server.port, &["-q", "-n", "100", "JUNK"], "");
    assert!(
        shown.err.contains("ERR unknown command 'JUNK'") || shown.out.contains("unknown command"),
        "{shown:?}"
    );
}
