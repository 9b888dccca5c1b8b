//! Lists. Waiting never lasts longer than a few hundredths of a second.

use super::Family;

pub const LISTS: Family = Family {
    name: "lists",
    letter: 'l',
    fill: &["RPUSH key {* member }", "LPUSH key { val }", "RPUSH key {* val }"],
    rules: &[
        "LPUSH key { val }",
        "RPUSH key {* member }",
        "LPUSHX key { val }",
        "RPUSHX key { member }",
        "LPOP key [count]",
        "RPOP key [count]",
        "LLEN key",
        "LINDEX key index",
        "LSET key index val",
        "LINSERT key (BEFORE|AFTER|AMID) member val",
        "LRANGE key index index",
        "LREM key index member",
        "LTRIM key index index",
        "LPOS key member [RANK index] [COUNT count] [MAXLEN count]",
        "LMOVE key key (LEFT|RIGHT|UP) (LEFT|RIGHT)",
        "RPOPLPUSH key key",
        "LMPOP #{ key } (LEFT|RIGHT) [COUNT count]",
        "BLPOP { key } timeout",
        "BRPOP { key } timeout",
        "BLMOVE key key (LEFT|RIGHT) (LEFT|RIGHT|UP) timeout",
        "BRPOPLPUSH key key timeout",
        "BLMPOP timeout #{ key } (LEFT|RIGHT) [COUNT count]",
        "RPUSH key {* int }",
        "LRANGE key 0 -1",
        "LLEN key",
    ],
};
