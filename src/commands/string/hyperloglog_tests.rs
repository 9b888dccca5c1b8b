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
        PFCOUNT h l => -INVALIDOBJ Corrupted HLL object detected
        PFCOUNT s l => -WRONGTYPE Key is not a valid HyperLogLog string value.
        PFCOUNT l s => -WRONGTYPE Operation against a key holding the wrong kind of value
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

#[test]
fn a_union_of_dense_and_sparse_ones_has_all_their_elements() {
    let mut server = TestServer::new();
    let add = |server: &mut TestServer, key: &str, numbers: std::ops::Range<u32>| {
        let elements: Vec<String> = numbers.map(|number| number.to_string()).collect();
        server.run(&format!("PFADD {key} {}", elements.join(" ")));
    };
    // Overlapping thousands in dense ones, and a few in sparse ones; all of them in one.
    for number in 0..8 {
        let start = number * 1500;
        add(&mut server, &format!("dense{number}"), start..start + 3000);
        add(&mut server, "whole", start..start + 3000);
        add(&mut server, &format!("sparse{number}"), 100_000 + number..100_010 + number);
        add(&mut server, "whole", 100_000 + number..100_010 + number);
    }
    let whole = server.run("PFDEBUG GETREG whole");
    for count in 1..=8 {
        let names = |kind: &str| (0..count).map(|number| format!("{kind}{number} ")).collect::<String>();
        let merged = |server: &mut TestServer, keys: &str| {
            assert_eq!(server.run(&format!("PFMERGE u {keys}")), "+OK");
            let counted = server.run(&format!("PFCOUNT {keys}"));
            assert_eq!(server.run("PFCOUNT u"), counted);
            server.run("PFDEBUG GETREG u")
        };
        let registers = merged(&mut server, &format!("{}{}", names("dense"), names("sparse")));
        assert_eq!(registers == whole, count == 8, "{count}");
        // Dense ones alone, in a new key and in one that is dense.
        server.run("DEL u");
        let registers = merged(&mut server, &names("dense"));
        assert_eq!(merged(&mut server, &names("dense")), registers, "{count}");
    }
}
