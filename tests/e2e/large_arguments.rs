//! Large arguments: read into an allocation of their own, in whatever pieces their request comes.

use std::io::Write as _;

use crate::harness::{Client, Server, eventually, field, request};

/// Length of an argument that is read in this way, bytes.
const LARGE: usize = 40_000;

fn value(seed: usize) -> Vec<u8> {
    (0..LARGE + seed).map(|at| b'a' + ((at + seed) % 23) as u8).collect()
}

fn used_memory(client: &mut Client) -> usize {
    let text = client.ask("INFO memory");
    let line = text.lines().find_map(|line| line.strip_prefix("used_memory:")).expect("it is there");
    line.parse().expect("a number")
}

/// Sends bytes in pieces that end at these offsets; between two, the server answers another client, so that it has read
/// the one before it gets the next.
fn send_in_pieces(client: &mut Client, other: &mut Client, bytes: &[u8], ends: &[usize]) {
    let mut start = 0;
    for end in ends.iter().copied().chain([bytes.len()]) {
        client.raw(&bytes[start..end]);
        assert_eq!(other.ask("PING"), "+PONG");
        start = end;
    }
}

#[test]
fn a_request_may_come_in_any_two_pieces() {
    let server = Server::start(&[]);
    let (mut fresh, mut other) = (server.client(), server.client());
    let kept_text = |value: &[u8]| format!("${}", String::from_utf8_lossy(value));
    for (round, words) in
        [["SET", "key", "", "EX", "100"], ["MSET", "key", "", "k2", "v2"]].iter().enumerate()
    {
        let value = value(round);
        let mut words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        words[2] = &value;
        let mut bytes = request(&words);
        let request_end = bytes.len();
        bytes.extend_from_slice(&request(&["ECHO", "next"]));
        let argument = bytes.windows(30).position(|window| *window == value[..30]).expect("it is there");
        let near = (1..argument + 3).chain([argument + LARGE / 2]);
        for split in near.chain(argument + value.len() - 3..bytes.len()) {
            // A connection that had no large argument yet, and one that had.
            fresh = if split % 2 == 0 { server.client() } else { fresh };
            send_in_pieces(&mut fresh, &mut other, &bytes, &[split]);
            assert_eq!(fresh.read_many(2), ["+OK", "$next"], "split at {split} of {request_end}");
            assert_eq!(fresh.ask("GET key"), kept_text(&value), "split at {split} of {request_end}");
        }
    }
}

#[test]
fn pieces_of_random_sizes_make_the_same_requests() {
    let server = Server::start(&[]);
    let (mut c, mut other) = (server.client(), server.client());
    let mut seed = 12345u64;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 33) as usize % below
    };
    for round in 0..30 {
        let values: Vec<Vec<u8>> = (0..6).map(|n| value(random(100_000) * (n % 2))).collect();
        let mut bytes = Vec::new();
        for (n, value) in values.iter().enumerate() {
            bytes.extend_from_slice(&request(&[b"SET".as_slice(), format!("k{n}").as_bytes(), value]));
            bytes.extend_from_slice(&request(&[b"MSET".as_slice(), b"a", value, b"b", value, b"c", b"x"]));
            bytes.extend_from_slice(&request(&["STRLEN", "b"]));
        }
        let mut ends: Vec<usize> = (0..8).map(|_| random(bytes.len())).collect();
        ends.sort_unstable();
        send_in_pieces(&mut c, &mut other, &bytes, &ends);
        for (n, value) in values.iter().enumerate() {
            assert_eq!(c.read_many(3), ["+OK", "+OK", &format!(":{}", value.len())], "round {round}");
            assert_eq!(other.ask(&format!("STRLEN k{n}")), format!(":{}", value.len()));
        }
        assert_eq!(c.ask("GET a"), format!("${}", String::from_utf8_lossy(&values[5])));
        assert_eq!(c.ask("GET k4"), format!("${}", String::from_utf8_lossy(&values[4])));
    }
}

#[test]
fn a_paused_request_is_kept_whole() {
    let server = Server::start(&[]);
    let (mut c, mut other) = (server.client(), server.client());
    for round in 0..4 {
        let value = value(round);
        let mut bytes = request(&[b"SET".as_slice(), b"k", &value, b"EX", b"100"]);
        let before = bytes.len();
        bytes.extend_from_slice(&request(&[b"SET".as_slice(), b"behind", &value]));
        bytes.extend_from_slice(&request(&["STRLEN", "behind"]));
        assert_eq!(other.ask("DEL k behind").as_bytes()[0], b':');
        assert_eq!(other.ask("CLIENT PAUSE 100000 WRITE"), "+OK");
        send_in_pieces(&mut c, &mut other, &bytes, &[[60, before, before + 50, bytes.len() - 20][round]]);
        assert_eq!(other.ask("EXISTS k behind"), ":0");
        let listed = other.ask("CLIENT LIST");
        let held: usize =
            listed.lines().map(|line| field(line, "tot-mem").parse::<usize>().expect("a number")).sum();
        assert!(held > LARGE, "{listed}");
        assert_eq!(other.ask("CLIENT UNPAUSE"), "+OK");
        assert_eq!(c.read_many(3), ["+OK", "+OK", &format!(":{}", value.len())]);
        assert_eq!(c.ask("GET k"), format!("${}", String::from_utf8_lossy(&value)));
    }
}

