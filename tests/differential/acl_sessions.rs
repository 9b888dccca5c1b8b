//! ACL against real servers, Redis and Valkey: clients log in and out, change users and passwords, read and write the file of
//! users, and look at all of it; every reply must be the same.

use std::path::PathBuf;

use redloop::base::rng::Rng;

use crate::pick;
use crate::process::Process;
use crate::runner::line;
use crate::support::programs::find_peer;
use crate::support::reply::{Client, Reply, Words};

/// Rounds of a server by default, and requests of a round.
const DEFAULT_ROUNDS: u64 = 30;
const REQUESTS: u64 = 60;
/// A round is long: so many cases, where their number is given.
const CASES_A_ROUND: u64 = 10;
/// Clients beside the one that prepares a round.
const CLIENTS: usize = 3;

const USERS: &[&str] = &["default", "default", "amy", "amy", "bob", "Amy", "b b", "x\"y", ""];
const PASSWORDS: &[&str] = &["one", "two", "", "xxx"];
#[rustfmt::skip]
const RULES: &[&str] = &[
    "on", "off", "nopass", "resetpass", "reset", ">one", ">two", "<one", "<two", "+@all", "-@all", "+get", "-get", "+@read",
    "+@connection", "-@dangerous", "~*", "~a*", "resetkeys", "%R~a", "%W~b", "&*", "&c", "&c*", "resetchannels", "allchannels",
    "(+get ~z)", "(+subscribe &d)", "clearselectors", "+config|get", "-config", "+select|1", "+acl|whoami", "+hello", "-auth",
    "skip-sanitize-payload", "bad", "+acl", "(", "(+get", "~b)", "+subscribe", "+psubscribe", "+ping", "+multi", "+exec",
    "+client", "+eval",
];
/// Valkey's rules of databases.
const DATABASE_RULES: &[&str] = &[
    "db=0",
    "db=1,2",
    "alldbs",
    "resetdbs",
    "db=3,1,1",
    "db=",
    "db=x",
    "db=99",
    "(db=1 +@all ~*)",
    "db=0,",
    "DB=2",
];
/// Lines of the file of users.
#[rustfmt::skip]
const LINES: &[&str] = &[
    "user amy on >one +@all ~*", "user default on nopass ~* &* +@all", "user bob off", "user amy off",
    "user bob on nopass +nosuch +get", "user", "foo", "user bob (+get ~a", "user \"a b\" on",
    "user bob on  ~a   (  +get ~x ) &c", "# comment", "  user bob +@nosuch +get -zz", "user\tbob on", "user bob >x <y",
    "user bob #12", "user default off >two +@all ~*", "user bob ~* ~a", "", "user Bob on", "user b\u{1}b on",
    "user bob +get|x|y", "user bob +get|", "USER bob on", "user bob \"~a b\"", "user bob on\r", "userx bob",
    "user bob \u{b} on", "user bob %X~a bad", "user bob (+nosuch) (+get)", "user bob ~a&*",
];
/// Requests with `{u}` for a user and `{p}` for a password; the words are between bars.
#[rustfmt::skip]
const REQUESTS_OF_ALL: &[&str] = &[
    "AUTH|{u}|{p}", "AUTH|{u}|{p}", "AUTH|{u}|{p}", "AUTH|{p}", "AUTH|a|b|c",
    "HELLO|3|AUTH|{u}|{p}", "HELLO|2|AUTH|{u}|{p}", "HELLO", "HELLO|3", "HELLO|2|AUTH|{u}", "HELLO|2|AUTH",
    "HELLO|4|AUTH|{u}|{p}", "HELLO|2|SETNAME|n|AUTH|{u}|{p}", "HELLO|3|AUTH|{u}|{p}|SETNAME|a b", "HELLO|x", "HELLO|2|NOSUCH",
    "CONFIG|SET|requirepass|{p}", "CONFIG|GET|requirepass", "CONFIG|GET|maxmemory",
    "ACL|GETUSER|{u}", "ACL|GETUSER|{u}", "ACL|LIST", "ACL|LIST", "ACL|USERS", "ACL|WHOAMI", "ACL|WHOAMI",
    "ACL|DELUSER|{u}", "ACL|DELUSER|{u}|{u}", "ACL|SAVE", "ACL|SAVE", "ACL|LOAD", "ACL|LOAD", "ACL|LOAD", "ACL|LOAD",
    "ACL|LOG", "ACL|LOG", "ACL|LOG|RESET", "ACL|LOG|2", "ACL|LOG|-1", "ACL|LOG|x", "ACL|LOG|1|2", "ACL|LOG|0",
    "ACL|GENPASS", "ACL|GENPASS|0", "ACL|GENPASS|-1", "ACL|GENPASS|4097", "ACL|GENPASS|4096", "ACL|GENPASS|1",
    "ACL|GENPASS|5", "ACL|GENPASS|x", "ACL|GENPASS|1|2", "ACL|GENPASS|", "ACL|CAT|nosuch", "ACL", "ACL|NOSUCH", "ACL|HELP|x",
    "ACL|DRYRUN|{u}|GET|a", "ACL|DRYRUN|{u}|SET|b|1", "ACL|DRYRUN|{u}|GET", "ACL|DRYRUN|{u}|NOSUCH",
    "ACL|DRYRUN|{u}|CONFIG|GET|x", "ACL|DRYRUN|{u}|CONFIG", "ACL|DRYRUN|{u}|CONFIG|NOSUCH", "ACL|DRYRUN|{u}|AUTH|x",
    "ACL|DRYRUN|{u}|SELECT|1", "ACL|DRYRUN|{u}|SUBSCRIBE|c|d", "ACL|DRYRUN|{u}|PSUBSCRIBE|c*", "ACL|DRYRUN|{u}|EVAL|x|1|b",
    "ACL|DRYRUN|{u}|XREAD|STREAMS|a|0", "ACL|DRYRUN|{u}|FLUSHALL", "ACL|DRYRUN|{u}|SWAPDB|0|1", "ACL|DRYRUN|{u}|MOVE|a|3",
    "ACL|DRYRUN|{u}|COPY|a|a|DB|7",
    "GET|a", "GET|z", "SET|a|v", "SET|b|v", "GET|b", "MGET|a|z", "SELECT|1", "SELECT|0", "COPY|a|b", "COPY|a|b|DB|1",
    "PUBLISH|c|m", "PUBLISH|x|m", "EVAL|return redis.pcall('get','a')|0", "EVAL|return redis.pcall('set',KEYS[1],'1')|1|b",
    "EVAL|return redis.acl_check_cmd('get','b')|0", "PING", "RESET", "SORT|l|BY|w*|GET|#", "SORT|l|GET|#",
    "MULTI", "EXEC", "DISCARD", "SUBSCRIBE|c", "PSUBSCRIBE|c*", "UNSUBSCRIBE|c", "PUNSUBSCRIBE|c*", "SUBSCRIBE|d",
];

