//! Tests of the vector set commands: replies, errors, events, propagation, and searches that threads do.

use crate::base::ids::ClientId;
use crate::base::rng::Rng;
use crate::commands::support::testing::TestServer;
use crate::engine::ServerAction;
use crate::services::config::{Config, ProtectedAction};
use crate::structures::hnsw::Scratch;
use crate::value::vector_set::VectorSet;

/// Four elements around a square, and one without neighbours in its direction.
const SQUARE: &str = "
    VADD k VALUES 2 1 0 east => :1
    VADD k VALUES 2 0 2 north => :1
    VADD k VALUES 2 -1 0 west SETATTR '{\"x\":-1}' => :1
    VADD k VALUES 2 0 -1 south => :1
    VADD k VALUES 2 1 1 northeast SETATTR '{\"x\":1}' => :1
";

#[test]
fn elements_come_and_go() {
    let mut server = TestServer::new();
    server.notify("KEAn");
    server.script(SQUARE);
    server.script(
        r#"
        VCARD k => :5
        VDIM k => :2
        TYPE k => +vectorset
        OBJECT ENCODING k => "raw"
        VISMEMBER k east => :1
        VISMEMBER k up => :0
        VADD k VALUES 2 1 0.1 east => :0
        VCARD k => :5
        VREM k east => :1
        VREM k east => :0
        VREM none east => :0
        VCARD k => :4
        VCARD none => :0
        VDIM none => -ERR key does not exist
        VISMEMBER none east => :0
        VREM k north => :1
        VREM k south => :1
        VREM k west => :1
        EXISTS k => :1
        VREM k northeast => :1
        EXISTS k => :0
        "#,
    );
    assert_eq!(server.events(), "new k");
}

#[test]
fn additions_are_checked() {
    let mut server = TestServer::new();
    server.script(
        r#"
        SET s x
        VADD k => -ERR wrong number of arguments for 'VADD' command
        VADD k VALUES 2 1 2 => -ERR wrong number of arguments for 'VADD' command
        VADD k VALUES 3 1 2 a => -ERR invalid vector specification
        VADD k VALUES 0 1 2 a => -ERR invalid vector specification
        VADD k VALUES 65537 1 2 a => -ERR invalid vector specification
        VADD k VALUES x 1 2 a => -ERR invalid vector specification
        VADD k VALUES 2 1 x a => -ERR invalid vector specification
        VADD k VALUES 2 1 nan a => -ERR invalid vector specification
        VADD k FP32 123 a b => -ERR invalid vector specification
        VADD k FP32 '' a b => -ERR invalid vector specification
        VADD k FP64 1234 a b => -ERR invalid vector specification
        VADD k REDUCE 0 VALUES 2 1 2 a => -ERR invalid vector specification
        VADD k REDUCE 3 VALUES 2 1 2 a => -ERR invalid vector specification
        VADD k VALUES 2 1 2 a EF 0 => -ERR invalid EF
        VADD k VALUES 2 1 2 a EF 1000001 => -ERR invalid EF
        VADD k VALUES 2 1 2 a M 3 => -ERR invalid M
        VADD k VALUES 2 1 2 a M 4097 => -ERR invalid M
        VADD k VALUES 2 1 2 a EF => -ERR invalid option after element
        VADD k VALUES 2 1 2 a SETATTR => -ERR invalid option after element
        VADD k VALUES 2 1 2 a x => -ERR invalid option after element
        VADD s VALUES 2 1 2 a => -WRONGTYPE Operation against a key holding the wrong kind of value
        EXISTS k => :0
        VADD k VALUES 2 1 2 a cas q8 ef 10 setattr x m 16 => :1
        VADD k VALUES 2 1 2 b NOQUANT => -ERR asked quantization mismatch with existing vector set
        VADD k VALUES 2 1 2 b BIN => -ERR asked quantization mismatch with existing vector set
        VADD k VALUES 2 1 2 b M 17 => -ERR asked M value mismatch with existing vector set
        VADD k VALUES 3 1 2 3 b => -ERR Vector dimension mismatch - got 3 but set has 2
        VADD k REDUCE 2 VALUES 3 1 2 3 b => -ERR Vector dimension mismatch - got 3 but set has 2
        VADD k REDUCE 2 VALUES 2 1 2 b => -ERR cannot add projection to existing set without projection
        VADD r REDUCE 2 VALUES 3 1 2 3 a => :1
        VDIM r => :2
        VADD r VALUES 3 1 2 3 b => -ERR Vector dimension mismatch - got 3 but set has 2
        VADD r REDUCE 1 VALUES 3 1 2 3 b => -ERR Vector dimension mismatch - got 3 but set has 2
        VADD r REDUCE 2 VALUES 4 1 2 3 4 b => -ERR Input dimension mismatch for projection - got 4 but projection expects 3
        VADD r REDUCE 2 VALUES 3 1 2 4 b => :1
        VCARD r => :2
        "#,
    );
}

