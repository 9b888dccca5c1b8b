//! HTTP/1.1, as much of it as a page and a scraper need: requests without a body in, responses out.
//!
//! What arrives is collected until a request's head is whole; the parser is `httparse`. A request with a body, with a method
//! other than GET and HEAD, or with a head that is too long gets its error, and ends the connection.

use std::fmt::Write;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// Bytes of a request's head, and headers in it.
const MAX_HEAD: usize = 8 * 1024;
const MAX_HEADERS: usize = 64;

/// A request for a page.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Request {
    /// Without its query.
    pub path: String,
    /// What is behind the question mark.
    pub query: String,
    /// The value of Host.
    pub host: Option<String>,
    /// HEAD: the response has no body.
    pub head_only: bool,
    /// The connection stays.
    pub keep_alive: bool,
    /// Name and password of basic authentication.
    pub user: Option<(String, String)>,
    /// The value of Accept.
    pub accept: String,
}

/// A status with which a connection ends: there is no request to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused(pub u16);

/// What has arrived of a connection's requests.
#[derive(Debug, Default)]
pub struct RequestReader {
    input: Vec<u8>,
}

impl RequestReader {
    /// Adds bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// The next request, if it is whole.
    pub fn next_request(&mut self) -> Result<Option<Request>, Refused> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut parsed = httparse::Request::new(&mut headers);
        let end = match parsed.parse(&self.input) {
            Ok(httparse::Status::Complete(end)) if end <= MAX_HEAD => end,
            Ok(httparse::Status::Partial) if self.input.len() <= MAX_HEAD => return Ok(None),
            Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(Refused(431)),
            Err(_) => return Err(Refused(400)),
        };
        let request = read(&parsed)?;
        self.input.drain(..end);
        self.input.shrink_to(MAX_HEAD);
        Ok(Some(request))
    }
}

impl Request {
    /// A parameter of the query, percent signs decoded.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(word, _)| *word == name).map(|(_, value)| decoded(value)).next()
    }

    /// A parameter that is a number.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.parameter(name)?.parse().ok()
    }

    /// Whether the host that the client believes to talk to is an address or `localhost`. Any other name could have been given this
    /// machine's address by a page that the user's browser has open (DNS rebinding).
    pub fn is_for_an_address(&self) -> bool {
        let Some(host) = &self.host else { return true };
        let name = match host.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name),
        };
        name.eq_ignore_ascii_case("localhost") || name.parse::<std::net::IpAddr>().is_ok()
    }
}

