//! Keyspace events: what happened to a key, as `notify-keyspace-events` classes it and names it.
//!
//! Source: https://redis.io/docs/latest/develop/pubsub/keyspace-notifications/

pub mod class {
    //! Classes of events, one bit each; the letter is the one of `notify-keyspace-events`.
    /// `K`: publish on `__keyspace@<db>__:<key>`.
    pub const KEYSPACE: u32 = 1 << 0;
    /// `E`: publish on `__keyevent@<db>__:<event>`.
    pub const KEYEVENT: u32 = 1 << 1;
    /// `g`
    pub const GENERIC: u32 = 1 << 2;
    /// `$`
    pub const STRING: u32 = 1 << 3;
    /// `l`
    pub const LIST: u32 = 1 << 4;
    /// `s`
    pub const SET: u32 = 1 << 5;
    /// `h`
    pub const HASH: u32 = 1 << 6;
    /// `z`
    pub const ZSET: u32 = 1 << 7;
    /// `x`
    pub const EXPIRED: u32 = 1 << 8;
    /// `e`
    pub const EVICTED: u32 = 1 << 9;
    /// `t`
    pub const STREAM: u32 = 1 << 10;
    /// `m`: a read found no key. Not part of `A`.
    pub const KEY_MISS: u32 = 1 << 11;
    /// `d`: events of modules.
    pub const MODULE: u32 = 1 << 13;
    /// `n`: a key was created. Not part of `A`.
    pub const NEW: u32 = 1 << 14;
    /// `o`: a key's value was replaced as a whole. Not part of `A`.
    pub const OVERWRITTEN: u32 = 1 << 15;
    /// `c`: … by one of another type. Not part of `A`.
    pub const TYPE_CHANGED: u32 = 1 << 16;
    /// What is recorded when a value is replaced as a whole.
    pub const REPLACED: u32 = OVERWRITTEN | TYPE_CHANGED;
    /// `A`
    pub const ALL: u32 = GENERIC | STRING | LIST | SET | HASH | ZSET | EXPIRED | EVICTED | STREAM | MODULE;
}

/// One kind of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// One bit of [`class`].
    pub class: u32,
    /// As it appears on the channel.
    pub name: &'static str,
}

macro_rules! events {
    ($($constant:ident = $class:ident $name:literal;)*) => {
        $(pub const $constant: Event = Event { class: class::$class, name: $name };)*
    };
}

events! {
    SET = STRING "set";
    SETRANGE = STRING "setrange";
    APPEND = STRING "append";
    INCRBY = STRING "incrby";
    INCRBYFLOAT = STRING "incrbyfloat";
    SETBIT = STRING "setbit";
    PFADD = STRING "pfadd";
    DEL = GENERIC "del";
    EXPIRE = GENERIC "expire";
    PERSIST = GENERIC "persist";
    RENAME_FROM = GENERIC "rename_from";
    RENAME_TO = GENERIC "rename_to";
    MOVE_FROM = GENERIC "move_from";
    MOVE_TO = GENERIC "move_to";
    COPY_TO = GENERIC "copy_to";
    RESTORE = GENERIC "restore";
    EXPIRED = EXPIRED "expired";
    EVICTED = EVICTED "evicted";
    NEW = NEW "new";
    KEY_MISS = KEY_MISS "keymiss";
    OVERWRITTEN = OVERWRITTEN "overwritten";
    TYPE_CHANGED = TYPE_CHANGED "type_changed";
    LPUSH = LIST "lpush";
    RPUSH = LIST "rpush";
    LPOP = LIST "lpop";
    RPOP = LIST "rpop";
    LINSERT = LIST "linsert";
    LSET = LIST "lset";
    LREM = LIST "lrem";
    LTRIM = LIST "ltrim";
    SORTSTORE = LIST "sortstore";
    SADD = SET "sadd";
    SREM = SET "srem";
    SPOP = SET "spop";
    SINTERSTORE = SET "sinterstore";
    SUNIONSTORE = SET "sunionstore";
    SDIFFSTORE = SET "sdiffstore";
    HSET = HASH "hset";
    HDEL = HASH "hdel";
    HINCRBY = HASH "hincrby";
    HINCRBYFLOAT = HASH "hincrbyfloat";
    HEXPIRE = HASH "hexpire";
    HEXPIRED = HASH "hexpired";
    HPERSIST = HASH "hpersist";
    ZADD = ZSET "zadd";
    ZINCR = ZSET "zincr";
    ZREM = ZSET "zrem";
    ZREMRANGEBYSCORE = ZSET "zremrangebyscore";
    ZREMRANGEBYRANK = ZSET "zremrangebyrank";
    ZREMRANGEBYLEX = ZSET "zremrangebylex";
    ZPOPMIN = ZSET "zpopmin";
    ZPOPMAX = ZSET "zpopmax";
    ZRANGESTORE = ZSET "zrangestore";
    ZUNIONSTORE = ZSET "zunionstore";
    ZINTERSTORE = ZSET "zinterstore";
    ZDIFFSTORE = ZSET "zdiffstore";
    GEORADIUSSTORE = ZSET "georadiusstore";
    GEOSEARCHSTORE = ZSET "geosearchstore";
    XADD = STREAM "xadd";
    XDEL = STREAM "xdel";
    XTRIM = STREAM "xtrim";
    XSETID = STREAM "xsetid";
    XGROUP_CREATE = STREAM "xgroup-create";
    XGROUP_DESTROY = STREAM "xgroup-destroy";
    XGROUP_SETID = STREAM "xgroup-setid";
    XGROUP_CREATECONSUMER = STREAM "xgroup-createconsumer";
    XGROUP_DELCONSUMER = STREAM "xgroup-delconsumer";
}

