//! Messages of all kinds come out as they went in; what real nodes of Redis 8.6 and Valkey 9.1 have sent says what they say;
//! what is cut or changed is refused or read, and never a panic.

use super::super::node::{Announced, flag};
use super::*;
use crate::base::rng::Rng;

fn random_id(rng: &mut Rng) -> NodeId {
    NodeId::parse(rng.hex(40).as_bytes()).unwrap()
}

fn random_slots(rng: &mut Rng) -> SlotSet {
    (0..rng.below(50)).map(|_| rng.below(16_384) as u16).collect()
}

fn one_of<'a>(rng: &mut Rng, texts: &[&'a str]) -> &'a str {
    texts[rng.below(texts.len() as u64) as usize]
}

fn random_header(rng: &mut Rng) -> Header {
    Header {
        sender: random_id(rng),
        current_epoch: rng.next_u64(),
        config_epoch: rng.next_u64(),
        offset: rng.next_u64(),
        slots: random_slots(rng),
        primary: (rng.below(2) == 0).then(|| random_id(rng)),
        ip: one_of(rng, &["", "10.0.0.1", "2001:db8::1", "fe80::1%eth0", "redis-node-1"]).to_string(),
        port: rng.next_u64() as u16,
        other_port: rng.next_u64() as u16,
        bus_port: rng.next_u64() as u16,
        flags: rng.next_u64() as u16,
        is_ok: rng.below(2) == 0,
        message_flags: rng.next_u64() as u8 | message_flag::EXTENSIONS,
    }
}

fn random_gossip(rng: &mut Rng) -> Gossip {
    Gossip {
        id: random_id(rng),
        ping_sent: rng.next_u64() as u32,
        pong_received: rng.next_u64() as u32,
        ip: one_of(rng, &["", "10.0.0.1", "a-name-of-exactly-the-forty-five-bytes-there-a"])
            .chars()
            .take(45)
            .collect(),
        port: rng.next_u64() as u16,
        other_port: rng.next_u64() as u16,
        bus_port: rng.next_u64() as u16,
        flags: rng.next_u64() as u16,
    }
}

fn random_extensions(rng: &mut Rng) -> Extensions {
    let announced = Announced {
        hostname: one_of(rng, &["", "h", "host-1.example.com", "a234567"]).to_string(),
        human_name: one_of(rng, &["", "cache/eu"]).to_string(),
        availability_zone: one_of(rng, &["", "eu-west-1a"]).to_string(),
        client_ipv4: one_of(rng, &["", "255.255.255.255"]).to_string(),
        client_ipv6: one_of(rng, &["", "1111:2222:3333:4444:5555:6666:7777:8888"]).to_string(),
        client_port: rng.below(3) as u16,
        client_tls_port: rng.below(3) as u16,
    };
    Extensions {
        announced,
        shard: (rng.below(2) == 0).then(|| random_id(rng)),
        forgotten: (0..rng.below(3)).map(|_| (random_id(rng), rng.next_u64())).collect(),
        secret: (rng.below(2) == 0).then(|| random_id(rng)),
    }
}

fn random_body(rng: &mut Rng) -> Body {
    let bytes = |rng: &mut Rng| (0..rng.below(20)).map(|_| rng.next_u64() as u8).collect();
    match rng.below(8) {
        0..=2 => Body::Ping {
            kind: [PingKind::Ping, PingKind::Pong, PingKind::Meet][rng.below(3) as usize],
            gossip: (0..rng.below(5)).map(|_| random_gossip(rng)).collect(),
            extensions: random_extensions(rng),
        },
        3 => Body::Fail(random_id(rng)),
        4 => Body::Publish { channel: bytes(rng), message: bytes(rng), sharded: rng.below(2) == 0 },
        5 => [Body::AuthRequest, Body::AuthAck, Body::ManualFailoverStart][rng.below(3) as usize].clone(),
        6 => Body::Update { config_epoch: rng.next_u64(), node: random_id(rng), slots: random_slots(rng) },
        _ => Body::Module,
    }
}

fn random_message(rng: &mut Rng) -> Message {
    let body = random_body(rng);
    let can_be_light = matches!(body, Body::Publish { .. } | Body::Module);
    let header = (!can_be_light || rng.below(2) == 0).then(|| Box::new(random_header(rng)));
    Message { header, body }
}

#[test]
fn messages_come_out_as_they_went_in() {
    let mut rng = Rng::new(7);
    for _ in 0..2_000 {
        let message = random_message(&mut rng);
        let bytes = encode(&message);
        assert_eq!(frame_len(&bytes), Ok(Some(bytes.len())));
        assert_eq!(decode(&bytes), Ok(message));
    }
}

