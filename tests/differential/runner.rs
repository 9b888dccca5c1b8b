//! Runs a history of commands on both servers, and compares replies, events and the databases afterwards.

use std::io;
use std::path::PathBuf;

use crate::compare;
use crate::grammar::Case;
use crate::process::Process;
use crate::support::reply::{Client, Reply, Words, quoted, words};

/// Databases that are compared.
const DATABASES: [&str; 3] = ["0", "1", "10"];
/// The channel of the message that ends a history's events.
const LAST_EVENT: &str = "__keyend__:end";
/// What the message says that ends the replies of a command with several.
const MARK: &[u8] = b"that-was-it";

/// Options both get.
const OPTIONS: &[&str] =
    &["--notify-keyspace-events", "AEnm", "--enable-debug-command", "yes", "--loglevel", "notice"];

/// A command as a line that redis-cli takes.
pub fn line(words: &Words) -> String {
    let plain = |word: &Vec<u8>| {
        !word.is_empty() && word.iter().all(|byte| byte.is_ascii_graphic() && !b"\"'\\".contains(byte))
    };
    let shown = |word: &Vec<u8>| match plain(word) {
        true => String::from_utf8_lossy(word).into_owned(),
        false => quoted(word),
    };
    words.iter().map(shown).collect::<Vec<_>>().join(" ")
}

/// One of the two.
#[derive(Debug)]
struct Side {
    process: Process,
    client: Client,
    listener: Client,
}

impl Side {
    fn new(process: Process) -> Side {
        let client = Client::connect(process.port);
        let mut listener = Client::connect(process.port);
        let reply = listener.ask("PSUBSCRIBE __key*__:*").expect("subscribed");
        assert!(reply.elements().is_some_and(|elements| elements.len() == 3), "{reply}");
        Side { process, client, listener }
    }

    fn ask_all(&mut self, commands: &[Words]) -> io::Result<Vec<Reply>> {
        self.client.send(commands)?;
        commands.iter().map(|_| self.client.read()).collect()
    }

    /// The replies up to the mark, for commands that have several or none.
    fn read_to_mark(&mut self) -> io::Result<Reply> {
        let mut replies = Vec::new();
        loop {
            let reply = self.client.read()?;
            let marks = reply.bytes() == Some(MARK)
                || reply
                    .elements()
                    .is_some_and(|elements| elements.len() == 2 && elements[1].bytes() == Some(MARK));
            if marks {
                return Ok(Reply::Array(replies));
            }
            replies.push(reply);
        }
    }

    /// The events since the last time.
    fn events(&mut self) -> io::Result<Vec<Words>> {
        self.client.send([&words(&format!("PUBLISH {LAST_EVENT} x"))])?;
        self.client.read()?;
        let mut events = Vec::new();
        loop {
            let message = self.listener.read()?;
            let parts: Words = message
                .elements()
                .unwrap_or(&[])
                .iter()
                .filter_map(|part| part.bytes().map(<[u8]>::to_vec))
                .collect();
            match parts.get(2..4) {
                Some([channel, _]) if channel == LAST_EVENT.as_bytes() => return Ok(events),
                Some(event) => events.push(event.to_vec()),
                None => return Err(io::Error::other(format!("not an event: {message}"))),
            }
        }
    }
}

/// How histories are run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    pub resp: u8,
    /// Commands to both before a history: the limits of compact encodings.
    pub config: Vec<(&'static str, &'static str)>,
    /// Commands may have any number of replies.
    pub many_replies: bool,
    /// Encodings must agree. (SORT of a sorted set changes its encoding in Redis.)
    pub encodings: bool,
}

/// Where two servers part.
#[derive(Clone, Debug)]
pub struct Difference {
    /// The command, or what was read of the databases afterwards.
    pub of: Words,
    /// Which case of the history, if it was a reply.
    pub case: Option<usize>,
    pub ours: String,
    pub theirs: String,
}

impl Difference {
    /// Differences of one kind look alike in this.
    pub fn kind(&self) -> String {
        let name = self.of.iter().take(2).map(|word| String::from_utf8_lossy(word).to_ascii_uppercase());
        let name: Vec<_> = name.take(if self.case.is_some() { 1 } else { 2 }).collect();
        let words = if self.of == words("events") { 1 } else { 4 };
        let head = |text: &str| {
            text.split_whitespace()
                .take(words)
                .flat_map(str::chars)
                .filter(|c| !c.is_ascii_digit())
                .collect::<String>()
        };
        format!("{} {} {}", name[0], head(&self.ours), head(&self.theirs))
    }
}

/// The commands and subcommands a server has, in capitals.
fn names(client: &mut Client) -> Vec<String> {
    let list = client.ask("COMMAND LIST").expect("COMMAND LIST");
    let name =
        |reply: &Reply| String::from_utf8_lossy(reply.bytes().unwrap_or_default()).to_ascii_uppercase();
    list.elements().unwrap_or(&[]).iter().map(name).collect()
}

