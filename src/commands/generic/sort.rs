//! SORT and SORT_RO: the elements of a list, set or sorted set, sorted by themselves or by values at keys that
//! a pattern makes of them.
//!
//! The elements are copied into one buffer before any other key is looked up, because a lookup may delete an
//! expired key.

use std::cmp::Ordering;
use std::ops::Range;

use crate::base::number;
use crate::commands::support::args::is;
use crate::commands::support::listpack_reply::write_entry;
use crate::commands::support::options::OptionReader;
use crate::engine::clients::session::state;
use crate::engine::{Call, Done, Outcome};
use crate::keyspace::{DbView, StoredValue, Text, event};
use crate::resp::{Args, CommandError};
use crate::structures::listpack::{DecimalBuffer, Entry};
use crate::structures::quicklist::{End, Quicklist};
use crate::structures::table::EntryRef;
use crate::value::Value;
use crate::value::hash::Hash;
use crate::value::list::{self, List};
use crate::value::zset::Zset;

const NOT_A_SCORE: CommandError = CommandError::text("ERR One or more scores can't be converted into double");

/// A BY or GET pattern: it makes a key of an element, and may name a field of the hash there.
#[derive(Clone, Copy)]
enum Pattern<'a> {
    /// `#`: the element.
    Element,
    /// No `*`: there is no key.
    Constant,
    Key {
        prefix: &'a [u8],
        suffix: &'a [u8],
        field: Option<&'a [u8]>,
    },
}

impl<'a> Pattern<'a> {
    fn parse(text: &'a [u8]) -> Pattern<'a> {
        if text == b"#" {
            return Pattern::Element;
        }
        let Some(star) = memchr::memchr(b'*', text) else { return Pattern::Constant };
        let (prefix, rest) = (&text[..star], &text[star + 1..]);
        let arrow = memchr::memmem::find(rest, b"->").filter(|at| at + 2 < rest.len());
        match arrow {
            Some(at) => Pattern::Key { prefix, suffix: &rest[..at], field: Some(&rest[at + 2..]) },
            None => Pattern::Key { prefix, suffix: rest, field: None },
        }
    }

    /// Calls `take` with the value that the pattern gives for an element; `key` is a buffer for the key.
    fn value<R>(
        self,
        db: &mut DbView<'_>,
        element: &[u8],
        key: &mut Vec<u8>,
        take: impl FnOnce(Option<Entry<'_>>) -> R,
    ) -> R {
        let (prefix, suffix, field) = match self {
            Pattern::Element => return take(Some(Entry::Str(element))),
            Pattern::Constant => return take(None),
            Pattern::Key { prefix, suffix, field } => (prefix, suffix, field),
        };
        key.clear();
        key.extend_from_slice(prefix);
        key.extend_from_slice(element);
        key.extend_from_slice(suffix);
        let Some(field) = field else {
            return take(match db.string(key) {
                Ok(Some(Text::Int(n))) => Some(Entry::Int(n)),
                Ok(Some(Text::Bytes(bytes))) => Some(Entry::Str(bytes)),
                Ok(None) | Err(_) => None,
            });
        };
        db.sweep_expired_fields_before_write(key, std::iter::once(field));
        let now = db.env.field_now();
        match db.read::<Hash>(key) {
            Ok(Some(hash)) => take(hash.get(field, now)),
            Ok(None) | Err(_) => take(None),
        }
    }
}

/// The options of SORT.
struct Request<'a> {
    by: Option<Pattern<'a>>,
    gets: Vec<Pattern<'a>>,
    offset: i64,
    /// Negative: all.
    limit: i64,
    descending: bool,
    alpha: bool,
    store: Option<&'a [u8]>,
}

impl<'a> Request<'a> {
    fn parse(args: Args<'a>, may_store: bool) -> Result<Request<'a>, CommandError> {
        let mut request = Request {
            by: None,
            gets: Vec::new(),
            offset: 0,
            limit: -1,
            descending: false,
            alpha: false,
            store: None,
        };
        let mut words = OptionReader::new(args, 2);
        while let Some(word) = words.next() {
            if is(word, "ASC") || is(word, "DESC") {
                request.descending = is(word, "DESC");
            } else if is(word, "ALPHA") {
                request.alpha = true;
            } else if is(word, "LIMIT") && words.remaining() >= 2 {
                (request.offset, request.limit) = (words.integer()?, words.integer()?);
            } else if is(word, "STORE") && may_store {
                request.store = Some(words.value()?);
            } else if is(word, "BY") {
                request.by = Some(match Pattern::parse(words.value()?) {
                    Pattern::Element => Pattern::Constant,
                    pattern => pattern,
                });
            } else if is(word, "GET") {
                request.gets.push(Pattern::parse(words.value()?));
            } else {
                return Err(CommandError::SYNTAX);
            }
        }
        Ok(request)
    }

    /// The indexes of the elements in the reply, of `len` sorted ones (LIMIT).
    fn window(&self, len: usize) -> Range<usize> {
        let start = usize::try_from(self.offset.max(0)).unwrap_or(usize::MAX).min(len);
        let count = usize::try_from(self.limit).unwrap_or(usize::MAX).min(len - start);
        start..start + count
    }
}

/// The elements and their sort keys, in one buffer.
#[derive(Default)]
struct Elements {
    bytes: Vec<u8>,
    items: Vec<Item>,
}

struct Item {
    /// The range of the element in the buffer.
    element: Range<usize>,
    /// The sort key: a number, or with ALPHA a range of the buffer (`None`: the key is missing).
    score: f64,
    text: Option<Range<usize>>,
}

impl Elements {
    fn push_bytes(&mut self, entry: Entry<'_>) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(entry.bytes(&mut DecimalBuffer::new()));
        start..self.bytes.len()
    }

