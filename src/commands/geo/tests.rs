//! Tests of the geo commands.

use crate::commands::support::testing::TestServer;

fn sicily() -> TestServer {
    let mut server = TestServer::new();
    let added = server.run("GEOADD s 13.361389 38.115556 Palermo 15.087269 37.502669 Catania");
    assert_eq!(added, ":2");
    server
}

#[test]
fn adding_and_reading() {
    let mut server = sicily();
    server.script(
        r#"
        GEOADD s CH 13.361389 38.115556 Palermo 13.5 38 x => :1
        GEOADD s NX 1 1 Palermo 2 2 new => :1
        GEOADD s XX CH 3 3 new 4 4 other => :1
        GEOADD none XX 3 3 new => :0
        GEOADD s NX XX 1 1 a => -ERR syntax error
        GEOADD s 1 1 a 2 => -ERR syntax error
        GEOADD s CH CH CH => -ERR syntax error
        GEOADD s 200 10 a => -ERR invalid longitude,latitude pair 200.000000,10.000000
        GEOADD s a 10 a => -ERR value is not a valid float
        GEODIST s Palermo Catania => "166274.1516"
        GEODIST s Palermo Catania km => "166.2742"
        GEODIST s Palermo Catania MI => "103.3182"
        GEODIST s Palermo nobody => nil
        GEODIST none a b => nil
        GEODIST s Palermo Catania lightyears => -ERR unsupported unit provided. please use M, KM, FT, MI
        GEODIST s Palermo Catania m x => -ERR syntax error
        GEOHASH s Palermo nobody Catania => ["sqc8b49rny0" nil "sqdtr74hyu0"]
        GEOPOS s Palermo nobody => [["13.361389338970184" "38.1155563954963"] nil-array]
        GEOPOS none a => [nil-array]
        SET t x
        GEOADD t 1 1 a => -WRONGTYPE Operation against a key holding the wrong kind of value
        "#,
    );
    server.resp3();
    assert_eq!(server.run("GEOPOS s Palermo x1"), "[[,13.361389338970184 ,38.1155563954963] nil]");
}

#[test]
fn searching() {
    let mut server = sicily();
    server.script(
        r#"
        GEORADIUS s 15 37 200 km => ["Palermo" "Catania"]
        GEORADIUS s 15 37 200 km ASC => ["Catania" "Palermo"]
        GEORADIUS s 15 37 200 km WITHDIST WITHCOORD WITHHASH COUNT 1 => [["Catania" "56.4413" :3479447370796909 ["15.087267458438873" "37.50266842333162"]]]
        GEORADIUS_RO s 15 37 100 km => ["Catania"]
        GEORADIUS_RO s 15 37 100 km STORE d => -ERR syntax error
        GEORADIUS s 15 37 -1 km => -ERR radius cannot be negative
        GEORADIUS s 15 37 x km => -ERR need numeric radius
        GEORADIUS s 15 37 1 km COUNT 0 => -ERR COUNT must be > 0
        GEORADIUS s 15 37 1 km ANY => -ERR the ANY argument requires COUNT argument
        GEORADIUS s 15 37 1 km WITHDIST STORE d => -ERR STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and WITHCOORD options
        GEORADIUSBYMEMBER s Palermo 200 km DESC => ["Catania" "Palermo"]
        GEORADIUSBYMEMBER_RO s Palermo 1 km => ["Palermo"]
        GEORADIUSBYMEMBER s nobody 1 km => -ERR could not decode requested zset member
        GEORADIUSBYMEMBER none nobody x y => []
        GEOSEARCH s FROMLONLAT 15 37 BYBOX 400 400 km ASC WITHDIST => [["Catania" "56.4413"] ["Palermo" "190.4424"]]
        GEOSEARCH s FROMMEMBER Palermo BYRADIUS 1 m => ["Palermo"]
        GEOSEARCH s BYPOLYGON 4 15 37 15 38 16 38 16 37 => ["Catania"]
        GEOSEARCH s BYPOLYGON 2 15 37 15 38 => -ERR GEOSEARCH BYPOLYGON must have at least 3 vertices
        GEOSEARCH s BYPOLYGON x 15 37 15 38 => -ERR invalid number of vertices
        GEOSEARCH s FROMLONLAT 15 37 BYRADIUS 200 km COUNT 1 ANY => ["Palermo"]
        GEOSEARCH s FROMLONLAT 15 37 FROMMEMBER Palermo BYRADIUS 1 m => -ERR syntax error
        GEOSEARCH s FROMLONLAT 15 37 BYRADIUS 1 m BYBOX 1 1 m => -ERR syntax error
        geosearch s BYRADIUS 1 m ASC DESC ASC => -ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for geosearch
        GEOSEARCH s FROMLONLAT 15 37 ASC DESC ASC => -ERR exactly one of BYRADIUS and BYBOX can be specified for GEOSEARCH
        GEOSEARCH s FROMLONLAT 15 37 BYBOX 1 -1 km => -ERR height or width cannot be negative
        GEOSEARCH s FROMLONLAT 15 37 BYRADIUS 1 km STOREDIST => -ERR syntax error
        GEOSEARCH none FROMMEMBER x BYRADIUS 1 km => []
        "#,
    );
}

#[test]
fn storing() {
    let mut server = sicily();
    server.notify("KEA");
    server.propagate();
    server.script(
        r#"
        GEORADIUS s 15 37 200 km STORE d => :2
        GEODIST d Palermo Catania => "166274.1516"
        GEOSEARCHSTORE e s FROMLONLAT 15 37 BYRADIUS 100 km STOREDIST => :1
        GEOSEARCHSTORE d s FROMLONLAT 15 37 BYRADIUS 1 m => :0
        GEOSEARCHSTORE d none FROMLONLAT 15 37 BYRADIUS 1 m => :0
        EXISTS d => :0
        GEOSEARCHSTORE d s FROMLONLAT 15 37 BYRADIUS 1 m WITHDIST => -ERR GEOSEARCHSTORE is not compatible with WITHDIST, WITHHASH and WITHCOORD options
        "#,
    );
    assert_eq!(server.events(), "georadiusstore d; geosearchstore e; del d");
    server.propagated();
    server.run("GEOADD s CH 13.361389 38.115556 Palermo 1 1 x");
    assert_eq!(server.propagated(), "ZADD s CH 3479099956230698 Palermo 3377822707026402 x");
    // Redis doesn't know polygons: its replicas get what was found.
    for (vertices, propagated) in [
        ("4 15 37 15 38 16 38 16 37", "MULTI; DEL d; ZADD d 3479447370796909 Catania; EXEC"),
        ("3 50 50 50 51 51 51", "DEL d"),
        ("3 50 50 50 51 51 51", ""),
    ] {
        server.run(&format!("GEOSEARCHSTORE d s BYPOLYGON {vertices}"));
        assert_eq!(server.propagated(), propagated);
    }
    server.run("GEOSEARCHSTORE d s BYPOLYGON 4 15 37 15 38 16 38 16 37 STOREDIST");
    let propagated = server.propagated();
    assert!(
        propagated.starts_with("MULTI; DEL d; ZADD d ") && propagated.ends_with(" Catania; EXEC"),
        "{propagated}"
    );
    assert!(!propagated.contains("3479447370796909"), "{propagated}");
}
