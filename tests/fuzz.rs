//! A seeded mutation loop over the entry points that cargo-fuzz would use: the request parser, configuration
//! texts, append-only files and their manifests, messages of the cluster's bus and its `nodes.conf`, listpacks and
//! payloads of DUMP. Runs for `REDLOOP_FUZZ_SECONDS` (2 by default) each; the seed is printed, and `REDLOOP_FUZZ_SEED` repeats it.

use std::time::{Duration, Instant};

use redloop::base::rng::Rng;
use redloop::services::persist::codec::payload;
use redloop::value::Limits;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Mutates the seeds again and again and shows the results to `check`, which must not panic.
fn fuzz(name: &str, corpus: &[&[u8]], check: impl Fn(&[u8], &mut Rng)) {
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let seed = variable("REDLOOP_FUZZ_SEED").unwrap_or(clock.as_nanos() as u64);
    println!("{name}: REDLOOP_FUZZ_SEED={seed}");
    let mut rng = Rng::new(seed);
    let end = Instant::now() + Duration::from_secs(variable("REDLOOP_FUZZ_SECONDS").unwrap_or(2));
    while Instant::now() < end {
        for _ in 0..200 {
            let mut data = corpus[rng.below(corpus.len() as u64) as usize].to_vec();
            for _ in 0..rng.below(8) {
                mutate(&mut data, corpus, &mut rng);
            }
            check(&data, &mut rng);
        }
    }
}

fn mutate(data: &mut Vec<u8>, corpus: &[&[u8]], rng: &mut Rng) {
    let at = rng.below(data.len() as u64 + 1) as usize;
    match rng.below(6) {
        0 if at < data.len() => data[at] = rng.next_u64() as u8,
        1 if at < data.len() => drop(data.remove(at)),
        2 => data.insert(at, b"*$:\r\n\0\"'\\0123456789-"[rng.below(20) as usize]),
        3 => data.truncate(at),
        4 => {
            let other = corpus[rng.below(corpus.len() as u64) as usize];
            let from = rng.below(other.len() as u64) as usize;
            data.splice(at..at, other[from..].iter().copied());
        }
        _ if at < data.len() => data[at] ^= 1 << rng.below(8),
        _ => {}
    }
}

#[test]
fn request_parser() {
    let corpus: &[&[u8]] = &[
        b"*2\r\n$3\r\nGET\r\n$10\r\n0123456789\r\n",
        b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$0\r\n\r\n*1\r\n$4\r\nPING\r\n",
        b"set a \"b\\x41\\n\" 'c\\'d'\r\nPING\n",
        b"*1000000000\r\n$999999999999\r\n",
        b"*-1\r\n*0\r\n\r\n",
    ];
    fuzz("request parser", corpus, |data, rng| {
        redloop::resp::parser::fuzz_parser(data, rng.below(data.len() as u64 + 1) as usize);
    });
}

#[test]
fn bus_messages() {
    let corpus: &[&[u8]] = &[
        include_bytes!("data/cluster/valkey-ping.bin"),
        include_bytes!("data/cluster/valkey-publish.bin"),
        include_bytes!("data/cluster/redis-ping.bin"),
        b"RCmb\0\0\0\x1e\0\x01\0\0\x80\x04\0\0\0\0\0\x03\0\0\0\x03foobar",
    ];
    fuzz("bus messages", corpus, |data, _| {
        redloop::services::cluster::wire::fuzz_wire(data);
        // As long as it says, so that what comes after the length is looked at.
        let mut sized = data.to_vec();
        if let Some(length) = sized.get_mut(4..8) {
            length.copy_from_slice(&(data.len() as u32).to_be_bytes());
            redloop::services::cluster::wire::fuzz_wire(&sized);
        }
    });
}

#[test]
fn nodes_conf_files() {
    let corpus: &[&[u8]] = &[
        include_bytes!("data/cluster/valkey-nodes-0.conf"),
        include_bytes!("data/cluster/redis-nodes-0.conf"),
        b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 1.2.3.4:1 myself,slave bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb 0 0 9 connected\n",
    ];
    fuzz("nodes.conf", corpus, |data, _| {
        redloop::services::cluster::nodes_conf::fuzz_nodes_conf(&String::from_utf8_lossy(data));
    });
}

