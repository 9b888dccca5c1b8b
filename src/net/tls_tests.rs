//! Tests of TLS streams: a client of rustls at the other end of a pipe that cuts, joins and holds bytes up.

use std::collections::VecDeque;

use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion, version};

use super::*;
use crate::base::rng::Rng;
use crate::services::tls::{Identity, PemFile, TlsSettings, server_config};

/// A socket of which a test has the other end.
#[derive(Default)]
pub(super) struct Pipe {
    pub(super) to_stream: VecDeque<u8>,
    pub(super) to_peer: VecDeque<u8>,
    /// Bytes that one read brings, and that the socket takes until it is full.
    pub(super) read_max: usize,
    pub(super) write_room: usize,
    pub(super) is_closed: bool,
}

impl IoRead for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.to_stream.is_empty() {
            return if self.is_closed { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        }
        let count = buffer.len().min(self.to_stream.len()).min(self.read_max);
        buffer[..count].fill_with(|| self.to_stream.pop_front().unwrap_or_default());
        Ok(count)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(self.write_room);
        if count == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.write_room -= count;
        self.to_peer.extend(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Ends {
    server: TlsStream<Pipe>,
    client: ClientConnection,
}

impl Ends {
    fn new(version: &'static SupportedProtocolVersion) -> Ends {
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = rcgen::CertificateParams::new(["localhost".to_string()]).expect("parameters");
        let certificate = certificate.self_signed(&key).expect("a certificate");
        let file = |text: String| PemFile { name: "test".into(), text: text.into() };
        let identity =
            Identity { certificate: file(certificate.pem()), key: file(key.serialize_pem()), password: None };
        let config = server_config(&TlsSettings::for_tests(), &identity, &[]).expect("a configuration");
        let pipe = Pipe { read_max: usize::MAX, write_room: usize::MAX, ..Pipe::default() };
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone()).expect("a certificate");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .expect("a version")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = "localhost".try_into().expect("a name");
        Ends {
            server: TlsStream::server(pipe, config).expect("a session"),
            client: ClientConnection::new(Arc::new(client), name).expect("a session"),
        }
    }

    /// Both after the handshake.
    fn connected(version: &'static SupportedProtocolVersion) -> Ends {
        let mut ends = Ends::new(version);
        for _ in 0..4 {
            ends.client_sends();
            let _ = ends.server.shake_hands().expect("a handshake");
            ends.client_receives();
        }
        assert!(!ends.server.is_handshaking() && !ends.client.is_handshaking());
        ends
    }

    fn client_sends(&mut self) {
        while self.client.wants_write() {
            self.client.write_tls(&mut self.server.socket.to_stream).expect("memory");
        }
    }

    /// Has the client take what has come; its plaintext.
    fn client_receives(&mut self) -> Vec<u8> {
        let mut plain = Vec::new();
        while !self.server.socket.to_peer.is_empty() {
            self.client.read_tls(&mut self.server.socket.to_peer).expect("memory");
            self.client.process_new_packets().expect("sound records");
            // Without plaintext there is an error of the kind `WouldBlock`.
            let _ = self.client.reader().read_to_end(&mut plain);
        }
        plain
    }

    fn server_reads(&mut self, room: usize) -> io::Result<(Vec<u8>, Read)> {
        let mut plain = Vec::new();
        let read = self.server.read(room, &mut |bytes| plain.extend_from_slice(bytes))?;
        assert_eq!(plain.len(), read.bytes);
        assert!(plain.len() <= room);
        Ok((plain, read))
    }

    fn kept(&self) -> usize {
        self.server.incoming.capacity() + self.server.plaintext.capacity() + self.server.outgoing.capacity()
    }
}

pub(super) const VERSIONS: [&SupportedProtocolVersion; 2] = [&version::TLS12, &version::TLS13];

pub(super) fn would_block<T>(result: io::Result<T>) -> bool {
    result.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

#[test]
fn a_handshake_may_be_cut_at_every_byte() {
    for version in VERSIONS {
        let mut ends = Ends::new(version);
        (ends.server.socket.read_max, ends.server.socket.write_room) = (1, 0);
        let mut turns = 0;
        while ends.server.is_handshaking() || ends.client.is_handshaking() {
            let mut flight = Vec::new();
            while ends.client.wants_write() {
                ends.client.write_tls(&mut flight).expect("memory");
            }
            for byte in flight {
                ends.server.socket.to_stream.push_back(byte);
                ends.server.shake_hands().expect("a handshake");
            }
            while ends.server.wants_write() {
                assert!(would_block(ends.server.write_slices(&[])));
                ends.server.socket.write_room = 1;
                let _ = ends.server.write_slices(&[]);
            }
            ends.client_receives();
            turns += 1;
            assert!(turns < 10);
        }
        assert!(ends.server.shake_hands().expect("a handshake"));
        ends.server.socket.write_room = usize::MAX;
        assert_eq!(ends.server.write_slices(&[IoSlice::new(b"hello")]).expect("written"), 5);
        assert_eq!(ends.client_receives(), b"hello");
    }
}

#[test]
fn nothing_is_written_before_the_handshake_is_done() {
    let mut ends = Ends::new(&version::TLS13);
    assert!(would_block(ends.server.write_slices(&[IoSlice::new(b"early")])));
    ends.client_sends();
    assert!(!ends.server.shake_hands().expect("a handshake"));
    // The server could send already, to a client that has proved nothing.
    assert!(would_block(ends.server.write_slices(&[IoSlice::new(b"early")])));
    ends.client_receives();
    ends.client_sends();
    assert!(ends.server.shake_hands().expect("a handshake"));
}

#[test]
fn records_may_be_cut_and_joined() {
    let mut rng = Rng::new(5);
    for (round, version) in VERSIONS.into_iter().cycle().take(20).enumerate() {
        let mut ends = Ends::connected(version);
        let sent: Vec<u8> = (0..rng.below(300_000)).map(|_| rng.next_u64() as u8).collect();
        let (mut written, mut received) = (0, Vec::new());
        let mut on_its_way = VecDeque::new();
        while received.len() < sent.len() {
            if written < sent.len() && rng.below(2) == 0 {
                let count = (sent.len() - written).min(1 + rng.below(40_000) as usize);
                written += ends.client.writer().write(&sent[written..written + count]).expect("room");
                while ends.client.wants_write() {
                    ends.client.write_tls(&mut on_its_way).expect("memory");
                }
            }
            let arrives = on_its_way.len().min(rng.below(60_000) as usize);
            ends.server.socket.to_stream.extend(on_its_way.drain(..arrives));
            ends.server.socket.read_max =
                if rng.below(3) == 0 { 1 + rng.below(3000) as usize } else { usize::MAX };
            // As the loop reads: until it is told that there is no more before the next event.
            for turn in 0.. {
                assert!(turn < 100_000, "round {round}: it doesn't end");
                match ends.server_reads(1 + rng.below(100_000) as usize) {
                    Ok((plain, read)) => {
                        received.extend(plain);
                        assert!(read.bytes > 0, "round {round}: this is no end");
                        if !read.more && ends.server.socket.read_max == usize::MAX {
                            assert!(
                                ends.server.socket.to_stream.is_empty() && ends.server.plaintext.is_empty()
                            );
                            break;
                        }
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                        break;
                    }
                }
            }
            assert_eq!(received, sent[..received.len()], "round {round}");
        }
        assert!(ends.kept() == 0, "an idle stream keeps nothing");
    }
}

#[test]
fn much_is_written_as_the_socket_takes_it() {
    let mut rng = Rng::new(6);
    for version in VERSIONS {
        let mut ends = Ends::connected(version);
        let sent: Vec<u8> = (0..3 << 20).map(|at: u32| (at / 77) as u8).collect();
        let (mut taken, mut received) = (0, Vec::new());
        while taken < sent.len() || ends.server.wants_write() {
            ends.server.socket.write_room = rng.below(200_000) as usize;
            let lengths: Vec<usize> =
                (0..8).map(|_| [0, 1, 700, 20_000, 1 << 20][rng.below(5) as usize]).collect();
            let (mut slices, mut at) = (Vec::new(), taken);
            for length in lengths {
                let end = sent.len().min(at + length);
                slices.push(IoSlice::new(&sent[at..end]));
                at = end;
            }
            match ends.server.write_slices(&slices) {
                Ok(bytes) => taken += bytes,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
            assert!(ends.server.outgoing.len() <= BATCH + 4096, "what waits is bounded");
            received.extend(ends.client_receives());
            assert_eq!(received, sent[..received.len()]);
        }
        assert!(received == sent && ends.kept() == 0);
    }
}

#[test]
fn a_long_write_is_cut_where_others_wait() {
    let mut ends = Ends::connected(&version::TLS13);
    let bytes = vec![7; 4 << 20];
    let taken = ends.server.write_slices(&[IoSlice::new(&bytes)]).expect("room");
    let bounds = WRITE_MAX..WRITE_MAX + 2 * BATCH;
    assert!(bounds.contains(&taken) && ends.server.takes_more(), "{taken}");
    assert_eq!(ends.server.write_slices(&[IoSlice::new(b"x")]).expect("room"), 1);
    assert!(!ends.server.takes_more());
}

#[test]
fn a_write_between_parts_of_a_record() {
    let mut ends = Ends::connected(&version::TLS13);
    ends.client.writer().write_all(b"question").expect("room");
    ends.client.refresh_traffic_keys().expect("new keys");
    ends.client.writer().write_all(b" and more").expect("room");
    let mut flight = Vec::new();
    ends.client.write_tls(&mut flight).expect("memory");
    let mut plain = Vec::new();
    for byte in flight {
        ends.server.socket.to_stream.push_back(byte);
        if let Ok((bytes, _)) = ends.server_reads(100) {
            plain.extend(bytes);
        }
        assert_eq!(ends.server.write_slices(&[IoSlice::new(b".")]).expect("room"), 1);
    }
    assert_eq!(plain, b"question and more");
    let answer = ends.client_receives();
    assert!(answer.len() > 50 && answer.iter().all(|byte| *byte == b'.'));
}

#[test]
fn plaintext_without_room_waits_and_is_read_after_a_write() {
    let mut ends = Ends::connected(&version::TLS12);
    ends.client.writer().write_all(&[9; 40_000]).expect("room");
    ends.client_sends();
    let (first, read) = ends.server_reads(10).expect("plaintext");
    assert_eq!((first.len(), read.more), (10, true));
    assert_eq!(ends.server.write_slices(&[IoSlice::new(b"x")]).expect("room"), 1);
    let (rest, _) = ends.server_reads(100_000).expect("plaintext");
    assert_eq!(rest, vec![9; 39_990]);
    assert!(would_block(ends.server_reads(10)));
}

#[test]
fn what_is_no_tls_is_refused() {
    const ALERT: u8 = 21;
    // With an alert only if it might have been TLS.
    for (garbage, answer) in [
        (&b"*1\r\n$4\r\nPING\r\n"[..], None),
        (b"GET / HTTP/1.1\r\n\r\n", None),
        (&[0; 100], None),
        (&[22, 3, 1, 0, 4, 9, 0, 0, 0], Some(&ALERT)),
    ] {
        let mut ends = Ends::new(&version::TLS13);
        ends.server.socket.to_stream.extend(garbage);
        let error = ends.server.shake_hands().map(|_| ()).expect_err("no handshake");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert_eq!(ends.server.socket.to_peer.front(), answer, "{}", garbage.escape_ascii());
        assert!(ends.server.shake_hands().is_err(), "it stays so");
    }
    // A record that has been tampered with: what came before it is still read.
    let mut ends = Ends::connected(&version::TLS13);
    ends.client.writer().write_all(b"good").expect("room");
    ends.client_sends();
    ends.client.writer().write_all(b"bad").expect("room");
    ends.client_sends();
    *ends.server.socket.to_stream.back_mut().expect("a record") ^= 1;
    assert_eq!(
        ends.server_reads(100).map(|(plain, read)| (plain, read.more)).expect("the first"),
        (b"good".to_vec(), true)
    );
    assert_eq!(
        ends.server_reads(100).map(|_| ()).expect_err("a bad record").kind(),
        io::ErrorKind::InvalidData
    );
    assert!(ends.server.write_slices(&[IoSlice::new(b"x")]).is_err());
}

#[test]
fn the_end_comes_with_an_alert_or_without() {
    for version in VERSIONS {
        for with_alert in [true, false] {
            let mut ends = Ends::connected(version);
            ends.client.writer().write_all(b"last").expect("room");
            if with_alert {
                ends.client.send_close_notify();
            }
            ends.client_sends();
            ends.server.socket.is_closed = !with_alert;
            let (plain, read) = ends.server_reads(100).expect("plaintext");
            assert_eq!(plain, b"last");
            if read.more || !with_alert {
                assert_eq!(ends.server_reads(100).expect("the end").1.bytes, 0);
            }
            // A peer that has ended its side may wait for replies.
            assert_eq!(ends.server.write_slices(&[IoSlice::new(b"reply")]).expect("room"), 5);
            assert_eq!(ends.client_receives(), b"reply");
            ends.server.close();
            ends.client_receives();
            let mut byte = [0];
            assert_eq!(ends.client.reader().read(&mut byte).expect("a clean end"), 0);
        }
        let mut ends = Ends::new(version);
        ends.server.socket.is_closed = true;
        assert_eq!(ends.server.shake_hands().expect_err("an end").kind(), io::ErrorKind::UnexpectedEof);
        ends.server.close();
        assert!(ends.server.socket.to_peer.is_empty());
    }
}

#[test]
fn changed_bytes_end_the_connection_and_nothing_else() {
    let mut rng = Rng::new(8);
    let mut ended = 0;
    for round in 0..600 {
        let version = VERSIONS[round % 2];
        let changes_traffic = round % 3 == 0;
        let mut ends = if changes_traffic { Ends::connected(version) } else { Ends::new(version) };
        if changes_traffic {
            ends.client.writer().write_all(&[1; 20_000]).expect("room");
        }
        for _ in 0..4 {
            ends.client_sends();
            let flight = ends.server.socket.to_stream.make_contiguous();
            for _ in 0..rng.below(4) {
                let at = rng.below(flight.len().max(1) as u64) as usize;
                // Lengths and types stand at the front.
                let at = if rng.below(2) == 0 { at.min(rng.below(12) as usize) } else { at };
                if let Some(byte) = flight.get_mut(at) {
                    *byte = rng.next_u64() as u8;
                }
            }
            ends.server.socket.read_max = 1 + rng.below(600) as usize;
            let failed = if ends.server.is_handshaking() {
                ends.server.shake_hands().is_err()
            } else {
                let result = ends.server_reads(1 + rng.below(20_000) as usize);
                result.is_err_and(|error| error.kind() != io::ErrorKind::WouldBlock)
            };
            let _ = ends.server.write_slices(&[IoSlice::new(b"x")]);
            let client_failed = ends.client.read_tls(&mut ends.server.socket.to_peer).is_err()
                || ends.client.process_new_packets().is_err();
            ended += u64::from(failed);
            if failed || client_failed {
                let _ = ends.server_reads(100);
                let _ = ends.server.write_slices(&[IoSlice::new(b"x")]);
                break;
            }
        }
        ends.server.close();
    }
    assert!(ended > 200, "{ended}");
}
