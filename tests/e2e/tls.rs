//! TLS: what a client sees of the port, the certificates and their renewal.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion, version};

use crate::harness::{Directory, PATIENCE, Server, eventually, info_field, request};
use crate::ports::free_port;

/// An authority, and the certificates that it signs.
struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
#[derive(Clone)]
struct Pair {
    certificate: String,
    key: String,
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new([]).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Authority(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    fn sign(&self, change: impl FnOnce(&mut CertificateParams)) -> Pair {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(["localhost".to_string()]).expect("parameters");
        change(&mut params);
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        Pair { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    fn named(&self, name: &str) -> Pair {
        self.sign(|params| params.distinguished_name.push(DnType::CommonName, name))
    }
}

/// A server with a port for TLS beside its plain one.
struct TlsServer {
    server: Server,
    directory: Directory,
    authority: Authority,
    port: u16,
}

impl TlsServer {
    fn start(name: &str, options: &[&str]) -> TlsServer {
        let (directory, authority) = (Directory::new(name), Authority::new());
        let pair = authority.sign(|_| {});
        let port = free_port();
        let files = [
            directory.file("server.crt", &pair.certificate),
            directory.file("server.key", &pair.key),
            directory.file("ca.crt", &authority.0.pem()),
            port.to_string(),
        ];
        let names = ["--tls-cert-file", "--tls-key-file", "--tls-ca-cert-file", "--tls-port"];
        let mut all: Vec<&str> = names.iter().zip(&files).flat_map(|(name, file)| [*name, file]).collect();
        all.extend(options);
        let server = Server::start_until("Ready to accept connections tls", &all);
        TlsServer { server, directory, authority, port }
    }

    fn client(&self) -> TlsClient {
        TlsClient::new(self.port, &self.authority, None, &version::TLS13)
    }

    fn client_with(&self, pair: &Pair) -> TlsClient {
        TlsClient::new(self.port, &self.authority, Some(pair), &version::TLS13)
    }
}

struct TlsClient {
    stream: BufReader<StreamOwned<ClientConnection, TcpStream>>,
}

impl TlsClient {
    fn new(
        port: u16,
        authority: &Authority,
        pair: Option<&Pair>,
        version: &'static SupportedProtocolVersion,
    ) -> TlsClient {
        let mut roots = RootCertStore::empty();
        roots.add(authority.0.der().clone()).expect("a certificate");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .expect("a version")
            .with_root_certificates(roots);
        let config = match pair {
            None => config.with_no_client_auth(),
            Some(pair) => {
                let certificate = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).expect("PEM");
                let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("PEM");
                config.with_client_auth_cert(vec![certificate], key).expect("a pair")
            }
        };
        let session = ClientConnection::new(Arc::new(config), "localhost".try_into().expect("a name"));
        let socket = TcpStream::connect(("127.0.0.1", port)).expect("connected");
        socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        socket.set_nodelay(true).expect("no delay");
        TlsClient { stream: BufReader::new(StreamOwned::new(session.expect("a session"), socket)) }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).expect("sent");
    }

    fn ask(&mut self, line: &str) -> String {
        self.try_ask(line).expect("a reply")
    }

    /// The reply, or why there is none.
    fn try_ask(&mut self, line: &str) -> std::io::Result<String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        self.stream.get_mut().write_all(&request(&words))?;
        self.try_read()
    }

    /// Reads one reply: a line, or the bytes of a string, or elements.
    fn try_read(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end().to_string();
        let count = line[1..].parse::<usize>();
        match (&line[..1], count) {
            ("$", Ok(length)) => {
                let mut bytes = vec![0; length + 2];
                self.stream.read_exact(&mut bytes)?;
                bytes.truncate(length);
                Ok(String::from_utf8_lossy(&bytes).into_owned())
            }
            ("*", Ok(count)) => {
                let elements = (0..count).map(|_| self.try_read()).collect::<Result<Vec<_>, _>>()?;
                Ok(elements.join(" "))
            }
            _ => Ok(line),
        }
    }

    /// The serial number of the server's certificate.
    fn certificate(&mut self) -> Vec<u8> {
        assert_eq!(self.ask("PING"), "+PONG");
        let session = &self.stream.get_ref().conn;
        session.peer_certificates().and_then(|chain| chain.first()).expect("a certificate").to_vec()
    }
}

const OPEN: &[&str] = &["--tls-auth-clients", "no"];

