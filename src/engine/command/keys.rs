//! Key specifications (`getkeys`, key specs): which arguments of a request are keys, and how the command uses each.
//!
//! ```text
//! ZUNIONSTORE dest 2 a b WEIGHTS 1 2
//!             └┬─┘ ┬ └┬┘
//!        index 1   │  └ as many as the number says
//!        range 0   └ index 2, keynum
//! ```
//!
//! COMMAND GETKEYS, ACLs, the cluster's redirections and client tracking use this. Most rows have key
//! specifications; where the positions depend on options (SORT, SET …) the row has
//! a finder of its own, the functions at the end of this file. Nothing here judges a request: one
//! that makes no sense has no keys, and its handler says what is wrong.

use crate::engine::command::spec::{Begin, Channels, CommandSpec, Find, KeyAt, KeySpec, flag, key};
use crate::resp::Args;

/// Whether the command can have keys at all.
pub fn has_keys(spec: &CommandSpec) -> bool {
    spec.key_finder.is_some() || spec.keys.iter().any(|keys| keys.flags & key::NOT_KEY == 0)
}

/// Whether the command can have keys, or what has a slot in the cluster all the same (shard channels).
pub fn has_routed(spec: &CommandSpec) -> bool {
    spec.key_finder.is_some() || spec.keys.iter().any(|keys| is_routed(spec, keys))
}

/// Whether what a specification finds is looked for where its slot is served. Channels that a client leaves (SUNSUBSCRIBE) aren't.
fn is_routed(spec: &CommandSpec, keys: &KeySpec) -> bool {
    let leaves_channels = spec.flags & flag::PUBSUB != 0 && spec.channels == Channels::None;
    keys.flags & key::NOT_KEY == 0 || !leaves_channels
}

/// Puts the keys of a request, whose command is `spec`, into `found` (emptied first).
///
/// The arity must have been checked. Returns false where the arguments contradict the
/// specifications; `found` is empty then.
pub fn find(spec: &CommandSpec, args: Args<'_>, found: &mut Vec<KeyAt>) -> bool {
    search(spec, args, false, found)
}

/// The key of a request whose command has exactly one, always in the same place: what [`find`] finds, without a list.
/// `None`: the command is not of this kind, or the argument is missing.
#[inline]
pub fn find_only(spec: &CommandSpec, args: Args<'_>) -> Option<KeyAt> {
    match *spec.keys {
        [KeySpec { begin: Begin::Index(index), find: Find::Range { last: 0, .. }, flags, .. }]
            if spec.key_finder.is_none() && flags & key::NOT_KEY == 0 =>
        {
            let index = index as usize;
            args.get(index).map(|_| KeyAt { index, flags })
        }
        _ => None,
    }
}

/// Like [`find`], with what is no key but has a slot in the cluster (shard channels) as well.
pub fn find_routed(spec: &CommandSpec, args: Args<'_>, found: &mut Vec<KeyAt>) -> bool {
    search(spec, args, true, found)
}

fn search(spec: &CommandSpec, args: Args<'_>, routed: bool, found: &mut Vec<KeyAt>) -> bool {
    found.clear();
    if let Some(finder) = spec.key_finder {
        finder(args, found);
        return true;
    }
    for keys in spec.keys {
        if keys.flags & key::NOT_KEY != 0 && !(routed && is_routed(spec, keys)) {
            continue;
        }
        if !by_spec(keys, args, found) {
            found.clear();
            let Some(fallback) = spec.key_fallback else { return false };
            fallback(args, found);
            return !found.is_empty();
        }
    }
    true
}

/// Adds the keys of one specification; false if the request contradicts it.
fn by_spec(spec: &KeySpec, args: Args<'_>, found: &mut Vec<KeyAt>) -> bool {
    let first = match spec.begin {
        Begin::Index(index) => index as usize,
        Begin::Keyword(word, from) => match after_keyword(word, from, args) {
            Some(index) => index,
            None => return true,
        },
        Begin::Unknown => return false,
    };
    let Some((first, count, step)) = extent(spec.find, first, args) else { return false };
    let range = (first..).step_by(step).take(count);
    found.extend(range.map(|index| KeyAt { index, flags: spec.flags }));
    true
}

