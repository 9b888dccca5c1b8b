//! Tests of the option reader, and of the error of a request whose options have several faults or end before a
//! value.

use super::*;
use crate::commands::support::testing::TestServer;
use crate::resp::OwnedArgs;

#[test]
fn words_and_values() {
    let args = OwnedArgs::from_parts(["CMD", "key", "COUNT", "-7", "x", "0"]);
    let mut options = OptionReader::new(args.as_args(), 2);
    assert_eq!((options.index(), options.remaining()), (2, 4));
    assert_eq!(options.next(), Some(b"COUNT".as_slice()));
    assert_eq!(options.integer(), Ok(-7));
    assert_eq!((options.index(), options.remaining()), (4, 2));
    assert_eq!(options.integer(), Err(CommandError::NOT_INTEGER));
    assert_eq!(options.at_least(1, "ERR less"), Err(CommandError::text("ERR less")));
    assert_eq!((options.index(), options.remaining()), (6, 0));

    let mut options = OptionReader::new(args.as_args(), 4);
    assert_eq!(options.value(), Ok(b"x".as_slice()));
    assert_eq!(options.at_least(0, "ERR less"), Ok(0));
}

#[test]
fn the_end_is_a_syntax_error_only_for_a_value() {
    let args = OwnedArgs::from_parts(["CMD"]);
    for first in [1, 9] {
        let mut options = OptionReader::new(args.as_args(), first);
        assert_eq!(options.remaining(), 0);
        assert_eq!(options.next(), None);
        assert_eq!(options.value(), Err(CommandError::SYNTAX));
        assert_eq!(options.integer(), Err(CommandError::SYNTAX));
        assert_eq!(options.at_least(0, "ERR less"), Err(CommandError::SYNTAX));
        assert_eq!(options.index(), first);
    }
}