#[test]
fn requests_of_all_sizes() {
    let server = TlsServer::start("tls-sizes", OPEN);
    for version in [&version::TLS12, &version::TLS13] {
        let mut client = TlsClient::new(server.port, &server.authority, None, version);
        assert_eq!(client.ask("SET key value"), "+OK");
        assert_eq!(client.ask("GET key"), "value");
        for length in [1000, 16_384, 40_000, 8 << 20] {
            let value: String = (0..length).map(|at| char::from(b'a' + (at / 13 % 26) as u8)).collect();
            client.send(&request(&["SET", "big", &value]));
            assert_eq!(client.try_read().expect("a reply"), "+OK");
            assert!(client.ask("GET big") == value, "{length}");
        }
        let pipeline: Vec<u8> = (0..1000).flat_map(|_| request(&["INCR", "counter"])).collect();
        client.send(&pipeline);
        let replies: Vec<String> = (0..1000).map(|_| client.try_read().expect("a reply")).collect();
        assert!(replies.iter().enumerate().all(|(at, reply)| *reply == format!(":{}", at + 1)));
        assert_eq!(client.ask("DEL counter"), ":1");
        // A reply that is much longer than what the socket takes, of which the client reads nothing for a while.
        client.send(&(0..20).flat_map(|_| request(&["GET", "big"])).collect::<Vec<u8>>());
        let mut plain = server.server.client();
        eventually("replies wait", || plain.ask("CLIENT LIST").contains("cmd=get"));
        assert!((0..20).all(|_| client.try_read().is_ok_and(|value| value.len() == 8 << 20)));
        assert_eq!(plain.ask("GET key"), "$value", "plain and TLS at once");
    }
}

#[test]
fn waiting_and_messages() {
    let server = TlsServer::start("tls-waiting", OPEN);
    let (mut waiting, mut subscriber) = (server.client(), server.client());
    waiting.send(&request(&["BLPOP", "list", "0"]));
    assert_eq!(subscriber.ask("SUBSCRIBE news"), "subscribe news :1");
    let mut other = server.server.client();
    eventually("a client waits", || info_field(&mut other, "blocked_clients") == "1");
    assert_eq!(other.ask("RPUSH list element"), ":1");
    assert_eq!(waiting.try_read().expect("a reply"), "list element");
    assert_eq!(other.ask("PUBLISH news headline"), ":1");
    assert_eq!(subscriber.try_read().expect("a message"), "message news headline");
    // The end is told with an alert: rustls calls an end without one an error.
    assert_eq!(waiting.ask("QUIT"), "+OK");
    let mut rest = Vec::new();
    assert_eq!(waiting.stream.read_to_end(&mut rest).expect("a clean end"), 0);
}

#[test]
fn broken_handshakes_hurt_nobody_else() {
    let server = TlsServer::start("tls-broken", &["--tls-auth-clients", "no", "--timeout", "1"]);
    let mut client = server.client();
    let connect = || {
        let stream = TcpStream::connect(("127.0.0.1", server.port)).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream
    };
    let mut answer_to = |sent: &[u8]| {
        let mut stream = connect();
        stream.write_all(sent).expect("sent");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert_eq!(client.ask("PING"), "+PONG");
        answer
    };
    // What is no TLS gets no alert, which its sender would take for a reply.
    for sent in [&b"*1\r\n$4\r\nPING\r\n"[..], b"GET / HTTP/1.0\r\n\r\n", &[0xff; 3000]] {
        assert_eq!(answer_to(sent), b"");
    }
    assert_eq!(
        answer_to(&[22, 3, 1, 0, 5, 99, 0, 0, 1, 0]).first(),
        Some(&21),
        "a broken handshake gets its alert"
    );
    server.server.wait_for_log(&["Error accepting a client connection: received corrupt message"]);
    // The begin of a ClientHello, and then nothing.
    let (mut stream, started) = (connect(), Instant::now());
    stream.write_all(&[22, 3, 1, 1, 0, 1, 0]).expect("sent");
    assert_eq!(stream.read(&mut [0]).expect("an end"), 0);
    assert!(started.elapsed() < Duration::from_secs(9));
    server.server.wait_for_log(&["the TLS handshake has taken too long"]);
    drop(connect());
    server.server.wait_for_log(&["the peer has closed the connection"]);
    let mut client = server.client();
    assert_eq!(info_field(&mut server.server.client(), "connected_clients"), "2");
    assert_eq!(client.ask("PING"), "+PONG");
}

