//! The replica's handshake against scripted primaries.

use super::handshake::{Handshake, Introduction, ResumePoint, Step};

const REPLID: &str = "0123456789abcdef0123456789abcdef01234567";
const OTHER: &str = "fedcba9876543210fedcba9876543210fedcba98";

fn introduction() -> Introduction {
    Introduction { listening_port: 6380, ..Introduction::default() }
}

fn resuming() -> Introduction {
    let resume = Some(ResumePoint { replid: REPLID.into(), offset: 101 });
    Introduction { resume, ..introduction() }
}

/// The words of a request, as text.
fn words(frame: &[u8]) -> String {
    let text = String::from_utf8(frame.to_vec()).expect("text");
    text.split("\r\n").skip(2).step_by(2).collect::<Vec<_>>().join(" ")
}

/// What is noted when the primary has answered the first request.
const ANSWERED: &str = "Master replied to PING, replication can continue...";

/// What a replica says to a primary that sends these replies, and what it makes of the last one. Bytes arrive `piece` at a time.
fn exchange(introduction: Introduction, replies: &[&str], piece: usize) -> (Vec<String>, Step, Vec<u8>) {
    let (mut handshake, ping) = Handshake::begin(introduction);
    let mut said = vec![words(&ping)];
    for (number, reply) in replies.iter().enumerate() {
        let mut pieces = reply.as_bytes().chunks(piece);
        while let Some(mut input) = pieces.next() {
            loop {
                match handshake.receive(&mut input) {
                    Step::Wait if input.is_empty() => break,
                    Step::Wait => {}
                    Step::Note(text) => said.push(text),
                    Step::Send(frame) => {
                        // A request is sent only when the reply to the one before is complete.
                        assert!(input.is_empty() && pieces.len() == 0);
                        said.push(words(&frame));
                        break;
                    }
                    end => {
                        assert_eq!(number, replies.len() - 1);
                        let rest = [input, &pieces.collect::<Vec<_>>().concat()].concat();
                        return (said, end, rest);
                    }
                }
            }
        }
    }
    (said, Step::Wait, Vec::new())
}

#[test]
fn requests_wait_for_the_replies_before() {
    let full = Introduction {
        user: Some(b"replica".to_vec()),
        password: Some(b"secret".to_vec()),
        announce_ip: Some("10.0.0.1".into()),
        cluster_node: Some(REPLID.into()),
        failover: true,
        ..resuming()
    };
    let mut replies = ["+OK\r\n"; 7];
    replies[0] = "-NOAUTH Authentication required.\r\n";
    let last = "\n\n+CONTINUE\r\n*1\r\n";
    for piece in 1..30 {
        let (said, end, rest) = exchange(full.clone(), &[&replies[..], &[last]].concat(), piece);
        assert_eq!(
            said,
            [
                "PING",
                ANSWERED,
                "AUTH replica secret",
                "REPLCONF listening-port 6380",
                "REPLCONF ip-address 10.0.0.1",
                "REPLCONF capa eof capa psync2 capa redloop",
                "REPLCONF version 9.1.0",
                &format!("REPLCONF SET-CLUSTER-NODE-ID {REPLID}"),
                &format!("PSYNC {REPLID} 101 FAILOVER"),
            ]
        );
        assert_eq!(end, Step::Continue { replid: None });
        assert_eq!(rest, b"*1\r\n");
    }
    let (said, ..) = exchange(introduction(), &["+PONG\r\n", "+OK\r\n", "+OK\r\n", "+OK\r\n"], 100);
    let plain = [
        "PING",
        ANSWERED,
        "REPLCONF listening-port 6380",
        "REPLCONF capa eof capa psync2 capa redloop",
        "REPLCONF version 9.1.0",
        "PSYNC ? -1",
    ];
    assert_eq!(said, plain);
    let password = Introduction { password: Some(b"secret".to_vec()), ..introduction() };
    assert_eq!(exchange(password, &["+PONG\r\n"], 100).0, ["PING", ANSWERED, "AUTH secret"]);
}