/// Both servers.
#[derive(Debug)]
pub struct Pair {
    ours: Side,
    theirs: Side,
    /// Their version: major, minor.
    pub version: (u32, u32),
    /// What our server doesn't know of their commands and subcommands, in capitals.
    pub missing: Vec<String>,
    /// What theirs doesn't know of ours.
    pub beyond: Vec<String>,
    program: PathBuf,
}

impl Pair {
    pub fn start(program: PathBuf) -> Pair {
        let mut ours = Side::new(Process::ours(OPTIONS));
        let mut theirs = Side::new(Process::start(&program, OPTIONS));
        let info = theirs.client.ask("INFO server").expect("INFO");
        let info = String::from_utf8_lossy(info.bytes().unwrap_or_default()).into_owned();
        let version = info.lines().find_map(|line| line.strip_prefix("redis_version:")).expect("a version");
        let mut numbers = version.split('.').map(|part| part.trim().parse().unwrap_or(0));
        let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        let (here, there) = (names(&mut ours.client), names(&mut theirs.client));
        let without = |all: &[String], others: &[String]| {
            all.iter().filter(|name| !others.contains(name)).cloned().collect::<Vec<_>>()
        };
        let (missing, beyond) = (without(&there, &here), without(&here, &there));
        Pair { ours, theirs, version, missing, beyond, program }
    }

    /// What the reference says of its commands.
    pub fn docs(&mut self) -> Reply {
        self.theirs.client.ask("COMMAND DOCS").expect("COMMAND DOCS")
    }

    /// Starts both anew, after one of them was lost.
    fn restart(&mut self) {
        *self = Pair::start(self.program.clone());
    }

    /// Runs a history; the first difference, if there is one. Trouble with a connection is one, too.
    pub fn run(&mut self, history: &[Case], setting: &Setting) -> Option<Difference> {
        match self.try_run(history, setting) {
            Ok(found) => found,
            Err((of, side, error)) => {
                let log = format!(
                    "{error}\n{}",
                    if side == "ours" { &self.ours } else { &self.theirs }.process.tail()
                );
                if side == "theirs" && log.contains("REDIS BUG REPORT END") {
                    println!("SKIPPED: a history at which the reference crashed");
                    self.restart();
                    return None;
                }
                let (ours, theirs) = if side == "ours" { (log, "fine".into()) } else { ("fine".into(), log) };
                self.restart();
                let case = history.iter().position(|case| case.contains(&of));
                Some(Difference { of, case, ours, theirs })
            }
        }
    }

    fn try_run(&mut self, history: &[Case], setting: &Setting) -> Result<Option<Difference>, Trouble> {
        self.prepare(setting)?;
        if let Some(found) = self.replies(history, setting)? {
            return Ok(Some(found));
        }
        // A reply too many or too few would shift all that follow.
        let end = [words("RESET"), words("ECHO end")];
        let (ours, theirs) = self.both(&end)?;
        if let Some(found) = first_difference(&end, &ours, &theirs) {
            self.restart();
            return Ok(Some(found));
        }
        if let Some(found) = self.events(history)? {
            return Ok(Some(found));
        }
        self.databases(setting)
    }

    /// The replies of both to the same commands.
    fn both(&mut self, commands: &[Words]) -> Result<(Vec<Reply>, Vec<Reply>), Trouble> {
        let first = commands[0].clone();
        let ours = self.ours.ask_all(commands).map_err(|error| (first.clone(), "ours", error))?;
        let theirs = self.theirs.ask_all(commands).map_err(|error| (first, "theirs", error))?;
        Ok((ours, theirs))
    }

    fn prepare(&mut self, setting: &Setting) -> Result<(), Trouble> {
        // Redis 8.0 crashes if FUNCTION FLUSH is in one batch behind FLUSHALL.
        let mut commands = ["RESET", "FUNCTION FLUSH", "SCRIPT FLUSH", "FLUSHALL"].map(words).to_vec();
        if setting.resp == 3 {
            commands.push(words("HELLO 3"));
        }
        for (name, value) in &setting.config {
            commands.push(words(&format!("CONFIG SET {name} {value}")));
        }
        let (ours, theirs) = self.both(&commands)?;
        for (at, command) in commands.iter().enumerate() {
            // An old reference may not know a limit that came later.
            assert!(!matches!(ours[at], Reply::Error(_)), "{}: {}", line(command), ours[at]);
            assert_eq!(ours[at].bytes().is_some(), theirs[at].bytes().is_some(), "{}", line(command));
        }
        for side in [&mut self.ours, &mut self.theirs] {
            side.events().map_err(|error| (words("FLUSHALL"), "ours", error))?;
        }
        Ok(())
    }