#[test]
fn vectors_come_back() {
    let mut server = TestServer::new();
    server.script(
        r#"
        VADD f VALUES 2 3 4 a NOQUANT => :1
        VADD f FP32 "\x00\x00\x80\x3f\x00\x00\x00\x40" b NOQUANT => :1
        VEMB f none => nil
        VEMB none a => nil
        VEMB f a x => -ERR invalid option
        VEMB f a RAW => [+f32 "\x9a\x99\x19?\xcd\xccL?" "5"]
        VADD b VALUES 3 3 -4 0 a BIN => :1
        VEMB b a => ["1" "-1" "-1"]
        VADD q VALUES 2 3 -4 a => :1
        "#,
    );
    let raw = server.run("VEMB q a RAW");
    assert!(raw.starts_with("[+int8 \"_\\x81\" \"5\" \"0.80000001"), "{raw}");
    assert!(server.run("VEMB f b").starts_with("[\"1\" \"2"));
    server.resp3();
    assert!(server.run("VEMB f b").starts_with("[,1 ,2"));
}

#[test]
fn the_nearest_are_found() {
    let mut server = TestServer::new();
    server.script(SQUARE);
    server.script(
        r#"
        SET s x
        VSIM s ELE a => -WRONGTYPE Operation against a key holding the wrong kind of value
        VSIM none whatever there is => []
        VSIM k ELE east COUNT 2 => ["east" "northeast"]
        VSIM k VALUES 2 1 0 COUNT 2 TRUTH => ["east" "northeast"]
        VSIM k VALUES 2 1 0 COUNT 1 WITHSCORES => ["east" "1"]
        VSIM k VALUES 2 1 0 WITHSCORES EPSILON 0.4 TRUTH NOTHREAD COUNT 1 WITHATTRIBS => ["east" "1" nil]
        VSIM k VALUES 2 -1 0 COUNT 1 WITHATTRIBS => ["west" "{\"x\":-1}"]
        VSIM k ELE east FILTER '.x > 0' => ["northeast"]
        VSIM k ELE east FILTER '.x' COUNT 1 FILTER-EF 100 EF 20 => ["northeast"]
        VSIM k ELE east FILTER '.y or 1' => []
        VSIM k ELE east TRUTH FILTER '.x' => ["northeast" "west"]
        VSIM k ELE up => -ERR element not found in set
        VSIM k VALUES 3 1 2 3 => -ERR Vector dimension mismatch - got 3 but set has 2
        VSIM k VALUES 3 1 2 => -ERR invalid vector specification
        VSIM k WORD 3 => -ERR invalid vector specification
        VSIM k ELE => -ERR wrong number of arguments for 'VSIM' command
        VSIM k ELE east COUNT 0 => -ERR invalid COUNT
        VSIM k ELE east COUNT => -ERR syntax error in VSIM command
        VSIM k ELE east EPSILON 0 => -ERR invalid EPSILON
        VSIM k ELE east EF 0 => -ERR invalid EF
        VSIM k ELE east EF 1000001 => -ERR invalid EF
        VSIM k ELE east FILTER-EF 0 => -ERR invalid FILTER-EF
        VSIM k ELE east FILTER '.x >' => -ERR syntax error in FILTER expression near: .x >
        VSIM k ELE east FILTER '.x @ 1' => -ERR syntax error in FILTER expression near: @ 1
        VSIM k ELE east FROM x => -ERR syntax error in VSIM command
        VADD r REDUCE 1 VALUES 2 1 0 a => :1
        VSIM r VALUES 2 1 0 => ["a"]
        VSIM r VALUES 1 1 => ["a"]
        VSIM r VALUES 3 1 0 0 => -ERR Input dimension mismatch for projection - got 3 but projection expects 2
        "#,
    );
    let near = server.run("VSIM k ELE east EPSILON 0.2");
    assert_eq!(near, "[\"east\" \"northeast\"]");
    server.resp3();
    server.script(
        r#"
        VSIM k ELE west COUNT 1 => ["west"]
        VSIM k ELE west COUNT 1 WITHATTRIBS => {"west":"{\"x\":-1}"}
        VSIM k ELE west COUNT 1 WITHATTRIBS WITHSCORES => {"west":[,1 "{\"x\":-1}"]}
        VSIM k ELE east COUNT 1 WITHATTRIBS WITHSCORES => {"east":[,1 nil]}
        VSIM k ELE west COUNT 1 WITHSCORES => {"west":,1}
        VSIM none ELE west COUNT 1 WITHSCORES => []
        VISMEMBER k east => #t
        VREM k east => #t
        VADD k VALUES 2 1 1 x => #t
        VADD k VALUES 2 1 1 x => #f
        VSETATTR k x {} => #t
        "#,
    );
}