    fn push(&mut self, entry: Entry<'_>) {
        let element = self.push_bytes(entry);
        // An integer is its own sort key and isn't parsed again.
        let score = if let Entry::Int(n) = entry { n as f64 } else { f64::NAN };
        self.items.push(Item { element, score, text: None });
    }

    fn element(&self, item: &Item) -> &[u8] {
        &self.bytes[item.element.clone()]
    }

    /// Copies a collection's elements; of an ordered one that keeps its order, only those in the reply.
    fn load(
        db: &DbView<'_>,
        at: EntryRef,
        request: &Request<'_>,
        keep_order: bool,
    ) -> Result<Elements, CommandError> {
        let mut elements = Elements::default();
        let StoredValue::Object(value) = db.stored_value(at) else { return Err(CommandError::WRONG_TYPE) };
        match value {
            Value::Set(set) => set.iter().for_each(|member| elements.push(member)),
            Value::List(list) if keep_order => {
                let wanted = request.window(list.len());
                if request.descending {
                    let start = (list.len() - wanted.start).saturating_sub(1);
                    list.range(start, wanted.len(), End::Front, |item| elements.push(item));
                } else {
                    list.range(wanted.start, wanted.len(), End::Back, |item| elements.push(item));
                }
            }
            Value::List(list) => list.range(0, list.len(), End::Back, |item| elements.push(item)),
            Value::Zset(zset) if keep_order => {
                let (len, wanted) = (zset.len(), request.window(zset.len()));
                if request.descending {
                    let ranks = len - wanted.end..len - wanted.start;
                    zset.descending(ranks).for_each(|(member, _)| elements.push(member));
                } else {
                    zset.ascending(wanted).for_each(|(member, _)| elements.push(member));
                }
            }
            Value::Zset(zset) => zset.iter().for_each(|(member, _)| elements.push(member)),
            Value::Hash(_) | Value::Stream(_) | Value::VectorSet(_) => return Err(CommandError::WRONG_TYPE),
        }
        Ok(elements)
    }

    /// Looks up the sort key of each element.
    fn look_up_sort_keys(
        &mut self,
        db: &mut DbView<'_>,
        by: Option<Pattern<'_>>,
        alpha: bool,
    ) -> Result<(), CommandError> {
        let mut key = Vec::new();
        let mut all_numbers = true;
        for index in 0..self.items.len() {
            let element = self.items[index].element.clone();
            match by {
                None if alpha => self.items[index].text = Some(element),
                None => {
                    if self.items[index].score.is_nan() {
                        let score = number::parse_f64_bound(&self.bytes[element]);
                        all_numbers &= score.is_some();
                        self.items[index].score = score.unwrap_or(0.0);
                    }
                }
                Some(pattern) if alpha => {
                    let (mut text, start) = (std::mem::take(&mut key), self.bytes.len());
                    let (known, rest) = (self.bytes[element].to_vec(), &mut self.bytes);
                    let found = pattern.value(db, &known, &mut text, |value| {
                        value.map(|value| rest.extend_from_slice(value.bytes(&mut DecimalBuffer::new())))
                    });
                    key = text;
                    self.items[index].text = found.map(|()| start..self.bytes.len());
                }
                Some(pattern) => {
                    let score = pattern.value(db, &self.bytes[element], &mut key, |value| match value {
                        None => Some(0.0),
                        Some(Entry::Int(n)) => Some(n as f64),
                        // As Redis reads an end of a score range: what is out of range is infinite or zero.
                        Some(Entry::Str(text)) => number::parse_f64_bound(text),
                    });
                    all_numbers &= score.is_some();
                    self.items[index].score = score.unwrap_or(0.0);
                }
            }
        }
        if all_numbers { Ok(()) } else { Err(NOT_A_SCORE) }
    }