/// Fields whose values differ from server to server or from moment to moment.
const MASKED: &[&[u8]] = &[
    b"id",
    b"age-seconds",
    b"timestamp-created",
    b"timestamp-last-updated",
    b"version",
    b"server",
    b"modules",
    b"availability_zone",
];
/// What of a client's line is compared.
const CLIENT_FIELDS: &[&str] = &["user", "db", "resp", "name", "sub", "psub"];

fn request(rng: &mut Rng, rules: &[&str]) -> Words {
    let user = |rng: &mut Rng| pick(rng, USERS).as_bytes().to_vec();
    if rng.below(3) == 0 {
        let mut request: Words = vec![b"ACL".to_vec(), b"SETUSER".to_vec(), user(rng)];
        (0..rng.below(5)).for_each(|_| request.push(pick(rng, rules).as_bytes().to_vec()));
        return request;
    }
    let filled = |word: &str, rng: &mut Rng| match word {
        "{u}" => user(rng),
        "{p}" => pick(rng, PASSWORDS).as_bytes().to_vec(),
        _ => word.as_bytes().to_vec(),
    };
    pick(rng, REQUESTS_OF_ALL).split('|').map(|word| filled(word, rng)).collect()
}

/// A reply without what may differ: maps as arrays, some values masked, and of Valkey's what Redis doesn't show.
pub fn settled(reply: Reply) -> Reply {
    let flat = match reply {
        Reply::Map(pairs) => pairs.into_iter().flat_map(|(key, value)| [key, value]).collect(),
        Reply::Array(elements) | Reply::Set(elements) | Reply::Push(elements) => elements,
        Reply::Bulk(text) => return Reply::Bulk(without_sanitizing(&text)),
        Reply::Error(text) => {
            return Reply::Error(text.replace("This Valkey instance", "This Redis instance"));
        }
        other => return other,
    };
    let is_own = |reply: &Reply| reply.bytes().is_some_and(|text| text.ends_with(b"sanitize-payload"));
    let mut elements = flat.into_iter().filter(|reply| !is_own(reply)).map(settled).peekable();
    let mut kept = Vec::new();
    while let Some(element) = elements.next() {
        match (element.bytes().unwrap_or_default(), elements.peek().and_then(Reply::bytes)) {
            (b"databases", Some(b"alldbs")) | (b"redloop", Some(_)) => drop(elements.next()),
            (b"client-info", Some(info)) => {
                let info = String::from_utf8_lossy(info).into_owned();
                let is_compared =
                    |word: &&str| word.split_once('=').is_some_and(|(name, _)| CLIENT_FIELDS.contains(&name));
                kept.push(Reply::Simple(info.split(' ').filter(is_compared).collect::<Vec<_>>().join(" ")));
                elements.next();
            }
            (name, _) if MASKED.contains(&name) => drop(elements.next()),
            _ => kept.push(element),
        }
    }
    Reply::Array(kept)
}