/// The first key, how many there are and how far apart; all of them exist.
fn extent(find: Find, first: usize, args: Args<'_>) -> Option<(usize, usize, usize)> {
    let len = args.len();
    match find {
        Find::Range { last, step, limit } => {
            if first >= len {
                return None;
            }
            let last = match (last, limit) {
                (0.., _) => first.checked_add(last as usize)?,
                (_, 0 | 1) => len.checked_sub(last.unsigned_abs() as usize)?,
                (_, limit) => {
                    (first + (len - first) / limit as usize).checked_sub(last.unsigned_abs() as usize)?
                }
            };
            if last >= len || last < first {
                return None;
            }
            let step = step.max(1) as usize;
            Some((first, (last - first) / step + 1, step))
        }
        Find::KeyNum { number, first: offset, step } => {
            let number = args.get(first.checked_add(number as usize)?)?;
            let count = decimal(number)?;
            let first = first.checked_add(offset as usize)?;
            let step = step.max(1) as usize;
            let last = first.checked_add(count.checked_sub(1)?.checked_mul(step)?)?;
            (last < len).then_some((first, count, step))
        }
        Find::Unknown => None,
    }
}

/// The argument after `word`.
fn after_keyword(word: &str, from: i32, args: Args<'_>) -> Option<usize> {
    let is = |index: &usize| args.get(*index).is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()));
    let found = if from > 0 {
        (from as usize..args.len()).find(is)
    } else {
        // Redis never looks at the first argument when it searches backwards.
        let start = args.len().checked_sub(from.unsigned_abs() as usize)?;
        (2..=start).rev().find(is)
    };
    found.map(|index| index + 1)
}

/// A count as commands take it: digits without a sign.
fn decimal(text: &[u8]) -> Option<usize> {
    if text.is_empty() || text.len() > 18 || (text[0] == b'0' && text.len() > 1) {
        return None;
    }
    text.iter()
        .try_fold(0usize, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + usize::from(byte - b'0')))
}

/// The positions of keys as COMMAND INFO showed them before there were key specifications.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LegacyRange {
    pub first: i32,
    /// Negative: counted from the end.
    pub last: i32,
    pub step: i32,
    /// The range does not cover all keys.
    pub movable: bool,
}

/// Sums up a command's key specifications as one range, as well as can be.
pub fn legacy_range(specs: &[KeySpec]) -> LegacyRange {
    let mut range = LegacyRange::default();
    for spec in specs {
        let (Begin::Index(first), Find::Range { last, step, .. }) = (spec.begin, spec.find) else {
            range.movable = true;
            continue;
        };
        let incomplete = spec.flags & key::INCOMPLETE != 0;
        let last = if last >= 0 { first + last } else { last };
        if specs.len() == 1 {
            return LegacyRange { first, last, step, movable: incomplete };
        }
        // Only ranges that follow each other closely become one.
        if step != 1 || (range.first != 0 && range.last != first - 1) {
            range.movable = true;
            continue;
        }
        range.movable |= incomplete;
        range.first = if range.first == 0 { first } else { range.first.min(first) };
        // A range to the end is longer than any other.
        range.last = range.last.cast_unsigned().max(last.cast_unsigned()).cast_signed();
        range.step = 1;
    }
    range
}

fn word(args: Args<'_>, index: usize, word: &str) -> bool {
    args.get(index).is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()))
}

/// MIGRATE: the key, or what is behind KEYS if that is empty; nothing if it isn't. KEYS with nothing behind it is no such option.
pub fn migrate(args: Args<'_>, found: &mut Vec<KeyAt>) {
    let flags = key::RW | key::ACCESS | key::DELETE;
    let mut index = 6;
    let has_keys = (2..args.len() - 1).any(|index| word(args, index, "keys"));
    while has_keys && index < args.len() {
        if word(args, index, "keys") {
            if args.at(3).is_empty() {
                found.extend((index + 1..args.len()).map(|index| KeyAt { index, flags }));
            }
            return;
        }
        index += match () {
            () if word(args, index, "auth") => 2,
            () if word(args, index, "auth2") => 3,
            () => 1,
        };
    }
    found.push(KeyAt { index: 3, flags });
}

