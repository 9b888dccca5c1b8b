//! Requests that are appended once: IDMP and IDMPAUTO of XADD, XCFGSET, XIDMPRECORD.
//!
//! A request from a log or a primary has the id that its entry was given. What has expired there need not have expired here, and
//! the reverse: the id alone tells whether the entry was appended by this request, or by one before it that this one repeats.

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::commands::stream::Options;
use crate::commands::stream::support as parts;
use crate::commands::support::args::is;
use crate::commands::support::options::OptionReader;
use crate::engine::clients::session::Role;
use crate::engine::{Call, Done, Outcome};
use crate::keyspace::{Edit, Typed};
use crate::resp::{Args, CommandError};
use crate::value::Limits;
use crate::value::stream::{PartialId, Retention, Stream, StreamId};

pub(super) const NEEDS_AUTO_ID: CommandError =
    CommandError::text("ERR syntax error, IDMP/IDMPAUTO can be used only with auto-generated IDs");
const TWICE: CommandError = CommandError::text("ERR syntax error, IDMP/IDMPAUTO specified multiple times");

/// Bytes of a field and its value that are hashed at once.
const SMALL_PAIR: usize = 240;

/// The producer of a request, and the identifier it gave it.
pub(super) struct Request<'a> {
    producer: &'a [u8],
    /// `None`: it is made of the fields.
    identifier: Option<&'a [u8]>,
}

/// A request with its identifier.
pub(super) struct IdentifiedRequest<'a> {
    producer: &'a [u8],
    identifier: Identifier<'a>,
}

enum Identifier<'a> {
    Given(&'a [u8]),
    Digest([u8; 16]),
}

impl<'a> Request<'a> {
    /// Parses what follows IDMPAUTO.
    pub fn parse_auto(is_second: bool, words: &mut OptionReader<'a>) -> Result<Self, CommandError> {
        if is_second {
            return Err(TWICE);
        }
        let producer = words.value()?;
        if producer.is_empty() {
            return Err(CommandError::text("ERR syntax error, IDMPAUTO requires a non-empty producer ID"));
        }
        Ok(Request { producer, identifier: None })
    }

    /// Parses what follows IDMP.
    pub fn parse(is_second: bool, words: &mut OptionReader<'a>) -> Result<Self, CommandError> {
        if is_second {
            return Err(TWICE);
        }
        let producer = words.value()?;
        if producer.is_empty() {
            return Err(CommandError::text("ERR syntax error, IDMP requires a non-empty producer ID"));
        }
        let identifier = words.value()?;
        if identifier.is_empty() {
            return Err(CommandError::text("ERR syntax error, IDMP requires a non-empty idempotent ID"));
        }
        Ok(Request { producer, identifier: Some(identifier) })
    }

    /// With its identifier; the fields begin at `first_field`.
    pub fn identified(&self, args: Args<'a>, first_field: usize) -> IdentifiedRequest<'a> {
        let digest = || Identifier::Digest(digest_of(args.tail(first_field)));
        let identifier = self.identifier.map_or_else(digest, Identifier::Given);
        IdentifiedRequest { producer: self.producer, identifier }
    }
}

/// The digest of fields and values, in whatever order the fields are: XXH3 of each pair, with the field's length between the two;
/// these are added up, and joined by exclusive or, in halves.
fn digest_of(pairs: Args<'_>) -> [u8; 16] {
    let (mut sums, mut xors) = ([0u64; 2], [0u64; 2]);
    for at in (0..pairs.len()).step_by(2) {
        let (field, value) = (pairs.at(at), pairs.at(at + 1));
        let len = (field.len() as u64).to_le_bytes();
        let size = field.len() + len.len() + value.len();
        let hash = if size <= SMALL_PAIR {
            let mut bytes = [0; SMALL_PAIR];
            bytes[..field.len()].copy_from_slice(field);
            bytes[field.len()..field.len() + len.len()].copy_from_slice(&len);
            bytes[field.len() + len.len()..size].copy_from_slice(value);
            xxh3_128(&bytes[..size])
        } else {
            let mut state = Xxh3::new();
            [field, &len, value].into_iter().for_each(|bytes| state.update(bytes));
            state.digest128()
        };
        for (half, part) in [hash as u64, (hash >> 64) as u64].into_iter().enumerate() {
            sums[half] = sums[half].wrapping_add(part);
            xors[half] ^= part;
        }
    }
    let halves = [sums[0] ^ xors[1].rotate_left(1), sums[1] ^ xors[0].rotate_left(1)];
    ((u128::from(halves[1]) << 64) | u128::from(halves[0])).to_le_bytes()
}

impl IdentifiedRequest<'_> {
    fn identifier(&self) -> &[u8] {
        match &self.identifier {
            Identifier::Given(identifier) => identifier,
            Identifier::Digest(digest) => digest,
        }
    }

