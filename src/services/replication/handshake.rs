//! The replica's handshake with its primary, without I/O: one request at a time, then the primary's choice between a full and a
//! partial synchronization.
//!
//! ```text
//! PING                                        +PONG, or an error that only a missing password explains
//! AUTH [user] password                        +OK                     only with a password
//! REPLCONF listening-port 6379                +OK, or an error, which is noted
//! REPLCONF ip-address 10.0.0.1                the same                only with `replica-announce-ip`
//! REPLCONF capa eof capa psync2 capa redloop  the same
//! REPLCONF version 9.1.0                      the same
//! REPLCONF SET-CLUSTER-NODE-ID id              the same                only of a node of a cluster
//! PSYNC replid offset [FAILOVER]              +CONTINUE [replid] · +FULLRESYNC replid offset · an error
//! SYNC                                        nothing: the payload follows     only to a primary without PSYNC
//! ```
//!
//! Each request waits for the reply to the one before, so that a primary that closes the connection has said why. While the
//! primary prepares its reply to PSYNC it may send empty lines.

use crate::base::ids::REPLID_LEN;
use crate::resp::encode_request;

/// Bytes of the longest reply that is taken from a primary.
const MAX_LINE: usize = 1024;

/// Where a replica wants the stream to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResumePoint {
    /// The history that the replica's data is of.
    pub replid: String,
    /// Offset of the first byte that the replica doesn't have, counted from 1 as in PSYNC.
    pub offset: u64,
}

/// The capability by which this server's primaries know its replicas; others ignore it.
pub const OWN: &[u8] = b"redloop";
/// The version that the primary is told: of the newest Valkey whose snapshots are read. Only Valkey's primaries go by it. They don't give
/// hashes whose fields have deadlines to what is older than 9.0, and have no snapshot then.
pub const VERSION: &str = "9.1.0";

/// What the replica says about itself.
#[derive(Clone, Debug, Default)]
pub struct Introduction {
    /// `masteruser`.
    pub user: Option<Vec<u8>>,
    /// `masterauth`.
    pub password: Option<Vec<u8>>,
    /// The port that clients of this server are told of.
    pub listening_port: u16,
    /// `replica-announce-ip`.
    pub announce_ip: Option<String>,
    /// What it is called in the cluster.
    pub cluster_node: Option<String>,
    /// None: the replica has nothing to go on from, and asks for everything.
    pub resume: Option<ResumePoint>,
    /// The primary hands its role over to this server, and is told so.
    pub failover: bool,
}

/// What follows from the bytes that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// More bytes are needed.
    Wait,
    /// A reply that changes nothing, for the log.
    Note(String),
    /// The next request.
    Send(Vec<u8>),
    /// The stream goes on at the resume point; under another replication id if the primary says so. The bytes that follow are
    /// of the stream.
    Continue { replid: Option<String> },
    /// The payload follows, then the stream. It begins at `offset`.
    FullSync { replid: String, offset: u64 },
    /// The primary knows no PSYNC. SYNC is to be sent; then the payload follows.
    Sync(Vec<u8>),
    /// There is no synchronization this time: the connection is to be closed and the attempt repeated. The text is for the log.
    Retry(String),
}

/// The request whose reply is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    Ping,
    Auth,
    ListeningPort,
    IpAddress,
    Capa,
    Version,
    ClusterNode,
    Psync,
}

/// See the module's description.
#[derive(Debug)]
pub struct Handshake {
    introduction: Introduction,
    awaited: Request,
    /// What has come of a line.
    line: Vec<u8>,
    /// What follows the reply that was noted.
    next: Option<Vec<u8>>,
}

impl Handshake {
    /// A handshake, and the first request.
    pub fn begin(introduction: Introduction) -> (Handshake, Vec<u8>) {
        let handshake = Handshake { introduction, awaited: Request::Ping, line: Vec::new(), next: None };
        let ping = request(&[b"PING"]);
        (handshake, ping)
    }

    /// Where the stream is to go on, as asked for in PSYNC.
    pub fn resume(&self) -> Option<&ResumePoint> {
        self.introduction.resume.as_ref()
    }

    /// Whether PSYNC was sent.
    pub fn awaits_psync(&self) -> bool {
        self.awaited == Request::Psync
    }

    /// Takes bytes that the primary sent, a line at most: to be called until it says [`Step::Wait`] or how the handshake ends.
    pub fn receive(&mut self, input: &mut &[u8]) -> Step {
        if let Some(request) = self.next.take() {
            return Step::Send(request);
        }
        let end = memchr::memchr(b'\n', input);
        let (piece, rest) = input.split_at(end.map_or(input.len(), |end| end + 1));
        if self.line.len() + piece.len() > MAX_LINE {
            return Step::Retry("The primary's reply in the handshake is too long".into());
        }
        *input = rest;
        self.line.extend_from_slice(piece);
        if end.is_none() {
            return Step::Wait;
        }
        let line = std::mem::take(&mut self.line);
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        self.reply(line)
    }

    fn reply(&mut self, line: &[u8]) -> Step {
        let is_error = line.first() == Some(&b'-');
        let text = String::from_utf8_lossy(line);
        let awaited = self.awaited;
        match awaited {
            Request::Psync => return self.psync_reply(line),
            // An error that says that a password is missing: the next request may give it.
            Request::Ping
                if line.first() == Some(&b'+')
                    || line.starts_with(b"-NOAUTH")
                    || line.starts_with(b"-NOPERM")
                    || line.starts_with(b"-ERR operation not permitted") => {}
            Request::Ping => return Step::Retry(format!("Error reply to PING from master: '{text}'")),
            Request::Auth if is_error => return Step::Retry(format!("Unable to AUTH to MASTER: {text}")),
            _ => {}
        }
        let request = self.following(awaited);
        if awaited == Request::Ping {
            self.next = Some(request);
            return Step::Note("Master replied to PING, replication can continue...".into());
        }
        if is_error && awaited != Request::Auth {
            self.next = Some(request);
            return Step::Note(format!(
                "(Non critical) Master does not understand {}: {text}",
                awaited.name()
            ));
        }
        Step::Send(request)
    }

