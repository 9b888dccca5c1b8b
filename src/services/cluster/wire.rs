//! Bus messages as bytes (`clusterMsg`, and Valkey's `clusterMsgLight`). All integers are big-endian.
//!
//! ```text
//!    0 "RCmb"        40 sender (40)          2214 number of extensions
//!    4 length        80 slots (2048)         2246 other port
//!    8 version: 1  2128 primary (40)         2248 bus port
//!   10 port        2168 IP, NUL-ended (46)   2250 flags
//!   12 type                                  2252 state: 0 in order, 1 not
//!   14 number of gossip entries              2253 message flags (3)
//!   16 current epoch                         2256 body
//!   24 configuration epoch
//!   32 replication offset
//! ```
//!
//! The light header ends at 16, and has neither port nor number. Its type has the bit [`LIGHT`].
//!
//! Redis and Valkey ignore a message that isn't sound, and keep the link; one whose first bytes aren't those of a message ends it.

mod extensions;
#[cfg(test)]
mod tests;

use super::ids::{NODE_ID_LEN, NodeId};
use super::message::{Body, Encoded, Extensions, Gossip, Header, Message, PingKind, message_flag};
use super::node::is_aux_text;
use crate::base::slot_set::{SLOT_SET_BYTES, SlotSet};

/// Bytes of both headers.
pub const HEADER_BYTES: usize = 2256;
pub const LIGHT_HEADER_BYTES: usize = 16;
const GOSSIP_BYTES: usize = 104;
const IP_BYTES: usize = 46;
const UPDATE_BYTES: usize = 8 + NODE_ID_LEN + SLOT_SET_BYTES;
const PUBLISH_BYTES: usize = 8;
const MODULE_BYTES: usize = 13;

const SIGNATURE: &[u8; 4] = b"RCmb";
const VERSION: u16 = 1;
/// Bit of the type: the header is the light one.
const LIGHT: u16 = 0x8000;

/// The longest message, but for published ones and those of modules: more than 65,535 gossip entries with all extensions
/// of a node that has forgotten 16,384 others.
pub const FRAME_MAX: usize = 8 << 20;
/// The longest published message: channel and text of 512 MiB each, as long as requests may be unless they were allowed more.
pub const PUBLISH_FRAME_MAX: usize = (1 << 30) + (1 << 16);
const _: () = assert!(FRAME_MAX > HEADER_BYTES + 65_535 * GOSSIP_BYTES + 16_384 * 56);

/// Types, as in the messages.
mod kind {
    pub const PING: u16 = 0;
    pub const PONG: u16 = 1;
    pub const MEET: u16 = 2;
    pub const FAIL: u16 = 3;
    pub const PUBLISH: u16 = 4;
    pub const AUTH_REQUEST: u16 = 5;
    pub const AUTH_ACK: u16 = 6;
    pub const UPDATE: u16 = 7;
    pub const MANUAL_FAILOVER_START: u16 = 8;
    pub const MODULE: u16 = 9;
    pub const PUBLISH_SHARD: u16 = 10;
}

/// The bytes are not those of the bus: the link is of no use any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

/// A message that is to be ignored, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    Version,
    /// A type that isn't known, or has no light header.
    Type,
    /// Its parts are not as long as it is.
    Length,
    /// A node's name, or its address.
    Name,
}

impl Malformed {
    /// For the log.
    pub fn reason(self) -> &'static str {
        match self {
            Malformed::Version => "unknown protocol version",
            Malformed::Type => "unknown type",
            Malformed::Length => "invalid length",
            Malformed::Name => "invalid name or address of a node",
        }
    }
}

/// The number of a whole message's type.
pub fn type_of(frame: &[u8]) -> u16 {
    frame.first_chunk::<LIGHT_HEADER_BYTES>().map_or(u16::MAX, |start| u16_at(start, 12) & !LIGHT)
}

