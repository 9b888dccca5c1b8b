//! redis-rs's cluster client: redis-rs-cluster PORT. Ends with an error at the first surprise.
//!
//! After its checks it writes numbers, one after the other, until its input ends, and tells how many that were acknowledged are lost. The
//! cluster changes meanwhile.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use redis::cluster::{ClusterClient, ClusterConnection, cluster_pipe};
use redis::cluster_read_routing::RandomReplicaStrategy;
use redis::{Commands, RedisResult, Script};

const KEYS: usize = 2000;
static CHECKS: AtomicU32 = AtomicU32::new(0);

fn same<T: PartialEq<U> + std::fmt::Debug, U: std::fmt::Debug>(found: RedisResult<T>, wanted: U) {
    CHECKS.fetch_add(1, Ordering::Relaxed);
    assert_eq!(found.expect("a reply"), wanted);
}

fn key(number: usize) -> String {
    format!("redis-rs:{number}")
}

fn checks(r: &mut ClusterConnection, port: &str) {
    for first in (0..KEYS).step_by(100) {
        let mut pipe = cluster_pipe();
        for number in first..first + 100 {
            pipe.set(key(number), number);
        }
        same(pipe.query::<Vec<String>>(r), vec!["OK"; 100]);
    }
    for number in (0..KEYS).step_by(10) {
        same(r.get::<_, usize>(key(number)), number);
    }
    let keys: Vec<String> = (0..500).map(key).collect();
    same(r.mget::<_, Vec<usize>>(&keys), (0..500).collect::<Vec<_>>());
    let script = Script::new("return redis.call('incrby', KEYS[1], ARGV[1])");
    same(script.key("{redis-rs}c").arg(5).invoke::<i64>(r), 5);
    same(r.spublish::<_, _, i64>("{redis-rs}shard", "text"), 0);
    let reader = ClusterClient::builder([format!("redis://127.0.0.1:{port}")])
        .read_routing_strategy(RandomReplicaStrategy);
    let mut reader = reader.build().and_then(|client| client.get_connection()).expect("a connection");
    let mut values = vec![None; 100];
    for _ in 0..100 {
        values =
            (0..100).map(|number| reader.get::<_, Option<usize>>(key(number)).expect("a reply")).collect();
        if values.iter().all(Option::is_some) {
            break;
        }
    }
    same(Ok(values), (0..100).map(Some).collect::<Vec<_>>());
}

fn main() {
    let port = std::env::args().nth(1).expect("a port");
    let client = ClusterClient::builder([format!("redis://127.0.0.1:{port}")]).build().expect("a client");
    let mut r = client.get_connection().expect("a connection");
    checks(&mut r, &port);
    let is_over = Arc::new(AtomicBool::new(false));
    let over = is_over.clone();
    std::thread::spawn(move || {
        std::io::stdin().read_to_end(&mut Vec::new()).expect("the input ends");
        over.store(true, Ordering::Relaxed);
    });
    println!("READY");
    let (mut written, mut failed, mut number) = (Vec::new(), 0, 0);
    let name = |number: usize| format!("redis-rs:run:{number}");
    while !is_over.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(2));
        match r.set::<_, _, ()>(name(number), number) {
            Ok(()) => written.push(number),
            Err(_) => {
                failed += 1;
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        number += 1;
    }
    let lost = written.iter().filter(|number| r.get(name(**number)).ok() != Some(**number)).count();
    let (written, checks) = (written.len(), CHECKS.load(Ordering::Relaxed));
    println!("{lost} lost of {written}, {failed} failed, checks: {checks}");
}
