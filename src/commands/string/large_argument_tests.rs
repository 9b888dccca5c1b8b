//! Tests of requests with a large argument in an allocation of its own: they do what they do with the argument in the request,
//! and the commands that set strings keep the allocation.

use std::sync::Arc;

use crate::commands::support::testing::TestServer;
use crate::engine::ExecStatus;
use crate::resp::{Args, Reply, Span};
use crate::structures::table::SHARED_MIN;

/// Requests with a large argument `V`, and whether it becomes a value as it is.
const REQUESTS: &[(&str, bool)] = &[
    ("SET k V", true),
    ("SET k V EX 100", true),
    ("SET k V KEEPTTL", true),
    ("SET k V GET", true),
    ("SET k V XX GET PX 5000", true),
    ("SET k V EXAT 1", false),
    ("SET k V NX", false),
    ("SET new V NX", true),
    ("SET k V IFEQ old", true),
    ("SET k old IFEQ V", false),
    ("SET k V BADOPTION", false),
    ("SET list V", true),
    ("SET V k", false),
    ("SETNX new V", true),
    ("SETNX k V", false),
    ("SETEX k 100 V", true),
    ("PSETEX k 100000 V", true),
    ("PSETEX k 0 V", false),
    ("GETSET k V", true),
    ("GETSET list V", false),
    ("MSET a V b x", true),
    ("MSET a x b V", true),
    ("MSET a V b", false),
    ("MSETNX a V b x", true),
    ("MSETNX a V k x", false),
    ("MSETEX 1 k V EX 100", true),
    ("APPEND k V", false),
    ("APPEND new V", false),
    ("SETRANGE k 2 V", false),
    ("GET V", false),
    ("HSET h f V", false),
    ("HSET h V f", false),
    ("RPUSH list V", false),
    ("SADD s V", false),
    ("ZADD z 1 V", false),
    ("PFADD p V", false),
    ("XADD x 1-1 f V", false),
    ("PUBLISH channel V", false),
    ("ECHO V", false),
    ("V k", false),
    ("SET k V x y z", false),
];

/// Runs a request whose word `V` is `value`, in an allocation of its own.
fn run(server: &mut TestServer, line: &str, value: &Arc<Vec<u8>>) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    let mut spans = Vec::new();
    for word in words {
        let len = if word == "V" { value.len() } else { word.len() };
        bytes.extend_from_slice(format!("${len}\r\n").as_bytes());
        if word == "V" {
            spans.push(Span::separate(bytes.len(), len));
        } else {
            spans.push(Span { start: bytes.len(), len });
            bytes.extend_from_slice(word.as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
    }
    let mut reply = Reply::new(Vec::new(), false);
    let args = Args::with_separate(&bytes, &spans, Some(value));
    assert_eq!(server.engine.execute_one(server.client, args, &mut reply), ExecStatus::Done);
    String::from_utf8_lossy(reply.bytes()).into_owned()
}

fn run_in_one_piece(server: &mut TestServer, line: &str, value: &[u8]) -> String {
    let words: Vec<&[u8]> =
        line.split(' ').map(|word| if word == "V" { value } else { word.as_bytes() }).collect();
    let (mut bytes, mut spans) = (Vec::new(), Vec::new());
    crate::services::command_stream::encode(&mut bytes, words.iter());
    assert!(crate::resp::parser::parse_fast(&bytes, &mut spans).is_some());
    let mut reply = Reply::new(Vec::new(), false);
    let args = Args::new(&bytes, &spans);
    assert_eq!(server.engine.execute_one(server.client, args, &mut reply), ExecStatus::Done);
    String::from_utf8_lossy(reply.bytes()).into_owned()
}

fn prepared() -> TestServer {
    let mut server = TestServer::new();
    server.propagate();
    server.script("SET k old\nEXPIRE k 1000 => :1\nRPUSH list a b => :2");
    server.propagated();
    server
}

#[test]
fn a_request_does_the_same_wherever_its_argument_lies() {
    let bytes: Vec<u8> = (0..SHARED_MIN + 5).map(|at| b'a' + (at % 26) as u8).collect();
    for (line, is_kept) in REQUESTS {
        let value = Arc::new(bytes.clone());
        let (mut separate, mut whole) = (prepared(), prepared());
        assert_eq!(run(&mut separate, line, &value), run_in_one_piece(&mut whole, line, &bytes), "{line}");
        assert_eq!(separate.propagated(), whole.propagated(), "{line}: propagated");
        assert_eq!(Arc::strong_count(&value) == 2, *is_kept, "{line}: keeps the allocation");
        for look in ["DEBUG DIGEST", "PTTL k", "GET k", "GET new", "GET a", "MEMORY USAGE k"] {
            assert_eq!(separate.run(look), whole.run(look), "{line}, then {look}");
        }
    }
}

#[test]
fn a_kept_argument_changes_as_any_string_does() {
    let mut server = TestServer::new();
    let value = Arc::new(vec![b'v'; SHARED_MIN]);
    for held_elsewhere in [true, false] {
        let argument = if held_elsewhere { value.clone() } else { Arc::new(value.to_vec()) };
        assert_eq!(run(&mut server, "SET k V", &argument), "+OK\r\n");
        drop(argument);
        assert_eq!(server.run("APPEND k x"), format!(":{}", SHARED_MIN + 1));
        assert_eq!(server.run("SETRANGE k 0 abc"), format!(":{}", SHARED_MIN + 1));
        assert_eq!(server.run("GETRANGE k 0 4"), "\"abcvv\"");
        assert_eq!(server.run("GETRANGE k -3 -1"), "\"vvx\"");
    }
    assert!(value.iter().all(|byte| *byte == b'v'), "what others hold stays");
    assert_eq!(run(&mut server, "SET k V", &value), "+OK\r\n");
    server.script("SET k short\nGET k => \"short\"");
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn a_queued_request_has_a_copy() {
    let mut server = TestServer::new();
    let value = Arc::new(vec![b'v'; SHARED_MIN]);
    server.script("MULTI");
    assert_eq!(run(&mut server, "SET k V EX 100", &value), "+QUEUED\r\n");
    assert_eq!(Arc::strong_count(&value), 1);
    assert_eq!(server.run("EXEC"), "[+OK]");
    assert_eq!(server.run("STRLEN k"), format!(":{SHARED_MIN}"));
    assert_eq!(server.run("TTL k"), ":100");
}