#[test]
fn what_is_cut_is_refused_and_what_is_changed_does_not_panic() {
    let mut rng = Rng::new(8);
    for _ in 0..60 {
        let bytes = encode(&random_message(&mut rng)).to_vec();
        for end in (0..bytes.len()).step_by(7) {
            assert!(decode(&bytes[..end]).is_err(), "{end} of {}", bytes.len());
            // Also where the message says itself that it is so short.
            let mut cut = bytes[..end].to_vec();
            if let Some(length) = cut.get_mut(4..8) {
                length.copy_from_slice(&(end as u32).to_be_bytes());
            }
            assert!(decode(&cut).is_err(), "{end} of {}", bytes.len());
        }
        for _ in 0..500 {
            let mut changed = bytes.clone();
            let at = rng.below(changed.len() as u64) as usize;
            changed[at] = rng.next_u64() as u8;
            fuzz_wire(&changed);
        }
    }
}

#[test]
fn a_frame_is_as_long_as_it_says_within_bounds() {
    let start = |kind: u16, length: u32| {
        [b"RCmb", &length.to_be_bytes()[..], &[0, 1, 0, 0], &kind.to_be_bytes(), &[0, 0]].concat()
    };
    let max = FRAME_MAX as u32;
    for (kind, length, expected) in [
        (kind::PING, 2_256, Ok(Some(2_256))),
        (kind::PING, 2_255, Err(Broken)),
        (kind::PING, max + 1, Err(Broken)),
        (kind::UPDATE, max, Ok(Some(FRAME_MAX))),
        (kind::PUBLISH, max + 1, Ok(Some(FRAME_MAX + 1))),
        (kind::PUBLISH, u32::MAX, Err(Broken)),
        (kind::PUBLISH | LIGHT, 16, Ok(Some(16))),
        (kind::PUBLISH | LIGHT, 15, Err(Broken)),
        (kind::PUBLISH, 16, Err(Broken)),
        (999, 2_256, Ok(Some(2_256))),
    ] {
        assert_eq!(frame_len(&start(kind, length)), expected, "{kind} {length}");
    }
    let sound = start(kind::PING, 3_000);
    (0..16).for_each(|end| assert_eq!(frame_len(&sound[..end]), Ok(None), "{end}"));
    assert_eq!((frame_len(b"R"), frame_len(b"GE"), frame_len(b"RCmB")), (Ok(None), Err(Broken), Err(Broken)));
}

#[test]
fn what_is_unsound_says_why() {
    let mut rng = Rng::new(9);
    let fail = encode(&Message {
        header: Some(Box::new(random_header(&mut rng))),
        body: Body::Fail(random_id(&mut rng)),
    });
    let with = |at: usize, bytes: &[u8]| {
        let mut changed = fail.to_vec();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        decode(&changed).map(|_| ())
    };
    assert_eq!(with(8, &[0, 2]), Err(Malformed::Version));
    assert_eq!(with(12, &[0, 11]), Err(Malformed::Type));
    assert_eq!(with(12, &[0x80, 3]), Err(Malformed::Type));
    assert_eq!(with(12, &[0, 5]), Err(Malformed::Length));
    assert_eq!(with(40, b"G"), Err(Malformed::Name));
    assert_eq!(with(2168, b"10.0.0.1\nvars"), Err(Malformed::Name));
    assert_eq!(with(2256, b"?"), Err(Malformed::Name));
    assert_eq!(Malformed::Name.reason(), "invalid name or address of a node");
}

#[test]
fn gossip_with_a_name_that_cannot_be_is_left_out_as_a_whole() {
    let mut rng = Rng::new(10);
    let gossip = vec![random_gossip(&mut rng), random_gossip(&mut rng)];
    let body = Body::Ping { kind: PingKind::Ping, gossip, extensions: Extensions::default() };
    let mut bytes = encode(&Message { header: Some(Box::new(random_header(&mut rng))), body }).to_vec();
    bytes[HEADER_BYTES + GOSSIP_BYTES] = b'!';
    let Body::Ping { gossip, .. } = decode(&bytes).unwrap().body else { panic!("a ping") };
    assert_eq!(gossip, []);
}

/// A real node's message, and the lines of CLUSTER NODES at the same time.
fn recorded(message: &[u8], nodes: &str) -> (Header, Vec<Gossip>, Extensions, Vec<Vec<String>>) {
    assert_eq!(frame_len(message), Ok(Some(message.len())));
    let decoded = decode(message).unwrap();
    assert_eq!(encode(&decoded).len(), message.len());
    assert_eq!(decode(&encode(&decoded)).as_ref(), Ok(&decoded));
    let Body::Ping { gossip, extensions, .. } = decoded.body else { panic!("a message with gossip") };
    let lines = nodes.lines().map(|line| line.split(' ').map(str::to_string).collect()).collect();
    (*decoded.header.unwrap(), gossip, extensions, lines)
}

