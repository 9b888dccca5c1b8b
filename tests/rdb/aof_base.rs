//! Bases of logs that are commands: a peer that loads one of ours has the data that it has after loading its own, and both check tools
//! accept it.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use redloop::base::rng::Rng;
use redloop::services::persist::aof::base::CommandEncoder;
use redloop::services::persist::rdb::RdbFormat;

use super::peer::Peer;
use super::{Kind, ask, assert_same, convert, fill, kind, loaded, picture, seed, start_with};

const PATIENCE: Duration = Duration::from_secs(30);
/// Checksum and mark at the end of an RDB file.
const END: usize = 9;

fn commands(file: &[u8], piece: usize) -> Vec<u8> {
    let (mut encoder, mut out) = (CommandEncoder::new(), Vec::new());
    for piece in file[..file.len() - END].chunks(piece) {
        encoder.encode(piece, &mut out).expect("a file of ours");
    }
    assert!(encoder.is_complete());
    out
}

/// When consumers were last heard of isn't said by commands.
fn without_times(lines: &[String]) -> Vec<String> {
    let one = |line: &String| {
        let mut words: Vec<&str> = line.split(' ').collect();
        for at in 1..words.len() {
            if ["seen-time", "active-time"].contains(&words[at - 1]) {
                words[at] = "?";
            }
        }
        words.join(" ")
    };
    lines.iter().map(one).collect()
}

/// What a peer has that has loaded its own base of these data.
fn after_its_own(kind: &Kind, file: &[u8]) -> Vec<String> {
    let mut peer = loaded(kind, file);
    ask(&mut peer, "CONFIG SET aof-use-rdb-preamble no appendonly yes");
    wait_for_base(&mut peer);
    ask(&mut peer, "DEBUG LOADAOF");
    picture(&mut peer)
}

fn wait_for_base(peer: &mut Peer) {
    let begun = Instant::now();
    loop {
        let text = ask(peer, "INFO persistence").text();
        if text.contains("aof_rewrite_in_progress:0") && text.contains("aof_rewrite_scheduled:0") {
            assert!(text.contains("aof_last_bgrewrite_status:ok"), "{text}");
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{text}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What a peer has that has loaded these commands.
fn after_ours(kind: &Kind, commands: &[u8]) -> Vec<String> {
    let mut peer = start_with(kind, "log", &["--appendonly", "yes", "--aof-use-rdb-preamble", "no"]);
    ask(&mut peer, "PING");
    let folder = peer.folder.join("appendonlydir");
    std::fs::write(folder.join("appendonly.aof.1.base.aof"), commands).expect("written");
    check(kind, &folder.join("appendonly.aof.manifest"));
    ask(&mut peer, "DEBUG LOADAOF");
    picture(&mut peer)
}

fn check(kind: &Kind, manifest: &Path) {
    let theirs = kind.check.to_string_lossy().replace("check-rdb", "check-aof");
    let ours = env!("CARGO_BIN_EXE_redloop");
    for (program, option) in [(theirs.as_str(), None), (ours, Some("--check-aof"))] {
        let output = Command::new(program).args(option).arg(manifest).output().expect("a tool");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("All AOF files and manifest are valid"), "{said}");
    }
}

fn compare(name: &'static str, field_deadlines: bool) {
    let Some(kind) = kind(name) else { return };
    let (_, file) = fill(&kind, &mut Rng::new(seed()), field_deadlines);
    let (ours, _) = convert(&file, RdbFormat::REDIS, false, 1 << 20);
    let commands = commands(&ours, 5000);
    let (ours, theirs) = (after_ours(&kind, &commands), after_its_own(&kind, &file));
    assert_same(name, &without_times(&ours), &without_times(&theirs));
}

#[test]
fn redis_7_0_has_the_same_of_our_commands() {
    compare("redis-7.0", false);
}

#[test]
fn redis_8_0_has_the_same_of_our_commands() {
    compare("redis-8.0", true);
}

#[test]
fn redis_8_6_has_the_same_of_our_commands() {
    compare("redis-8.6", true);
}

#[test]
fn valkey_9_1_has_the_same_of_our_commands() {
    compare("valkey-9.1", true);
}
