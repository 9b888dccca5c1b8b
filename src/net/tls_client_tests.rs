//! Tests of TLS streams of connections to other servers: what such a server sends comes in pieces, ends early, or is no TLS.

use rustls::{ServerConfig, ServerConnection, SupportedProtocolVersion};

use super::tests::{Pipe, VERSIONS, would_block};
use super::*;
use crate::services::tls::{Identity, PemFile, TlsSettings, client_config};

struct Ends {
    stream: TlsStream<Pipe>,
    server: ServerConnection,
}

impl Ends {
    fn new(version: &'static SupportedProtocolVersion) -> Ends {
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = rcgen::CertificateParams::new(["localhost".to_string()]).expect("parameters");
        let certificate = certificate.self_signed(&key).expect("a certificate");
        let pem = key.serialize_pem();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[version])
            .expect("a version")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key.into())
            .expect("a configuration");
        let file = |text: String| PemFile { name: "test".into(), text: text.into() };
        let authorities = [file(certificate.pem())];
        let identity = Identity { certificate: file(certificate.pem()), key: file(pem), password: None };
        let client =
            client_config(&TlsSettings::for_tests(), &identity, &authorities).expect("a configuration");
        let pipe = Pipe { read_max: usize::MAX, write_room: usize::MAX, ..Pipe::default() };
        let name = "localhost".try_into().expect("a name");
        let mut stream = TlsStream::client(pipe, client, name).expect("a session");
        assert!(!stream.shake_hands().expect("a begun handshake"));
        Ends { stream, server: ServerConnection::new(Arc::new(server)).expect("a session") }
    }

    /// Both after the handshake, with nothing on its way.
    fn connected(version: &'static SupportedProtocolVersion) -> Ends {
        let mut ends = Ends::new(version);
        for _ in 0..4 {
            ends.server_receives();
            let flight = ends.flight();
            ends.stream.socket.to_stream.extend(flight);
            let _ = ends.stream.shake_hands().expect("a handshake");
        }
        assert!(!ends.stream.is_handshaking() && !ends.server.is_handshaking());
        assert!(would_block(ends.reads()));
        ends
    }

    /// What the server sends now.
    fn flight(&mut self) -> Vec<u8> {
        let mut flight = Vec::new();
        while self.server.wants_write() {
            self.server.write_tls(&mut flight).expect("memory");
        }
        flight
    }

    fn says(&mut self, plain: &[u8]) -> Vec<u8> {
        self.server.writer().write_all(plain).expect("room");
        self.flight()
    }

    /// Has the server take what has come; its plaintext.
    fn server_receives(&mut self) -> Vec<u8> {
        let mut plain = Vec::new();
        while !self.stream.socket.to_peer.is_empty() {
            self.server.read_tls(&mut self.stream.socket.to_peer).expect("memory");
            self.server.process_new_packets().expect("sound records");
            // Without plaintext there is an error of the kind `WouldBlock`.
            let _ = self.server.reader().read_to_end(&mut plain);
        }
        plain
    }

    /// All that can be read now; without anything, the end or the error.
    fn reads(&mut self) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        loop {
            match self.stream.read(100_000, &mut |bytes| plain.extend_from_slice(bytes)) {
                Ok(read) if read.bytes > 0 && read.more => {}
                Err(error) if plain.is_empty() => return Err(error),
                _ => return Ok(plain),
            }
        }
    }
}

