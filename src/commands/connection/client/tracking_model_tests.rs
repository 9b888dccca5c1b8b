//! Who must be told what: random clients, modes and commands against a naive model. No message may be missing, and none may
//! come twice.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use proptest::prelude::*;

use crate::base::ids::ClientId;
use crate::commands::testing::TestServer;
use crate::engine::clients::session::state;

const KEYS: [&str; 6] = ["a", "ab", "abc", "b", "ba", "c"];
const PREFIXES: [&[&str]; 6] = [&[], &["a"], &["ab", "b"], &["a", "b"], &[""], &["c"]];
/// Clients that send requests: two of RESP3, and two of RESP2, the second of which is subscribed and only gets messages.
const RESP3: [bool; 4] = [true, true, false, false];
const ACTORS: usize = 3;
const LISTENER: usize = 3;
/// The client that waits for the list `src`, to move its items to `dst`.
const WAITER: usize = 4;
const DEADLINE: u64 = 50;

#[derive(Clone, Debug)]
enum Inner {
    Read(Vec<usize>),
    Set(usize),
    SetWithDeadline(usize),
    Delete(usize),
}

#[derive(Clone, Copy, Debug)]
enum Mode {
    Reads,
    OptIn,
    OptOut,
    Broadcast(usize),
}

#[derive(Clone, Debug)]
enum Step {
    Track(Mode, bool, Option<usize>),
    Untrack,
    Caching,
    Run(Inner),
    Exec(Vec<Inner>),
    Script(Vec<Inner>),
    Push,
    ReadList,
    WaiterTracks(bool),
    Flush,
    Reconnect(usize),
    /// Time passes; whether what is due is removed before it is looked up.
    Wait(bool),
    EndTurn,
}