/// Percent signs and plus signs of a query decoded (application/x-www-form-urlencoded).
fn decoded(value: &str) -> String {
    let hex = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    let (bytes, mut text, mut at) = (value.as_bytes(), Vec::new(), 0);
    while let Some(byte) = bytes.get(at).copied() {
        let pair = bytes.get(at + 1).zip(bytes.get(at + 2)).and_then(|(a, b)| Some(hex(*a)? << 4 | hex(*b)?));
        match (byte, pair) {
            (b'%', Some(decoded)) => {
                text.push(decoded);
                at += 2;
            }
            (b'+', _) => text.push(b' '),
            _ => text.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn read(parsed: &httparse::Request<'_, '_>) -> Result<Request, Refused> {
    let head_only = match parsed.method {
        Some("GET") => false,
        Some("HEAD") => true,
        _ => return Err(Refused(405)),
    };
    let target = parsed.path.unwrap_or_default();
    let mut request = Request {
        path: target.split('?').next().unwrap_or_default().to_string(),
        query: target.split_once('?').map_or("", |(_, query)| query).to_string(),
        head_only,
        keep_alive: parsed.version == Some(1),
        ..Request::default()
    };
    for header in parsed.headers.iter() {
        let value = String::from_utf8_lossy(header.value);
        match () {
            () if header.name.eq_ignore_ascii_case("connection") => {
                let says = |word: &str| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(word));
                request.keep_alive = !says("close") && (request.keep_alive || says("keep-alive"));
            }
            () if header.name.eq_ignore_ascii_case("host") => request.host = Some(value.into_owned()),
            () if header.name.eq_ignore_ascii_case("accept") => request.accept = value.into_owned(),
            () if header.name.eq_ignore_ascii_case("authorization") => request.user = basic_user(&value),
            () if header.name.eq_ignore_ascii_case("transfer-encoding") => return Err(Refused(413)),
            () if header.name.eq_ignore_ascii_case("content-length") && value.trim() != "0" => {
                return Err(Refused(413));
            }
            () => {}
        }
    }
    Ok(request)
}

/// Name and password of `Basic …` (RFC 7617).
fn basic_user(value: &str) -> Option<(String, String)> {
    let (scheme, credentials) = value.trim().split_once(' ')?;
    let decoded =
        BASE64_STANDARD.decode(credentials.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let text = String::from_utf8(decoded).ok()?;
    let (name, password) = text.split_once(':')?;
    Some((name.to_string(), password.to_string()))
}

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub content_type: &'static str,
    pub body: Vec<u8>,
    /// Further headers, each a whole line without its end.
    pub headers: &'static [&'static str],
}

impl Response {
    /// A short text.
    pub fn text(status: u16, body: &str) -> Response {
        let body = format!("{body}\n").into_bytes();
        Response { status, content_type: "text/plain; charset=utf-8", body, headers: &[] }
    }

    /// The response to what isn't a request.
    pub fn refusal(Refused(status): Refused) -> Response {
        Response::text(status, reason(status))
    }

    /// Its bytes.
    pub fn to_bytes(&self, head_only: bool, keep_alive: bool) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        // Writing to a String does not fail.
        let _ =
            write!(head, "Content-Type: {}\r\nContent-Length: {}\r\n", self.content_type, self.body.len());
        head.push_str("Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n");
        for header in self.headers {
            head.push_str(header);
            head.push_str("\r\n");
        }
        head.push_str(if keep_alive {
            "Connection: keep-alive\r\n\r\n"
        } else {
            "Connection: close\r\n\r\n"
        });
        let mut bytes = head.into_bytes();
        if !head_only {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Content Too Large",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(text: &str, step: usize) -> Vec<Result<Request, Refused>> {
        let (mut reader, mut found) = (RequestReader::default(), Vec::new());
        for part in text.as_bytes().chunks(step) {
            reader.push(part);
            loop {
                match reader.next_request() {
                    Ok(Some(request)) => found.push(Ok(request)),
                    Ok(None) => break,
                    Err(refused) => {
                        found.push(Err(refused));
                        return found;
                    }
                }
            }
        }
        found
    }

    #[test]
    fn requests_cut_anywhere() {
        let text = "GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\nAccept: text/plain\r\n\r\n\
            HEAD / HTTP/1.0\r\nAuthorization: Basic YWxpY2U6czpl\r\n\r\n\
            GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n";
        for step in 1..text.len() {
            let found: Vec<_> =
                requests(text, step).into_iter().map(|request| request.expect("a request")).collect();
            let paths: Vec<_> = found.iter().map(|request| request.path.as_str()).collect();
            assert_eq!(paths, ["/metrics", "/", "/healthz"]);
            assert_eq!(found[0].accept, "text/plain");
            assert_eq!(found[1].user, Some(("alice".into(), "s:e".into())));
            let kept: Vec<_> = found.iter().map(|request| (request.keep_alive, request.head_only)).collect();
            assert_eq!(kept, [(true, false), (false, true), (false, false)]);
        }
    }

    #[test]
    fn what_is_refused() {
        let many: String = (0..100).map(|number| format!("A{number}: b\r\n")).collect();
        let long = "x".repeat(9000);
        for (text, status) in [
            ("PING\r\n\r\n".to_string(), 400),
            ("*1\r\n$4\r\nPING\r\n".to_string(), 400),
            ("POST / HTTP/1.1\r\n\r\n".to_string(), 405),
            ("GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello".to_string(), 413),
            ("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".to_string(), 413),
            (format!("GET / HTTP/1.1\r\n{many}\r\n"), 431),
            (format!("GET /{long} HTTP/1.1\r\n\r\n"), 431),
            (format!("GET /{long}"), 431),
        ] {
            assert_eq!(
                requests(&text, 100).last(),
                Some(&Err(Refused(status))),
                "{}",
                &text[..text.len().min(60)]
            );
        }
    }

    #[test]
    fn queries_and_hosts() {
        let request = Request { query: "a=1&b=x%20%3Cy+z%zz&c=".into(), ..Request::default() };
        assert_eq!(request.number("a"), Some(1));
        assert_eq!(request.parameter("b").as_deref(), Some("x <y z%zz"));
        assert_eq!((request.parameter("c").as_deref(), request.parameter("d")), (Some(""), None));
        for (host, is_address) in [
            ("127.0.0.1:9121", true),
            ("127.0.0.1", true),
            ("[::1]:9121", true),
            ("LocalHost:1", true),
            ("evil.example:9121", false),
            ("127.0.0.1.evil.example", false),
            ("", false),
        ] {
            let request = Request { host: Some(host.into()), ..Request::default() };
            assert_eq!(request.is_for_an_address(), is_address, "{host}");
        }
        assert!(Request::default().is_for_an_address());
    }

    #[test]
    fn responses() {
        let response = Response::text(200, "ok");
        let whole = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 3\r\n\
            Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: keep-alive\r\n\r\nok\n";
        assert_eq!(String::from_utf8_lossy(&response.to_bytes(false, true)), whole);
        let head = String::from_utf8(response.to_bytes(true, false)).expect("text");
        assert!(head.ends_with("Connection: close\r\n\r\n") && head.contains("Content-Length: 3\r\n"));
    }
}