#[test]
fn certificates_of_clients() {
    let server = TlsServer::start("tls-clients", &[]);
    let mut plain = server.server.client();
    let good = server.authority.named("app");
    let refused = |pair: Option<&Pair>| {
        [&version::TLS12, &version::TLS13].iter().all(|version| {
            TlsClient::new(server.port, &server.authority, pair, version).try_ask("PING").is_err()
        })
    };
    let stranger = Authority::new().named("app");
    let ended = server.authority.sign(|params| params.not_after = rcgen::date_time_ymd(2001, 1, 1));
    assert_eq!(server.client_with(&good).ask("PING"), "+PONG");
    assert!(refused(None) && refused(Some(&stranger)) && refused(Some(&ended)));
    assert_eq!(plain.ask("CONFIG SET tls-auth-clients optional"), "+OK");
    assert_eq!(server.client().ask("PING"), "+PONG");
    assert_eq!(server.client_with(&good).ask("PING"), "+PONG");
    assert!(refused(Some(&stranger)) && refused(Some(&ended)));
    assert_eq!(plain.ask("CONFIG SET tls-auth-clients no"), "+OK");
    assert_eq!(server.client_with(&stranger).ask("PING"), "+PONG");
    // Another authority, in the directory.
    let directory = server.directory.0.join("authorities");
    std::fs::create_dir_all(&directory).expect("a directory");
    let other = Authority::new();
    std::fs::write(directory.join("other.pem"), other.0.pem()).expect("written");
    std::fs::write(directory.join("README"), "no certificate").expect("written");
    let set = format!("CONFIG SET tls-auth-clients yes tls-ca-cert-dir {}", directory.display());
    assert_eq!(plain.ask(&set), "+OK");
    assert_eq!(server.client_with(&other.named("app")).ask("PING"), "+PONG");
    assert_eq!(server.client_with(&good).ask("PING"), "+PONG");
    assert!(refused(Some(&stranger)));
}

#[test]
fn users_by_certificate() {
    let server =
        TlsServer::start("tls-users", &["--tls-auth-clients", "optional", "--tls-auth-clients-user", "CN"]);
    let mut plain = server.server.client();
    for user in ["app", "urn:first", "urn:second"] {
        assert_eq!(plain.ask(&format!("ACL SETUSER {user} on +@all ~*")), "+OK");
    }
    assert_eq!(server.client_with(&server.authority.named("app")).ask("ACL WHOAMI"), "app");
    assert_eq!(server.client().ask("ACL WHOAMI"), "default");
    assert_eq!(server.client_with(&server.authority.named("app\0x")).ask("ACL WHOAMI"), "default");
    assert_eq!(info_field(&mut plain, "acl_access_denied_tls_cert"), "1");
    assert!(plain.ask("ACL LOG").contains("$tls-cert"));
    let uri = |text: &str| SanType::URI(text.try_into().expect("ASCII"));
    let both = server
        .authority
        .sign(|params| params.subject_alt_names.extend([uri("urn:first"), uri("urn:second")]));
    assert_eq!(plain.ask("CONFIG SET tls-auth-clients-user URI"), "+OK");
    assert_eq!(server.client_with(&both).ask("ACL WHOAMI"), "urn:first");
    assert_eq!(plain.ask("ACL SETUSER urn:first off"), "+OK");
    assert_eq!(server.client_with(&both).ask("ACL WHOAMI"), "urn:second");
    assert_eq!(plain.ask("ACL SETUSER urn:second off"), "+OK");
    assert_eq!(server.client_with(&both).ask("ACL WHOAMI"), "default");
    // Where `default` needs a password, a certificate is one.
    assert_eq!(plain.ask("CONFIG SET tls-auth-clients-user CN requirepass secret"), "+OK");
    assert_eq!(server.client_with(&server.authority.named("app")).ask("PING"), "+PONG");
    assert!(server.client().ask("PING").starts_with("-NOAUTH"));
}

