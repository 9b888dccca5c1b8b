//! Tests of Sentinel: its configuration, TILT, links, scripts.

use super::ids::ConnectionId;
use super::*;

const START: u64 = 1_700_000_000_000;

fn lines(text: &str) -> Vec<ConfigLine> {
    let line = |(number, line): (usize, &str)| ConfigLine {
        number: number + 1,
        text: line.into(),
        words: crate::base::quoting::split_words(line.as_bytes()).expect("words"),
    };
    text.lines().map(str::trim).enumerate().map(line).collect()
}

fn loaded(text: &str) -> Result<Sentinel, LineError> {
    let mut sentinel = Sentinel::new(START, 7);
    sentinel.load(&lines(text), |path| path == "/bin/script")?;
    Ok(sentinel)
}

fn started(text: &str) -> Sentinel {
    let mut sentinel = loaded(text).expect("a configuration");
    sentinel.settings.port = 26379;
    sentinel.start(START);
    sentinel
}

fn actions(sentinel: &mut Sentinel) -> Vec<Action> {
    std::iter::from_fn(|| sentinel.next_action()).collect()
}

fn events(sentinel: &mut Sentinel) -> Vec<String> {
    let event = |action| match action {
        Action::Event { name, message, .. } => Some(format!("{name} {message}")),
        _ => None,
    };
    actions(sentinel).into_iter().filter_map(event).collect()
}

fn file(sentinel: &Sentinel) -> String {
    let line = |line: Statement| format!("{} {}\n", line.name, String::from_utf8_lossy(&line.value));
    sentinel.statements().into_iter().filter(|line| line.is_forced).map(line).collect()
}

const FULL: &str = "known-replica a 10.0.0.2 6379
    known-sentinel a 10.0.0.7 26379 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
    leader-epoch a 4
    config-epoch a 3
    current-epoch 5
    down-after-milliseconds a 2000
    failover-timeout a 9000
    parallel-syncs a 2
    notification-script a /bin/script
    client-reconfig-script a /bin/script
    auth-pass a \"pass word\"
    auth-user a someone
    rename-command a CONFIG other
    master-reboot-down-after-period a 10
    monitor a 10.0.0.1 6379 2
    myid 0123456789012345678901234567890123456789
    announce-ip 10.0.0.9
    announce-port 7
    deny-scripts-reconfig no
    sentinel-user us
    sentinel-pass them
    resolve-hostnames yes
    announce-hostnames yes";

#[test]
fn what_is_written_is_what_was_read() {
    let sentinel = loaded(FULL).expect("a configuration");
    let written = file(&sentinel);
    let expected = "sentinel myid 0123456789012345678901234567890123456789
sentinel deny-scripts-reconfig no
sentinel resolve-hostnames yes
sentinel announce-hostnames yes
sentinel monitor a 10.0.0.1 6379 2
sentinel down-after-milliseconds a 2000
sentinel failover-timeout a 9000
sentinel parallel-syncs a 2
sentinel notification-script a /bin/script
sentinel client-reconfig-script a /bin/script
sentinel auth-pass a \"pass word\"
sentinel auth-user a someone
sentinel master-reboot-down-after-period a 10
sentinel config-epoch a 3
sentinel leader-epoch a 4
sentinel known-replica a 10.0.0.2 6379
sentinel known-sentinel a 10.0.0.7 26379 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
sentinel rename-command a CONFIG other
sentinel current-epoch 5
sentinel announce-ip 10.0.0.9
sentinel announce-port 7
sentinel sentinel-user us
sentinel sentinel-pass them
";
    assert_eq!(written, expected);
    let names: Vec<&str> = sentinel.statements().iter().map(|line| line.name).collect();
    assert!(names.iter().all(|name| STATEMENTS.contains(name)));
    let again: String = written.lines().map(|line| format!("{}\n", &line["sentinel ".len()..])).collect();
    assert_eq!(file(&loaded(&again).expect("a configuration")), expected);
}

