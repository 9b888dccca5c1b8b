//! What the cases are made of: the families of the grammar, and what is about time, waiting and transactions.

use redloop::base::rng::Rng;

use crate::atoms::Context;
use crate::families::{FAMILIES, family};
use crate::grammar::{Case, Rule, mutate};

/// Families that are about the data.
const DATA: &[&str] = &[
    "strings",
    "bitmaps",
    "keys",
    "sorting",
    "lists",
    "sets",
    "hashes",
    "sorted_sets",
    "geo",
    "streams",
    "hyperloglogs",
    "transactions",
];

/// Deadlines that pass while a case lasts.
const EXPIRY: &[&str] = &[
    "PEXPIRE anykey (1|5|20|100) [(NX|XX|GT|LT)]",
    "SET anykey val PX (1|5|20|100) [(NX|XX)] [GET]",
    "GETEX skey (PX (1|5|20)|EX 100|PERSIST)",
    "PSETEX skey (1|5|20) val",
    "HPEXPIRE hkey (1|5|20|100) [(NX|XX|GT|LT)] FIELDS 2 a b",
    "HPEXPIRE hkey (1|5|20|100) FIELDS #{ field }",
    "HGETEX hkey (PX (1|5|20)|PERSIST) FIELDS #{ field }",
    "HSETEX hkey [(FNX|FXX)] (PX (1|5|20)|KEEPTTL) FIELDS #{ field val }",
    // The only field expires, and the command that sets it anew keeps the key, and with it the key's deadline.
    "HSETEX h1 (KEEPTTL|FNX|FNX KEEPTTL|FNX PX 20) FIELDS 1 a val ; DEL h1 ; HSETEX h1 PX 1 FIELDS 1 a val ; EXPIRE h1 1000",
    "HSETEX h1 (KEEPTTL|FNX|FNX KEEPTTL|FNX PX 20) FIELDS 1 a val",
    "RESTORE anykey (1|5|20) payload [REPLACE]",
    "HSET hkey a 1 b 2 ; HPEXPIRE hkey (1|5) FIELDS 2 a b",
    "HGETDEL hkey FIELDS #{ field }",
    "HSET hkey {* field val } ; HPEXPIRE hkey 5 FIELDS 3 a b c",
    "HRANDFIELD hkey 2",
    "PERSIST anykey",
    "TYPE anykey",
    "RANDOMKEY",
];

/// Clients that wait, and what serves them.
const WAITING: &[&str] = &[
    "BLPOP { lkey } 0",
    "BRPOP { lkey } (0.02|0)",
    "BLMOVE lkey lkey (LEFT|RIGHT) (LEFT|RIGHT) 0",
    "BRPOPLPUSH lkey lkey 0",
    "BLMPOP 0 2 lkey lkey (LEFT|RIGHT) [COUNT count]",
    "BZPOPMIN { zkey } 0",
    "BZPOPMAX { zkey } 0.02",
    "BZMPOP 0 2 zkey zkey (MIN|MAX) [COUNT count]",
    "XREAD [COUNT count] BLOCK 0 STREAMS xkey $",
    "XREADGROUP GROUP g consumer [COUNT count] BLOCK 0 [NOACK] STREAMS xkey '>'",
    "XGROUP CREATE xkey g 0 MKSTREAM",
    "XGROUP DESTROY xkey g",
    "RPUSH lkey { member }",
    "RPUSH lkey { member }",
    "LPUSH lkey {* member }",
    "ZADD zkey { small member }",
    "XADD xkey '*' field val",
    "XADD xkey '*' field val",
    "DEL lkey",
    "DEL lkey ; RPUSH lkey member",
    "DEL zkey ; ZADD zkey 1 a 2 b",
    "RENAME lkey lkey",
    "SORT lkey ALPHA STORE lkey",
    "MOVE lkey (0|1)",
    "COPY lkey lkey [DB (0|1)] REPLACE",
    "SWAPDB 0 1",
    "CLIENT PAUSE (3|20) (WRITE|ALL)",
    "CLIENT UNPAUSE",
    "MULTI ; RPUSH lkey a b ; CLIENT PAUSE 10 WRITE ; EXEC",
];

/// Requests that are appended once, and pending entries that are read once they are idle.
const IDEMPOTENT: &[&str] = &[
    "XADD xkey [NOMKSTREAM] IDMP (p|q) (1|2|3|4) '*' field val",
    "XADD xkey IDMP p (1|2|3|4|5|6|7|8|9|10|11|12|13) '*' field val",
    "XADD xkey IDMPAUTO (p|q) '*' a (1|2)",
    "XADD xkey MAXLEN '~' 2 LIMIT (1|2|3|100) (ACKED|DELREF) IDMP p (1|2) '*' field val",
    "XCFGSET xkey [IDMP-DURATION (1|2)] [IDMP-MAXSIZE (1|2|10)]",
    "XIDMPRECORD xkey (p|q) (1|2|3) newid",
    "XREADGROUP GROUP g consumer [COUNT small] [BLOCK 0] CLAIM (0|1|20) [NOACK] STREAMS xkey '>'",
    "XREADGROUP GROUP g consumer [COUNT small] BLOCK 0 CLAIM (1|20) STREAMS xkey xkey '>' '>'",
    "XGROUP CREATE xkey g 0 MKSTREAM",
    "XADD xkey '*' field val",
    "XTRIM xkey MAXLEN ('~'|'=') (0|1|2|5) (ACKED|DELREF)",
    "XTRIM xkey MINID '~' newid LIMIT (1|2|100) (ACKED|DELREF)",
];

/// Chance decides what these do.
const RANDOM: &[&str] = &[
    "SPOP tkey",
    "SPOP tkey (1|2|3|10)",
    "SPOP tkey count",
    "SADD tkey {* member }",
    "SADD tkey {* int }",
    "SRANDMEMBER tkey 2",
    "ZRANDMEMBER zkey 2",
    "SMOVE tkey tkey member",
];

/// Several commands as one unit.
const TRANSACTIONS: &[&str] =
    &["MULTI", "EXEC", "EXEC", "DISCARD", "WATCH { anykey }", "SELECT (0|1)", "UNWATCH", "PUBLISH news val"];

/// The rules of one kind of command.
struct Source {
    letter: char,
    rules: Vec<Rule>,
}

impl Source {
    fn of(letter: char, lines: &[&str]) -> Source {
        Source { letter, rules: lines.iter().map(|line| Rule::parse(line)).collect() }
    }
}

/// All rules, by kind.
pub struct Rules {
    sources: Vec<Source>,
}

impl Rules {
    pub fn new() -> Rules {
        assert!(DATA.iter().all(|name| FAMILIES.iter().any(|family| family.name == *name)));
        let mut sources = Vec::new();
        for family in DATA.iter().map(|name| family(name)) {
            sources.push(Source::of(family.letter, family.fill));
            sources.push(Source::of(family.letter, family.rules));
        }
        // What this test is about comes more often.
        for _ in 0..3 {
            let own = [EXPIRY, WAITING, IDEMPOTENT, RANDOM, TRANSACTIONS];
            sources.extend(own.iter().map(|lines| Source::of('s', lines)));
        }
        Rules { sources }
    }

    /// Commands that are sent one after the other.
    pub fn generate(&self, rng: &mut Rng) -> Case {
        let source = &self.sources[rng.below(self.sources.len() as u64) as usize];
        let rule = &source.rules[rng.below(source.rules.len() as u64) as usize];
        let mut case = rule.generate(rng, &Context { letter: source.letter });
        if rng.below(20) == 0 {
            mutate(&mut case[0], rng);
        }
        case
    }
}