#[test]
fn append_only_files() {
    let corpus: &[&[u8]] = &[
        b"#TS:1628217470\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nvalue\r\n",
        b"*1\r\n$5\r\nMULTI\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$0\r\n\r\n*1\r\n$4\r\nEXEC\r\n",
        b"*11\r\n$4\r\nSADD\r\n$1\r\ns\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n$1\r\n4\r\n$1\r\n5\r\n$1\r\n6\r\n$1\r\n7\r\n\
          $1\r\n8\r\n$1\r\n9\r\n",
        b"*1000000000\r\n$999999999999\r\n*0\r\n",
    ];
    fuzz("append-only files", corpus, |data, rng| {
        redloop::services::persist::aof::reader::fuzz_reader(data, rng.below(data.len() as u64 + 1) as usize);
    });
}

#[test]
fn manifests() {
    let corpus: &[&[u8]] = &[
        b"file appendonly.aof.2.base.rdb seq 2 type b\nfile appendonly.aof.1.incr.aof seq 1 type h\n",
        b"# comment\nfile \"a \\n.incr.aof\" seq 3 type i startoffset 100 endoffset 200 key value\n",
        b"file 'a' seq -9223372036854775808 type h\nfile a seq 4611686018427387903 type i\n",
    ];
    fuzz("manifests", corpus, |data, _| redloop::services::persist::aof::manifest::fuzz_manifest(data));
}

#[test]
fn configuration_texts() {
    let corpus: &[&[u8]] = &[
        b"port 6379\nbind 127.0.0.1 -::1\nsave 900 1 300 10\n",
        b"maxmemory 100mb\n# comment\n\nmaxmemory-policy allkeys-lru\nrequirepass \"a b\\x41\"\n",
        b"client-output-buffer-limit pubsub 32mb 8mb 60\nnotify-keyspace-events KEA\ninclude other.conf\n",
        b"user default on nopass ~* +@all\nrename-command FLUSHALL \"\"\n",
    ];
    fuzz("configuration texts", corpus, |data, _| redloop::services::config::fuzz_config_text(data));
}

/// Small values of every kind, old ones too, in front of a footer.
const VALUES: &[&[u8]] = &[
    b"\x00\xc3\x05\x28\0a\xe0\x1e\0",
    b"\x01\x03\x01a\xc0\x05\x04text",
    b"\x02\x03\x01a\xc0\x05\x04text",
    b"\x03\x02\x01a\x032.5\x01b\xfe",
    b"\x04\x02\x01f\x01v\x01g\xc1\x00\x10",
    b"\x05\x02\x01b\0\0\0\0\0\0\xf0\x7f\x01a\0\0\0\0\0\0\xf8\x3f",
    b"\x09\x11\x02\x01a\x02\x0012\x03bcd\x02\x01ab?\xff",
    b"\x0a\x17\x17\0\0\0\x12\0\0\0\x04\0\0\x01a\x03\xf4\x02\xfe\x80\x03\xc0\x00\x10\xff",
    b"\x0b\x0e\x02\0\0\0\x03\0\0\0\x01\0\x02\0\x03\0",
    b"\x0c\x10\x10\0\0\0\x0d\0\0\0\x02\0\0\x01a\x03\xf4\xff",
    b"\x0e\x01\x10\x10\0\0\0\x0d\0\0\0\x02\0\0\x01a\x03\xf4\xff",
    b"\x10\x12\x12\0\0\0\x04\0\x81f\x02\x81v\x02\x81g\x02\x01\x01\xff",
    b"\x11\x11\x11\0\0\0\x04\0\x81a\x02\x01\x01\x81b\x02\x02\x01\xff",
    b"\x12\x02\x02\x0d\x0d\0\0\0\x02\0\x81a\x02\x81b\x02\xff\x01\x04huge",
    b"\x15\x01\x10\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01\x1d\x1d\0\0\0\n\0\x01\x01\x00\x01\x01\x01\
      \x81a\x02\x00\x01\x02\x01\x00\x01\x00\x01\x81b\x02\x04\x01\xff\x01\x01\x01\x01\x01\0\0\x01\x01\x01g\0\0\0\
      \x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01\x09\0\0\0\0\0\0\0\x01\x01\x01c\x08\0\0\0\0\0\0\0\
      \x08\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01",
    // Of Redis 8.6.
    b"\x07\x81\xbd\xe7-\xa2\xbb\x1e\xb4\x00\x02\x03\x02\x02\x02P\x01\x02\x02\x05\x01b\x05\x07{\x22x\x22:1}\x05\x03\xc1\x7f \x02\x07\x02\x02\x02\x80\x01\x00\x00\x00\x02\x01\x02 \x02\x01\x02\x81>\xf0\xacb\x00\x00\x00\x00\x02\x81?_t\x82@\x12\xa4v\x05\x01a\x05\x00\x05\x03*U\x7f\x02\x07\x02\x01\x02\x80\x01\x00\x00\x00\x02\x01\x02 \x02\x02\x02\x81>\xf0\xacb\x00\x00\x00\x00\x02\x81?MA\xb2@owQ\x00",
    b"\x07\x81\xbd\xe7-\xa2\xbb\x1e\xb4\x00\x02\x01\x02\x01\x02D\x00\x02\x01\x02\x02\x05\x08\xf3\x045?\xf3\x045?\x05\x01a\x05\x04\x00\x00\x80?\x02\x06\x02\x01\x02\x80\x01\x00\x00\x00\x02\x00\x02\x08\x02\x00\x02\x81>\xd7\xa0\xa0@\x07\xc3\xb6\x00",
    b"\x16\x02\x43\xe8\x01f\x01v\x00\x01g\x01w",
    b"\x18\xe8\x03\0\0\0\0\0\0\x02\x01\x01f\x01v\x00\x01g\x01w",
    b"\x19\xe8\x03\0\0\0\0\0\0\x18\x18\0\0\0\x06\0\x81f\x02\x81v\x02\xc3\xe8\x02\x81g\x02\x81w\x02\x00\x01\xff",
];