/// SORT: the key, and the last STORE among the options.
pub fn sort(args: Args<'_>, found: &mut Vec<KeyAt>) {
    sort_ro(args, found);
    let mut store = None;
    let mut index = 2;
    while index < args.len() {
        if word(args, index, "limit") {
            index += 2;
        } else if word(args, index, "get") || word(args, index, "by") {
            index += 1;
        } else if word(args, index, "store") && index + 1 < args.len() {
            store = Some(index + 1);
            index += 1;
        }
        index += 1;
    }
    found.extend(store.map(|index| KeyAt { index, flags: key::OW | key::UPDATE }));
}

/// SORT_RO: the key; what BY and GET read is known only when it runs.
pub fn sort_ro(_args: Args<'_>, found: &mut Vec<KeyAt>) {
    found.push(KeyAt { index: 1, flags: key::RO | key::ACCESS });
}

fn has_comparison(args: Args<'_>, first: usize) -> bool {
    (first..args.len())
        .any(|index| ["ifeq", "ifne", "ifdeq", "ifdne"].iter().any(|option| word(args, index, option)))
}

/// SET: the old value is answered with GET, and looked at with a comparison. As in Redis, any word of that name counts.
pub fn set(args: Args<'_>, found: &mut Vec<KeyAt>) {
    let gets = (3..args.len()).any(|index| word(args, index, "get"));
    let reads = gets || has_comparison(args, 3);
    let flags = if reads { key::RW } else { key::OW } | if gets { key::ACCESS } else { 0 };
    found.push(KeyAt { index: 1, flags: flags | key::UPDATE });
}

/// DELEX: the value is looked at only with a comparison.
pub fn delex(args: Args<'_>, found: &mut Vec<KeyAt>) {
    let flags = if has_comparison(args, 2) { key::RW } else { key::RM };
    found.push(KeyAt { index: 1, flags: flags | key::DELETE });
}

/// BITFIELD: reads only, as long as there is nothing but GET.
pub fn bitfield(args: Args<'_>, found: &mut Vec<KeyAt>) {
    let mut index = 2;
    while index < args.len() {
        if word(args, index, "get") && index + 2 < args.len() {
            index += 3;
        } else if word(args, index, "overflow") && index + 1 < args.len() {
            index += 2;
        } else {
            found.push(KeyAt { index: 1, flags: key::RW | key::ACCESS | key::UPDATE });
            return;
        }
    }
    found.push(KeyAt { index: 1, flags: key::RO | key::ACCESS });
}

/// XREAD and XREADGROUP: the first half of what is behind the first STREAMS that follows nothing but options.
pub fn streams(args: Args<'_>, found: &mut Vec<KeyAt>) {
    let mut index = 1;
    while index < args.len() && !word(args, index, "streams") {
        index += match () {
            () if ["block", "count", "claim"].iter().any(|option| word(args, index, option)) => 2,
            () if word(args, index, "group") => 3,
            () if word(args, index, "noack") => 1,
            () => return,
        };
    }
    let behind = args.len().saturating_sub(index + 1);
    if behind.is_multiple_of(2) {
        let keys = (index + 1..).take(behind / 2);
        found.extend(keys.map(|index| KeyAt { index, flags: key::RO | key::ACCESS }));
    }
}

/// GEORADIUS: the key, and the one that is written: what the last STORE or STOREDIST names. Where there are both, Redis's
/// specifications name a key that is not written as well.
pub fn georadius(args: Args<'_>, found: &mut Vec<KeyAt>) {
    // From where Redis looks: the unit is looked at, too.
    key_and_last_store(5, args, found);
}

/// GEORADIUSBYMEMBER: as [`georadius`].
pub fn georadiusbymember(args: Args<'_>, found: &mut Vec<KeyAt>) {
    key_and_last_store(5, args, found);
}