#[test]
fn faults_of_the_file_are_those_of_redis() {
    for (text, number, reason) in [
        ("monitor a 10.0.0.1 6379 0", 1, "Quorum must be 1 or greater."),
        ("monitor a host.example 6379 1", 1, "Can't resolve instance hostname."),
        ("monitor a 10.0.0.1 70000 1", 1, "Invalid port number."),
        ("monitor a 10.0.0.1 1 1\nmonitor a 10.0.0.1 1 1", 2, "Duplicate master name."),
        ("monitor a 10.0.0.1 1", 1, "Unrecognized sentinel configuration statement."),
        ("nonsense a", 1, "Unrecognized sentinel configuration statement."),
        ("parallel-syncs a 1", 1, "No such master with specified name."),
        ("monitor a 10.0.0.1 1 1\nfailover-timeout a 0", 2, "negative or zero time parameter."),
        ("monitor a 10.0.0.1 1 1\ndown-after-milliseconds a -5", 2, "negative or zero time parameter."),
        ("monitor a 10.0.0.1 1 1\nmaster-reboot-down-after-period a -1", 2, "negative time parameter."),
        ("myid abc", 1, "Malformed Sentinel id in myid option."),
        ("deny-scripts-reconfig maybe", 1, "Please specify yes or no for the deny-scripts-reconfig options."),
        ("resolve-hostnames maybe", 1, "Please specify yes or no for the resolve-hostnames option."),
        ("announce-hostnames maybe", 1, "Please specify yes or no for the announce-hostnames option."),
        (
            "notification-script a /bin/nothing\nmonitor a 10.0.0.1 1 1",
            1,
            "Notification script seems non existing or non executable.",
        ),
        (
            "monitor a 10.0.0.1 1 1\nclient-reconfig-script a /bin/nothing",
            2,
            "Client reconfiguration script seems non existing or non executable.",
        ),
        (
            "monitor a 10.0.0.1 1 1\nknown-replica a 10.0.0.2 1\nknown-slave a 10.0.0.2 1",
            3,
            "Duplicate hostname and port for replica.",
        ),
        (
            "monitor a 10.0.0.1 1 1\nknown-sentinel a 10.0.0.2 1 x\nknown-sentinel a 10.0.0.3 1 x",
            3,
            "Duplicate runid for sentinel.",
        ),
        (
            "monitor a 10.0.0.1 1 1\nrename-command a config x\nrename-command a CONFIG y",
            3,
            "Same command renamed multiple times with rename-command.",
        ),
    ] {
        let error = loaded(text).expect_err(text);
        assert_eq!((error.number, error.reason), (number, reason), "{text}");
    }
    assert!(
        loaded("monitor a 10.0.0.1 1 1\nknown-sentinel a 10.0.0.2 1").is_ok(),
        "the old form without an id"
    );
}

#[test]
fn a_jump_of_the_clock_makes_it_observe_only_for_a_while() {
    let mut sentinel = started("monitor a 10.0.0.1 6379 1\ndown-after-milliseconds a 1000");
    sentinel.tick(START + 100);
    actions(&mut sentinel);
    sentinel.tick(START + 5000);
    assert_eq!(events(&mut sentinel), ["+tilt #tilt mode entered"]);
    let mut now = START + 5000;
    while now < START + 34_900 {
        now += 100;
        sentinel.tick(now);
    }
    assert!(events(&mut sentinel).is_empty(), "the primary is down, but nothing is decided");
    assert_eq!(sentinel.tilt(), (Some(START + 5000), 1));
    sentinel.tick(now + 200);
    let seen = events(&mut sentinel);
    assert_eq!(seen[0], "-tilt #tilt mode exited");
    assert!(seen.contains(&"+sdown master a 10.0.0.1 6379".to_string()), "{seen:?}");
    sentinel.tick(now - 1);
    assert_eq!(events(&mut sentinel), ["+tilt #tilt mode entered"], "time went back");
}