fn check_recorded(message: &[u8], nodes: &str, is_valkey: bool) {
    let (header, gossip, extensions, lines) = recorded(message, nodes);
    let line_of =
        |id: NodeId| lines.iter().find(|line| line[0] == id.to_string()).expect("a line of CLUSTER NODES");
    let bus_port = |line: &[String]| -> u16 {
        line[1].split_once('@').unwrap().1.split_once(',').unwrap().0.parse().unwrap()
    };
    let line = line_of(header.sender);
    assert_eq!(header.bus_port, bus_port(line));
    assert_eq!(header.port, header.bus_port - 10_000);
    assert_eq!(header.config_epoch.to_string(), line[6]);
    assert_eq!(header.primary.map_or("-".to_string(), |id| id.to_string()), line[3]);
    let owner = header.primary.map_or(line, line_of);
    let slots: Vec<&str> =
        owner[8..].iter().map(String::as_str).filter(|word| !word.starts_with('[')).collect();
    assert_eq!(header.slots.to_string(), slots.join(" "));
    assert!(header.is_ok && header.message_flags == message_flag::EXTENSIONS && header.current_epoch == 3);
    assert_eq!(header.flags & flag::LIGHT_PUBLISH != 0, is_valkey);
    assert!(!gossip.is_empty());
    for entry in &gossip {
        let line = line_of(entry.id);
        assert_eq!(
            (entry.bus_port, entry.port, entry.ip.as_str()),
            (bus_port(line), bus_port(line) - 10_000, "127.0.0.1")
        );
        assert_eq!(entry.flags & flag::REPLICA != 0, line[2].contains("slave"));
    }
    if extensions == Extensions::default() {
        // Redis's answer to a node that it doesn't know.
        return assert!(!is_valkey && message[12..14] == kind::PONG.to_be_bytes());
    }
    assert!(line[1].ends_with(&format!(",{}", extensions.announced.hostname)), "{extensions:?}");
    let number: u16 = extensions.announced.human_name.strip_prefix("people-").unwrap().parse().unwrap();
    assert!(extensions.shard.is_some());
    assert_eq!(extensions.secret.is_none(), is_valkey);
    if is_valkey {
        let announced = &extensions.announced;
        assert_eq!(announced.client_ipv4, format!("10.1.2.{}", number + 1));
        assert_eq!(announced.client_ipv6, format!("2001:db8::{}", number + 1));
        assert_eq!((announced.client_port, announced.client_tls_port), (7_000 + number, 0));
        assert_eq!(announced.availability_zone, format!("zone-{number}"));
    }
}

#[test]
fn messages_of_real_nodes_say_what_their_reports_say() {
    let valkey = include_str!("../../../../tests/data/cluster/valkey-nodes.txt");
    let redis = include_str!("../../../../tests/data/cluster/redis-nodes.txt");
    check_recorded(include_bytes!("../../../../tests/data/cluster/valkey-ping.bin"), valkey, true);
    check_recorded(include_bytes!("../../../../tests/data/cluster/valkey-pong-3.bin"), valkey, true);
    check_recorded(include_bytes!("../../../../tests/data/cluster/redis-ping.bin"), redis, false);
    check_recorded(include_bytes!("../../../../tests/data/cluster/redis-pong-3.bin"), redis, false);
    for publish in [
        &include_bytes!("../../../../tests/data/cluster/valkey-publish.bin")[..],
        include_bytes!("../../../../tests/data/cluster/redis-publish.bin"),
    ] {
        let message = decode(publish).unwrap();
        let expected =
            Body::Publish { channel: b"channel".into(), message: b"message".into(), sharded: false };
        assert_eq!((message.body == expected, message.header.is_some()), (true, true));
    }
}

#[test]
fn each_kind_of_node_is_sent_what_it_understands() {
    let mut extensions = random_extensions(&mut Rng::new(1));
    extensions.announced.client_ipv4 = "10.0.0.1".to_string();
    extensions.secret = Some(NodeId([b'a'; 40]));
    for (flags, has_ipv4, has_secret) in
        [(None, false, false), (Some(flag::PRIMARY), false, true), (Some(flag::LIGHT_PUBLISH), true, false)]
    {
        let mut sent = extensions.clone();
        sent.keep_for(flags);
        assert_eq!(
            (!sent.announced.client_ipv4.is_empty(), sent.secret.is_some()),
            (has_ipv4, has_secret),
            "{flags:?}"
        );
    }
}