/// How long the message is that begins with these bytes; `None` if they are too few to tell (16 suffice). Messages that
/// are longer than any node sends are broken, so that what a peer makes this node keep is bounded.
pub fn frame_len(start: &[u8]) -> Result<Option<usize>, Broken> {
    let signature = start.len().min(SIGNATURE.len());
    if start[..signature] != SIGNATURE[..signature] {
        return Err(Broken);
    }
    let Some(header) = start.first_chunk::<LIGHT_HEADER_BYTES>() else { return Ok(None) };
    let (length, kind) = (u32_at(header, 4) as usize, u16_at(header, 12));
    let least = if kind & LIGHT != 0 { LIGHT_HEADER_BYTES } else { HEADER_BYTES };
    let most = match kind & !LIGHT {
        kind::PUBLISH | kind::PUBLISH_SHARD | kind::MODULE => PUBLISH_FRAME_MAX,
        _ => FRAME_MAX,
    };
    if (least..=most).contains(&length) { Ok(Some(length)) } else { Err(Broken) }
}

/// Reads one whole message.
pub fn decode(frame: &[u8]) -> Result<Message, Malformed> {
    let start = frame.first_chunk::<LIGHT_HEADER_BYTES>().ok_or(Malformed::Length)?;
    if &start[..4] != SIGNATURE || u16_at(start, 8) != VERSION {
        return Err(Malformed::Version);
    }
    if u32_at(start, 4) as usize != frame.len() {
        return Err(Malformed::Length);
    }
    let kind = u16_at(start, 12);
    if kind & LIGHT != 0 {
        let kind = kind & !LIGHT;
        let is_light_kind = matches!(kind, kind::PUBLISH | kind::PUBLISH_SHARD | kind::MODULE);
        if !is_light_kind {
            return Err(Malformed::Type);
        }
        return Ok(Message { header: None, body: decode_small(kind, &frame[LIGHT_HEADER_BYTES..])? });
    }
    let head = frame.first_chunk::<HEADER_BYTES>().ok_or(Malformed::Length)?;
    let rest = &frame[HEADER_BYTES..];
    let ping = |kind| decode_ping(kind, head, rest);
    let body = match kind {
        kind::PING => ping(PingKind::Ping)?,
        kind::PONG => ping(PingKind::Pong)?,
        kind::MEET => ping(PingKind::Meet)?,
        _ => decode_small(kind, rest)?,
    };
    Ok(Message { header: Some(Box::new(decode_header(head)?)), body })
}

fn decode_header(head: &[u8; HEADER_BYTES]) -> Result<Header, Malformed> {
    let primary = &head[2128..2168];
    let is_primary = primary.iter().all(|byte| *byte == 0);
    Ok(Header {
        sender: id(&head[40..80])?,
        current_epoch: u64_at(head, 16),
        config_epoch: u64_at(head, 24),
        offset: u64_at(head, 32),
        slots: slots(&head[80..2128]),
        primary: if is_primary { None } else { Some(id(primary)?) },
        ip: address(&head[2168..2214])?,
        port: u16_at(head, 10),
        other_port: u16_at(head, 2246),
        bus_port: u16_at(head, 2248),
        flags: u16_at(head, 2250),
        is_ok: head[2252] == 0,
        message_flags: head[2253],
    })
}

fn decode_ping(kind: PingKind, head: &[u8; HEADER_BYTES], rest: &[u8]) -> Result<Body, Malformed> {
    let entries = usize::from(u16_at(head, 14)) * GOSSIP_BYTES;
    let (entries, rest) = rest.split_at_checked(entries).ok_or(Malformed::Length)?;
    // Redis and Valkey, too, do without all entries if one has a name that can't be.
    let gossip =
        entries.chunks_exact(GOSSIP_BYTES).map(decode_gossip).collect::<Result<_, _>>().unwrap_or_default();
    let extensions = if head[2253] & message_flag::EXTENSIONS != 0 {
        extensions::decode(rest, u16_at(head, 2214))?
    } else if rest.is_empty() {
        Extensions::default()
    } else {
        return Err(Malformed::Length);
    };
    Ok(Body::Ping { kind, gossip, extensions })
}

fn decode_gossip(entry: &[u8]) -> Result<Gossip, Malformed> {
    Ok(Gossip {
        id: id(&entry[..40])?,
        ping_sent: u32_at(entry, 40),
        pong_received: u32_at(entry, 44),
        ip: address(&entry[48..94])?,
        port: u16_at(entry, 94),
        bus_port: u16_at(entry, 96),
        flags: u16_at(entry, 98),
        other_port: u16_at(entry, 100),
    })
}

