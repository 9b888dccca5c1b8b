//! Requests as a socket would bring them: RESP frames, parsed by the parser.

use redloop::base::ids::ClientId;
use redloop::base::quoting;
use redloop::engine::{Engine, ExecStatus};
use redloop::resp::parser::{self, ParseLimits, Parsed, Progress};
use redloop::resp::{Args, Reply, Span};

const LIMITS: ParseLimits = ParseLimits { max_bulk: 512 << 20, authenticated: true };

/// One request, its frame and where its words lie.
#[derive(Clone)]
pub struct Request {
    frame: Vec<u8>,
    spans: Vec<Span>,
}

impl Request {
    /// Encodes `words`.
    pub fn from_words<T: AsRef<[u8]>>(words: &[T]) -> Request {
        let mut frame = format!("*{}\r\n", words.len()).into_bytes();
        for word in words.iter().map(AsRef::as_ref) {
            frame.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            frame.extend_from_slice(word);
            frame.extend_from_slice(b"\r\n");
        }
        let (request, rest) = Request::parse(&frame);
        assert!(rest.is_empty());
        request
    }

    /// The first request of a stream, which is whole, and what follows it.
    pub fn parse(stream: &[u8]) -> (Request, &[u8]) {
        let (mut progress, mut spans) = (Progress::default(), Vec::new());
        match parser::parse(stream, &mut progress, &mut spans, LIMITS) {
            Ok(Parsed::Frame { end }) => (Request { frame: stream[..end].to_vec(), spans }, &stream[end..]),
            other => panic!("no frame but {:?}: {}", other.is_ok(), quoting::printable(stream)),
        }
    }

    /// Executes it as one of `client`; the status and the reply's bytes.
    pub fn run(&self, engine: &mut Engine, client: ClientId) -> (ExecStatus, Vec<u8>) {
        let resp3 = engine.clients.sessions.live(client).resp3;
        let mut reply = Reply::new(Vec::new(), resp3);
        let status = engine.execute_one(client, Args::new(&self.frame, &self.spans), &mut reply);
        (status, reply.into_bytes())
    }

    /// The words as text.
    pub fn show(&self) -> String {
        let args = Args::new(&self.frame, &self.spans);
        let quoted = args.iter().map(|word| String::from_utf8_lossy(&quoting::quoted(word)).into_owned());
        let plain = quoted.map(|text| {
            let inner = &text[1..text.len() - 1];
            let is_plain = !inner.is_empty() && !inner.contains([' ', '\\', '"']);
            if is_plain { inner.to_string() } else { text }
        });
        plain.collect::<Vec<_>>().join(" ")
    }
}
