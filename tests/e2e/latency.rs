//! What held the server up, and for whom (LATENCY TOP, LATENCY DOCTOR).

use crate::harness::Server;

#[test]
fn large_calls_are_named_with_their_clients() {
    let server = Server::start(&["--enable-debug-command", "yes"]);
    let mut client = server.client();
    assert_eq!(client.ask("LATENCY TOP"), "[]");
    assert_eq!(client.ask("DEBUG POPULATE 100000"), "+OK");
    assert_eq!(client.ask("LATENCY RESET"), ":0");
    assert_eq!(client.ask("CLIENT SETNAME reporter"), "+OK");
    assert_eq!(client.ask("KEYS *").split(", ").count(), 100_000);
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
