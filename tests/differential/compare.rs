//! Comparison of two replies: equal but for what has no order, is random, or is measured.

use crate::support::reply::{Reply, Words};

/// How far apart two clocks may be read, milliseconds.
const PATIENCE_MS: i64 = 8_000;
/// Numbers above are instants, milliseconds since 1970.
const INSTANTS: std::ops::Range<i64> = 1_500_000_000_000..3_000_000_000_000;

/// How the replies to a command are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Exact,
    /// Elements in any order.
    Unordered,
    /// A flat list of pairs in any order.
    Pairs,
    /// Only the types and how many there are.
    Shape,
    /// Numbers that are seconds or milliseconds from now.
    Near,
    /// A cursor and elements in any order; the elements only where the scan ends at once.
    Walk,
    /// With times that passed, and trees that are built otherwise.
    Measured,
    /// Texts of our own: only the first line is theirs.
    Help,
    /// Anything but errors.
    Own,
    /// Channels that are left, in any order.
    Left,
}

fn mode(command: &Words) -> Mode {
    let word = |at: usize| {
        command.get(at).map(|word| String::from_utf8_lossy(word).to_ascii_uppercase()).unwrap_or_default()
    };
    match word(0).as_str() {
        "SMEMBERS" | "SINTER" | "SUNION" | "SDIFF" | "HKEYS" | "HVALS" | "KEYS" => Mode::Unordered,
        "HGETALL" => Mode::Pairs,
        "SRANDMEMBER" | "HRANDFIELD" | "ZRANDMEMBER" | "RANDOMKEY" | "SPOP" | "DUMP" | "XADD" => {
            let named = word(0) == "XADD" && !command.iter().any(|word| word == b"*");
            if named { Mode::Exact } else { Mode::Shape }
        }
        "TTL" | "PTTL" | "EXPIRETIME" | "PEXPIRETIME" | "HTTL" | "HPTTL" | "HEXPIRETIME" | "HPEXPIRETIME" => {
            Mode::Near
        }
        "SCAN" | "SSCAN" | "HSCAN" | "ZSCAN" => Mode::Walk,
        _ if word(1) == "HELP" => Mode::Help,
        "XPENDING" | "XINFO" => Mode::Measured,
        "UNSUBSCRIBE" | "PUNSUBSCRIBE" | "SUNSUBSCRIBE" => Mode::Left,
        "OBJECT" if word(1) == "IDLETIME" => Mode::Near,
        "CONFIG" if word(1) == "GET" => Mode::Pairs,
        "COMMAND" | "FUNCTION" if word(1) == "LIST" => Mode::Unordered,
        "PUBSUB" if word(1).ends_with("CHANNELS") => Mode::Unordered,
        "CLIENT" if word(1) == "ID" => Mode::Shape,
        "ACL" if word(1) == "GENPASS" => Mode::Shape,
        // Without replicas, Redis counts an offset or not, by what came before.
        "ROLE" => Mode::Shape,
        "ACL" if word(1) == "CAT" => Mode::Unordered,
        "PUBLISH" | "SPUBLISH" => Mode::Unordered,
        // Its reply names the version and the connection.
        "HELLO" => Mode::Own,
        _ => Mode::Exact,
    }
}

/// Whether two servers may answer so differently.
pub fn agree(command: &Words, ours: &Reply, theirs: &Reply) -> bool {
    if ours == theirs {
        return true;
    }
    if matches!(ours, Reply::Error(_)) || matches!(theirs, Reply::Error(_)) {
        return false;
    }
    match mode(command) {
        Mode::Exact => canonical(ours) == canonical(theirs),
        Mode::Unordered => sorted(ours) == sorted(theirs),
        Mode::Pairs => pairs(ours) == pairs(theirs),
        Mode::Shape => same_shape(ours, theirs),
        Mode::Near => near(ours, theirs),
        Mode::Walk => walks_agree(command, ours, theirs),
        Mode::Measured => measured(command, ours) == measured(command, theirs),
        Mode::Own => true,
        Mode::Help => first_line(ours) == first_line(theirs),
        Mode::Left => left(ours) == left(theirs),
    }
}

/// Sets and maps in order.
fn canonical(reply: &Reply) -> Reply {
    match reply {
        Reply::Array(elements) => Reply::Array(elements.iter().map(canonical).collect()),
        Reply::Push(elements) => Reply::Push(elements.iter().map(canonical).collect()),
        Reply::Set(elements) => {
            let mut elements: Vec<_> = elements.iter().map(canonical).collect();
            elements.sort();
            Reply::Set(elements)
        }
        Reply::Map(pairs) => {
            let mut pairs: Vec<_> =
                pairs.iter().map(|(key, value)| (canonical(key), canonical(value))).collect();
            pairs.sort();
            Reply::Map(pairs)
        }
        other => other.clone(),
    }
}