#[test]
fn what_an_old_primary_does_not_understand_is_noted() {
    let (said, end, _) = exchange(
        introduction(),
        &["+PONG\r\n", "-ERR unknown\r\n", "+OK\r\n", "-ERR what\r\n", "-ERR unknown command 'PSYNC'\r\n"],
        3,
    );
    assert_eq!(
        said,
        [
            "PING",
            ANSWERED,
            "REPLCONF listening-port 6380",
            "(Non critical) Master does not understand REPLCONF listening-port: -ERR unknown",
            "REPLCONF capa eof capa psync2 capa redloop",
            "REPLCONF version 9.1.0",
            "(Non critical) Master does not understand REPLCONF VERSION: -ERR what",
            "PSYNC ? -1",
        ]
    );
    assert_eq!(end, Step::Sync(b"*1\r\n$4\r\nSYNC\r\n".to_vec()));
}

/// What a replica makes of a reply to PSYNC.
fn psync(introduction: Introduction, reply: &str) -> Step {
    exchange(introduction, &["+PONG\r\n", "+OK\r\n", "+OK\r\n", "+OK\r\n", reply], 7).1
}

#[test]
fn the_primary_chooses_the_synchronization() {
    let full = psync(introduction(), &format!("+FULLRESYNC {OTHER} 0\r\n"));
    assert_eq!(full, Step::FullSync { replid: OTHER.into(), offset: 0 });
    let full = psync(resuming(), &format!("+FULLRESYNC {OTHER} 700\r\n"));
    assert_eq!(full, Step::FullSync { replid: OTHER.into(), offset: 700 });
    assert_eq!(psync(resuming(), "+CONTINUE\r\n"), Step::Continue { replid: None });
    let same = psync(resuming(), &format!("+CONTINUE {REPLID}\r\n"));
    assert_eq!(same, Step::Continue { replid: None });
    let other = psync(resuming(), &format!("+CONTINUE {OTHER}\r\n"));
    assert_eq!(other, Step::Continue { replid: Some(OTHER.into()) });
}

#[test]
fn other_replies_are_reasons_to_try_again() {
    for (reply, text) in [
        (
            "-NOMASTERLINK Can't SYNC\r\n",
            "Master is currently unable to PSYNC but should be in the future: -NOMASTERLINK",
        ),
        ("-LOADING Redis is loading\r\n", "Master is currently unable to PSYNC"),
        ("-NOAUTH Authentication required.\r\n", "Unexpected reply to PSYNC from master: -NOAUTH"),
        ("-ERR busy\r\n", "Master does not support PSYNC or is in error state (reply: -ERR busy)"),
        ("+CONTINUE\r\n", "Master continues what was not begun"),
        ("+FULLRESYNC\r\n", "Master replied with wrong +FULLRESYNC syntax"),
        ("+FULLRESYNC abc 1\r\n", "Master replied with wrong +FULLRESYNC syntax"),
        (&format!("+FULLRESYNC {OTHER} -1\r\n"), "Master replied with wrong +FULLRESYNC syntax"),
        (&format!("+FULLRESYNC {OTHER}\r\n"), "Master replied with wrong +FULLRESYNC syntax"),
        ("$5\r\n", "Unexpected reply to PSYNC from master: $5"),
    ] {
        match psync(introduction(), reply) {
            Step::Retry(got) => assert!(got.starts_with(text), "{got}"),
            other => panic!("{reply}: {other:?}"),
        }
    }
    let wrong = psync(resuming(), "+CONTINUE abc\r\n");
    assert!(matches!(wrong, Step::Retry(_)), "{wrong:?}");
    let (_, end, _) = exchange(introduction(), &["-LOADING Redis is loading\r\n"], 100);
    assert_eq!(end, Step::Retry("Error reply to PING from master: '-LOADING Redis is loading'".into()));
    let password = Introduction { password: Some(b"wrong".to_vec()), ..introduction() };
    let (_, end, _) = exchange(password, &["+PONG\r\n", "-WRONGPASS invalid\r\n"], 100);
    assert_eq!(end, Step::Retry("Unable to AUTH to MASTER: -WRONGPASS invalid".into()));
}

#[test]
fn a_line_without_an_end_is_not_kept() {
    for piece in [1, 100, 10_000] {
        let (_, end, _) = exchange(introduction(), &[&"+".repeat(10_000)], piece);
        assert_eq!(end, Step::Retry("The primary's reply in the handshake is too long".into()));
    }
    // An error that isn't text is shown as it can be.
    let (mut handshake, _) = Handshake::begin(introduction());
    let step = handshake.receive(&mut &b"-\xff\xfe\r\n"[..]);
    assert!(matches!(step, Step::Retry(_)), "{step:?}");
}