    fn replies(&mut self, history: &[Case], setting: &Setting) -> Result<Option<Difference>, Trouble> {
        let commands =
            || history.iter().enumerate().flat_map(|(at, case)| case.iter().map(move |words| (at, words)));
        let mark: Words = vec![b"PING".to_vec(), MARK.to_vec()];
        let mut sent: Vec<&Words> = Vec::new();
        for (_, words) in commands() {
            sent.push(words);
            if setting.many_replies {
                sent.push(&mark);
            }
        }
        let nothing = Words::new();
        let first = sent.first().map_or(&nothing, |words| *words);
        for (name, side) in [("ours", &mut self.ours), ("theirs", &mut self.theirs)] {
            side.client.send(sent.iter().copied()).map_err(|error| (first.clone(), name, error))?;
        }
        let mut found = None;
        for (case, words) in commands() {
            let mut read = [Reply::Null("_"), Reply::Null("_")];
            for (at, (name, side)) in
                [("ours", &mut self.ours), ("theirs", &mut self.theirs)].into_iter().enumerate()
            {
                let reply = if setting.many_replies { side.read_to_mark() } else { side.client.read() };
                read[at] = reply.map_err(|error| (words.clone(), name, error))?;
            }
            let [ours, theirs] = &read;
            if found.is_none() && !compare::agree(words, ours, theirs) {
                let (ours, theirs) = (ours.to_string(), theirs.to_string());
                found = Some(Difference { of: words.clone(), case: Some(case), ours, theirs });
            }
        }
        Ok(found)
    }

    fn events(&mut self, history: &[Case]) -> Result<Option<Difference>, Trouble> {
        let of = || words("events");
        let ours = self.ours.events().map_err(|error| (of(), "ours", error))?;
        let theirs = self.theirs.events().map_err(|error| (of(), "theirs", error))?;
        if ours == theirs || history.is_empty() {
            return Ok(None);
        }
        let same = ours.iter().zip(&theirs).take_while(|(ours, theirs)| ours == theirs).count();
        let shown = |events: &[Words]| {
            let from = &events[same..events.len().min(same + 4)];
            from.iter().map(line).collect::<Vec<_>>().join("\n")
        };
        Ok(Some(Difference { of: of(), case: None, ours: shown(&ours), theirs: shown(&theirs) }))
    }

    /// Compares what is in the databases.
    fn databases(&mut self, setting: &Setting) -> Result<Option<Difference>, Trouble> {
        // Later versions have encodings that 7.0 has not.
        let encodings = setting.encodings && self.version >= (7, 2);
        for database in DATABASES {
            let commands = [words(&format!("SELECT {database}")), words("KEYS *"), words("DBSIZE")];
            let (ours, theirs) = self.both(&commands)?;
            if let Some(found) = first_difference(&commands, &ours, &theirs) {
                return Ok(Some(found));
            }
            let keys: Words = ours[1]
                .elements()
                .unwrap_or(&[])
                .iter()
                .filter_map(|key| key.bytes().map(<[u8]>::to_vec))
                .collect();
            if keys.is_empty() {
                continue;
            }
            let types: Vec<Words> = keys.iter().map(|key| vec![b"TYPE".to_vec(), key.clone()]).collect();
            let (ours, theirs) = self.both(&types)?;
            if let Some(found) = first_difference(&types, &ours, &theirs) {
                return Ok(Some(found));
            }
            let kinds = ours.iter().map(|kind| kind.bytes().unwrap_or_default().to_vec());
            let reads: Vec<Words> = keys
                .iter()
                .zip(kinds)
                .flat_map(|(key, kind)| reads_of(key, &kind, encodings, self.version))
                .collect();
            let (ours, theirs) = self.both(&reads)?;
            if let Some(found) = first_difference(&reads, &ours, &theirs) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

/// The command, which of the two, and what happened to its connection.
type Trouble = (Words, &'static str, io::Error);

fn first_difference(commands: &[Words], ours: &[Reply], theirs: &[Reply]) -> Option<Difference> {
    let at = (0..commands.len()).find(|&at| !compare::agree(&commands[at], &ours[at], &theirs[at]))?;
    let (ours, theirs) = (ours[at].to_string(), theirs[at].to_string());
    Some(Difference { of: commands[at].clone(), case: None, ours, theirs })
}

/// What shows the whole of a key.
fn reads_of(key: &[u8], kind: &[u8], encodings: bool, version: (u32, u32)) -> Vec<Words> {
    let read = |before: &str, behind: &str| {
        let mut all = words(before);
        all.push(key.to_vec());
        all.extend(words(behind));
        all
    };
    let mut reads = vec![read("PTTL", "")];
    if encodings {
        reads.push(read("OBJECT ENCODING", ""));
    }
    match kind {
        b"string" => reads.push(read("GET", "")),
        b"list" => reads.push(read("LRANGE", "0 -1")),
        b"set" => reads.push(read("SMEMBERS", "")),
        b"zset" => reads.push(read("ZRANGE", "0 -1 WITHSCORES")),
        b"hash" => {
            reads.push(read("HGETALL", ""));
            if version >= (7, 4) {
                reads.push(read("HPTTL", "FIELDS 6 a b c d e f"));
            }
        }
        b"vectorset" => reads.push(read("VRANGE", "- +")),
        b"stream" => {
            reads.push(read("XRANGE", "- +"));
            if version >= (7, 2) {
                reads.push(read("XINFO STREAM", "FULL COUNT 0"));
            }
        }
        _ => {}
    }
    reads
}