    /// Sorts the elements, as far as the range `wanted` needs it.
    fn sort(&mut self, descending: bool, alpha: bool, wanted: Range<usize>) {
        let bytes = &self.bytes;
        let compare = |one: &Item, other: &Item| {
            let order = if alpha {
                let text = |item: &Item| item.text.clone().map(|text| &bytes[text]);
                text(one).cmp(&text(other))
            } else {
                // Equal scores are ordered by the elements, so that the result is deterministic.
                let scores = one.score.partial_cmp(&other.score).unwrap_or(Ordering::Equal);
                scores.then_with(|| bytes[one.element.clone()].cmp(&bytes[other.element.clone()]))
            };
            if descending { order.reverse() } else { order }
        };
        if wanted.end < self.items.len() / 4 {
            self.items.select_nth_unstable_by(wanted.end, compare);
            self.items.truncate(wanted.end);
        }
        self.items.sort_by(compare);
    }
}

pub(in crate::commands) fn sort(call: &mut Call<'_>) -> Outcome {
    answer(call, true)
}

pub(in crate::commands) fn sort_ro(call: &mut Call<'_>) -> Outcome {
    answer(call, false)
}

fn answer(call: &mut Call<'_>, may_store: bool) -> Outcome {
    let mut request = Request::parse(call.args, may_store)?;
    let mut elements = Elements::default();
    let mut wanted = 0..0;
    if let Some(found) = call.db.lookup_read(call.args.at(1)) {
        let at = as_skiplist(&mut call.db, call.args.at(1), found)?;
        let is_set = call.db.type_of(at) == "set";
        let mut keep_order = matches!(request.by, Some(Pattern::Constant));
        if keep_order && is_set && (request.store.is_some() || call.session.is(state::IN_SCRIPT)) {
            // A stored result, and what a script does with one, must not depend on the order of members in a table.
            (keep_order, request.alpha, request.by) = (false, true, None);
        }
        elements = Elements::load(&call.db, at, &request, keep_order)?;
        let len = elements.items.len();
        wanted = if keep_order && !is_set { 0..len } else { request.window(len) };
        if !keep_order {
            elements.look_up_sort_keys(&mut call.db, request.by, request.alpha)?;
            elements.sort(request.descending, request.alpha, wanted.clone());
        }
    }
    let items = &elements.items[wanted];
    match request.store {
        Some(target) => store(call, &request, &elements, items, target),
        None => write(call, &request, &elements, items),
    }
    Ok(Done::Replied)
}

/// Gives a sorted set its large form, as Redis does before it sorts one; of another value it changes nothing.
fn as_skiplist(db: &mut DbView<'_>, key: &[u8], at: EntryRef) -> Result<EntryRef, CommandError> {
    if db.type_of(at) != "zset" {
        return Ok(at);
    }
    if let Some(mut edit) = db.edit::<Zset>(key)?
        && edit.peek().as_listpack().is_some()
    {
        let (zset, _, limits) = edit.parts();
        zset.convert_to_tree(limits);
        edit.finish_with_events(0, &[]);
    }
    Ok(db.lookup_silent(key).unwrap_or(at))
}

fn write(call: &mut Call<'_>, request: &Request<'_>, elements: &Elements, items: &[Item]) {
    call.reply.array(items.len() * request.gets.len().max(1));
    let mut key = Vec::new();
    for item in items {
        let element = elements.element(item);
        if request.gets.is_empty() {
            call.reply.bulk(element);
        }
        for get in &request.gets {
            get.value(&mut call.db, element, &mut key, |value| match value {
                Some(value) => write_entry(call.reply, value),
                None => call.reply.null(),
            });
        }
    }
}

fn store(call: &mut Call<'_>, request: &Request<'_>, elements: &Elements, items: &[Item], target: &[u8]) {
    let limits = call.db.env.limits;
    let node_limits = list::node_limits(limits);
    // A listpack only if the complete list fits into one: so it is with Redis.
    let mut list = Quicklist::new();
    let mut key = Vec::new();
    for item in items {
        let element = elements.element(item);
        if request.gets.is_empty() {
            list.push(End::Back, element, &node_limits);
        }
        for get in &request.gets {
            get.value(&mut call.db, element, &mut key, |value| {
                list.push(End::Back, value.unwrap_or(Entry::Str(b"")), &node_limits);
            });
        }
    }
    call.reply.count(list.len());
    call.db.set_collection(target, List::from_quicklist(list, limits), event::SORTSTORE);
}

#[cfg(test)]
#[path = "sort_tests.rs"]
mod tests;