    /// The request behind this one, whose reply is awaited from now on.
    fn following(&mut self, answered: Request) -> Vec<u8> {
        let introduction = &self.introduction;
        self.awaited = match answered {
            Request::Ping if introduction.password.is_some() => Request::Auth,
            Request::Ping | Request::Auth => Request::ListeningPort,
            Request::ListeningPort if introduction.announce_ip.is_some() => Request::IpAddress,
            Request::ListeningPort | Request::IpAddress => Request::Capa,
            Request::Capa => Request::Version,
            Request::Version if introduction.cluster_node.is_some() => Request::ClusterNode,
            Request::Version | Request::ClusterNode | Request::Psync => Request::Psync,
        };
        let port = introduction.listening_port.to_string();
        let password = introduction.password.as_deref().unwrap_or_default();
        match self.awaited {
            Request::Ping => request(&[b"PING"]),
            Request::Auth => match &introduction.user {
                Some(user) => request(&[b"AUTH", user, password]),
                None => request(&[b"AUTH", password]),
            },
            Request::ListeningPort => request(&[b"REPLCONF", b"listening-port", port.as_bytes()]),
            Request::IpAddress => {
                let ip = introduction.announce_ip.as_deref().unwrap_or_default();
                request(&[b"REPLCONF", b"ip-address", ip.as_bytes()])
            }
            Request::Capa => request(&[b"REPLCONF", b"capa", b"eof", b"capa", b"psync2", b"capa", OWN]),
            Request::Version => request(&[b"REPLCONF", b"version", VERSION.as_bytes()]),
            Request::ClusterNode => {
                let id = introduction.cluster_node.as_deref().unwrap_or_default();
                request(&[b"REPLCONF", b"SET-CLUSTER-NODE-ID", id.as_bytes()])
            }
            Request::Psync => self.psync(),
        }
    }

    fn psync(&self) -> Vec<u8> {
        let offset;
        let (replid, offset) = match &self.introduction.resume {
            Some(resume) => {
                offset = resume.offset.to_string();
                (resume.replid.as_bytes(), offset.as_bytes())
            }
            None => (b"?".as_slice(), b"-1".as_slice()),
        };
        match self.introduction.failover {
            true => request(&[b"PSYNC", replid, offset, b"FAILOVER"]),
            false => request(&[b"PSYNC", replid, offset]),
        }
    }

    fn psync_reply(&mut self, line: &[u8]) -> Step {
        let text = String::from_utf8_lossy(line);
        if line.is_empty() {
            // The primary keeps the connection alive while it prepares what it will send.
            return Step::Wait;
        }
        let mut words = text.split(' ');
        match words.next().unwrap_or_default() {
            "+CONTINUE" => match (&self.introduction.resume, words.next().map(str::trim_end)) {
                (None, _) => Step::Retry(format!("Master continues what was not begun: {text}")),
                (Some(_), None | Some("")) => Step::Continue { replid: None },
                (Some(resume), Some(replid)) if is_replid(replid) => {
                    Step::Continue { replid: (replid != resume.replid).then(|| replid.into()) }
                }
                (Some(_), Some(_)) => {
                    Step::Retry(format!("Master replied with wrong +CONTINUE syntax: {text}"))
                }
            },
            "+FULLRESYNC" => {
                let replid = words.next().filter(|replid| is_replid(replid));
                let offset = words.next().and_then(|offset| offset.parse::<i64>().ok());
                match (replid, offset.and_then(|offset| u64::try_from(offset).ok())) {
                    (Some(replid), Some(offset)) => Step::FullSync { replid: replid.into(), offset },
                    _ => Step::Retry(format!("Master replied with wrong +FULLRESYNC syntax: {text}")),
                }
            }
            "-NOMASTERLINK" | "-LOADING" => Step::Retry(format!(
                "Master is currently unable to PSYNC but should be in the future: {text}"
            )),
            "-ERR" if text.to_ascii_lowercase().contains("unknown command") => {
                Step::Sync(request(&[b"SYNC"]))
            }
            "-ERR" => {
                Step::Retry(format!("Master does not support PSYNC or is in error state (reply: {text})"))
            }
            _ => Step::Retry(format!("Unexpected reply to PSYNC from master: {text}")),
        }
    }
}

impl Request {
    /// As the log names what the primary doesn't understand.
    fn name(self) -> &'static str {
        match self {
            Request::Ping => "PING",
            Request::Auth => "AUTH",
            Request::ListeningPort => "REPLCONF listening-port",
            Request::IpAddress => "REPLCONF ip-address",
            Request::Capa => "REPLCONF capa",
            Request::Version => "REPLCONF VERSION",
            Request::ClusterNode => "REPLCONF SET-CLUSTER-NODE-ID",
            Request::Psync => "PSYNC",
        }
    }
}

/// Whether a word has the form of a replication id.
pub fn is_replid(word: &str) -> bool {
    word.len() == REPLID_LEN && word.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn request(words: &[&[u8]]) -> Vec<u8> {
    let mut frame = Vec::new();
    encode_request(&mut frame, words.iter());
    frame
}