/// Arrays in order, and those within.
fn sorted(reply: &Reply) -> Reply {
    match reply {
        Reply::Array(elements) => {
            let mut elements: Vec<_> = elements.iter().map(sorted).collect();
            elements.sort();
            Reply::Array(elements)
        }
        Reply::Map(pairs) => {
            let mut pairs: Vec<_> = pairs.iter().map(|(key, value)| (sorted(key), sorted(value))).collect();
            pairs.sort();
            Reply::Map(pairs)
        }
        other => canonical(other),
    }
}

fn pairs(reply: &Reply) -> Reply {
    let Reply::Array(elements) = reply else { return canonical(reply) };
    let mut pairs: Vec<_> = elements.chunks(2).map(|pair| Reply::Array(pair.to_vec())).collect();
    pairs.sort();
    Reply::Array(pairs)
}

fn first_line(reply: &Reply) -> Option<&Reply> {
    match reply.elements()?.first()? {
        nested @ Reply::Array(_) => first_line(nested),
        line => Some(line),
    }
}

/// The messages of a command that leaves channels: names and counts in order, each for itself.
fn left(reply: &Reply) -> Vec<Vec<Reply>> {
    let messages = reply.elements().unwrap_or(&[]);
    let column = |at: usize| {
        let mut column: Vec<Reply> =
            messages.iter().filter_map(|message| message.elements()?.get(at).cloned()).collect();
        column.sort();
        column
    };
    (0..3).map(column).collect()
}

fn same_shape(ours: &Reply, theirs: &Reply) -> bool {
    match (ours, theirs) {
        (Reply::Null(a), Reply::Null(b)) => a == b,
        (Reply::Map(a), Reply::Map(b)) => a.len() == b.len(),
        _ => match (ours.elements(), theirs.elements()) {
            (Some(a), Some(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(ours, theirs)| same_shape(ours, theirs))
            }
            _ => std::mem::discriminant(ours) == std::mem::discriminant(theirs),
        },
    }
}

fn near(ours: &Reply, theirs: &Reply) -> bool {
    match (ours, theirs) {
        (Reply::Int(a), Reply::Int(b)) => a == b || (*a >= 0 && *b >= 0 && (a - b).abs() <= PATIENCE_MS),
        (Reply::Array(a), Reply::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| near(a, b)),
        _ => ours == theirs,
    }
}

/// The elements of a scan, without repetitions, if it is at its end.
fn walked(command: &Words, reply: &Reply) -> Option<Vec<Reply>> {
    let [Reply::Bulk(cursor), elements] = reply.elements()? else { return None };
    let flat = elements.elements()?;
    let wide = match command[0].as_slice() {
        b"ZSCAN" => 2,
        b"HSCAN" if !command.iter().any(|word| word.eq_ignore_ascii_case(b"NOVALUES")) => 2,
        _ => 1,
    };
    let mut elements: Vec<_> = flat.chunks(wide).map(|chunk| Reply::Array(chunk.to_vec())).collect();
    elements.sort();
    elements.dedup();
    (cursor == b"0").then_some(elements)
}

/// Whether a scan begins at a cursor that was made up.
fn is_from_within(command: &Words) -> bool {
    let at = if command[0] == b"SCAN" { 1 } else { 2 };
    command.get(at).is_some_and(|cursor| cursor.iter().any(|digit| (b'1'..=b'9').contains(digit)))
}

fn walks_agree(command: &Words, ours: &Reply, theirs: &Reply) -> bool {
    match (walked(command, ours), walked(command, theirs)) {
        // From within, each goes its own way.
        (Some(ours), Some(theirs)) => is_from_within(command) || ours == theirs,
        _ => matches!((ours, theirs), (Reply::Array(a), Reply::Array(b)) if a.len() == b.len()),
    }
}

/// Without what is measured: how long ago, and how the tree of a stream is built.
fn measured(command: &Words, reply: &Reply) -> Reply {
    let is_entry = |elements: &[Reply]| {
        command[0] == b"XPENDING" && matches!(elements, [_, Reply::Bulk(_), Reply::Int(_), Reply::Int(_)])
    };
    let veiled = |name: &Reply| {
        let names: [&[u8]; 4] = [b"idle", b"inactive", b"radix-tree-keys", b"radix-tree-nodes"];
        name.bytes().is_some_and(|name| names.contains(&name))
    };
    match reply {
        Reply::Int(number) if INSTANTS.contains(number) => Reply::Int(0),
        Reply::Array(elements) if is_entry(elements) => {
            let mut elements = elements.clone();
            elements[2] = Reply::Int(0);
            Reply::Array(elements)
        }
        Reply::Array(elements) => {
            let mut shown: Vec<Reply> = elements.iter().map(|element| measured(command, element)).collect();
            for at in 1..shown.len() {
                if veiled(&elements[at - 1]) {
                    shown[at] = Reply::Int(0);
                }
            }
            Reply::Array(shown)
        }
        Reply::Map(pairs) => {
            let one = |(name, value): &(Reply, Reply)| {
                (name.clone(), if veiled(name) { Reply::Int(0) } else { measured(command, value) })
            };
            Reply::Map(pairs.iter().map(one).collect())
        }
        other => other.clone(),
    }
}
