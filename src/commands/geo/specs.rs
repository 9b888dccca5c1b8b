//! Specs of the geo commands, for the command table.

use super::search;
use crate::engine::command::keys as key_finders;
use crate::engine::command::spec::{CommandSpec, Group, KeySpec};

pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::data("GEOADD", super::geoadd)
        .arity(-5)
        .write()
        .deny_oom()
        .keys(&[KeySpec::FIRST.rw().update()])
        .docs(
            Group::Geo,
            "3.2.0",
            "O(log(N)) for each member, N being the size of the sorted set",
            "Adds members with their positions on earth.",
        )
        .syntax(
            "key:key [<condition: NX|XX>~6.2.0] [CH!change~6.2.0] (data: longitude:double \
            latitude:double member:string)...",
        )
        .history(&[("6.2.0", "CH, NX and XX came in.")]),
    CommandSpec::data("GEODIST", super::geodist)
        .arity(-4)
        .readonly()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(Group::Geo, "3.2.0", "O(1)", "Measures the distance between two members.")
        .syntax("key:key member1:string member2:string [<unit: M|KM|FT|MI>]"),
    CommandSpec::data("GEOHASH", super::geohash)
        .arity(-2)
        .readonly()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::Geo,
            "3.2.0",
            "O(1) for each member",
            "Writes the positions of members as geohash strings.",
        )
        .syntax("key:key [member:string...]"),
    CommandSpec::data("GEOPOS", super::geopos)
        .arity(-2)
        .readonly()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(Group::Geo, "3.2.0", "O(1) for each member", "Reads the longitude and latitude of members.")
        .syntax("key:key [member:string...]"),
    CommandSpec::data("GEOSEARCH", search::geosearch)
        .arity(-7)
        .readonly()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::Geo,
            "6.2.0",
            "O(N+log(M)), N being the number of members in the grid cells around the shape \
            and M that of those inside it",
            "Finds the members inside a circle, a box or a polygon.",
        )
        .syntax(
            "key:key [<from: FROMMEMBER=member:string|FROMLONLAT=(fromlonlat: \
            longitude:double latitude:double)>] <by: (circle: BYRADIUS=radius:double <unit: \
            M|KM|FT|MI>)|(box: BYBOX=width:double height:double <unit: M|KM|FT|MI>)|\
            (polygon: BYPOLYGON=num-vertices:integer (vertices: longitude:double \
            latitude:double)...)~9.0.0> [<order: ASC|DESC>] [(count-block: \
            COUNT=count:integer [ANY])] [WITHCOORD] [WITHDIST] [WITHHASH]",
        )
        .history(&[("7.0.0", "Units may be written in upper case."), ("9.0.0", "BYPOLYGON came in.")]),
    CommandSpec::data("GEOSEARCHSTORE", search::geosearchstore)
        .arity(-8)
        .write()
        .deny_oom()
        .keys(&[KeySpec::FIRST.ow().update(), KeySpec::SECOND.ro().access()])
        .docs(
            Group::Geo,
            "6.2.0",
            "O(N+log(M)), N being the number of members in the grid cells around the shape \
            and M that of those inside it",
            "Stores the members inside a circle, a box or a polygon.",
        )
        .syntax(
            "destination:key source:key@1 [<from: FROMMEMBER=member:string|\
            FROMLONLAT=(fromlonlat: longitude:double latitude:double)>] <by: (circle: \
            BYRADIUS=radius:double <unit: M|KM|FT|MI>)|(box: BYBOX=width:double \
            height:double <unit: M|KM|FT|MI>)|(polygon: BYPOLYGON=num-vertices:integer \
            (vertices: longitude:double latitude:double)...)~9.0.0> [<order: ASC|DESC>] \
            [(count-block: COUNT=count:integer [ANY])] [STOREDIST]",
        )
        .history(&[("7.0.0", "Units may be written in upper case."), ("9.0.0", "BYPOLYGON came in.")]),
    CommandSpec::data("GEORADIUS", search::georadius)
        .arity(-6)
        .write()
        .deny_oom()
        .keys(&[
            KeySpec::FIRST.ro().access(),
            KeySpec::keyword("STORE", 6).ow().update(),
            KeySpec::keyword("STOREDIST", 6).ow().update(),
        ])
        .key_finder(key_finders::georadius)
        .docs(
            Group::Geo,
            "3.2.0",
            "O(N+log(M)), N being the number of members in the box around the circle and M \
            the size of the sorted set",
            "Finds the members around a position, and can store them.",
        )
        .syntax(
            "key:key longitude:double latitude:double radius:double <unit: M|KM|FT|MI> \
            [WITHCOORD] [WITHDIST] [WITHHASH] [(count-block: COUNT=count:integer \
            [ANY~6.2.0])] [<order: ASC|DESC>] [<store: STORE=storekey{key}:key@1|\
            STOREDIST=storedistkey{key}:key@2>]",
        )
        .history(&[("6.2.0", "ANY came in beside COUNT."), ("7.0.0", "Units may be written in upper case.")])
        .deprecated("6.2.0", "`GEOSEARCH` and `GEOSEARCHSTORE` with `BYRADIUS`"),
    CommandSpec::data("GEORADIUS_RO", search::georadius_ro)
        .arity(-6)
        .readonly()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::Geo,
            "3.2.10",
            "O(N+log(M)), N being the number of members in the box around the circle and M \
            the size of the sorted set",
            "Finds the members around a position.",
        )
        .syntax(
            "key:key longitude:double latitude:double radius:double <unit: M|KM|FT|MI> \
            [WITHCOORD] [WITHDIST] [WITHHASH] [(count-block: COUNT=count:integer \
            [ANY~6.2.0])] [<order: ASC|DESC>]",
        )
        .history(&[("6.2.0", "ANY came in beside COUNT."), ("7.0.0", "Units may be written in upper case.")])
        .deprecated("6.2.0", "`GEOSEARCH` with `BYRADIUS`"),
    CommandSpec::data("GEORADIUSBYMEMBER", search::georadiusbymember)
        .arity(-5)
        .write()
        .deny_oom()
        .keys(&[
            KeySpec::FIRST.ro().access(),
            KeySpec::keyword("STORE", 5).ow().update(),
            KeySpec::keyword("STOREDIST", 5).ow().update(),
        ])
        .key_finder(key_finders::georadiusbymember)
        .docs(
            Group::Geo,
            "3.2.0",
            "O(N+log(M)), N being the number of members in the box around the circle and M \
            the size of the sorted set",
            "Finds the members around another member, and can store them.",
        )
        .syntax(
            "key:key member:string radius:double <unit: M|KM|FT|MI> [WITHCOORD] [WITHDIST] \
            [WITHHASH] [(count-block: COUNT=count:integer [ANY])] [<order: ASC|DESC>] \
            [<store: STORE=storekey{key}:key@1|STOREDIST=storedistkey{key}:key@2>]",
        )
        .history(&[("6.2.0", "ANY came in beside COUNT."), ("7.0.0", "Units may be written in upper case.")])
        .deprecated("6.2.0", "`GEOSEARCH` and `GEOSEARCHSTORE` with `FROMMEMBER` and `BYRADIUS`"),
    CommandSpec::data("GEORADIUSBYMEMBER_RO", search::georadiusbymember_ro)
        .arity(-5)
        .readonly()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::Geo,
            "3.2.10",
            "O(N+log(M)), N being the number of members in the box around the circle and M \
            the size of the sorted set",
            "Finds the members around another member.",
        )
        .syntax(
            "key:key member:string radius:double <unit: M|KM|FT|MI> [WITHCOORD] [WITHDIST] \
            [WITHHASH] [(count-block: COUNT=count:integer [ANY])] [<order: ASC|DESC>]",
        )
        .history(&[("6.2.0", "ANY came in beside COUNT."), ("7.0.0", "Units may be written in upper case.")])
        .deprecated("6.2.0", "`GEOSEARCH` with `FROMMEMBER` and `BYRADIUS`"),
];