/// All bodies without gossip.
fn decode_small(kind: u16, rest: &[u8]) -> Result<Body, Malformed> {
    let exactly = |bytes: usize| if rest.len() == bytes { Ok(()) } else { Err(Malformed::Length) };
    match kind {
        kind::FAIL => {
            exactly(NODE_ID_LEN)?;
            Ok(Body::Fail(id(rest)?))
        }
        kind::PUBLISH | kind::PUBLISH_SHARD => {
            let (lengths, rest) = rest.split_at_checked(PUBLISH_BYTES).ok_or(Malformed::Length)?;
            let (channel, message) =
                rest.split_at_checked(u32_at(lengths, 0) as usize).ok_or(Malformed::Length)?;
            if message.len() != u32_at(lengths, 4) as usize {
                return Err(Malformed::Length);
            }
            let sharded = kind == kind::PUBLISH_SHARD;
            Ok(Body::Publish { channel: channel.to_vec(), message: message.to_vec(), sharded })
        }
        kind::AUTH_REQUEST => exactly(0).map(|()| Body::AuthRequest),
        kind::AUTH_ACK => exactly(0).map(|()| Body::AuthAck),
        kind::UPDATE => {
            exactly(UPDATE_BYTES)?;
            Ok(Body::Update {
                config_epoch: u64_at(rest, 0),
                node: id(&rest[8..48])?,
                slots: slots(&rest[48..]),
            })
        }
        kind::MANUAL_FAILOVER_START => exactly(0).map(|()| Body::ManualFailoverStart),
        kind::MODULE => {
            let (head, rest) = rest.split_at_checked(MODULE_BYTES).ok_or(Malformed::Length)?;
            if rest.len() != u32_at(head, 8) as usize {
                return Err(Malformed::Length);
            }
            Ok(Body::Module)
        }
        _ => Err(Malformed::Type),
    }
}

/// Writes a message. Addresses and other texts are those that [`decode`] accepts.
pub fn encode(message: &Message) -> Encoded {
    let kind = kind_of(&message.body);
    let mut out = Vec::with_capacity(HEADER_BYTES + 16 * GOSSIP_BYTES);
    match &message.header {
        Some(header) => encode_header(header, kind, &mut out),
        None => encode_start(kind | LIGHT, 0, &mut out),
    }
    match &message.body {
        Body::Ping { gossip, extensions, .. } => {
            let gossip = &gossip[..gossip.len().min(usize::from(u16::MAX))];
            put_u16(&mut out, 14, gossip.len() as u16);
            gossip.iter().for_each(|entry| encode_gossip(entry, &mut out));
            let count = extensions::encode(extensions, &mut out);
            put_u16(&mut out, 2214, count);
            if count > 0 {
                out[2253] |= message_flag::EXTENSIONS;
            }
        }
        Body::Fail(id) => out.extend_from_slice(id.as_bytes()),
        Body::Publish { channel, message, .. } => {
            out.extend_from_slice(&(channel.len() as u32).to_be_bytes());
            out.extend_from_slice(&(message.len() as u32).to_be_bytes());
            out.extend_from_slice(channel);
            out.extend_from_slice(message);
        }
        Body::AuthRequest | Body::AuthAck | Body::ManualFailoverStart => {}
        Body::Update { config_epoch, node, slots } => {
            out.extend_from_slice(&config_epoch.to_be_bytes());
            out.extend_from_slice(node.as_bytes());
            out.extend_from_slice(&slots.to_bytes());
        }
        Body::Module => out.extend_from_slice(&[0; MODULE_BYTES]),
    }
    let length = out.len() as u32;
    out[4..8].copy_from_slice(&length.to_be_bytes());
    out.into()
}