/// The database was swapped or flushed under a key that a client waits for: nothing is published.
pub const SILENT_REPLACE: Event = Event { class: 0, name: "replace" };

/// A value was rewritten in a way that is not published (a cached count): it is none other than before, but for its bytes.
pub const SILENT: Event = Event { class: 0, name: "rewrite" };

/// A vector set has changed: nothing is published, as nothing is of values of modules in Redis.
pub const VECTOR_SET: Event = Event { class: 0, name: "vectorset" };

/// A key is another node's now: nothing is published.
pub const SLOT_LOST: Event = Event { class: 0, name: "del" };

/// Parses the letters of `notify-keyspace-events`; `None` when one is unknown.
pub fn parse_classes(text: &[u8]) -> Option<u32> {
    let mut bits = 0;
    for letter in text {
        bits |= match letter {
            b'A' => class::ALL,
            other => LETTERS.iter().find(|(letter, _)| letter == other)?.1,
        };
    }
    Some(bits)
}

/// Letters in the order in which Redis prints them.
const LETTERS: [(u8, u32); 16] = [
    (b'g', class::GENERIC),
    (b'$', class::STRING),
    (b'l', class::LIST),
    (b's', class::SET),
    (b'h', class::HASH),
    (b'z', class::ZSET),
    (b'x', class::EXPIRED),
    (b'e', class::EVICTED),
    (b't', class::STREAM),
    (b'd', class::MODULE),
    (b'n', class::NEW),
    (b'o', class::OVERWRITTEN),
    (b'c', class::TYPE_CHANGED),
    (b'K', class::KEYSPACE),
    (b'E', class::KEYEVENT),
    (b'm', class::KEY_MISS),
];

/// The letters of a set of classes, as CONFIG GET shows them (which hides `n`, `o` and `c` behind `A`).
pub fn format_classes(bits: u32) -> String {
    let mut text = String::new();
    let mut hidden = 0;
    if bits & class::ALL == class::ALL {
        text.push('A');
        hidden = class::ALL | class::NEW | class::REPLACED;
    }
    let shown = LETTERS.iter().filter(|(_, bit)| bits & !hidden & bit != 0);
    text.extend(shown.map(|(letter, _)| char::from(*letter)));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_both_ways() {
        for (text, shown) in [
            ("KEA", "AKE"),
            ("Kg$", "g$K"),
            ("", ""),
            ("AKEm", "AKEm"),
            ("nK", "nK"),
            ("nKA", "AK"),
            ("Ecotn", "tnocE"),
            ("AcoE", "AE"),
        ] {
            assert_eq!(format_classes(parse_classes(text.as_bytes()).expect("known")), shown);
        }
        assert_eq!(parse_classes(b"q"), None);
    }
}
