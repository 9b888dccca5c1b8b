//! Commands on large collections: they make them, and change them in many places.

use redloop::base::rng::Rng;

use crate::grammar::Case;

/// Members and fields have numbers below this.
const NUMBERS: u64 = 1500;

/// Templates: `?` a key's number, `#` a number below [`NUMBERS`], `%` a small one, `…` many more words like the ones behind `{`.
const FILL: &[&str] = &[
    "SADD t? { m#",
    "SADD t? { #",
    "HSET h? { m# value:#",
    "HSET h? { m# value:#",
    "ZADD z? { % m#",
    "ZADD y? { 0 m#",
    "RPUSH l? { element:#",
    "LPUSH l? { #",
];

const CHANGE: &[&str] = &[
    "SADD t? m# m# #",
    "SREM t? m# m# m# m# #",
    "SMOVE t? t? m#",
    "SPOP t? 50",
    "SPOP t? #",
    "SINTERSTORE t? t? t?",
    "SUNIONSTORE t? t? t?",
    "SDIFFSTORE t? t? t?",
    "HSET h? m# new:# m# new:#",
    "HDEL h? m# m# m# m# m#",
    "HINCRBY h? n# 1",
    "HPEXPIRE h? 1 FIELDS 3 m# m# m#",
    "HPEXPIRE h? 100 FIELDS 3 m# m# m#",
    "HPEXPIRE h? 10000000 FIELDS 3 m# m# m#",
    "HPERSIST h? FIELDS 2 m# m#",
    "HGETEX h? PX 20 FIELDS 2 m# m#",
    "HGETDEL h? FIELDS 2 m# m#",
    "HGET h? m#",
    "ZADD z? % m# % m# # m#",
    "ZADD z? XX CH % m# % m# # m#",
    "ZINCRBY z? 1 m#",
    "ZREM z? m# m# m#",
    "ZREMRANGEBYRANK z? # #",
    "ZREMRANGEBYSCORE z? % %",
    "ZPOPMIN z? %",
    "ZPOPMAX z? #",
    "ZUNIONSTORE z? 2 z? z?",
    "ZRANGESTORE z? z? 0 #",
    "ZDIFFSTORE z? 2 z? z?",
    "LPUSH l? head:# head:#",
    "RPUSH l? tail:#",
    "LPOP l? %",
    "RPOP l? #",
    "LSET l? # changed",
    "LINSERT l? BEFORE element:# inserted",
    "LREM l? 0 element:#",
    "LTRIM l? # -2",
    "LTRIM l? 1 -#",
    "LMOVE l? l? LEFT RIGHT",
    "SORT l? ALPHA STORE l?",
    "SORT t? ALPHA STORE l?",
    "XADD x? * f #",
    "XADD x? MAXLEN # * f v",
    "XTRIM x? MAXLEN #",
    "XTRIM x? MAXLEN ~ #",
    "XDEL x? %-0 %-1 1#-0",
    "XGROUP CREATE x? g 0 MKSTREAM",
    "XGROUP CREATE x? h # MKSTREAM",
    "XGROUP CREATECONSUMER x? g d",
    "XGROUP DELCONSUMER x? g c",
    "XGROUP DESTROY x? g",
    "XGROUP SETID x? g #",
    "XREADGROUP GROUP g c COUNT # STREAMS x? >",
    "XREADGROUP GROUP g d COUNT % STREAMS x? >",
    "XREADGROUP GROUP g c COUNT # STREAMS x? 0",
    "XACK x? g %-0 %-1 #-0",
    "XAUTOCLAIM x? g d 0 0 COUNT #",
    "XCLAIM x? g d 0 %-0 %-1",
    "XSETID x? 99999999999999-0",
    "RENAME t? t?",
    "RENAME h? h?",
    "RENAME z? z?",
    "RENAMENX l? l?",
    "RENAME x? x?",
    "COPY t? t? REPLACE",
    "COPY h? h? REPLACE",
    "COPY z? z? DB 1 REPLACE",
    "COPY x? x? REPLACE",
    "COPY l? l? REPLACE",
    "MOVE t? 1",
    "MOVE h? 1",
    "MOVE l? 1",
    "MOVE x? 0",
    "SWAPDB 0 1",
    "SELECT 1",
    "SELECT 0",
    "DEL t? h?",
    "UNLINK z? l?",
    "UNLINK t? x?",
    "SET t? string",
    "PEXPIRE h? 10",
    "PEXPIRE z? 1000000",
    "PERSIST z?",
    "SET s? value",
    "FLUSHDB",
    "FLUSHDB ASYNC",
    "FLUSHALL ASYNC",
    "FLUSHALL",
];

/// A command that makes a collection large, several for a stream.
pub fn fill(rng: &mut Rng) -> Case {
    if rng.below(4) == 0 {
        let key = format!("x{}", rng.below(4)).into_bytes();
        let entry = |_| {
            let words: [&[u8]; 5] = [b"XADD", &key, b"*", b"field", b"value"];
            words.map(<[u8]>::to_vec).to_vec()
        };
        return (0..20 + rng.below(60)).map(entry).collect();
    }
    let template = FILL[rng.below(FILL.len() as u64) as usize];
    let (head, group) = template.split_once(" { ").expect("a group");
    let mut words = expand(head, rng);
    for _ in 0..100 + rng.below(1600) {
        words.extend(expand(group, rng));
    }
    vec![words]
}

/// A command that changes one.
pub fn change(rng: &mut Rng) -> Case {
    let mut at = rng.below(CHANGE.len() as u64) as usize;
    if CHANGE[at].starts_with("FLUSH") && rng.below(3) > 0 {
        at = rng.below(CHANGE.len() as u64) as usize;
    }
    vec![expand(CHANGE[at], rng)]
}

fn expand(template: &str, rng: &mut Rng) -> Vec<Vec<u8>> {
    let word = |word: &str| {
        let mut text = String::new();
        for letter in word.chars() {
            match letter {
                '?' => text += &rng.below(4).to_string(),
                '#' => text += &rng.below(NUMBERS).to_string(),
                '%' => text += &rng.below(12).to_string(),
                other => text.push(other),
            }
        }
        text.into_bytes()
    };
    template.split(' ').map(word).collect()
}