    /// Whether the request was appended before; with the id it was given then. `None` within: only the primary knows that.
    pub fn seen(
        &self,
        edit: &mut Edit<'_, '_, Stream>,
        options: &Options<'_>,
        role: Role,
        now_ms: u64,
    ) -> Option<Option<StreamId>> {
        if edit.is_new() {
            return None;
        }
        let retention = edit.peek().retention();
        let (stream, _, limits) = edit.parts();
        let (last_id, requests) = (stream.log.last_id(), stream.requests_mut());
        let seen = if role == Role::Normal {
            requests.expire(self.producer, now_ms, retention, &limits.hasher);
            requests.find(self.producer, self.identifier(), &limits.hasher).map(Some)
        } else {
            let known = requests.find(self.producer, self.identifier(), &limits.hasher);
            match options.id {
                Some(PartialId::Full(id)) if id <= last_id => Some(Some(id)),
                Some(_) => {
                    if known.is_some() {
                        requests.forget(self.producer, self.identifier(), &limits.hasher);
                    }
                    None
                }
                // Had it been appended there, it would have the id.
                None => Some(known),
            }
        };
        if seen.is_some() {
            requests.count_duplicate();
        }
        seen
    }

    /// Remembers the request, which was appended as `id`.
    pub fn record(&self, stream: &mut Stream, id: StreamId, limits: &Limits) {
        let retention = stream.retention();
        let requests = stream.requests_mut();
        requests.record(self.producer, self.identifier(), id, retention, &limits.hasher);
    }
}

pub(super) fn xcfgset(call: &mut Call<'_>) -> Outcome {
    let args = call.args;
    let mut edit = call.db.edit::<Stream>(args.at(1))?.ok_or(CommandError::NO_SUCH_KEY)?;
    let (mut seconds, mut identifiers) = (None, None);
    let mut options = OptionReader::new(args, 2);
    while let Some(word) = options.next() {
        let more = options.remaining() > 0;
        if more && is(word, "IDMP-DURATION") {
            take(&mut seconds, "IDMP-DURATION", "seconds", Retention::MAX_SECONDS, &mut options)?;
        } else if more && is(word, "IDMP-MAXSIZE") {
            take(&mut identifiers, "IDMP-MAXSIZE", "entries", Retention::MAX_IDENTIFIERS, &mut options)?;
        } else {
            return Err(CommandError::SYNTAX);
        }
    }
    if seconds.is_none() && identifiers.is_none() {
        return Err(CommandError::text("ERR At least one parameter must be specified"));
    }
    let before = edit.peek().retention();
    let retention = Retention {
        seconds: seconds.unwrap_or(before.seconds),
        identifiers: identifiers.unwrap_or(before.identifiers),
    };
    let forgotten = if retention == before { None } else { edit.get().set_retention(retention) };
    edit.finish_metadata(usize::from(retention != before), &[]);
    if let Some(forgotten) = forgotten {
        call.db.lazy_free_value(forgotten.wrap());
    }
    call.reply.ok();
    Ok(Done::Replied)
}

/// Takes the number behind an option of XCFGSET.
fn take(
    option: &mut Option<u32>,
    name: &str,
    unit: &str,
    most: u32,
    words: &mut OptionReader<'_>,
) -> Result<(), CommandError> {
    if option.is_some() {
        return Err(CommandError::new(format!("ERR {name} specified multiple times")));
    }
    let number = u32::try_from(words.integer()?).ok().filter(|number| (1..=most).contains(number));
    let error = || CommandError::new(format!("ERR {name} must be between 1 and {most} {unit}"));
    *option = Some(number.ok_or_else(error)?);
    Ok(())
}

/// An entry of a stream is said to be that of a producer's request: for logs and for moving slots.
pub(super) fn xidmprecord(call: &mut Call<'_>) -> Outcome {
    let args = call.args;
    let (producer, identifier) = (args.at(2), args.at(3));
    let id = parts::id(args.at(4))?;
    if producer.is_empty() {
        return Err(CommandError::text("ERR producer ID must be non-empty"));
    }
    if identifier.is_empty() {
        return Err(CommandError::text("ERR idempotent ID must be non-empty"));
    }
    let (is_normal, now_ms) = (call.session.role == Role::Normal, call.now());
    let mut edit = call.db.edit::<Stream>(args.at(1))?.ok_or(CommandError::NO_SUCH_KEY)?;
    // A log may know of requests whose entries have been deleted since.
    if is_normal && !edit.peek().log.contains(id) {
        return Err(CommandError::text("ERR No such message in stream"));
    }
    let retention = edit.peek().retention();
    let (stream, _, limits) = edit.parts();
    let requests = stream.requests_mut();
    if is_normal {
        requests.expire(producer, now_ms, retention, &limits.hasher);
    }
    let mut found = requests.find(producer, identifier, &limits.hasher);
    if found.is_some() && !is_normal {
        // It had expired there.
        requests.forget(producer, identifier, &limits.hasher);
        found = None;
    }
    if found.is_none() {
        requests.record(producer, identifier, id, retention, &limits.hasher);
    }
    edit.finish_metadata(usize::from(found.is_none()), &[]);
    if found.is_some_and(|found| found != id) {
        return Err(CommandError::text(
            "ERR IID already exists for this producer with a different stream ID",
        ));
    }
    call.reply.ok();
    Ok(Done::Replied)
}

#[cfg(test)]
#[path = "idempotency_tests.rs"]
mod tests;