/// The key, and what the last STORE or STOREDIST names from argument `from` on.
fn key_and_last_store(from: usize, args: Args<'_>, found: &mut Vec<KeyAt>) {
    found.push(KeyAt { index: 1, flags: key::RO | key::ACCESS });
    let (mut last, mut index) = (None, from);
    while index + 1 < args.len() {
        if word(args, index, "store") || word(args, index, "storedist") {
            last = Some(index + 1);
            index += 1;
        }
        index += 1;
    }
    found.extend(last.map(|index| KeyAt { index, flags: key::OW | key::UPDATE }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Call, Done, Outcome};
    use crate::resp::OwnedArgs;

    fn nothing(_call: &mut Call<'_>) -> Outcome {
        Ok(Done::Replied)
    }

    fn keys_of(spec: &CommandSpec, request: &str) -> Option<Vec<(usize, u32)>> {
        let owned = OwnedArgs::from_parts(request.split(' '));
        let mut found = Vec::new();
        let fine = find(spec, owned.as_args(), &mut found);
        fine.then(|| found.iter().map(|key| (key.index, key.flags)).collect())
    }

    fn indexes(keys: &'static [KeySpec], request: &str) -> Option<Vec<usize>> {
        let spec = CommandSpec::data("X", nothing).keys(keys);
        keys_of(&spec, request).map(|keys| keys.into_iter().map(|(index, _)| index).collect())
    }

    fn found_by(finder: fn(Args<'_>, &mut Vec<KeyAt>), request: &str) -> Vec<(usize, u32)> {
        keys_of(&CommandSpec::data("X", nothing).key_finder(finder), request).unwrap()
    }

    #[test]
    fn ranges() {
        assert_eq!(indexes(&[KeySpec::FIRST], "get k"), Some(vec![1]));
        assert_eq!(indexes(&[KeySpec::ALL], "del a b c"), Some(vec![1, 2, 3]));
        assert_eq!(indexes(const { &[KeySpec::FIRST.range(-1, 2, 0)] }, "mset a 1 b 2"), Some(vec![1, 3]));
        assert_eq!(indexes(const { &[KeySpec::FIRST.range(-2, 1, 0)] }, "blpop a b 0"), Some(vec![1, 2]));
        assert_eq!(indexes(const { &[KeySpec::FIRST.range(1, 1, 0)] }, "lcs a b LEN"), Some(vec![1, 2]));
        assert_eq!(indexes(const { &[KeySpec::FIRST.range(1, 1, 0)] }, "lcs a"), None);
        assert_eq!(indexes(&[KeySpec::SECOND], "object freq"), None);
        const STREAMS: &[KeySpec] = &[KeySpec::keyword("STREAMS", 1).range(-1, 1, 2)];
        assert_eq!(indexes(STREAMS, "xread count 1 streams a b 0 0"), Some(vec![4, 5]));
        assert_eq!(indexes(STREAMS, "xread count 1"), Some(vec![]));
        assert_eq!(indexes(STREAMS, "xread streams"), None);
        const FROM_4: &[KeySpec] = &[KeySpec::keyword("STREAMS", 4).range(-1, 1, 2).ro().access()];
        let group = CommandSpec::data("X", nothing).keys(FROM_4).key_fallback(streams);
        let keys = |request: &str| {
            keys_of(&group, request)
                .map(|found| found.into_iter().map(|(index, _)| index).collect::<Vec<_>>())
        };
        assert_eq!(keys("xreadgroup group g c streams a b 0 0"), Some(vec![5, 6]));
        assert_eq!(keys("xreadgroup streams a b c d streams 1"), Some(vec![2, 3, 4]));
        assert_eq!(keys("xreadgroup streams a b c streams 1"), None);
        assert_eq!(keys("xreadgroup group g c count streams"), None);
        const KEYS: &[KeySpec] = &[KeySpec::keyword("KEYS", -2).range(-1, 1, 0)];
        assert_eq!(indexes(KEYS, "migrate h p k 0 9 keys a b"), Some(vec![7, 8]));
        let migrated =
            |request| found_by(migrate, request).into_iter().map(|(index, _)| index).collect::<Vec<_>>();
        assert_eq!(migrated("migrate h p k 0 9 copy keys"), [3]);
        assert_eq!(migrated("migrate h p k 0 9 keys a"), [0; 0]);
    }

    #[test]
    fn the_only_key() {
        let only = |keys: &'static [KeySpec], request: &str| {
            let spec = CommandSpec::data("X", nothing).keys(keys);
            let owned = OwnedArgs::from_parts(request.split(' '));
            find_only(&spec, owned.as_args()).map(|key| key.index)
        };
        assert_eq!(only(&[KeySpec::FIRST], "get k v"), Some(1));
        assert_eq!(only(&[KeySpec::SECOND], "object freq k"), Some(2));
        assert_eq!(only(&[KeySpec::SECOND], "object freq"), None);
        assert_eq!(only(&[KeySpec::ALL], "del k"), None);
        assert_eq!(only(const { &[KeySpec::FIRST, KeySpec::SECOND] }, "rename a b"), None);
        assert_eq!(only(const { &[KeySpec::FIRST.with(key::NOT_KEY)] }, "spublish c m"), None);
        let spec = CommandSpec::data("X", nothing).keys(&[KeySpec::FIRST]).key_finder(set);
        assert!(find_only(&spec, OwnedArgs::from_parts(["set", "k", "v"]).as_args()).is_none());
    }

    #[test]
    fn numbers_of_keys() {
        const STORE: &[KeySpec] = &[KeySpec::FIRST, KeySpec::SECOND.numkeys(0, 1, 1)];
        assert_eq!(indexes(STORE, "zunionstore d 2 a b weights 1 2"), Some(vec![1, 3, 4]));
        for count in ["0", "-1", "3", "x", "1443677133621497600", "99999999999999999999", "01", ""] {
            assert_eq!(indexes(STORE, &format!("zunionstore d {count} a b")), None, "{count}");
        }
        const PAIRS: &[KeySpec] = &[KeySpec::FIRST.numkeys(0, 1, 2)];
        assert_eq!(indexes(PAIRS, "msetex 2 a 1 b 2 nx"), Some(vec![2, 4]));
        assert_eq!(indexes(PAIRS, "msetex 3 a 1 b 2"), None);
    }

    #[test]
    fn what_is_no_key_counts_only_for_routing() {
        const CHANNEL: &[KeySpec] = &[KeySpec::FIRST.with(key::NOT_KEY)];
        let spec = CommandSpec::data("SPUBLISH", nothing).keys(CHANNEL);
        assert!(!has_keys(&spec));
        assert_eq!(keys_of(&spec, "spublish c m"), Some(vec![]));
        let request = OwnedArgs::from_parts(["spublish", "c", "m"]);
        let mut found = Vec::new();
        assert!(find_routed(&spec, request.as_args(), &mut found));
        assert_eq!(found[0].index, 1);
    }

    #[test]
    fn finders() {
        const READ: u32 = key::RO | key::ACCESS;
        const WRITE: u32 = key::OW | key::UPDATE;
        assert_eq!(found_by(sort, "sort a by store store b store c"), [(1, READ), (7, WRITE)]);
        assert_eq!(found_by(sort, "sort a store"), [(1, READ)]);
        assert_eq!(found_by(set, "set k get"), [(1, WRITE)]);
        assert_eq!(found_by(set, "set k v GET"), [(1, key::RW | key::ACCESS | key::UPDATE)]);
        assert_eq!(found_by(bitfield, "bitfield k get u8 0 overflow fail"), [(1, READ)]);
        assert_eq!(found_by(bitfield, "bitfield k get u8 0 set u8 0 1")[0].1 & key::RW, key::RW);
        let both = "georadius k 1 2 3 m store a storedist b";
        assert_eq!(found_by(georadius, both), [(1, READ), (9, WRITE)]);
        assert_eq!(found_by(georadius, "georadius k 1 2 3 m store a storedist"), [(1, READ), (7, WRITE)]);
        assert_eq!(found_by(georadius, "georadius k 1 2 3 m store a store b"), [(1, READ), (9, WRITE)]);
        assert_eq!(found_by(georadius, "georadius k 1 2 3 store a"), [(1, READ), (6, WRITE)]);
        assert_eq!(found_by(georadius, "georadius k 1 2 store a"), [(1, READ)], "it is too early");
        assert_eq!(found_by(georadiusbymember, "georadiusbymember k m 3 m store a"), [(1, READ), (6, WRITE)]);
    }

    #[test]
    fn ranges_of_old() {
        let range = |first, last, step, movable| LegacyRange { first, last, step, movable };
        assert_eq!(legacy_range(&[]), range(0, 0, 0, false));
        assert_eq!(legacy_range(&[KeySpec::FIRST.range(-1, 2, 0)]), range(1, -1, 2, false));
        assert_eq!(legacy_range(&[KeySpec::FIRST, KeySpec::SECOND]), range(1, 2, 1, false));
        assert_eq!(legacy_range(&[KeySpec::FIRST, KeySpec::unknown()]), range(1, 1, 1, true));
        assert_eq!(legacy_range(&[KeySpec::FIRST.numkeys(0, 1, 1)]), range(0, 0, 0, true));
        let bitop = [KeySpec::SECOND, KeySpec::index(3).range(-1, 1, 0)];
        assert_eq!(legacy_range(&bitop), range(2, -1, 1, false));
    }
}
