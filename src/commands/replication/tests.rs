//! Tests of what replicas say to their primary.

use crate::commands::testing::TestServer;

#[test]
fn replconf_arguments() {
    let mut server = TestServer::new();
    server.script(
        "REPLCONF a => -ERR syntax error
         REPLCONF listening-port x => -ERR value is not an integer or out of range
         REPLCONF nosuch 1 => -ERR Unrecognized REPLCONF option: nosuch
         REPLCONF version x => -ERR Unrecognized version format: x
         REPLCONF rdb-filter-only data => -ERR Unsupported rdb-filter-only option: data
         REPLCONF listening-port 6380 capa eof capa psync2 capa unknown version 9.1.0 => +OK
         REPLCONF => +OK
         PSYNC ? x => -ERR value is not an integer or out of range
         ROLE => [\"master\" :0 []]",
    );
}