/// Opens what the sentinel wants to connect to, and returns the connections by host and port.
fn connect(sentinel: &mut Sentinel, now: u64) -> Vec<(String, ConnectionId)> {
    let mut opened = Vec::new();
    for action in actions(sentinel) {
        if let Action::Connect { connection, host, port } = action {
            opened.push((format!("{host}:{port}"), connection));
        }
    }
    for (_, connection) in &opened {
        sentinel.connected(now, *connection, "10.0.0.9", "10.0.0.1");
    }
    opened
}

fn sent(sentinel: &mut Sentinel) -> Vec<(ConnectionId, String)> {
    let request = |action| match action {
        Action::Send { connection, bytes } => {
            Some((connection, String::from_utf8_lossy(&bytes).into_owned()))
        }
        _ => None,
    };
    actions(sentinel).into_iter().filter_map(request).collect()
}

#[test]
fn connections_log_in_and_requests_bear_their_new_names() {
    let mut sentinel = started(
        "myid 0123456789012345678901234567890123456789
         monitor a 10.0.0.1 6379 1
         auth-user a me
         auth-pass a secret
         rename-command a client KUNDE
         rename-command a PING p1",
    );
    sentinel.tick(START + 100);
    let opened = connect(&mut sentinel, START + 101);
    assert_eq!(opened.len(), 2);
    let requests = sent(&mut sentinel);
    let commands = &requests[0].1;
    for part in [
        "AUTH\r\n$2\r\nme\r\n$6\r\nsecret",
        "KUNDE\r\n$7\r\nSETNAME\r\n$21\r\nsentinel-01234567-cmd",
        "$2\r\np1\r\n",
        "$4\r\nINFO",
    ] {
        assert!(commands.contains(part), "{commands} lacks {part}");
    }
    let pubsub = &requests[1].1;
    assert!(pubsub.contains("sentinel-01234567-pubsub") && pubsub.contains("SUBSCRIBE"), "{pubsub}");
    sentinel.received(START + 102, opened[0].1, b"+OK\r\n+OK\r\n-NOAUTH\r\n");
    let primary = sentinel.find_group("a").map(|group| group.primary).expect("a group");
    let ping = |sentinel: &Sentinel| {
        sentinel.fields(primary).into_iter().find(|(name, _)| *name == "last-ping-sent")
    };
    assert_eq!(ping(&sentinel), Some(("last-ping-sent", Field::Number(102))), "that was no pong");
}

#[test]
fn a_refused_subscription_breaks_the_link() {
    let mut sentinel = started("monitor a 10.0.0.1 6379 1\nauth-pass a secret");
    sentinel.tick(START + 100);
    let pubsub = connect(&mut sentinel, START + 101)[1].1;
    actions(&mut sentinel);
    let flags = |sentinel: &Sentinel| {
        let primary = sentinel.find_group("a").map(|group| group.primary).expect("a group");
        sentinel.fields(primary).into_iter().find(|(name, _)| *name == "flags").map(|(_, flags)| flags)
    };
    // Replies to AUTH and CLIENT SETNAME, which may fail where no password is needed.
    sentinel.received(START + 102, pubsub, b"-ERR no password is set\r\n-NOPERM\r\n");
    assert_eq!((actions(&mut sentinel), flags(&sentinel)), (vec![], Some(Field::Text("master".into()))));
    sentinel.received(START + 103, pubsub, b"-NOAUTH Authentication required.\r\n");
    assert_eq!(actions(&mut sentinel), [Action::Close { connection: pubsub }]);
    assert_eq!(flags(&sentinel), Some(Field::Text("master,disconnected".into())));
}

