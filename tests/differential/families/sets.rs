//! Sets. What is taken at random is taken whole, or its key goes with it.

use super::Family;

pub const SETS: Family = Family {
    name: "sets",
    letter: 't',
    fill: &["SADD key {* member }", "SADD key {* int }", "SADD key { 1 2 3 }", "SADD key {* val }"],
    rules: &[
        "SADD key { member }",
        "SADD key {* member }",
        "SADD key {* int }",
        "SREM key { member }",
        "SREM key {* member }",
        "SCARD key",
        "SISMEMBER key member",
        "SMISMEMBER key { member }",
        "SMEMBERS key",
        "SMOVE key key member",
        "SPOP tkey count ; DEL t0 t1 t2 t3",
        "SPOP key 1000",
        "SPOP t0 ; DEL t0",
        "SRANDMEMBER key [count]",
        "SRANDMEMBER key minus",
        "SINTER { key }",
        "SINTERSTORE key { key }",
        "SINTERCARD #{ key } [LIMIT count]",
        "SUNION { key }",
        "SUNIONSTORE key { key }",
        "SDIFF { key }",
        "SDIFFSTORE key { key }",
        "SSCAN key cursor [MATCH pattern] [COUNT 1000]",
        "SSCAN key 0 [COUNT count] [MATCH pattern] [NOVALUES]",
    ],
};