/// The replies are those of Redis 8.6.
#[test]
fn the_first_fault_is_the_error() {
    TestServer::new().script(
        r#"
        SET str ohmytext
        SET str2 mynewtext
        SET bits abcdef
        RPUSH l a b a => :3
        RPUSH l2 a b => :2
        SADD se a b => :2
        ZADD zs 1 a => :1
        ZADD zs2 1 a => :1
        HSET h f 1 => :1
        GEOADD geo 1 1 p1 => :1
        XADD st 1-1 a b => "1-1"
        XGROUP CREATE st grp 0
        XADD s MAXLEN 1 MAXLEN => -ERR Invalid stream ID specified as stream command argument
        XADD s MAXLEN 1 LIMIT => -ERR Invalid stream ID specified as stream command argument
        XADD s NOMKSTREAM NOMKSTREAM NOMKSTREAM => -ERR wrong number of arguments for 'xadd' command
        XADD s MAXLEN x * a => -ERR value is not an integer or out of range
        XADD s MAXLEN ~ * a b => -ERR value is not an integer or out of range
        XTRIM s MAXLEN ~ => -ERR value is not an integer or out of range
        XTRIM s MAXLEN 1 LIMIT => -ERR syntax error
        XREAD COUNT 1 BLOCK => -ERR syntax error
        XREAD COUNT 1 STREAMS => -ERR syntax error
        XREAD COUNT 1 GROUP g => -ERR syntax error
        XREAD COUNT 1 GROUP g c => -ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.
        XREAD COUNT x STREAMS => -ERR value is not an integer or out of range
        XRANGE st - + COUNT => -ERR syntax error
        XRANGE st - + COUNT 1 COUNT => -ERR syntax error
        XSETID st 9 WHAT => -ERR syntax error
        XAUTOCLAIM st grp c 0 0 COUNT => -ERR syntax error
        XAUTOCLAIM st grp c 0 x WHAT => -ERR Invalid stream ID specified as stream command argument
        XGROUP CREATE st g2 0 ENTRIESREAD => -ERR unknown subcommand or wrong number of arguments for 'CREATE'. Try XGROUP HELP.
        XGROUP CREATE st g2 x ENTRIESREAD -2 => -ERR value for ENTRIESREAD must be positive or -1
        GEOSEARCH geo FROMLONLAT 1 1 BYRADIUS 1 => -ERR syntax error
        GEOSEARCH geo FROMMEMBER no BYRADIUS x km => -ERR could not decode requested zset member
        GEOSEARCH geo FROMMEMBER p1 BYBOX 1 x xx => -ERR need numeric height
        GEORADIUS geo 1 1 1 km STORE => -ERR syntax error
        GEORADIUS geo 1 1 1 km COUNT => -ERR syntax error
        GEORADIUS geo 1 1 1 km WHAT x => -ERR syntax error
        GEORADIUSBYMEMBER none p1 x xx COUNT 0 => -ERR COUNT must be > 0
        GEORADIUSBYMEMBER geo no x xx COUNT 0 => -ERR could not decode requested zset member
        LPOS l a WHAT => -ERR syntax error
        LPOS l a RANK x COUNT => -ERR value is not an integer or out of range
        SORT l LIMIT x => -ERR syntax error
        SORT l LIMIT x 1 => -ERR value is not an integer or out of range
        SORT l LIMIT 1 x => -ERR value is not an integer or out of range
        SORT l STORE => -ERR syntax error
        LCS str str2 MINMATCHLEN => -ERR syntax error
        LCS str str2 MINMATCHLEN x IDX LEN => -ERR value is not an integer or out of range
        LCS str str2 IDX LEN MINMATCHLEN x => -ERR value is not an integer or out of range
        SCAN 0 NOVALUES => -ERR NOVALUES option can only be used in HSCAN
        SCAN 0 WHAT => -ERR syntax error
        SCAN 0 COUNT x MATCH => -ERR value is not an integer or out of range
        SSCAN se 0 NOVALUES => -ERR NOVALUES option can only be used in HSCAN
        SSCAN se 0 COUNT 1 WHAT => -ERR syntax error
        HELLO 3 AUTH x => -ERR Syntax error in HELLO option 'AUTH'
        HELLO 3 SETNAME => -ERR Syntax error in HELLO option 'SETNAME'
        HELLO 3 SETNAME a SETNAME => -ERR Syntax error in HELLO option 'SETNAME'
        BITFIELD bits SET x 0 => -ERR syntax error
        BITFIELD bits SET x 0 y => -ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.
        BITFIELD bits SET u8 0 y => -ERR value is not an integer or out of range
        BITFIELD bits GET x => -ERR syntax error
        BITFIELD bits OVERFLOW x GET => -ERR Invalid OVERFLOW type specified
        ZUNION 2 zs zs2 WEIGHTS 1 => -ERR syntax error
        ZUNION 2 zs zs2 WEIGHTS 1 x => -ERR weight value is not a float
        ZUNION 2 zs zs2 WEIGHTS 1 x AGGREGATE => -ERR weight value is not a float
        ZINTERCARD 1 zs LIMIT => -ERR syntax error
        ZRANGE zs 0 1 LIMIT x => -ERR syntax error
        ZRANGE zs 0 1 LIMIT x y => -ERR value is not an integer or out of range
        ZRANGEBYSCORE zs x y LIMIT 1 => -ERR syntax error
        ZRANGEBYSCORE zs x y LIMIT 1 z => -ERR value is not an integer or out of range
        HSETEX h EX 10 EX FIELDS 1 f v => -ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified
        HSETEX h EX FIELDS 1 f v => -ERR value is not an integer or out of range
        HSETEX h FNX EX 10 PX => -ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified
        HGETEX h EX FIELDS 1 f => -ERR value is not an integer or out of range
        SINTERCARD 1 se LIMIT => -ERR syntax error
        SINTERCARD 1 se WHAT x => -ERR syntax error
        LMPOP 1 l2 LEFT COUNT => -ERR syntax error
        LMPOP 1 l2 LEFT COUNT 1 COUNT 2 => -ERR syntax error
        MEMORY USAGE str SAMPLES => -ERR syntax error
        MEMORY USAGE str WHAT => -ERR syntax error
        MEMORY USAGE str WHAT x => -ERR syntax error
        COPY str str9 DB => -ERR syntax error
        COPY str str9 DB x REPLACE => -ERR value is not an integer or out of range
        RESTORE r 0 x IDLETIME 1 FREQ => -ERR syntax error
        RESTORE r 0 x FREQ x REPLACE => -ERR value is not an integer or out of range
        SET str v EX => -ERR syntax error
        SET str v EX x NX XX => -ERR syntax error
        SET str v IFEQ => -ERR syntax error
        GETEX str EX 1 PERSIST => -ERR syntax error
        MSETEX 1 str v EX => -ERR syntax error
        XCLAIM st grp c 0 1-1 IDLE => -ERR Unrecognized XCLAIM option 'IDLE'
        XCLAIM st grp c 0 1-1 IDLE x WHAT => -ERR Invalid IDLE option argument for XCLAIM
        XCLAIM st grp c 0 1-1 WHAT x => -ERR Unrecognized XCLAIM option 'WHAT'
        "#,
    );
}