#[test]
fn within_a_transaction() {
    let server = Server::start(&[]);
    let mut c = server.client();
    let (first, second) = (value(1), value(2));
    assert_eq!(c.ask("MULTI"), "+OK");
    assert_eq!(c.ask_words(&[b"SET".as_slice(), b"a", &first]), "+QUEUED");
    assert_eq!(c.ask_words(&[b"SET".as_slice(), b"b", &second, b"PX", b"100000"]), "+QUEUED");
    assert_eq!(c.ask_words(&[b"SET".as_slice(), b"a", &second, b"GET"]), "+QUEUED");
    let replies = format!("[+OK, +OK, ${}]", String::from_utf8_lossy(&first));
    assert_eq!(c.ask("EXEC"), replies);
    assert_eq!(c.ask("GET a"), format!("${}", String::from_utf8_lossy(&second)));
    assert_eq!(c.ask("GET b"), format!("${}", String::from_utf8_lossy(&second)));
}

#[test]
fn a_client_that_goes_over_to_other_requests_loses_no_turn() {
    let server = Server::start(&["--enable-debug-command", "yes"]);
    let (mut sleeper, mut first, mut second) = (server.client(), server.client(), server.client());
    let middle = "m".repeat(5000);
    for _ in 0..3 {
        assert_eq!(first.ask_words(&[b"SET".as_slice(), b"k", &value(0)]), "+OK");
        sleeper.send("DEBUG SLEEP 0.1");
        // Both are there when the server wakes up; the first is served first, though much of it has to be read.
        first.raw(&[request(&["SET", "k", &middle]), request(&["APPEND", "k", "first"])].concat());
        second.send("APPEND k second");
        assert_eq!(sleeper.read(), "+OK");
        assert_eq!(first.read_many(2), ["+OK", ":5005"]);
        assert_eq!(second.read(), ":5011");
    }
}

#[test]
fn a_wrong_line_end_is_an_error() {
    let server = Server::start(&[]);
    let mut other = server.client();
    for cut in [0, 1] {
        let mut c = server.client();
        let mut bytes = request(&[b"SET".as_slice(), b"k", &value(0)]);
        let end = bytes.len();
        bytes[end - 2 + cut] = b'x';
        send_in_pieces(&mut c, &mut other, &bytes, &[end - 100]);
        assert_eq!(c.read_to_end(), b"-ERR Protocol error: invalid CRLF in request\r\n");
    }
    assert_eq!(other.ask("EXISTS k"), ":0");
}

#[test]
fn what_is_cut_off_is_freed() {
    let server = Server::start(&[]);
    let mut other = server.client();
    let before = used_memory(&mut other);
    for sent in [50, 5_000_000] {
        let mut c = server.client();
        c.raw(&request(&[b"SET".as_slice(), b"k", &vec![b'x'; 10_000_000]])[..sent]);
        eventually("the argument is being read", || used_memory(&mut other) > before + sent / 2);
        c.half_close();
        assert!(c.is_closed());
    }
    eventually("its memory is freed", || used_memory(&mut other) < before + 200_000);
    assert_eq!(other.ask("EXISTS k"), ":0");
}

#[test]
fn it_counts_as_its_clients_memory() {
    let server = Server::start(&["--client-query-buffer-limit", "3mb", "--maxmemory-clients", "20mb"]);
    let mut other = server.client();
    let mut c = server.client();
    let large = request(&[b"SET".as_slice(), b"k", &vec![b'x'; 5_000_000]]);
    c.raw(&large[..2_900_000]);
    eventually("it is read", || {
        let listed = other.ask("CLIENT LIST");
        let held = |line: &str| field(line, "qbuf").parse::<usize>().expect("a number");
        listed.lines().any(|line| held(line) > 2_800_000)
    });
    let _ = c.stream.write_all(&large[2_900_000..]);
    assert!(c.is_closed(), "over client-query-buffer-limit");
    assert_eq!(other.ask("CONFIG SET client-query-buffer-limit 1gb"), "+OK");
    let mut c = server.client();
    let _ = c.stream.write_all(&request(&[b"SET".as_slice(), b"k", &vec![b'x'; 30_000_000]])[..29_000_000]);
    assert!(c.is_closed(), "over maxmemory-clients");
    assert_eq!(other.ask("PING"), "+PONG");
    // What is announced and doesn't come takes no more than a little.
    let before = used_memory(&mut other);
    let mut c = server.client();
    c.raw(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$500000000\r\nabc");
    assert_eq!(other.ask("PING"), "+PONG");
    let now = used_memory(&mut other);
    assert!(now < before + (3 << 20), "{before}, then {now}");
}
