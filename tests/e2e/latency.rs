//! What held the server up, and for whom (LATENCY TOP, LATENCY DOCTOR).

use crate::harness::{Server, eventually, field, info_field, request};

#[test]
fn large_calls_are_named_with_their_clients() {
    let server = Server::start(&["--enable-debug-command", "yes"]);
    let mut client = server.client();
    assert_eq!(client.ask("LATENCY TOP"), "[]");
    assert_eq!(client.ask("DEBUG POPULATE 100000"), "+OK");
    assert_eq!(client.ask("LATENCY RESET"), ":0");
    assert_eq!(client.ask("CLIENT SETNAME reporter"), "+OK");
    assert_eq!(client.ask("EVAL return(#redis.call('KEYS','*')) 0"), ":100000");
    assert_eq!(client.ask("SADD small a b"), ":2");
    let members: Vec<String> = (0..50_000).map(|number| format!("member:{number}")).collect();
    let words: Vec<&str> = ["SADD", "big"].into_iter().chain(members.iter().map(String::as_str)).collect();
    assert_eq!(client.ask_words(&words), ":50000");
    assert_eq!(client.ask("SUNION big small").split(", ").count(), 50_002);
    assert_eq!(client.ask("HELLO 3").chars().next(), Some('{'));
    let top = client.ask("LATENCY TOP COUNT 100");
    let entry = |command: &str| {
        let start =
            top.find(&format!("{{$command: ${command},")).unwrap_or_else(|| panic!("{command} in {top}"));
        top[start..].split('}').next().expect("an entry").to_string()
    };
    for (command, parts) in [
        (
            "keys",
            &["$client-name: $reporter", "$user: $default", "$elements: :100000", "$keys: :0", "$key: nil"][..],
        ),
        ("sunion", &["$elements: :50002", "$keys: :2", "$key: $big", "$db: :0"]),
        ("sadd", &["$elements: :50000", "$keys: :1", "$reply-bytes: :8", "$key: $big"]),
    ] {
        let entry = entry(command);
        assert!(parts.iter().all(|part| entry.contains(part)), "{parts:?} in {entry}");
    }
    assert!(!top.contains("small"));
    assert_eq!(client.ask("LATENCY TOP COUNT 1").matches("$command").count(), 1);
    assert!(client.ask("LATENCY TOP COUNT").starts_with("-ERR syntax error"));
    assert!(client.ask("LATENCY DOCTOR").contains("of user default."));
    // Names of keys are for those who may read them.
    assert_eq!(client.ask("ACL SETUSER ops on nopass +@all ~other*"), "+OK");
    let mut ops = server.client();
    assert_eq!(ops.ask("AUTH ops x"), "+OK");
    let seen = ops.ask("LATENCY TOP COUNT 100");
    assert!(seen.contains("$sunion") && !seen.contains("$big"), "{seen}");
    assert_eq!(client.ask("LATENCY RESET"), ":0");
    assert_eq!(client.ask("LATENCY TOP"), "[]");
}

#[test]
fn others_are_served_while_keys_are_listed() {
    const KEYS: usize = 400_000;
    let server = Server::start(&["--enable-debug-command", "yes"]);
    let (mut lister, mut other) = (server.client(), server.client());
    assert_eq!(lister.ask(&format!("DEBUG POPULATE {KEYS}")), "+OK");
    assert_eq!(lister.ask("LATENCY RESET"), ":0");
    // What it sends ahead waits for its answer.
    lister.send("KEYS *");
    lister.send("ECHO behind");
    let mut served = 0;
    let is_listing = |line: &str| line.contains("cmd=keys") && field(line, "flags") == "b";
    eventually("keys are being listed", || other.ask("CLIENT LIST").lines().any(is_listing));
    while other.ask("CLIENT LIST").lines().any(is_listing) {
        assert_eq!(other.ask(&format!("SET new:{served} 1")), "+OK");
        served += 1;
    }
    assert!(served > 20, "{served}");
    let keys = lister.read();
    assert_eq!(keys.matches("$key:").count(), KEYS);
    assert!(!keys.contains("new:"));
    assert_eq!(lister.read(), "$behind");
    // No call made the whole reply, however long the machine let it wait; what the slices took is the command's.
    let top = other.ask("LATENCY TOP COUNT 128");
    let of_keys: Vec<&str> = top.split("[$command").filter(|entry| entry.starts_with(", $keys")).collect();
    assert!(of_keys.iter().all(|entry| entry.contains("$reply-bytes, :0,")), "{of_keys:?}");
    let stats = info_field(&mut other, "cmdstat_keys");
    assert!(stats.starts_with("calls=1,usec="), "{stats}");
    assert!(!stats.contains("usec_per_call=0."), "{stats}");
    // A client that has sent all it will ever send gets its answer.
    let mut last = server.client();
    last.send("KEYS key:12345?");
    last.half_close();
    assert_eq!(last.read().matches("key:").count(), 10);
    assert!(last.is_closed());
}

#[test]
fn others_are_served_amid_a_pipeline_of_long_commands() {
    let server = Server::start(&["--enable-debug-command", "yes"]);
    let (mut long, mut other) = (server.client(), server.client());
    assert_eq!(other.ask("SET count 0"), "+OK");
    let pipeline: Vec<u8> = (0..50)
        .flat_map(|_| [request(&["INCR", "count"]), request(&["DEBUG", "SLEEP", "0.01"])].concat())
        .collect();
    long.raw(&pipeline);
    let mut seen_amid = 0;
    eventually("the pipeline is over", || {
        let count = other.ask("GET count");
        seen_amid += usize::from(count != "$0" && count != "$50");
        count == "$50"
    });
    assert!(seen_amid > 0);
    for number in 1..=50 {
        assert_eq!((long.read(), long.read()), (format!(":{number}"), "+OK".to_string()));
    }
}