#[test]
fn certificates_are_renewed() {
    let server = TlsServer::start("tls-renewal", &["--tls-auth-clients", "no"]);
    let mut plain = server.server.client();
    let first = server.client().certificate();
    let mut lasting = server.client();
    assert_eq!(lasting.certificate(), first);
    let renewed = server.authority.sign(|params| params.serial_number = Some(vec![0x4d].into()));
    let (certificate, key) = (
        server.directory.file("new.crt", &renewed.certificate),
        server.directory.file("new.key", &renewed.key),
    );
    // A certificate without its key: nothing changes.
    let text = "-ERR CONFIG SET failed (possibly related to argument 'tls-cert-file') - Unable to update TLS configuration. Check server logs.";
    assert_eq!(plain.ask(&format!("CONFIG SET tls-cert-file {certificate}")), text);
    server.server.wait_for_log(&["it is not the key of the certificate"]);
    assert!(!plain.ask("CONFIG GET tls-cert-file").contains("new.crt"));
    assert_eq!(server.client().certificate(), first);
    assert_eq!(plain.ask(&format!("CONFIG SET tls-cert-file {certificate} tls-key-file {key}")), "+OK");
    let second = server.client().certificate();
    assert!(second != first);
    assert_eq!(lasting.ask("PING"), "+PONG");
    assert_eq!(info_of_tls(&mut plain, "tls_server_cert_serial"), "4D");
    let (version, ciphers) = ("CONFIG SET tls-protocols TLSv1.1", "CONFIG SET tls-ciphers AES128-SHA");
    assert!(plain.ask(version).starts_with("-ERR") && plain.ask(ciphers).starts_with("-ERR"));
    // The same names with other contents.
    assert_eq!(plain.ask("CONFIG SET tls-auto-reload-interval 1"), "+OK");
    let third = server.authority.sign(|params| params.serial_number = Some(vec![0x4e].into()));
    server.directory.file("new.crt", &third.certificate);
    server.directory.file("new.key", &third.key);
    eventually("the new certificate", || info_of_tls(&mut plain, "tls_server_cert_serial") == "4E");
    assert!(![first, second].contains(&server.client().certificate()));
    assert_eq!(lasting.ask("PING"), "+PONG");
}

fn info_of_tls(client: &mut crate::harness::Client, name: &str) -> String {
    let text = client.ask("INFO tls");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.expect("the field").trim().to_string()
}

#[test]
fn the_port_goes_and_comes() {
    let server = TlsServer::start("tls-port", OPEN);
    let mut plain = server.server.client();
    assert_eq!(server.client().ask("PING"), "+PONG");
    assert_eq!(plain.ask("CONFIG SET tls-port 0"), "+OK");
    assert!(TcpStream::connect(("127.0.0.1", server.port)).is_err());
    assert_eq!(info_of_tls(&mut plain, "tls_server_cert_serial"), "none");
    assert_eq!(plain.ask(&format!("CONFIG SET tls-port {}", server.port)), "+OK");
    assert_eq!(server.client().ask("PING"), "+PONG");
    // Only TLS is left, and the client that asked for it.
    assert_eq!(plain.ask("CONFIG SET port 0"), "+OK");
    assert!(TcpStream::connect(("127.0.0.1", server.server.port)).is_err());
    assert_eq!(server.client().ask("CONFIG GET port"), "port 0");
}

#[test]
fn no_start_without_a_certificate() {
    let port = free_port().to_string();
    for (options, line) in [
        (&["--tls-port", &port][..], "No tls-cert-file configured!"),
        (&["--tls-port", &port, "--tls-cert-file", "/nonexistent/crt"], "No tls-key-file configured!"),
        (
            &[
                "--tls-port",
                &port,
                "--tls-auth-clients",
                "no",
                "--tls-cert-file",
                "/nonexistent/crt",
                "--tls-key-file",
                "x",
            ],
            "Failed to load certificate: /nonexistent/crt: No such file or directory",
        ),
    ] {
        let mut server = Server::start_until(line, options);
        server.wait_for_log(&["Failed to configure TLS. Check logs for more info."]);
        assert_eq!(server.wait().code(), Some(1));
    }
}

/// The options of a server that connects to others with TLS, by the certificates of an authority.
fn link_options(directory: &Directory, authority: &Authority, pair: &Pair) -> Vec<String> {
    let files = [
        ("--tls-cert-file", directory.file("link.crt", &pair.certificate)),
        ("--tls-key-file", directory.file("link.key", &pair.key)),
        ("--tls-ca-cert-file", directory.file("link-ca.crt", &authority.0.pem())),
    ];
    files.into_iter().flat_map(|(name, file)| [name.to_string(), file]).collect()
}

