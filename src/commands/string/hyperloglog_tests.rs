//! Tests of the HyperLogLog commands.

use crate::commands::support::testing::TestServer;

#[test]
fn adding_and_counting() {
    let mut server = TestServer::new();
    server.script(
        r#"
        PFCOUNT h => :0
        PFADD h => :1
        PFADD h => :0
        PFADD h a b c d e f g => :1
        PFADD h a b c => :0
        PFCOUNT h => :7
        PFADD g a b c z => :1
        PFCOUNT h g none => :8
        PFMERGE u h g
        PFCOUNT u => :8
        PFDEBUG ENCODING u => +sparse
        PFDEBUG TODENSE u => :1
        PFDEBUG TODENSE u => :0
        PFDEBUG ENCODING u => +dense
        PFADD u z y => :1
        PFADD u z y => :0
        PFCOUNT u => :9
        PFMERGE v u
        PFDEBUG ENCODING v => +dense
        PFCOUNT v => :9
        PFADD w 1 2 3 => :1
        PFMERGE v w
        PFCOUNT v => :12
        OBJECT ENCODING v => "raw"
        PFDEBUG DECODE v => -ERR HLL encoding is not sparse
        PFDEBUG DECODE none => -ERR The specified key does not exist
        PFDEBUG WHAT u => -ERR Unknown PFDEBUG subcommand 'WHAT'
        PFDEBUG SIMD OFF => +disabled
        PFCOUNT v w => :12
        PFMERGE x v w
        PFCOUNT x => :12
        PFDEBUG SIMD maybe => -ERR Argument must be ON or OFF
        PFMERGE empty
        PFCOUNT empty => :0
        PFDEBUG DECODE empty => "Z:16384"
        PFSELFTEST
        "#,
    );
    assert!(["+enabled", "+disabled"].contains(&server.run("PFDEBUG SIMD ON").as_str()));
    assert_eq!(server.run("PFCOUNT v w x"), ":12");
    assert!(server.run("PFDEBUG GETREG g").starts_with("[:0 "));
    assert_eq!(server.run("PFDEBUG ENCODING g"), "+dense");
}

#[test]
fn errors_of_other_values() {
    let mut server = TestServer::new();
    server.script(
        r#"
        SET s hello
        SET n 12
        RPUSH l a => :1
        PFADD s a => -WRONGTYPE Key is not a valid HyperLogLog string value.
        PFCOUNT n => -WRONGTYPE Key is not a valid HyperLogLog string value.
        PFCOUNT s n => -WRONGTYPE Key is not a valid HyperLogLog string value.
        PFMERGE d s => -WRONGTYPE Key is not a valid HyperLogLog string value.
        PFADD l a => -WRONGTYPE Operation against a key holding the wrong kind of value
        PFCOUNT l => -WRONGTYPE Operation against a key holding the wrong kind of value
        PFADD h a => :1
        APPEND h hello => :26
        PFCOUNT h => -INVALIDOBJ Corrupted HLL object detected
        PFMERGE d h => -INVALIDOBJ Corrupted HLL object detected
        EXISTS d => :0
        "#,
    );
}

#[test]
fn propagation_and_events() {
    let mut server = TestServer::new();
    server.notify("KEA");
    server.propagate();
    server.run("PFADD h a");
    server.run("PFADD h a");
    server.run("PFCOUNT h");
    server.run("PFCOUNT h");
    server.run("PFMERGE g h");
    assert_eq!(server.propagated(), "PFADD h a; PFCOUNT h; PFMERGE g h");
    assert_eq!(server.events(), "pfadd h; pfadd g");
}