fn kind_of(body: &Body) -> u16 {
    match body {
        Body::Ping { kind: PingKind::Ping, .. } => kind::PING,
        Body::Ping { kind: PingKind::Pong, .. } => kind::PONG,
        Body::Ping { kind: PingKind::Meet, .. } => kind::MEET,
        Body::Fail(_) => kind::FAIL,
        Body::Publish { sharded: false, .. } => kind::PUBLISH,
        Body::Publish { sharded: true, .. } => kind::PUBLISH_SHARD,
        Body::AuthRequest => kind::AUTH_REQUEST,
        Body::AuthAck => kind::AUTH_ACK,
        Body::Update { .. } => kind::UPDATE,
        Body::ManualFailoverStart => kind::MANUAL_FAILOVER_START,
        Body::Module => kind::MODULE,
    }
}

/// What both headers begin with; the length is still to come.
fn encode_start(kind: u16, port: u16, out: &mut Vec<u8>) {
    out.extend_from_slice(SIGNATURE);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&VERSION.to_be_bytes());
    out.extend_from_slice(&port.to_be_bytes());
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&[0; 2]);
}

fn encode_header(header: &Header, kind: u16, out: &mut Vec<u8>) {
    encode_start(kind, header.port, out);
    for number in [header.current_epoch, header.config_epoch, header.offset] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    out.extend_from_slice(header.sender.as_bytes());
    out.extend_from_slice(&header.slots.to_bytes());
    match &header.primary {
        Some(primary) => out.extend_from_slice(primary.as_bytes()),
        None => out.extend_from_slice(&[0; NODE_ID_LEN]),
    }
    encode_address(&header.ip, out);
    out.resize(2246, 0);
    for number in [header.other_port, header.bus_port, header.flags] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    out.extend_from_slice(&[u8::from(!header.is_ok), header.message_flags, 0, 0]);
    debug_assert_eq!(out.len(), HEADER_BYTES);
}

fn encode_gossip(entry: &Gossip, out: &mut Vec<u8>) {
    out.extend_from_slice(entry.id.as_bytes());
    out.extend_from_slice(&entry.ping_sent.to_be_bytes());
    out.extend_from_slice(&entry.pong_received.to_be_bytes());
    encode_address(&entry.ip, out);
    for number in [entry.port, entry.bus_port, entry.flags, entry.other_port, 0] {
        out.extend_from_slice(&number.to_be_bytes());
    }
}

/// At most 45 bytes of an address, and NULs.
fn encode_address(address: &str, out: &mut Vec<u8>) {
    let end = out.len() + IP_BYTES;
    let kept = address.len().min(IP_BYTES - 1);
    out.extend_from_slice(&address.as_bytes()[..kept]);
    out.resize(end, 0);
}

/// The name of a node or a shard.
fn id(bytes: &[u8]) -> Result<NodeId, Malformed> {
    NodeId::parse(bytes).ok_or(Malformed::Name)
}

/// An address up to its NUL. It goes into `nodes.conf` and into replies, so that what would end a word there isn't accepted.
fn address(bytes: &[u8]) -> Result<String, Malformed> {
    let text = until_nul(&bytes[..IP_BYTES - 1]).ok_or(Malformed::Name)?;
    if is_aux_text(&text.replace('%', "")) { Ok(text) } else { Err(Malformed::Name) }
}

/// A text up to its NUL, if it has one.
fn until_nul(bytes: &[u8]) -> Option<String> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8(bytes[..end].to_vec()).ok()
}

fn slots(bytes: &[u8]) -> SlotSet {
    SlotSet::from_bytes(
        bytes.first_chunk::<SLOT_SET_BYTES>().expect("the caller gives the bytes of a bitmap"),
    )
}

fn put_u16(out: &mut [u8], at: usize, number: u16) {
    out[at..at + 2].copy_from_slice(&number.to_be_bytes());
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(*bytes[at..].first_chunk().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(*bytes[at..].first_chunk().expect("eight bytes"))
}

/// Fuzzing: whatever the bytes are, reading them doesn't panic, and what was read is written and read again as the same.
#[doc(hidden)]
pub fn fuzz_wire(data: &[u8]) {
    let _ = frame_len(data);
    if let Ok(message) = decode(data) {
        let again = encode(&message);
        assert_eq!(frame_len(&again), Ok(Some(again.len())));
        assert_eq!(decode(&again).as_ref(), Ok(&message));
    }
}
