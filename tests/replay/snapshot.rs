//! A data set as text, read through commands: every key with its type, value and deadlines.

use std::collections::BTreeMap;

use redloop::base::ids::ClientId;
use redloop::base::quoting;
use redloop::engine::Engine;
use redloop::services::config::MaxmemoryPolicy;

use crate::request::Request;

/// Type, value and deadlines by database and key.
pub type Snapshot = BTreeMap<(usize, Vec<u8>), String>;

/// What XINFO STREAM tells of the node structure, and when a consumer was last heard of: neither is replicated.
const LOCAL: &[&[u8]] = &[
    b"radix-tree-keys",
    b"radix-tree-nodes",
    b"seen-time",
    b"active-time",
    // Expired requests are forgotten here and there at times of their own.
    b"pids-tracked",
    b"iids-tracked",
];

/// What depends on how the nodes were filled, which loading may change.
const NODES: &[&[u8]] = &[b"radix-tree-keys", b"radix-tree-nodes"];

/// What a comparison without counters leaves out.
const COUNTERS: &[&[u8]] = &[b"iids-added", b"iids-duplicates"];

/// What a comparison is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Also what the command stream doesn't carry: when entries of streams and consumers were last used.
    pub uses: bool,
    /// Also when keys were last used.
    pub access: bool,
    /// Only what commands can say: not when consumers were last heard of, nor pending entries whose stream entry is gone.
    pub commands: bool,
    /// Also how many requests of producers were ever appended or seen again, which a log's base of commands doesn't say.
    pub counters: bool,
}

/// Characters of a value that a failure shows.
const SHOWN: usize = 1000;

/// Reads with `session`, which ignores deadlines, so that nothing expires by being looked at.
struct Reader<'a> {
    engine: &'a mut Engine,
    session: ClientId,
    scope: Scope,
}

/// The whole data set of an engine.
pub fn take(engine: &mut Engine, session: ClientId, scope: Scope) -> Snapshot {
    let databases = engine.data.keyspace.count();
    let mut reader = Reader { engine, session, scope };
    let mut snapshot = Snapshot::new();
    for db in 0..databases {
        if reader.engine.data.keyspace.database(db).is_empty() {
            continue;
        }
        reader.words(&[b"SELECT", db.to_string().as_bytes()]);
        // The cursor is the first word.
        for key in reader.words(&[b"SCAN", b"0", b"COUNT", b"100000"]).split_off(1) {
            let text = reader.describe(&key);
            snapshot.insert((db, key), text);
        }
    }
    snapshot
}

/// The first few keys in which two data sets differ.
pub fn difference(primary: &Snapshot, replica: &Snapshot) -> Option<String> {
    if primary == replica {
        return None;
    }
    let keys: std::collections::BTreeSet<_> = primary.keys().chain(replica.keys()).collect();
    let absent = String::from("(no key)");
    let lines = keys.into_iter().filter_map(|key| {
        let (ours, theirs) = (primary.get(key).unwrap_or(&absent), replica.get(key).unwrap_or(&absent));
        let name = quoting::printable(&key.1);
        let [shown, others] = [ours, theirs].map(|text| text.chars().take(SHOWN).collect::<String>());
        (ours != theirs)
            .then(|| format!("database {}, key {name}:\n  primary {shown}\n  replica {others}", key.0))
    });
    Some(lines.take(3).collect::<Vec<_>>().join("\n"))
}