#[test]
fn groups_share_the_link_to_a_sentinel() {
    let id = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    let mut sentinel = started(&format!(
        "monitor a 10.0.0.1 6379 1
         monitor b 10.0.0.2 6379 1
         known-sentinel a 10.0.0.7 26379 {id}
         known-sentinel b 10.0.0.7 26379 {id}"
    ));
    sentinel.tick(START + 100);
    let opened = connect(&mut sentinel, START + 101);
    let to_sentinel: Vec<_> = opened.iter().filter(|(host, _)| host == "10.0.0.7:26379").collect();
    assert_eq!(to_sentinel.len(), 1);
    let other = sentinel.find_group("a").and_then(|group| group.sentinels.get(id)).copied().expect("known");
    assert!(sentinel.fields(other).contains(&("link-refcount", Field::Number(2))));
    // The one group goes, the other keeps the link.
    sentinel.remove_group(START + 102, "a");
    let closed = |sentinel: &mut Sentinel, connection: ConnectionId| {
        actions(sentinel).contains(&Action::Close { connection })
    };
    assert!(!closed(&mut sentinel, to_sentinel[0].1));
    sentinel.remove_group(START + 103, "b");
    assert!(closed(&mut sentinel, to_sentinel[0].1));
    // What still comes belongs to no instance.
    sentinel.received(START + 104, to_sentinel[0].1, b"+PONG\r\n");
    sentinel.closed(START + 104, to_sentinel[0].1, "end of file");
    assert!(actions(&mut sentinel).is_empty());
}

#[test]
fn a_peer_that_sends_nonsense_is_disconnected() {
    let mut sentinel = started("monitor a 10.0.0.1 6379 1");
    sentinel.tick(START + 100);
    let opened = connect(&mut sentinel, START + 101);
    actions(&mut sentinel);
    sentinel.received(START + 102, opened[0].1, b"$99999999999\r\n");
    assert_eq!(actions(&mut sentinel), [Action::Close { connection: opened[0].1 }]);
}

#[test]
fn warnings_run_the_notification_script() {
    let mut sentinel = started("monitor a 10.0.0.1 6379 1\nnotification-script a /bin/script");
    sentinel.tick(START + 100);
    let run = actions(&mut sentinel).into_iter().find_map(|action| match action {
        Action::Run { job, words } => Some((job, words)),
        _ => None,
    });
    let (job, words) = run.expect("a script");
    assert_eq!(words, ["/bin/script", "+monitor", "master a 10.0.0.1 6379 quorum 1"]);
    sentinel.script_started(job, 77);
    sentinel.script_ended(START + 200, job, Ending { status: 3, signal: 0 });
    let seen = events(&mut sentinel);
    assert!(seen.contains(&"-script-error /bin/script 0 3".to_string()), "{seen:?}");
    assert_eq!(sentinel.scripts().jobs().len(), 0);
}

#[test]
fn sentinels_that_move_or_take_an_address_are_known_by_it() {
    let mut sentinel = started("monitor a 10.0.0.1 6379 1\nmonitor b 10.0.0.2 6379 1");
    actions(&mut sentinel);
    let (x, y) = ("x".repeat(40), "y".repeat(40));
    let hello = |sentinel: &mut Sentinel, host: &str, id: &str, group: &str| {
        sentinel.receive_hello(START + 1, format!("{host},26379,{id},0,{group},10.0.0.1,6379,0").as_bytes());
        events(sentinel)
    };
    assert!(hello(&mut sentinel, "10.0.0.7", &x, "a")[0].starts_with("+sentinel sentinel xxx"));
    assert_eq!(hello(&mut sentinel, "10.0.0.7", &x, "b").len(), 1);
    let moved = hello(&mut sentinel, "10.0.0.8", &x, "a");
    assert!(
        moved[0]
            .starts_with("+sentinel-address-switch master a 10.0.0.1 6379 ip 10.0.0.8 port 26379 for xxx")
    );
    assert!(
        moved[1].starts_with("+sentinel-address-update sentinel xxx")
            && moved[1].ends_with("1 additional matching instances")
    );
    let replaced = hello(&mut sentinel, "10.0.0.8", &y, "b");
    assert!(replaced[0].starts_with("+sentinel-invalid-addr sentinel xxx"), "{replaced:?}");
    let count = |name: &str| sentinel.find_group(name).map(|group| group.sentinels.len());
    assert_eq!((count("a"), count("b")), (Some(0), Some(1)));
}
