//! Scripts and functions.

use super::Family;

pub const SCRIPTS: Family = Family {
    name: "scripts",
    letter: 's',
    fill: &[
        "SET skey val",
        "RPUSH lkey { member }",
        "HSET hkey { member val }",
        "ZADD zkey { score member }",
        "SADD tkey { member }",
        "XADD xkey newid { member val }",
        "SET skey int",
    ],
    rules: &[
        "EVAL script 0",
        "EVAL script 0",
        "EVAL script 0",
        "EVAL script 0 { val }",
        "EVAL script #{ anykey } { val }",
        "EVAL script #{ anykey }",
        "EVAL_RO script 0",
        "EVAL_RO script #{ anykey } { val }",
        "MULTI ; EVAL script 0 ; EVAL script 1 skey ; EXEC",
        "SCRIPT LOAD script",
        "EVALSHA (val|e0e1f9fabfc9d4800c877a703b823ac0578ff8db) (0|1 key)",
        "FUNCTION LOAD library ; FCALL f 0 ; FCALL f 1 skey val ; FCALL_RO f 0",
        "FUNCTION LOAD REPLACE library ; FCALL (f|g) 0 ; FCALL_RO (f|g) 1 skey",
        "FUNCTION LOAD [REPLACE] library",
        "FCALL (f|g|F) #{ anykey } { val }",
        "FCALL_RO (f|g) #{ anykey } { val }",
        "FUNCTION LIST [WITHCODE] [LIBRARYNAME (lib|lib*|nosuch)]",
        "FUNCTION DELETE (lib|lib2|nosuch)",
        "FUNCTION FLUSH",
        "SCRIPT FLUSH [(SYNC|junk)]",
        "SCRIPT EXISTS { val }",
        "SCRIPT (KILL|junk)",
    ],
};
