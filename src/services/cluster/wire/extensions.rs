//! Extensions of PING, PONG and MEET: behind the gossip entries, each with a length of 8 bytes' multiple, a type and its data.
//!
//! ```text
//! 0 length, with this head and the padding | 4 type | 6 unused | 8 data
//! ```
//!
//! Redis 8.6 and Valkey 9.1 use type 4 for different things, the former for its secret of forty hexadecimal digits without an end,
//! the latter for an IPv4 address that ends with a NUL. They are told apart by their length here. Redis's node would take an address for the secret,
//! and Valkey's a secret for an address: [`Extensions::keep_for`] leaves out what the receiver gets wrong.

use super::super::message::Extensions;
use super::super::node::{flag, is_aux_text, is_hostname};
use super::super::{NODE_ID_LEN, NodeId};
use super::{Malformed, u16_at, u32_at, u64_at, until_nul};

const HEAD: usize = 8;
const FORGOTTEN_BYTES: usize = NODE_ID_LEN + 8;

/// Types, as in the messages.
mod kind {
    pub const HOSTNAME: u16 = 0;
    pub const HUMAN_NAME: u16 = 1;
    pub const FORGOTTEN: u16 = 2;
    pub const SHARD: u16 = 3;
    /// Redis's secret, or Valkey's IPv4 address.
    pub const SECRET_OR_IPV4: u16 = 4;
    pub const CLIENT_IPV6: u16 = 5;
    pub const CLIENT_PORT: u16 = 6;
    pub const CLIENT_TLS_PORT: u16 = 7;
    pub const AVAILABILITY_ZONE: u16 = 8;
}

impl Extensions {
    /// Leaves out what a node with these flags would misunderstand: of Valkey's kind, or of Redis's, or (no flags) not
    /// yet known.
    pub fn keep_for(&mut self, flags: Option<u16>) {
        if flags.is_some_and(|flags| flags & flag::BOTH_FAMILIES != 0) {
            return;
        }
        let is_valkey = flags.is_some_and(|flags| flags & flag::LIGHT_PUBLISH != 0);
        if !is_valkey {
            self.announced.client_ipv4.clear();
        }
        if is_valkey || flags.is_none() {
            self.secret = None;
        }
    }
}

/// Reads so many extensions, which fill the bytes. Unknown ones, and such as don't hold what they should, are passed over.
pub fn decode(mut rest: &[u8], count: u16) -> Result<Extensions, Malformed> {
    let mut extensions = Extensions::default();
    for _ in 0..count {
        if rest.len() < HEAD {
            return Err(Malformed::Length);
        }
        let length = u32_at(rest, 0) as usize;
        if length < HEAD || !length.is_multiple_of(8) || length > rest.len() {
            return Err(Malformed::Length);
        }
        read(&mut extensions, u16_at(rest, 4), &rest[HEAD..length]);
        rest = &rest[length..];
    }
    if rest.is_empty() { Ok(extensions) } else { Err(Malformed::Length) }
}

fn read(extensions: &mut Extensions, kind: u16, data: &[u8]) {
    let announced = &mut extensions.announced;
    let text = |is_valid: fn(&str) -> bool| until_nul(data).filter(|text| is_valid(text)).unwrap_or_default();
    let port = || if data.len() >= 2 { u16_at(data, 0) } else { 0 };
    match kind {
        kind::HOSTNAME => announced.hostname = text(is_hostname),
        kind::HUMAN_NAME => announced.human_name = text(is_aux_text),
        kind::FORGOTTEN if data.len() >= FORGOTTEN_BYTES => {
            let id = NodeId::parse(&data[..NODE_ID_LEN]);
            extensions.forgotten.extend(id.map(|id| (id, u64_at(data, NODE_ID_LEN))));
        }
        kind::SHARD if data.len() >= NODE_ID_LEN => extensions.shard = NodeId::parse(&data[..NODE_ID_LEN]),
        kind::SECRET_OR_IPV4 if data.len() == NODE_ID_LEN => extensions.secret = NodeId::parse(data),
        kind::SECRET_OR_IPV4 => {
            announced.client_ipv4 = text(|text| text.parse::<std::net::Ipv4Addr>().is_ok())
        }
        kind::CLIENT_IPV6 => announced.client_ipv6 = text(|text| text.parse::<std::net::Ipv6Addr>().is_ok()),
        kind::CLIENT_PORT => announced.client_port = port(),
        kind::CLIENT_TLS_PORT => announced.client_tls_port = port(),
        kind::AVAILABILITY_ZONE => announced.availability_zone = text(is_aux_text),
        _ => {}
    }
}

/// Writes all extensions; how many they are.
pub fn encode(extensions: &Extensions, out: &mut Vec<u8>) -> u16 {
    let mut count = 0;
    let mut put = |kind: u16, data: &[u8]| {
        let length = HEAD + data.len().next_multiple_of(8);
        let end = out.len() + length;
        out.extend_from_slice(&(length as u32).to_be_bytes());
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(data);
        out.resize(end, 0);
        count += 1;
    };
    let announced = &extensions.announced;
    for (kind, text) in [
        (kind::HOSTNAME, &announced.hostname),
        (kind::HUMAN_NAME, &announced.human_name),
        (kind::SECRET_OR_IPV4, &announced.client_ipv4),
        (kind::CLIENT_IPV6, &announced.client_ipv6),
        (kind::AVAILABILITY_ZONE, &announced.availability_zone),
    ] {
        if !text.is_empty() {
            put(kind, &[text.as_bytes(), b"\0"].concat());
        }
    }
    for (kind, port) in
        [(kind::CLIENT_PORT, announced.client_port), (kind::CLIENT_TLS_PORT, announced.client_tls_port)]
    {
        if port != 0 {
            put(kind, &port.to_be_bytes());
        }
    }
    for (id, seconds) in extensions.forgotten.iter().take(super::super::topology::MAX_NODES) {
        put(kind::FORGOTTEN, &[id.as_bytes(), &seconds.to_be_bytes()].concat());
    }
    if let Some(shard) = &extensions.shard {
        put(kind::SHARD, shard.as_bytes());
    }
    if let Some(secret) = &extensions.secret {
        put(kind::SECRET_OR_IPV4, secret.as_bytes());
    }
    count
}
