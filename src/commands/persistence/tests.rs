//! Tests of the persistence commands, without a disk: what they ask the server for.

use crate::commands::support::testing::TestServer;
use crate::engine::ServerAction;
use crate::engine::persistence::Purpose;

#[test]
fn one_snapshot_at_a_time() {
    let mut server = TestServer::new();
    server.script(
        "SET a 1 => +OK
         LASTSAVE => :1700000000
         BGSAVE CANCEL => -ERR Background saving is currently not in progress or scheduled
         BGSAVE x => -ERR syntax error
         BGSAVE => +Background saving started
         BGSAVE => -ERR Background save already in progress
         BGSAVE SCHEDULE => -ERR Background save already in progress
         SAVE => -ERR Background save already in progress
         BGREWRITEAOF => +Background append only file rewriting scheduled",
    );
    assert!(matches!(server.engine.next_action(), Some(ServerAction::WriteSnapshot)));
    assert!(server.engine.persistence.is_running(Purpose::Background));
    server.script("BGSAVE CANCEL => +Background saving cancelled");
    assert!(server.engine.persistence.run().is_none());
}

#[test]
fn a_transaction_only_schedules() {
    let mut server = TestServer::new();
    server.script(
        "MULTI => +OK
         SAVE => -ERR Command not allowed inside a transaction
         DISCARD => +OK
         MULTI => +OK
         BGSAVE => +QUEUED
         EXEC => [+Background saving scheduled]
         BGSAVE CANCEL => +Scheduled background saving cancelled",
    );
}