#[test]
fn all_that_a_server_sends_may_be_cut_at_every_byte() {
    for version in VERSIONS {
        let mut ends = Ends::new(version);
        ends.stream.socket.read_max = 1;
        let mut flights = 0;
        while ends.stream.is_handshaking() || ends.server.is_handshaking() {
            ends.server_receives();
            for byte in ends.flight() {
                assert!(
                    would_block(ends.stream.write_slices(&[IoSlice::new(b"early")]))
                        || !ends.stream.is_handshaking()
                );
                ends.stream.socket.to_stream.push_back(byte);
                let _ = ends.stream.shake_hands().expect("a handshake");
            }
            flights += 1;
            assert!(flights < 5);
        }
        ends.server_receives();
        // A record, other keys if there is such a message, and two records at once.
        let mut flight = ends.says(b"first ");
        let _ = ends.server.refresh_traffic_keys();
        flight.extend(ends.says(&[b'x'; 20_000]));
        flight.extend(ends.says(b" last"));
        let mut plain = Vec::new();
        for byte in flight {
            ends.stream.socket.to_stream.push_back(byte);
            match ends.reads() {
                Ok(bytes) => plain.extend(bytes),
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        }
        assert_eq!(plain, [b"first ", &[b'x'; 20_000][..], b" last"].concat());
        assert_eq!(ends.stream.write_slices(&[IoSlice::new(b"reply")]).expect("room"), 5);
        assert!(ends.server_receives().ends_with(b"reply"));
    }
}

#[test]
fn a_server_that_closes_during_the_handshake_is_no_server() {
    for version in VERSIONS {
        let mut ends = Ends::new(version);
        ends.server_receives();
        let length = ends.flight().len();
        assert!(length > 300);
        // A flight is another each time, by a few bytes of its signature.
        for cut in (0..length - 20).step_by(7) {
            let mut ends = Ends::new(version);
            ends.server_receives();
            let flight = ends.flight();
            ends.stream.socket.to_stream.extend(&flight[..cut]);
            ends.stream.socket.is_closed = true;
            let error = ends.stream.shake_hands().expect_err("no handshake");
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{cut}");
            assert!(ends.stream.is_handshaking());
            assert!(would_block(ends.stream.write_slices(&[IoSlice::new(b"secret")])), "{cut}");
        }
    }
}

#[test]
fn of_a_record_that_is_cut_off_nothing_is_read() {
    for version in VERSIONS {
        let mut ends = Ends::connected(version);
        let (whole, part) = (ends.says(b"whole"), ends.says(b"never seen"));
        for cut in 0..part.len() {
            // Records are of one connection.
            let mut ends = Ends::connected(version);
            let (whole, part) = (ends.says(b"whole"), ends.says(b"never seen"));
            ends.stream.socket.to_stream.extend(whole.iter().chain(&part[..cut]));
            ends.stream.socket.is_closed = true;
            assert_eq!(ends.reads().expect("plaintext"), b"whole", "{cut}");
            assert_eq!(ends.reads().expect("the end"), b"", "{cut}");
        }
        // All of it, closed properly or not.
        ends.stream.socket.to_stream.extend(whole.iter().chain(&part));
        ends.server.send_close_notify();
        let flight = ends.flight();
        ends.stream.socket.to_stream.extend(flight);
        assert_eq!(ends.reads().expect("plaintext"), b"wholenever seen");
        assert_eq!(ends.reads().expect("the end"), b"");
    }
}

#[test]
fn garbage_behind_records_is_an_error_and_no_data() {
    for version in VERSIONS {
        for garbage in
            [&b"+OK\r\n+OK\r\n"[..], &[0; 64], &[23, 3, 3, 0, 32], &[22, 3, 3, 255, 255], &[23; 40_000]]
        {
            let mut ends = Ends::connected(version);
            let record = ends.says(b"sound");
            ends.stream.socket.to_stream.extend(record.iter().chain(garbage).chain(&[9; 64]));
            let plain = ends.reads().expect("plaintext");
            assert_eq!(plain, b"sound");
            let error = ends.reads().expect_err("no record");
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{}", error);
            assert!(
                ends.stream.write_slices(&[IoSlice::new(b"x")]).is_err() && ends.reads().is_err(),
                "it stays so"
            );
            // Behind the end that the server has told, nothing is looked at.
            let mut ends = Ends::connected(version);
            let record = ends.says(b"sound");
            ends.server.send_close_notify();
            let end = ends.flight();
            ends.stream.socket.to_stream.extend(record.iter().chain(&end).chain(garbage));
            assert_eq!(ends.reads().expect("plaintext"), b"sound");
            assert_eq!(ends.reads().expect("the end"), b"");
        }
    }
}

#[test]
fn a_server_that_speaks_no_tls_is_told_so_at_its_first_bytes() {
    for answer in [&b"-ERR unknown command\r\n"[..], b"HTTP/1.1 400 Bad Request\r\n\r\n", &[0; 50]] {
        for at_once in [true, false] {
            let mut ends = Ends::new(&rustls::version::TLS13);
            ends.stream.socket.read_max = if at_once { usize::MAX } else { 1 };
            ends.stream.socket.to_stream.extend(answer);
            let error = ends.stream.shake_hands().expect_err("no handshake");
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert!(ends.stream.shake_hands().is_err(), "it stays so");
        }
    }
    // A certificate that another authority has signed.
    let (mut ends, other) = (Ends::new(&rustls::version::TLS13), Ends::new(&rustls::version::TLS13));
    ends.server = other.server;
    ends.server_receives();
    let flight = ends.flight();
    ends.stream.socket.to_stream.extend(flight);
    let error = ends.stream.shake_hands().expect_err("no handshake");
    assert!(error.to_string().contains("invalid peer certificate"), "{error}");
    assert!(ends.stream.is_handshaking());
    assert!(ends.stream.write_slices(&[IoSlice::new(b"secret")]).is_err());
}