#[test]
fn payloads() {
    let mut payloads: Vec<Vec<u8>> = Vec::new();
    for value in VALUES {
        let mut payload = value.to_vec();
        payload::seal(&mut payload);
        let sound = payload::restore(&payload, false, false, &Limits::default());
        assert!(sound.is_ok(), "{}: {sound:?}", value.escape_ascii());
        payloads.push(payload);
    }
    let corpus: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
    fuzz("payloads", &corpus, |data, _| payload::fuzz_restore(data));
}

#[test]
fn filter_expressions() {
    let corpus: &[&[u8]] = &[
        b".year > 1980 and not (.name in [\"a\", 'b', 3] or .x ** 2 % 5 == null)\n{\"year\": 1984, \"name\": \"\\\"a\", \"x\": [1, [true]]}",
        b"'a' in .t\n{\"t\":[null,\"a\\n\",{}],\"o\":{\"t\":1}}",
    ];
    fuzz("filter expressions", corpus, |data, _| redloop::value::vector_set::filter::fuzz_filter(data));
}

#[test]
fn rdb_files() {
    let mut files: Vec<Vec<u8>> = vec![
        b"REDIS0013\xfa\x01a\x01b\xf5\x03lib\xfe\x00\xfb\x02\x01\xf4\x01\x02\x03\xfd\x05\0\0\0\xf8\x05\0\x01k\x01v\xff\0\0\0\0\0\0\0\0".to_vec(),
        b"REDIS0013\xf3\x01\x01\0\0\0\x02\x05\0\x00\x01k\x01v\x07\x01m\x05\x02\x07\x05\x01x\0\xff\0\0\0\0\0\0\0\0".to_vec(),
        b"VALKEY080\xf3\x03job\x01\x01\x02\x16\x01h\x01\x01f\x01v\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0\0\0\0\0".to_vec(),
        b"REDIS0011\xf7\x05\x02\x01\x05\x01x\0\xff\0\0\0\0\0\0\0\0".to_vec(),
    ];
    for value in VALUES {
        let (kind, rest) = value.split_first().expect("a kind");
        let head = [b"REDIS0013".as_slice(), &[*kind], b"\x03key"].concat();
        files.push([&head, rest, b"\xff\0\0\0\0\0\0\0\0"].concat());
    }
    let corpus: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
    fuzz("RDB files", &corpus, |data, rng| {
        redloop::services::persist::rdb::fuzz_rdb(data, 1 + rng.below(40) as usize);
    });
}

#[test]
fn listpacks() {
    let corpus: &[&[u8]] = &[
        b"\x12\0\0\0\x04\0\x81f\x02\x81v\x02\x81g\x02\x01\x01\xff",
        b"\x18\0\0\0\x05\0\xf1\x00\x10\x03\xf2\x01\x02\x03\x04\xc3\xe8\x02\xdf\xff\x02\x7f\x01\xff",
        b"\x07\0\0\0\0\0\xff",
    ];
    fuzz("listpacks", corpus, |data, _| redloop::structures::listpack::fuzz_listpack(data));
}