impl Reader<'_> {
    /// The words of a reply, however nested.
    fn words(&mut self, words: &[&[u8]]) -> Vec<Vec<u8>> {
        let request = Request::from_words(words);
        flat(&request.run(self.engine, self.session).1)
    }

    fn describe(&mut self, key: &[u8]) -> String {
        let kind = self.words(&[b"TYPE", key]).remove(0);
        let mut groups = match kind.as_slice() {
            b"string" => vec![self.words(&[b"GET", key])],
            b"list" => vec![self.words(&[b"LRANGE", key, b"0", b"-1"])],
            b"set" => sorted(self.words(&[b"SMEMBERS", key]), 1),
            b"zset" => self.zset(key),
            b"hash" => self.hash(key),
            b"stream" => vec![self.stream(key)],
            other => panic!("type {}", quoting::printable(other)),
        };
        groups.insert(0, vec![kind]);
        groups.push(self.words(&[b"PEXPIRETIME", key]));
        match self.engine.config.maxmemory_policy {
            _ if !self.scope.access => {}
            MaxmemoryPolicy::AllkeysLru | MaxmemoryPolicy::VolatileLru => {
                groups.push(self.words(&[b"OBJECT", b"IDLETIME", key]));
            }
            MaxmemoryPolicy::AllkeysLfu | MaxmemoryPolicy::VolatileLfu => {
                groups.push(self.words(&[b"OBJECT", b"FREQ", key]));
            }
            _ => {}
        }
        let shown =
            groups.iter().map(|words| words.iter().map(|word| quoting::printable(word)).collect::<Vec<_>>());
        shown.map(|words| words.join(" ")).collect::<Vec<_>>().join(" / ")
    }

    /// Members with their scores. A listpack has no negative zero, as in Redis.
    fn zset(&mut self, key: &[u8]) -> Vec<Vec<Vec<u8>>> {
        let mut words = self.words(&[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"]);
        words
            .iter_mut()
            .skip(1)
            .step_by(2)
            .filter(|score| *score == b"-0")
            .for_each(|score| *score = b"0".to_vec());
        sorted(words, 2)
    }

    /// Fields with their values and deadlines.
    fn hash(&mut self, key: &[u8]) -> Vec<Vec<Vec<u8>>> {
        let mut fields = sorted(self.words(&[b"HGETALL", key]), 2);
        let names: Vec<Vec<u8>> = fields.iter().map(|field| field[0].clone()).collect();
        let count = names.len().to_string();
        let mut request: Vec<&[u8]> = vec![b"HPEXPIRETIME", key, b"FIELDS", count.as_bytes()];
        request.extend(names.iter().map(Vec::as_slice));
        let deadlines = self.words(&request);
        assert_eq!(deadlines.len(), fields.len());
        fields.iter_mut().zip(deadlines).for_each(|(field, deadline)| field.push(deadline));
        fields
    }

    /// Entries, groups, consumers and pending entries. When an entry was last delivered and how often isn't compared:
    /// reading one's history counts, and is not propagated (as in Redis).
    fn stream(&mut self, key: &[u8]) -> Vec<Vec<u8>> {
        if self.scope.commands {
            return self.stream_by_commands(key);
        }
        let all = self.words(&[b"XINFO", b"STREAM", key, b"FULL", b"COUNT", b"0"]);
        if self.scope.uses {
            let mut words = all.into_iter();
            let mut told = Vec::new();
            while let Some(word) = words.next() {
                if NODES.contains(&word.as_slice()) {
                    words.next();
                } else {
                    told.push(word);
                }
            }
            return told;
        }
        let (mut told, mut pending, mut in_group) = (Vec::new(), 0, false);
        let mut words = all.into_iter();
        while let Some(word) = words.next() {
            match word.as_slice() {
                b"lag" => in_group = true,
                b"consumers" => in_group = false,
                label if LOCAL.contains(&label) || !self.scope.counters && COUNTERS.contains(&label) => {
                    words.next();
                    continue;
                }
                _ => {}
            }
            if told.last().is_some_and(|last| last == b"pel-count") {
                pending = String::from_utf8_lossy(&word).parse().expect("a count");
            }
            let lists = word == b"pending";
            told.push(word);
            // Identifier, in a group's list the consumer, time, count.
            for _ in (0..pending).filter(|_| lists) {
                told.extend(words.by_ref().take(1 + usize::from(in_group)));
                words.by_ref().take(2).for_each(drop);
            }
        }
        told
    }
}

/// What the commands of a log's base say of a stream.
impl Reader<'_> {
    fn stream_by_commands(&mut self, key: &[u8]) -> Vec<Vec<u8>> {
        let mut told = self.words(&[b"XRANGE", key, b"-", b"+"]);
        let facts = self.words(&[b"XINFO", b"STREAM", key]);
        let wanted: [&[u8]; 4] =
            [b"last-generated-id", b"max-deleted-entry-id", b"entries-added", b"recorded-first-entry-id"];
        told.extend(facts.windows(2).filter(|pair| wanted.contains(&&*pair[0])).map(|pair| pair[1].clone()));
        let groups = self.words(&[b"XINFO", b"GROUPS", key]);
        let labels: [&[u8]; 5] = [b"name", b"consumers", b"last-delivered-id", b"entries-read", b"lag"];
        let mut names = Vec::new();
        // Each group is six labels with their values.
        for (number, pair) in groups.chunks(2).enumerate() {
            if labels.contains(&&*pair[0]) {
                told.extend_from_slice(pair);
            }
            if number % 6 == 0 {
                names.push(pair[1].clone());
            }
        }
        for group in names {
            let consumers = self.words(&[b"XINFO", b"CONSUMERS", key, &group]);
            // A consumer: name, pending, idle, inactive.
            told.extend(consumers.chunks(8).map(|consumer| consumer[1].clone()));
            let pending = self.words(&[b"XPENDING", key, &group, b"-", b"+", b"1000000"]);
            for entry in pending.chunks(4) {
                if !self.words(&[b"XRANGE", key, &entry[0], &entry[0]]).is_empty() {
                    told.extend_from_slice(entry);
                }
            }
        }
        told
    }
}

/// Groups of `size` words, in order of their words.
fn sorted(words: Vec<Vec<u8>>, size: usize) -> Vec<Vec<Vec<u8>>> {
    let mut groups: Vec<Vec<Vec<u8>>> = words.chunks(size).map(<[_]>::to_vec).collect();
    groups.sort();
    groups
}

/// The leaves of a RESP2 reply.
fn flat(reply: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = reply;
    let mut words = Vec::new();
    while !rest.is_empty() {
        let end = rest.windows(2).position(|pair| pair == b"\r\n").expect("a line end");
        let (line, after) = (&rest[1..end], &rest[end + 2..]);
        let number = || std::str::from_utf8(line).expect("text").parse::<i64>().expect("a length");
        match rest[0] {
            b'*' => rest = after,
            b'$' if number() < 0 => {
                words.push(b"(nil)".to_vec());
                rest = after;
            }
            b'$' => {
                let length = number() as usize;
                words.push(after[..length].to_vec());
                rest = &after[length + 2..];
            }
            b'-' => panic!("{}", quoting::printable(rest)),
            _ => {
                words.push(line.to_vec());
                rest = after;
            }
        }
    }
    words
}