fn inner() -> impl Strategy<Value = Inner> {
    let key = || 0..KEYS.len();
    prop_oneof![
        4 => prop::collection::vec(key(), 1..3).prop_map(Inner::Read),
        3 => key().prop_map(Inner::Set),
        1 => key().prop_map(Inner::SetWithDeadline),
        1 => key().prop_map(Inner::Delete),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let mode = prop_oneof![
        3 => Just(Mode::Reads),
        1 => Just(Mode::OptIn),
        1 => Just(Mode::OptOut),
        3 => (0..PREFIXES.len()).prop_map(Mode::Broadcast),
    ];
    let target = prop::option::weighted(0.3, 0..=LISTENER);
    prop_oneof![
        4 => (mode, any::<bool>(), target).prop_map(|(mode, no_loop, target)| Step::Track(mode, no_loop, target)),
        1 => Just(Step::Untrack),
        2 => Just(Step::Caching),
        12 => inner().prop_map(Step::Run),
        3 => prop::collection::vec(inner(), 1..5).prop_map(Step::Exec),
        1 => prop::collection::vec(inner(), 1..5).prop_map(Step::Script),
        1 => Just(Step::Push),
        1 => Just(Step::ReadList),
        1 => any::<bool>().prop_map(Step::WaiterTracks),
        1 => Just(Step::Flush),
        1 => (0..=LISTENER).prop_map(Step::Reconnect),
        2 => any::<bool>().prop_map(Step::Wait),
        4 => Just(Step::EndTurn),
    ]
}

#[derive(Clone, Debug, Default)]
struct Tracks {
    opt_in: bool,
    opt_out: bool,
    no_loop: bool,
    redirect: Option<(usize, u32)>,
    /// With BCAST.
    prefixes: Option<BTreeSet<String>>,
}

impl Tracks {
    fn followed(&self) -> Vec<String> {
        let all = self.prefixes.clone().unwrap_or_default();
        if all.contains("") { vec![String::new()] } else { all.into_iter().collect() }
    }
}

/// What the server must do, said in the simplest way. A client is its place; one that reconnects is another one.
#[derive(Default)]
struct Model {
    tracks: HashMap<usize, Tracks>,
    caching: BTreeSet<usize>,
    /// How often each place has reconnected.
    lives: [u32; WAITER + 1],
    keys: BTreeMap<String, Option<u64>>,
    /// Those who read a key, with whether they have tracked without a break since: the others need not be told.
    readers: BTreeMap<String, BTreeMap<usize, bool>>,
    /// Changed keys by the prefixes that are followed.
    changed: BTreeMap<String, BTreeSet<String>>,
    /// Who changed each of them in this turn, if it was one client only.
    origins: BTreeMap<String, Option<(usize, u32)>>,
    now: u64,
    told: Vec<(usize, String)>,
    /// What may be told besides.
    may_be_told: Vec<(usize, String)>,
}

impl Model {
    fn tell(&mut self, client: usize, body: &str) {
        let Some(tracks) = self.tracks.get(&client) else { return };
        let resp3 = |client: usize| client == WAITER || RESP3[client];
        let push = format!(">[\"invalidate\" {body}]");
        match tracks.redirect {
            None if resp3(client) => self.told.push((client, push)),
            None => {}
            Some((target, life)) if self.lives[target] != life && !resp3(client) => {}
            Some((target, life)) if self.lives[target] != life => {
                self.told.push((client, ">[\"tracking-redir-broken\"]".into()));
            }
            Some((target, _)) if resp3(target) => self.told.push((target, push)),
            Some((LISTENER, _)) => {
                self.told.push((LISTENER, format!("[\"message\" \"__redis__:invalidate\" {body}]")));
            }
            Some(_) => {}
        }
    }

    fn change(&mut self, key: &str, origin: Option<usize>) {
        let prefixes: BTreeSet<String> = self.tracks.values().flat_map(Tracks::followed).collect();
        for prefix in prefixes.into_iter().filter(|prefix| key.starts_with(prefix.as_str())) {
            self.changed.entry(prefix).or_default().insert(key.into());
            let origin = origin.map(|origin| (origin, self.lives[origin]));
            let known = self.origins.entry(key.into()).or_insert(origin);
            if *known != origin {
                *known = None;
            }
        }
        for (reader, must) in self.readers.remove(key).unwrap_or_default() {
            let tracks = self.tracks.get(&reader).filter(|tracks| tracks.prefixes.is_none());
            let spared = tracks.is_some_and(|tracks| tracks.no_loop) && origin == Some(reader);
            if tracks.is_some() && !spared {
                let before = self.told.len();
                self.tell(reader, &format!("[\"{key}\"]"));
                if !must {
                    self.may_be_told.extend(self.told.drain(before..));
                }
            }
        }
    }

    fn read(&mut self, client: usize, key: &str) {
        let Some(tracks) = self.tracks.get(&client).filter(|tracks| tracks.prefixes.is_none()) else {
            return;
        };
        let caching = self.caching.contains(&client);
        if !(tracks.opt_in && !caching || tracks.opt_out && caching) {
            self.readers.entry(key.into()).or_default().insert(client, true);
        }
    }

    /// What a lookup does: a key past its deadline goes.
    fn look_up(&mut self, key: &str) {
        if matches!(self.keys.get(key), Some(Some(deadline)) if *deadline < self.now) {
            self.keys.remove(key);
            self.change(key, None);
        }
    }

    fn run(&mut self, client: usize, inner: &Inner) {
        match inner {
            Inner::Read(keys) => {
                keys.iter().for_each(|key| self.look_up(KEYS[*key]));
                keys.iter().for_each(|key| self.read(client, KEYS[*key]));
            }
            Inner::Set(key) | Inner::SetWithDeadline(key) => {
                let has_deadline = matches!(inner, Inner::SetWithDeadline(_));
                self.look_up(KEYS[*key]);
                self.keys.insert(KEYS[*key].into(), has_deadline.then_some(self.now + DEADLINE));
                self.change(KEYS[*key], Some(client));
            }
            Inner::Delete(key) => {
                self.look_up(KEYS[*key]);
                if self.keys.remove(KEYS[*key]).is_some() {
                    self.change(KEYS[*key], Some(client));
                }
            }
        }
    }

    fn forget_unfollowed(&mut self) {
        let prefixes: BTreeSet<String> = self.tracks.values().flat_map(Tracks::followed).collect();
        self.changed.retain(|prefix, _| prefixes.contains(prefix));
        if self.changed.is_empty() {
            self.origins.clear();
        }
    }

    fn untrack(&mut self, client: usize) {
        self.tracks.remove(&client);
        self.caching.remove(&client);
        let own = self.readers.values_mut().filter_map(|readers| readers.get_mut(&client));
        own.for_each(|must| *must = false);
        self.forget_unfollowed();
    }

    /// False if the options don't suit what was before.
    fn track(&mut self, client: usize, mode: Mode, no_loop: bool, target: Option<usize>) -> bool {
        let redirect = target.map(|target| (target, self.lives[target]));
        let mut tracks = Tracks { no_loop, redirect, ..Tracks::default() };
        let old = self.tracks.get(&client);
        match mode {
            Mode::Reads => {}
            Mode::OptIn => tracks.opt_in = true,
            Mode::OptOut => tracks.opt_out = true,
            Mode::Broadcast(index) => {
                let mut all = old.and_then(|old| old.prefixes.clone()).unwrap_or_default();
                let new = PREFIXES[index];
                if new
                    .iter()
                    .any(|new| all.iter().any(|old| old.starts_with(new) || new.starts_with(old.as_str())))
                {
                    return false;
                }
                let everything: &[&str] = &[""];
                all.extend(
                    if new.is_empty() { everything } else { new }.iter().map(|prefix| prefix.to_string()),
                );
                tracks.prefixes = Some(all);
            }
        }
        if let Some(old) = old
            && (old.prefixes.is_some() != tracks.prefixes.is_some()
                || old.opt_in && tracks.opt_out
                || old.opt_out && tracks.opt_in)
        {
            return false;
        }
        self.tracks.insert(client, tracks);
        self.forget_unfollowed();
        true
    }

    fn flush(&mut self) {
        self.keys.clear();
        let clients: Vec<usize> = self.tracks.keys().copied().collect();
        clients.into_iter().for_each(|client| self.tell(client, "nil"));
        self.readers.clear();
    }

    fn end_turn(&mut self) {
        let origins = std::mem::take(&mut self.origins);
        for (prefix, changed) in std::mem::take(&mut self.changed) {
            let followers: Vec<(usize, bool)> = self
                .tracks
                .iter()
                .filter(|(_, tracks)| tracks.followed().contains(&prefix))
                .map(|(client, tracks)| (*client, tracks.no_loop))
                .collect();
            for (client, no_loop) in followers {
                let told = changed
                    .iter()
                    .filter(|key| !no_loop || origins[*key] != Some((client, self.lives[client])));
                let keys: Vec<String> = told.map(|key| format!("\"{key}\"")).collect();
                if !keys.is_empty() {
                    self.tell(client, &format!("[{}]", keys.join(" ")));
                }
            }
        }
    }
}

/// The server, the places of its clients, and what must happen.
struct World {
    server: TestServer,
    clients: Vec<ClientId>,
    model: Model,
    /// What replies and messages have told since the last comparison.
    told: Vec<(usize, String)>,
}

/// The items of a text like `+OK [1 2] >["invalidate" ["a"]]`.
fn items(text: &str) -> Vec<String> {
    let (mut items, mut depth) = (vec![String::new()], 0);
    for letter in text.chars() {
        match letter {
            '[' | '{' => depth += 1,
            ']' | '}' => depth -= 1,
            ' ' if depth == 0 => {
                items.push(String::new());
                continue;
            }
            _ => {}
        }
        items.last_mut().expect("one").push(letter);
    }
    items
}

fn words(inner: &Inner) -> Vec<String> {
    let words = |words: &[&str]| words.iter().map(|word| word.to_string()).collect();
    match inner {
        Inner::Read(keys) if keys.len() == 1 => words(&["GET", KEYS[keys[0]]]),
        Inner::Read(keys) => {
            words(&["MGET"].into_iter().chain(keys.iter().map(|key| KEYS[*key])).collect::<Vec<_>>())
        }
        Inner::Set(key) => words(&["SET", KEYS[*key], "v"]),
        Inner::SetWithDeadline(key) => words(&["SET", KEYS[*key], "v", "PX", "50"]),
        Inner::Delete(key) => words(&["DEL", KEYS[*key]]),
    }
}

impl World {
    fn new() -> Self {
        let server = TestServer::new();
        let mut world = World { server, clients: Vec::new(), model: Model::default(), told: Vec::new() };
        for place in 0..=WAITER {
            let client = world.connect(place);
            world.clients.push(client);
        }
        world.run(WAITER, "BLMOVE src dst LEFT RIGHT 0");
        world
    }

    fn connect(&mut self, place: usize) -> ClientId {
        let client = self.server.connect();
        self.server.engine.clients.sessions.live_mut(client).resp3 = place == WAITER || RESP3[place];
        if place == LISTENER {
            self.server.run_as(client, "SUBSCRIBE any");
        }
        client
    }

    fn hear(&mut self, place: usize, text: &str) {
        for item in items(text) {
            if item.starts_with(">[\"tracking-redir-broken\"") {
                self.told.push((place, ">[\"tracking-redir-broken\"]".into()));
            } else if item.starts_with(">[\"invalidate\"") || item.starts_with("[\"message\"") {
                self.told.push((place, item));
            }
        }
    }

    fn run(&mut self, place: usize, line: &str) -> String {
        let reply = self.server.run_as(self.clients[place], line);
        self.hear(place, &reply);
        // What CLIENT CACHING said is over with any other request.
        if !line.starts_with("CLIENT") {
            let session = self.server.engine.clients.sessions.live(self.clients[place]);
            if !session.is(state::IN_MULTI) {
                self.model.caching.remove(&place);
            }
        }
        reply
    }

    fn step(&mut self, place: usize, step: &Step) {
        match step {
            Step::Track(mode, no_loop, target) => self.track(place, *mode, *no_loop, *target),
            Step::Untrack => {
                self.model.untrack(place);
                self.run(place, "CLIENT TRACKING OFF");
            }
            Step::Caching => self.caching(place),
            Step::Run(inner) => {
                self.model.run(place, inner);
                self.run(place, &words(inner).join(" "));
            }
            Step::Exec(all) => {
                all.iter().for_each(|inner| self.model.run(place, inner));
                self.run(place, "MULTI");
                all.iter().for_each(|inner| _ = self.run(place, &words(inner).join(" ")));
                self.run(place, "EXEC");
            }
            Step::Script(all) => {
                all.iter().for_each(|inner| self.model.run(place, inner));
                let calls = all.iter().map(|inner| format!("redis.call('{}')", words(inner).join("','")));
                let script = calls.collect::<Vec<_>>().join(" ");
                let reply = self.run(place, &format!("EVAL \"{script}\" 0"));
                assert!(reply.starts_with("nil"), "{reply}");
            }
            Step::Push => self.push(place),
            Step::ReadList => {
                self.model.read(place, "src");
                self.model.read(place, "dst");
                self.run(place, "MULTI");
                self.run(place, "LLEN src");
                self.run(place, "LLEN dst");
                self.run(place, "EXEC");
            }
            Step::WaiterTracks(no_loop) => self.waiter_tracks(*no_loop),
            Step::Flush => {
                self.model.flush();
                self.run(place, "FLUSHALL");
            }
            Step::Reconnect(other) => {
                self.model.untrack(*other);
                self.model.lives[*other] += 1;
                self.model.readers.values_mut().for_each(|readers| _ = readers.remove(other));
                self.server.engine.kill(self.clients[*other]);
                self.clients[*other] = self.connect(*other);
            }
            Step::Wait(removed) => self.wait(*removed),
            Step::EndTurn => {
                self.model.end_turn();
                self.server.engine.finish_tracking();
            }
        }
        self.compare(step);
    }

    fn track(&mut self, place: usize, mode: Mode, no_loop: bool, target: Option<usize>) {
        let mut line = "CLIENT TRACKING ON".to_string();
        match mode {
            Mode::Reads => {}
            Mode::OptIn => line += " OPTIN",
            Mode::OptOut => line += " OPTOUT",
            Mode::Broadcast(index) => {
                line += " BCAST";
                PREFIXES[index].iter().for_each(|prefix| line += &format!(" PREFIX \"{prefix}\""));
            }
        }
        line += if no_loop { " NOLOOP" } else { "" };
        if let Some(target) = target {
            let id = self.server.engine.clients.sessions.live(self.clients[target]).id;
            line += &format!(" REDIRECT {id}");
        }
        let suits = self.model.track(place, mode, no_loop, target);
        let reply = self.run(place, &line);
        assert_eq!(reply == "+OK", suits, "{line}: {reply}");
    }

    fn caching(&mut self, place: usize) {
        let tracks = self.model.tracks.get(&place).cloned().unwrap_or_default();
        let (word, suits) = if tracks.opt_in { ("YES", true) } else { ("NO", tracks.opt_out) };
        if suits {
            self.model.caching.insert(place);
        }
        let reply = self.run(place, &format!("CLIENT CACHING {word}"));
        assert_eq!(reply == "+OK", suits, "{reply}");
    }

    /// The pusher changes `src`; the waiter, who is served, changes both lists, and waits again.
    fn push(&mut self, place: usize) {
        self.model.change("src", Some(place));
        self.model.change("src", Some(WAITER));
        self.model.change("dst", Some(WAITER));
        self.run(place, "RPUSH src x");
        self.hear_posts();
        assert_eq!(self.run(WAITER, "BLMOVE src dst LEFT RIGHT 0"), "(blocked)");
    }

    /// The waiter, which can't be served a request while it waits, reads `dst`.
    fn waiter_tracks(&mut self, no_loop: bool) {
        self.model.untrack(WAITER);
        self.model.track(WAITER, Mode::Reads, no_loop, None);
        self.model.read(WAITER, "dst");
        self.server.engine.unblock(self.clients[WAITER], None);
        self.run(WAITER, "CLIENT TRACKING OFF");
        self.run(WAITER, if no_loop { "CLIENT TRACKING ON NOLOOP" } else { "CLIENT TRACKING ON" });
        self.run(WAITER, "LLEN dst");
        assert_eq!(self.run(WAITER, "BLMOVE src dst LEFT RIGHT 0"), "(blocked)");
    }

    fn wait(&mut self, removed: bool) {
        self.model.now += 1000;
        self.server.advance(1000);
        if removed {
            KEYS.iter().for_each(|key| self.model.look_up(key));
            self.server.engine.tick();
        }
    }

    fn hear_posts(&mut self) {
        for (to, text) in self.server.all_posted() {
            if let Some(place) = self.clients.iter().position(|client| *client == to) {
                self.hear(place, &text);
            }
        }
    }

    fn compare(&mut self, step: &Step) {
        self.hear_posts();
        let mut told = std::mem::take(&mut self.told);
        let mut expected = std::mem::take(&mut self.model.told);
        // What needn't have been told is expected if it was.
        for message in std::mem::take(&mut self.model.may_be_told) {
            let count = |all: &[(usize, String)]| all.iter().filter(|other| **other == message).count();
            if count(&told) > count(&expected) {
                expected.push(message);
            }
        }
        told.sort();
        expected.sort();
        assert_eq!(told, expected, "after {step:?}");
        self.server.engine.clients.tracking.readers.check_invariants();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 4, ..ProptestConfig::default() })]
    #[test]
    fn everyone_who_must_be_told_is_told_once(steps in prop::collection::vec((0..ACTORS, step()), 1..80)) {
        let mut world = World::new();
        for (place, step) in &steps {
            world.step(*place, step);
        }
        // With the last client that tracks the tables are empty.
        (0..=WAITER).for_each(|place| world.server.engine.clients.stop_tracking(world.clients[place]));
        let tracking = &world.server.engine.clients.tracking;
        let left = (tracking.client_count(), tracking.readers.key_count(), tracking.prefixes.count());
        prop_assert_eq!(left, (0, 0, 0));
    }
}
