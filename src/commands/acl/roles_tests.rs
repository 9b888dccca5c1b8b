//! Tests of roles: the commands, and what becomes of the clients of users that hold one.

use crate::commands::support::testing::TestServer;

#[test]
fn roles_are_made_shown_and_removed() {
    let mut server = TestServer::new();
    server.script(
        "ACL ROLES => []
         ACL DIGEST => \"24ece0a4daea0bcb936b438ae6c9f36db76f57dfc70e00def7b2c26041c49822\"
         ACL SETUSER u on
         ACL SETROLE reader ~app:* +@read (+info)
         ACL SETROLE ops db=1,0 &*
         ACL ROLES => [\"ops\" \"reader\"]
         ACL GETROLE nosuch => nil
         ACL GETROLE default => nil
         ACL GETUSER reader => nil
         ACL SETROLE reader on => -ERR Error in ACL SETROLE modifier 'on': Syntax error
         ACL SETROLE reader ~x >password => -ERR Error in ACL SETROLE modifier '>password': Syntax error
         ACL SETROLE reader (+get => -ERR Unmatched parenthesis in acl selector starting at '(+get'.
         ACL SETROLE \"\" +get => -ERR Role names can't be empty
         ACL SETROLE \"a b\" +get => -ERR Role names can only contain printable ASCII characters, and no spaces
         ACL SETROLE a,b +get => -ERR Role names can't contain commas
         ACL SETROLE \"a'b\" +get => -ERR Role names can't contain quotes or backslashes
         ACL SETUSER u role=nosuch => -ERR Error in ACL SETUSER modifier 'role=nosuch': The specified role does not exist
         ACL SETUSER u role= => -ERR Error in ACL SETUSER modifier 'role=': Syntax error
         ACL SETUSER u role=reader,ops
         ACL GETROLE reader => [\"commands\" \"-@all +@read\" \"keys\" \"~app:*\" \"channels\" \"\" \"databases\" \"alldbs\" \"selectors\" [[\"commands\" \"-@all +info\" \"keys\" \"\" \"channels\" \"\" \"databases\" \"alldbs\"]] \"users\" [\"u\"]]
         ACL GETUSER u => [\"flags\" [\"on\" \"sanitize-payload\"] \"passwords\" [] \"commands\" \"-@all\" \"keys\" \"\" \"channels\" \"\" \"selectors\" [] \"roles\" [\"reader\" \"ops\"]]
         ACL LIST => [\"role ops &* db=0,1 -@all\" \"role reader ~app:* resetchannels -@all +@read (resetchannels -@all +info)\" \"user default on nopass sanitize-payload ~* &* +@all\" \"user u on sanitize-payload resetchannels -@all role=reader,ops\"]
         ACL DELROLE ops reader => -ERR Role 'ops' is assigned to one or more users. Remove it from them first.
         ACL SETUSER u role=reader
         ACL DELROLE ops reader => -ERR Role 'reader' is assigned to one or more users. Remove it from them first.
         ACL ROLES => [\"ops\" \"reader\"]
         ACL DELROLE ops nosuch ops => :1
         ACL DELUSER u => :1
         ACL DELROLE reader => :1
         ACL SETUSER u
         ACL GETUSER u => [\"flags\" [\"off\" \"sanitize-payload\"] \"passwords\" [] \"commands\" \"-@all\" \"keys\" \"\" \"channels\" \"\" \"selectors\" []]",
    );
}

#[test]
fn a_changed_role_is_in_force_at_once() {
    let mut server = TestServer::new();
    let [client, listener] = [server.connect(), server.connect()];
    server.script("ACL SETROLE all +@all ~* &*\nACL SETUSER u on nopass role=all");
    assert_eq!(server.run_as(client, "AUTH u x"), "+OK");
    assert_eq!(server.run_as(listener, "AUTH u x"), "+OK");
    assert_eq!(server.run_as(client, "SET k v"), "+OK");
    server.run_as(listener, "SUBSCRIBE c");
    server.script("ACL SETROLE all resetkeys ~other");
    assert_eq!(server.run_as(client, "GET k"), "-NOPERM No permissions to access a key");
    assert_eq!(server.run_as(client, "SET other v"), "+OK");
    server.script("ACL SETROLE all nocommands +set");
    assert_eq!(
        server.run_as(client, "GET other"),
        "-NOPERM User u has no permissions to run the 'get' command"
    );
    assert!(server.engine.clients.sessions.get(listener).is_some(), "its channel is still allowed");
    server.script("ACL SETROLE all resetchannels allcommands allkeys");
    assert!(server.engine.clients.sessions.get(listener).is_none(), "the right to its channel has ended");
    assert_eq!(server.run_as(client, "GET k"), "\"v\"");
    server.script("ACL SETUSER u resetroles");
    assert!(server.run_as(client, "GET k").starts_with("-NOPERM"));
    server.script("ACL SETUSER u role=all\nACL SETUSER u reset");
    assert!(server.run_as(client, "GET k").starts_with("-NOPERM"));
}

#[test]
fn a_role_does_not_log_in_and_may_be_held_by_default() {
    let mut server = TestServer::new();
    server.script(
        "ACL SETROLE r +@all ~* &*
         AUTH r x => -WRONGPASS invalid username-password pair or user is disabled.
         ACL SETUSER default -@all +acl role=r
         ACL DELROLE r => -ERR Role 'r' is assigned to one or more users. Remove it from them first.
         GET a => nil
         ACL SETROLE r -get
         GET a => -NOPERM User default has no permissions to run the 'get' command
         ACL SETROLE r db=1
         SET a b => -NOPERM User default has no permissions to run the 'set' command
         ACL SETROLE r alldbs +get
         ACL DRYRUN default GET a",
    );
}