fn start_with(options: &[String], more: &[&str]) -> Server {
    let options: Vec<&str> = options.iter().map(String::as_str).chain(more.iter().copied()).collect();
    Server::start(&options)
}

#[test]
fn replicas_follow_over_tls() {
    let server = TlsServer::start("tls-primary", &["--repl-diskless-sync-delay", "0", "--port", "0"]);
    let mut client = server.client_with(&server.authority.named("app"));
    let value = "v".repeat(300_000);
    for key in 0..20 {
        client.send(&request(&["SET", &format!("key{key}"), &value]));
        assert_eq!(client.try_read().expect("a reply"), "+OK");
    }
    let directory = Directory::new("tls-replica");
    let files = link_options(&directory, &server.authority, &server.authority.sign(|_| {}));
    let of_primary = ["--replicaof", &format!("127.0.0.1 {}", server.port), "--repl-timeout", "5"];
    let dir = directory.0.to_string_lossy().into_owned();
    let replica =
        start_with(&files, &[&of_primary[..], &["--dir", &dir, "--tls-replication", "yes"]].concat());
    let mut reader = replica.client();
    let is_up = |reader: &mut crate::harness::Client| info_field(reader, "master_link_status") == "up";
    eventually("the replica is up", || is_up(&mut reader));
    assert_eq!(reader.ask("DBSIZE"), ":20");
    assert_eq!(reader.ask("STRLEN key19"), ":300000");
    for key in 0..20 {
        client.send(&request(&["APPEND", &format!("key{key}"), &value]));
        assert_eq!(client.try_read().expect("a reply"), ":600000");
    }
    assert_eq!(client.ask("WAIT 1 5000"), ":1");
    assert_eq!(reader.ask("STRLEN key19"), ":600000");
    // A certificate of another authority for links: the primary refuses it. The former one: it goes on where it was.
    let stranger = Authority::new().named("replica");
    let (certificate, key) = (
        directory.file("stranger.crt", &stranger.certificate),
        directory.file("stranger.key", &stranger.key),
    );
    let set = format!("CONFIG SET tls-client-cert-file {certificate} tls-client-key-file {key}");
    assert_eq!(reader.ask(&set), "+OK");
    assert!(info_of_tls(&mut reader, "tls_client_cert_serial") != "none");
    assert!(client.ask("CLIENT KILL TYPE replica").starts_with(':'));
    server.server.wait_for_log(&["Error accepting a client connection: invalid peer certificate"]);
    assert!(!is_up(&mut reader));
    assert_eq!(reader.ask_words(&["CONFIG", "SET", "tls-client-cert-file", ""]), "+OK");
    eventually("the replica is up again", || is_up(&mut reader));
    // A primary whose certificate another authority has signed is refused by the replica.
    let other = Authority::new();
    let ca = directory.file("other-ca.crt", &other.0.pem());
    assert_eq!(reader.ask(&format!("CONFIG SET tls-ca-cert-file {ca}")), "+OK");
    assert!(client.ask("CLIENT KILL TYPE replica").starts_with(':'));
    replica.wait_for_log(&["invalid peer certificate"]);
    assert!(!is_up(&mut reader));
}

#[test]
fn links_without_tls_or_authorities_are_refused() {
    let server = TlsServer::start("tls-links", &[]);
    let mut plain = server.server.client();
    let directory = Directory::new("tls-source");
    let files = link_options(&directory, &server.authority, &server.authority.sign(|_| {}));
    let source = start_with(&files, &[]);
    let mut client = source.client();
    assert_eq!(client.ask("SET key value"), "+OK");
    let migrate = format!("MIGRATE 127.0.0.1 {} key 0 2000", server.port);
    assert!(client.ask(&migrate).starts_with("-IOERR"), "a plain link at a port for TLS");
    assert_eq!(client.ask("CONFIG SET tls-cluster yes"), "+OK");
    assert_eq!(client.ask(&migrate), "+OK");
    assert_eq!(plain.ask("GET key"), "$value");
    let refused = "-ERR CONFIG SET failed (possibly related to argument 'tls-ca-cert-file') - Unable to update TLS configuration. Check server logs.";
    assert_eq!(client.ask_words(&["CONFIG", "SET", "tls-ca-cert-file", ""]), refused);
    let bare = Server::start(&[]);
    assert!(bare.client().ask("CONFIG SET tls-replication yes").starts_with("-ERR CONFIG SET failed"));
    bare.wait_for_log(&["No tls-cert-file configured!"]);
}