fn without_sanitizing(text: &[u8]) -> Vec<u8> {
    if !text.starts_with(b"user ") {
        return text.to_vec();
    }
    let is_kept = |word: &&[u8]| !word.ends_with(b"sanitize-payload");
    text.split(|byte| *byte == b' ').filter(is_kept).collect::<Vec<_>>().join(&b' ')
}

/// A server with a directory for its file of users.
struct Server {
    process: Process,
    dir: PathBuf,
    /// A user of its own, which may always do everything.
    admin: Client,
}

impl Server {
    fn start(program: Option<&PathBuf>, name: &str) -> Server {
        let dir = std::env::temp_dir().join(format!("redloop-acl-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).expect("a directory");
        let file = dir.join("users.acl");
        std::fs::write(&file, ROOT).expect("a file");
        let options = ["--dir", dir.to_str().expect("a name"), "--aclfile", "users.acl"];
        let process = match program {
            Some(program) => Process::start(program, &options),
            None => Process::ours(&options),
        };
        let mut admin = Client::connect(process.port);
        assert!(matches!(admin.ask("AUTH root x"), Ok(Reply::Simple(_))));
        Server { process, dir, admin }
    }

    fn write_file(&self, text: &str) {
        std::fs::write(self.dir.join("users.acl"), text).expect("written");
    }

    /// Makes everything as it was before the first round.
    fn prepare(&mut self) {
        self.write_file(ROOT);
        for request in ["ACL LOAD", "ACL LOG RESET", "FLUSHALL", "SCRIPT FLUSH", "SET a v", "RPUSH l 1 2"] {
            let reply = self.admin.ask(request);
            assert!(matches!(reply, Ok(Reply::Simple(_) | Reply::Int(_))), "{request}: {reply:?}");
        }
        let reset: Words = ["CONFIG", "SET", "requirepass", ""].map(|word| word.into()).to_vec();
        self.admin.send([&reset]).expect("sent");
        assert_eq!(self.admin.read().expect("a reply"), Reply::Simple("OK".into()));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

const ROOT: &str = "user root on nopass +@all ~* &*\n";

/// What a client gets for a request, behind published messages that came before; none if its connection is closed.
fn ask(client: &mut Client, request: &Words) -> Option<Reply> {
    client.send([request]).ok()?;
    let mut messages = Vec::new();
    let reply = loop {
        let reply = settled(client.read().ok()?);
        let Reply::Array(elements) = &reply else { break reply };
        let kind = elements.first().and_then(Reply::bytes);
        if !matches!(kind, Some(b"message" | b"pmessage")) {
            break reply;
        }
        messages.push(reply);
    };
    let is_password = request.len() <= 3 && request.get(1).is_some_and(|word| word == b"GENPASS");
    let reply = match reply {
        Reply::Bulk(password) if is_password => Reply::Int(password.len() as i64),
        other => other,
    };
    messages.push(reply);
    if messages.len() == 1 { messages.pop() } else { Some(Reply::Array(messages)) }
}

/// Whether the replies differ where ours goes its own way: Valkey asks for a login before it looks at the words.
fn is_own_way(ours: &Option<Reply>, theirs: &Option<Reply>) -> bool {
    matches!((ours, theirs), (Some(Reply::Error(_)), Some(Reply::Error(text))) if text.contains("NOAUTH"))
}

/// Whether a client is closed, behind messages that it has not read.
fn is_closed(client: &mut Client) -> bool {
    let ping: Words = vec![b"PING".to_vec()];
    (0..=REQUESTS).any(|_| client.send([&ping]).is_err() || client.read().is_err())
}

/// A round: the difference found, if there is one.
fn round(rng: &mut Rng, servers: &mut [Server; 2], rules: &[&str]) -> Option<String> {
    servers.iter_mut().for_each(Server::prepare);
    let ports = servers.each_ref().map(|server| server.process.port);
    let connect = || ports.map(Client::connect);
    let mut clients: [[Client; 2]; CLIENTS] = std::array::from_fn(|_| connect());
    let [mut in_multi, mut listens] = [[false; CLIENTS]; 2];
    let mut given = Vec::new();
    for _ in 0..REQUESTS {
        if rng.below(20) == 0 {
            let lines: Vec<&str> = (0..rng.below(5)).map(|_| *pick(rng, LINES)).collect();
            let text = format!("{ROOT}{}", lines.join("\n"));
            servers.iter().for_each(|server| server.write_file(&text));
            given.push(format!("file {text:?}"));
            continue;
        }
        let at = rng.below(CLIENTS as u64) as usize;
        let request = request(rng, rules);
        let name = request[0].to_ascii_uppercase();
        // In EXEC, messages of subscriptions would come among the replies, passwords could not be told from them, ours reads and
        // writes the file only behind it, and Redis has no reply for an AUTH or a HELLO that fails; a second MULTI has other words in
        // Valkey.
        let is_for_itself = |word: &[u8]| {
            let names: [&[u8]; 6] = [b"GENPASS", b"MULTI", b"LOAD", b"SAVE", b"AUTH", b"HELLO"];
            word.ends_with(b"SUBSCRIBE") || names.contains(&word)
        };
        if in_multi[at] && request.iter().take(2).any(|word| is_for_itself(word)) {
            continue;
        }
        listens[at] |= name.ends_with(b"SUBSCRIBE");
        given.push(format!("{at}: {}", line(&request)));
        let [mut ours, mut theirs] = clients[at].each_mut().map(|client| ask(client, &request));
        if listens[at] && ours.is_none() != theirs.is_none() {
            // A closed connection may have lost what its client had not read yet.
            let [of_ours, of_theirs] = &mut clients[at];
            if is_closed(if ours.is_none() { of_theirs } else { of_ours }) {
                (ours, theirs) = (None, None);
            }
        }
        let is_refused =
            |reply: &Option<Reply>| matches!(reply, Some(Reply::Error(text)) if text.starts_with("NO"));
        in_multi[at] = match &*name {
            b"MULTI" => true,
            b"EXEC" | b"DISCARD" | b"RESET" => in_multi[at] && is_refused(&theirs),
            _ => in_multi[at],
        };
        if is_own_way(&ours, &theirs) {
            return None;
        }
        if ours != theirs {
            let shown = |reply: Option<Reply>| reply.map_or("closed".into(), |reply| reply.to_string());
            return Some(format!("{}\nours {}\ntheirs {}", given.join("\n"), shown(ours), shown(theirs)));
        }
        if ours.is_none() {
            clients[at] = connect();
            (in_multi[at], listens[at]) = (false, false);
        }
    }
    None
}

fn compare(tree: &str, variable: &str, rules: &[&str]) {
    let Some(program) = find_peer(tree, &format!("{tree}-server"), variable) else {
        println!("SKIPPED: there is no {tree}-server to compare with");
        return;
    };
    let rounds = crate::variable("REDLOOP_DIFF_CASES").map_or(DEFAULT_ROUNDS, |cases| cases / CASES_A_ROUND);
    let seed = crate::seed();
    println!("acl_sessions with {tree}: REDLOOP_DIFF_SEED={seed}, {rounds} rounds");
    let mut rng = Rng::new(seed);
    let mut servers = [
        Server::start(None, &format!("{tree}-ours")),
        Server::start(Some(&program), &format!("{tree}-theirs")),
    ];
    for number in 0..rounds {
        if let Some(difference) = round(&mut rng, &mut servers, rules) {
            panic!("round {number}:\n{difference}");
        }
    }
}

#[test]
fn sessions_of_users_are_those_of_redis() {
    compare("redis", "REDLOOP_REDIS_SERVER", RULES);
}

#[test]
fn sessions_of_users_are_those_of_valkey() {
    compare("valkey", "REDLOOP_VALKEY_SERVER", &[RULES, DATABASE_RULES].concat());
}