#[test]
fn attributes_and_reflection() {
    let mut server = TestServer::new();
    server.script(SQUARE);
    server.script(
        r#"
        VGETATTR k west => "{\"x\":-1}"
        VGETATTR k east => nil
        VGETATTR k up => nil
        VGETATTR none up => nil
        VSETATTR k east anything => :1
        VGETATTR k east => "anything"
        VSETATTR k up {} => :0
        VSETATTR none up {} => :0
        VSETATTR k west '' => :1
        VGETATTR k west => nil
        VADD k VALUES 2 1 0 east => :0
        VGETATTR k east => "anything"
        VADD k VALUES 2 1 0 east SETATTR '' => :0
        VGETATTR k east => nil
        VINFO none => nil-array
        VLINKS k up => nil
        VLINKS none up => nil
        VLINKS k up SCORES => -ERR wrong number of arguments for 'VLINKS' command
        VLINKS k up WITHSCORES x => -ERR wrong number of arguments for 'VLINKS' command
        "#,
    );
    let info = server.run("VINFO k");
    assert!(
        info.starts_with("[+quant-type +int8 +hnsw-m :16 +vector-dim :2 +projection-input-dim :0 +size :5 "),
        "{info}"
    );
    assert!(info.contains("+attributes-count :1 ") && info.ends_with("+hnsw-max-node-uid :7]"), "{info}");
    let links = server.run("VLINKS k northeast");
    assert!(links.matches('"').count() == 8 && links.starts_with("[["), "{links}");
    let scored = server.run("VLINKS k northeast WITHSCORES");
    assert!(scored.contains("\"east\" \"0.85"), "{scored}");
}

#[test]
fn names_are_in_order_and_drawn() {
    let mut server = TestServer::new();
    server.script(SQUARE);
    server.script(
        r#"
        VRANGE k - + => ["east" "north" "northeast" "south" "west"]
        VRANGE k [north (south => ["north" "northeast"]
        VRANGE k (north [south 1 => ["northeast"]
        VRANGE k - + 0 => []
        VRANGE k - + -1 => ["east" "north" "northeast" "south" "west"]
        VRANGE k [x [a => []
        VRANGE none - + => []
        VRANGE k + - => -ERR '-' can only be used as first argument, '+' only as second
        VRANGE k x + => -ERR invalid start range format
        VRANGE k - [ => -ERR invalid end range format
        VRANGE k - + x => -ERR invalid COUNT value
        VRANGE k - + 1 2 => -ERR wrong number of arguments for 'VRANGE' command
        VRANDMEMBER none => nil
        VRANDMEMBER none 3 => []
        VRANDMEMBER k 0 => []
        VRANDMEMBER k x => -ERR COUNT value is not an integer
        VRANDMEMBER k 1 2 => -ERR wrong number of arguments for 'VRANDMEMBER' command
        "#,
    );
    let count = |reply: String| reply.matches('"').count() / 2;
    let all = ["east", "north", "northeast", "south", "west"].map(|name| format!("\"{name}\""));
    for wanted in 1..9 {
        let drawn = server.run(&format!("VRANDMEMBER k {wanted}"));
        assert_eq!(drawn.matches('"').count() / 2, wanted.min(5));
        assert_eq!(all.iter().filter(|name| drawn.contains(*name)).count(), wanted.min(5), "{drawn}");
        assert_eq!(count(server.run(&format!("VRANDMEMBER k -{wanted}"))), wanted);
    }
    assert!((0..100).any(|_| server.run("VRANDMEMBER k") == "\"north\""));
    assert_eq!(server.run("VRANDMEMBER k -9223372036854775808"), "-ERR value is out of range");
}

#[test]
fn changes_are_propagated_and_fail_watches() {
    let mut server = TestServer::new();
    server.propagate();
    server.script(
        "VADD k VALUES 1 1 a CAS SETATTR CAS cas => :1
         VADD k VALUES 1 2 a => :0
         VSETATTR k a {} => :1
         VSETATTR k b {} => :0
         VREM k b => :0
         VSIM k ELE a => [\"a\"]
         VREM k a => :1",
    );
    assert_eq!(
        server.propagated(),
        "VADD k VALUES 1 1 a SETATTR CAS; VADD k VALUES 1 2 a; VSETATTR k a {}; VREM k a"
    );
    for change in ["VADD k VALUES 1 1 a", "VADD k VALUES 1 2 a", "VSETATTR k a x", "VREM k a"] {
        let other = server.connect();
        server.run("WATCH k");
        server.run_as(other, change);
        server.run("MULTI");
        server.run("PING");
        assert_eq!(server.run("EXEC"), "nil-array", "{change}");
    }
}

#[test]
fn commands_are_those_of_a_module() {
    let mut server = TestServer::new();
    let info = server.run("COMMAND INFO vadd vcard");
    assert!(info.starts_with("[[\"VADD\" :-5 [+write +denyoom +module] :1 :1 :1 [] []"), "{info}");
    assert!(info.contains("[\"VCARD\" :2 [+readonly +module +fast]"), "{info}");
    assert_eq!(server.run("COMMAND LIST FILTERBY MODULE vectorset").matches('"').count(), 26);
    assert_eq!(server.run("COMMAND LIST FILTERBY MODULE other"), "[]");
    assert!(server.run("COMMAND DOCS VSIM").contains("\"group\" \"module\" \"module\" \"vectorset\""));
    server.script(
        "ACL SETUSER u on nopass ~* +@read +@write
         ACL DRYRUN u VSIM k ELE a => \"User u has no permissions to run the 'VSIM' command\"
         ACL SETUSER u +vsim
         ACL DRYRUN u VSIM k ELE a",
    );
    assert!(server.run("INFO modules").contains("module:name=vectorset,ver=1"));
}

#[test]
fn a_copy_is_a_set_of_its_own() {
    let config = Config { enable_debug_command: ProtectedAction::Yes, ..Config::default() };
    let mut server = TestServer::with(config);
    server.script(SQUARE);
    server.script(
        r#"
        COPY k c => :1
        VREM c east => :1
        VADD c VALUES 2 5 5 new => :1
        VCARD k => :5
        VSIM k ELE east COUNT 1 => ["east"]
        VRANGE c - + => ["new" "north" "northeast" "south" "west"]
        VRANGE k - + => ["east" "north" "northeast" "south" "west"]
        RENAME c d
        VCARD d => :5
        SCAN 0 TYPE vectorset COUNT 100 MATCH k => ["0" ["k"]]
        SORT k => -WRONGTYPE Operation against a key holding the wrong kind of value
        "#,
    );
    let digest = server.run("DEBUG DIGEST-VALUE k d none");
    let digests: Vec<&str> = digest.trim_matches(['[', ']']).split(' ').collect();
    assert!(digests[0] != digests[1] && digests[2].ends_with(&"0".repeat(40)));
    assert!(server.run("MEMORY USAGE k").starts_with(':'));
}

/// Adds so many elements of few dimensions.
fn fill(server: &mut TestServer, count: usize) {
    let mut rng = Rng::new(4);
    for n in 0..count {
        let [x, y, z] = [(); 3].map(|()| rng.unit() - 0.5);
        run_on_loop(server, server.client, &format!("VADD k VALUES 3 {x} {y} {z} e{n} EF 20"));
    }
}

/// Runs a request as if no work on vectors were long.
fn run_on_loop(server: &mut TestServer, client: ClientId, request: &str) -> String {
    let is_long = |server: &mut TestServer, nanos| {
        std::mem::replace(&mut server.engine.data.keyspace.vectors.long_nanos, nanos)
    };
    let before = is_long(server, usize::MAX);
    let reply = server.run_as(client, request);
    is_long(server, before);
    reply
}

/// Does what the engine has for threads.
fn do_jobs(server: &mut TestServer) -> usize {
    let mut done = 0;
    while let Some(action) = server.engine.next_action() {
        if !matches!(action, ServerAction::RunVectorJobs) {
            continue;
        }
        while let Some(job) = server.engine.take_vector_job() {
            let result = (job.task)(&mut Scratch::new());
            server.engine.finish_vector_job(job.client, result);
            done += 1;
        }
    }
    done
}

const LONG_SEARCH: &str = "VSIM k VALUES 3 1 0 0 EF 1000000 COUNT 3";
const LONG_ADDITION: &str = "VADD k VALUES 3 1 0 0 new EF 1000000";
/// Elements of which a search is long where five hundred nanoseconds are.
const MANY: usize = 150;

#[test]
fn long_work_is_for_threads() {
    let mut server = TestServer::new();
    server.engine.data.keyspace.vectors.long_nanos = 500;
    fill(&mut server, MANY);
    let at_once = server.run(&format!("{LONG_SEARCH} NOTHREAD"));
    assert_eq!(at_once.matches('"').count(), 6);
    assert_eq!(server.run(LONG_SEARCH), "(blocked)");
    let (client, other) = (server.client, server.connect());
    // The reply is of the moment of the request.
    server.run_as(other, "FLUSHALL");
    assert_eq!(server.run_as(other, "CLIENT UNBLOCK 1"), ":0");
    assert_eq!(do_jobs(&mut server), 1);
    assert_eq!(server.posted(client), at_once);
    let stats = server.run("INFO commandstats");
    assert!(stats.contains("cmdstat_VSIM:calls=2,"), "{stats}");

    fill(&mut server, MANY);
    for wrap in ["MULTI", "EVAL"] {
        let reply = if wrap == "MULTI" {
            server.run("MULTI");
            server.run(LONG_SEARCH);
            server.run("EXEC")
        } else {
            let words: Vec<String> = LONG_SEARCH.split(' ').map(|word| format!("'{word}'")).collect();
            server.run(&format!("EVAL \"return redis.call({})\" 0", words.join(",")))
        };
        assert!(reply.contains(at_once.trim_matches(['[', ']'])), "{wrap}: {reply}");
    }
    server.run("CONFIG SET vset-force-single-threaded-execution yes");
    assert_eq!(server.run(LONG_SEARCH), at_once);
    assert_eq!(server.run(LONG_ADDITION), ":1");
    assert_eq!(do_jobs(&mut server), 0);
    server.run("CONFIG SET vset-force-single-threaded-execution no");

    changes_of_what_is_there(&mut server, client, other);
    additions(&mut server, client, other, " CAS", [":1"; 6]);
    let wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value";
    additions(&mut server, client, other, "", [":1", ":0", ":1", ":1", wrong, ":1"]);
    too_many(&mut server, other);
}

/// What is there already is no check-and-set: another vector is given to it, and it is there until then.
fn changes_of_what_is_there(server: &mut TestServer, client: ClientId, other: ClientId) {
    let mut rng = Rng::new(2);
    for cas in ["", " CAS"] {
        for meanwhile in
            ["PING", "VADD k VALUES 3 0 1 0 new SETATTR x", "VREM k new", "VREM k e1", "all but e0"]
        {
            run_on_loop(server, client, "DEL k");
            fill(server, MANY);
            run_on_loop(server, client, "VADD k VALUES 3 0 0 1 new");
            assert_eq!(server.run(&format!("{LONG_ADDITION}{cas}")), "(blocked)");
            assert!(run_on_loop(server, other, "VEMB k new").starts_with("[\"0"), "the old vector");
            match meanwhile {
                "VREM k e1" => {
                    (0..100).for_each(|_| {
                        drop(server.run_as(other, &format!("VREM k e{}", rng.below(MANY as u64))))
                    });
                }
                "all but e0" => {
                    (1..MANY).for_each(|gone| drop(server.run_as(other, &format!("VREM k e{gone}"))))
                }
                _ => drop(run_on_loop(server, other, meanwhile)),
            }
            assert_eq!(do_jobs(server), 1);
            let reply = if meanwhile == "VREM k new" { ":1" } else { ":0" };
            assert_eq!(server.posted(client), reply, "{meanwhile}{cas}");
            assert_eq!(run_on_loop(server, client, "VSIM k VALUES 3 1 0 0 COUNT 1"), "[\"new\"]");
            let view = &mut server.engine.view_of(client);
            view.read::<VectorSet>(b"k").expect("a set").expect("a set").check_invariants();
        }
    }
}

/// With CAS what comes first counts, otherwise what is found when the thread is done.
fn additions(server: &mut TestServer, client: ClientId, other: ClientId, cas: &str, replies: [&str; 6]) {
    let addition = format!("{LONG_ADDITION}{cas}");
    let mut rng = Rng::new(1);
    // Nothing in between; added in between; removed; replaced; another type; many others gone.
    let meanwhile =
        ["PING", "VADD k VALUES 3 0 1 0 new SETATTR x", "DEL k", "RENAME l k", "SET k x", "VREM k e1"];
    for (at, change) in meanwhile.iter().enumerate() {
        server.run("DEL k");
        run_on_loop(server, client, "VADD l VALUES 3 1 1 1 other");
        fill(server, MANY);
        server.propagate();
        assert_eq!(server.run(&addition), "(blocked)");
        if at == 5 {
            for _ in 0..100 {
                let gone = rng.below(MANY as u64);
                server.run_as(other, &format!("VREM k e{gone}"));
            }
        }
        run_on_loop(server, other, change);
        assert_eq!(do_jobs(server), 1);
        assert_eq!(server.posted(client), replies[at], "{change}");
        let is_inserted = at == 0 || at == 5;
        let is_done = is_inserted || cas.is_empty() && at != 4;
        assert_eq!(server.propagated().contains(LONG_ADDITION), is_done, "{change}");
        if is_done {
            assert_eq!(server.run("VSIM k VALUES 3 1 0 0 COUNT 1 NOTHREAD"), "[\"new\"]");
            let view = &mut server.engine.view_of(client);
            view.read::<VectorSet>(b"k").expect("a set").expect("a set").check_invariants();
        }
    }
    assert_eq!(server.run("VCARD l"), ":1");
    server.run("DEL k l");
    fill(server, MANY);
}

fn too_many(server: &mut TestServer, other: ClientId) {
    let clients: Vec<ClientId> = (0..70).map(|_| server.connect()).collect();
    for client in &clients {
        assert_eq!(server.run_as(*client, LONG_SEARCH), "(blocked)");
    }
    // One goes while its search is under way, one while it waits for a thread; a pause holds back those that wait.
    server.engine.disconnect(clients[0]);
    server.engine.disconnect(clients[65]);
    server.run_as(other, "CLIENT PAUSE 100000 ALL");
    let mut jobs = Vec::new();
    while let Some(job) = server.engine.take_vector_job() {
        jobs.push(job);
    }
    assert_eq!(jobs.len(), 64);
    for job in jobs {
        let result = (job.task)(&mut Scratch::new());
        server.engine.finish_vector_job(job.client, result);
    }
    let answered = |server: &mut TestServer| -> Vec<usize> {
        let posts: Vec<ClientId> = server.engine.clients.outbox.iter().map(|(to, _)| to).collect();
        server.posted(clients[1]);
        (0..clients.len()).filter(|at| posts.contains(&clients[*at])).collect()
    };
    assert_eq!(answered(server), (1..64).collect::<Vec<_>>());
    server.engine.clients.pause = None;
    server.engine.tick();
    assert_eq!(do_jobs(server), 5);
    assert_eq!(answered(server), [64, 66, 67, 68, 69]);
}

#[test]
fn what_a_request_asks_for_bounds_its_work_on_the_loop() {
    let mut server = TestServer::new();
    fill(&mut server, MANY);
    let long = |server: &mut TestServer, request: &str| {
        let is_long = server.run(request) == "(blocked)";
        do_jobs(server);
        is_long
    };
    // Counts and efforts that no integer holds when they are multiplied.
    server.engine.data.keyspace.vectors.long_nanos = 500;
    assert!(long(&mut server, &format!("VSIM k ELE e1 COUNT {}", i64::MAX)));
    // Many that are returned take longer than to look at them.
    server.engine.data.keyspace.vectors.long_nanos = 10_000;
    assert!(!long(&mut server, "VSIM k ELE e1 TRUTH"));
    assert!(long(&mut server, "VSIM k ELE e1 TRUTH COUNT 150"));
    server.engine.data.keyspace.vectors.long_nanos = 1_000_000;
    assert!(!long(&mut server, "VSIM k ELE e1 TRUTH FILTER .x==1"));
    // A long expression, and a long attribute that a filter looks through again and again.
    let numbers: Vec<String> = (0..5000).map(|number| number.to_string()).collect();
    let list = numbers.join(",");
    assert!(long(&mut server, &format!("VSIM k ELE e1 TRUTH FILTER \".x in [{list}]\"")));
    server.run(&format!("VSETATTR k e1 '{{\"x\":[{list}]}}'"));
    let again = vec!["-1 in .x"; 40].join(" or ");
    assert!(long(&mut server, &format!("VSIM k ELE e1 FILTER \"{again}\"")));
    let dim = 32_768;
    let vector = vec!["1"; dim].join(" ");
    let refused = "-ERR REDUCE needs a projection matrix of more than 256 MB";
    assert_eq!(server.run(&format!("VADD r REDUCE {dim} VALUES {dim} {vector} e")), refused);
}

#[test]
fn a_set_that_shrinks_gives_memory_back() {
    const ALL: usize = 2000;
    let mut server = TestServer::new();
    fill(&mut server, ALL);
    (0..ALL).step_by(40).for_each(|n| drop(server.run(&format!("VSETATTR k e{n} a{n}"))));
    let memory = |server: &mut TestServer| -> usize {
        server.run("MEMORY USAGE k").trim_start_matches(':').parse().expect("a number")
    };
    let before = memory(&mut server);
    let vectors: Vec<String> = (0..ALL).step_by(40).map(|n| server.run(&format!("VEMB k e{n}"))).collect();
    (0..ALL).filter(|n| n % 40 != 0).for_each(|n| drop(server.run(&format!("VREM k e{n}"))));
    assert!(memory(&mut server) < before / 6, "{} of {before}", memory(&mut server));
    for (n, vector) in (0..ALL).step_by(40).zip(vectors) {
        assert_eq!(server.run(&format!("VEMB k e{n}")), vector);
        assert_eq!(server.run(&format!("VGETATTR k e{n}")), format!("\"a{n}\""));
        // Others may have the same vector, once it has been quantized.
        assert!(server.run(&format!("VSIM k ELE e{n} COUNT 5")).contains(&format!("\"e{n}\"")));
    }
    let view = &mut server.engine.view_of(server.client);
    view.read::<VectorSet>(b"k").expect("a set").expect("a set").check_invariants();
}

#[test]
fn elements_are_drawn_where_few_are_left() {
    let mut server = TestServer::new();
    fill(&mut server, MANY);
    (4..MANY).for_each(|gone| drop(server.run(&format!("VREM k e{gone}"))));
    let drawn = server.run("VRANDMEMBER k -400");
    for left in 0..4 {
        assert!(drawn.matches(&format!("\"e{left}\"")).count() > 50, "{drawn}");
    }
    assert_eq!(drawn.matches('"').count(), 800);
    assert_eq!(server.run("VRANDMEMBER k 10").matches('"').count(), 8);
}
