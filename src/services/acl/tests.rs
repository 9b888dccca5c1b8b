//! Tests of rules, their text and the check.

use super::*;

/// A few commands: GET, SET, SELECT, CONFIG with GET and SET.
struct Few;

const NAMES: [(&str, bool, bool, u64); 6] = [
    ("get", false, false, 1),
    ("set", false, false, 2),
    ("select", false, false, 4),
    ("config", false, true, 4),
    ("config|get", true, false, 4),
    ("config|set", true, false, 4),
];

impl CommandCatalog for Few {
    fn count(&self) -> usize {
        NAMES.len()
    }

    fn find(&self, name: &[u8]) -> Option<CatalogEntry<'_>> {
        let id = NAMES.iter().position(|known| known.0.as_bytes().eq_ignore_ascii_case(name))?;
        let (name, is_subcommand, has_subcommands, _) = NAMES[id];
        Some(CatalogEntry { id: id as u16, name, is_subcommand, has_subcommands })
    }

    fn category(&self, name: &[u8]) -> Option<u64> {
        ["read", "write", "slow"]
            .iter()
            .position(|known| known.as_bytes().eq_ignore_ascii_case(name))
            .map(|at| 1 << at)
    }

    fn each_in_category(&self, category: u64, each: &mut dyn FnMut(u16)) {
        (0..NAMES.len()).filter(|id| NAMES[*id].3 & category != 0).for_each(|id| each(id as u16));
    }

    fn each_subcommand(&self, command: u16, each: &mut dyn FnMut(u16)) {
        if NAMES[usize::from(command)].2 {
            [4, 5].into_iter().for_each(each);
        }
    }
}

const CONTEXT: RuleContext<'static> = RuleContext { catalog: &Few, all_channels: false };

fn new_user(name: &[u8]) -> User {
    User::new(name, &CONTEXT)
}

fn try_rules(rules: &str) -> Result<User, RuleError> {
    let roles = Roles::default();
    let mut user = UserDraft::new(b"u", CONTEXT, &roles);
    let words = join_selectors(rules.split(' ').map(str::as_bytes)).expect("closed selectors");
    words.iter().try_for_each(|rule| user.apply(rule))?;
    Ok(user.finish())
}

fn text(rules: &str) -> String {
    String::from_utf8(try_rules(rules).unwrap().describe()).unwrap()
}

/// A request of GET or another command on one key, or one channel.
struct Request(u16, Option<&'static str>, Option<(&'static str, u8)>, Option<(&'static str, bool)>);

impl Demand for Request {
    fn command(&self) -> Option<u16> {
        Some(self.0)
    }
    fn first_argument(&self) -> Option<&[u8]> {
        self.1.map(str::as_bytes)
    }
    fn all_keys(&self, mut allowed: impl FnMut(&[u8], usize, u8) -> bool) -> bool {
        self.2.is_none_or(|(key, needs)| allowed(key.as_bytes(), 1, needs))
    }
    fn all_channels(&self, mut allowed: impl FnMut(&[u8], bool, usize) -> bool) -> bool {
        self.3.is_none_or(|(channel, is_pattern)| allowed(channel.as_bytes(), is_pattern, 1))
    }
    fn all_databases(&self, mut allowed: impl FnMut(Option<u32>, usize) -> bool) -> bool {
        allowed(Some(3), 0)
    }
}

fn refusal(rules: &str, request: &Request) -> Option<Reason> {
    try_rules(rules).unwrap().check(request).err().map(|denial| denial.reason)
}

#[test]
fn texts_are_those_of_redis() {
    const OFF: &str = "off sanitize-payload resetchannels -@all";
    assert_eq!(text(""), OFF);
    for (rules, expected) in [
        ("+get", " +get"),
        ("+get -get", " -get"),
        ("+GET +get +Config|GET", " +get +config|get"),
        ("+config|get -config", " -config"),
        ("+config -config|get", " +config -config|get"),
        ("+select|0 +SELECT|1 +select|0", " +select|1 +select|0"),
        ("+@Read -get +@read", " -get +@read"),
        ("+get -@all +set", " +set"),
        ("+@all nocommands", ""),
        ("~a allkeys resetkeys &a allchannels resetchannels", ""),
        ("db=3 alldbs", ""),
    ] {
        assert_eq!(text(rules), format!("{OFF}{expected}"), "{rules}");
    }
    assert_eq!(text("+@all -get"), "off sanitize-payload resetchannels +@all -get");
    assert_eq!(
        text("on %R~a %W~b %w~a %rw~c ~d &x &y &x ( +get  %R~* allchannels ) skip-sanitize-payload nopass"),
        "on nopass skip-sanitize-payload ~a %W~b ~c ~d resetchannels &x &y -@all (%R~* &* -@all +get)"
    );
    assert_eq!(text("db=2,1,2 ~*"), "off sanitize-payload ~* resetchannels db=1,2 -@all");
    assert_eq!(text("on (+get) >x reset"), OFF);
}

#[test]
fn every_text_makes_the_same_user() {
    for rules in
        ["on >a >b ~x %R~y &z +@all -config|set (+select|0 &*) (~* db=4 +get)", "nopass +@read -get resetdbs"]
    {
        let once = text(rules);
        assert_eq!(text(&once), once);
    }
}

#[test]
fn bad_rules() {
    for (rules, error) in [
        ("+nosuch", RuleError::UnknownCommand),
        ("+config|nosuch", RuleError::UnknownCommand),
        ("-select|0", RuleError::UnknownCommand),
        ("+@nosuch", RuleError::UnknownCommand),
        ("+config|get|x", RuleError::FirstArgOfSubcommand),
        ("+select|", RuleError::Syntax),
        ("%~a", RuleError::Syntax),
        ("%RR~a", RuleError::Syntax),
        ("%X~a", RuleError::Syntax),
        ("~a\tb", RuleError::Syntax),
        ("nosuch", RuleError::Syntax),
        ("(nosuch)", RuleError::Syntax),
        ("((+get)", RuleError::Syntax),
        ("(on)", RuleError::Syntax),
        ("~* ~a", RuleError::KeysAfterAll),
        ("&* &a", RuleError::ChannelsAfterAll),
        ("db=4294967296", RuleError::DatabaseOutOfRange),
        ("db=-1", RuleError::DatabaseOutOfRange),
        ("db=", RuleError::Syntax),
        ("db=1,", RuleError::Syntax),
        ("<x", RuleError::NoSuchPassword),
        ("!x", RuleError::BadHash),
        ("#x", RuleError::BadHash),
    ] {
        assert_eq!(try_rules(rules).err(), Some(error), "{rules}");
    }
    assert_eq!(join_selectors([b"(+get".as_slice(), b"~a"].into_iter()), Err(b"(+get".to_vec()));
}

#[test]
fn what_is_checked() {
    let get = |key| Request(0, None, Some((key, access::READ)), None);
    let set = |key| Request(1, None, Some((key, access::ALL)), None);
    let select = |number| Request(2, Some(number), None, None);
    let publish = |channel, is_pattern| Request(0, None, None, Some((channel, is_pattern)));
    assert_eq!(refusal("~*", &get("k")), Some(Reason::Command));
    assert_eq!(refusal("+get", &get("k")), Some(Reason::Key));
    assert_eq!(refusal("+get %R~k*", &get("k1")), None);
    assert_eq!(refusal("+set %R~k* %W~k1", &set("k1")), Some(Reason::Key), "one pattern must allow both");
    assert_eq!(refusal("+set %R~k1 %W~k1", &set("k1")), None);
    assert_eq!(refusal("+get ~a (+set ~k)", &set("k")), None);
    assert_eq!(refusal("+get ~a (+set ~k)", &get("k")), Some(Reason::Key), "selectors are not added up");
    assert_eq!(refusal("+select|1", &select("1")), None);
    assert_eq!(refusal("+select|1", &select("2")), Some(Reason::Command));
    assert_eq!(refusal("+select|1 -select", &select("1")), Some(Reason::Command));
    assert_eq!(refusal("+@slow", &select("2")), None);
    assert_eq!(refusal("+get &news.*", &publish("news.a", false)), None);
    assert_eq!(refusal("+get &news.*", &publish("old", false)), Some(Reason::Channel));
    assert_eq!(refusal("+get &news.*", &publish("news.a", true)), Some(Reason::Channel), "literal only");
    assert_eq!(refusal("+get &news.*", &publish("news.*", true)), None);
    assert_eq!(refusal("+@all allkeys db=2", &get("k")), Some(Reason::Database));
    assert_eq!(refusal("+@all allkeys db=2,3", &get("k")), None);
    assert_eq!(refusal("-@all db=2", &get("k")), Some(Reason::Database), "the database is checked first");
    assert_eq!(refusal("+@all ~* db=2 (+set)", &get("k")), Some(Reason::Command), "and says least");
    assert!(try_rules("+@all ~* &*").unwrap().is_unrestricted());
    assert!(!try_rules("+@all ~* &* db=3").unwrap().is_unrestricted());
    assert!(!try_rules("+@all ~* &* -get").unwrap().is_unrestricted());
}

#[test]
fn passwords() {
    let user = try_rules("on >a >b").unwrap();
    assert!(user.accepts(b"a") && user.accepts(b"b") && !user.accepts(b"c") && !user.is_open());
    assert!(!try_rules(">a").unwrap().accepts(b"a"), "the user is off");
    let user = try_rules("on >a nopass").unwrap();
    assert!(user.accepts(b"anything") && user.is_open());
    let user = try_rules("on nopass >a").unwrap();
    assert!(user.accepts(b"a") && !user.accepts(b"b"));
    assert!(!try_rules("on >a <a").unwrap().accepts(b"a"));
    assert!(!try_rules("on nopass resetpass").unwrap().accepts(b""));
}

#[test]
fn users_in_the_order_of_names() {
    let mut users = Users::new(User::default_user(&CONTEXT));
    for name in ["zoe", "amy", "zoe"] {
        users.put(new_user(name.as_bytes()));
    }
    let names: Vec<_> = users.iter().map(|user| String::from_utf8_lossy(&user.name).into_owned()).collect();
    assert_eq!(names, ["amy", "default", "zoe"]);
    let (put, former) = users.put(new_user(DEFAULT));
    assert!(Arc::ptr_eq(&put, users.default_user()) && former.is_some_and(|user| user.is_open()));
    assert!(users.remove(DEFAULT).is_none() && users.remove(b"amy").is_some() && users.len() == 2);
}

#[test]
fn files_are_taken_as_a_whole() {
    let text = "user a on nopass ~* +get ( ~x  )\r\n\n\tuser default off\n";
    let users = file::read(text.as_bytes(), "f", &CONTEXT).unwrap();
    let written = String::from_utf8(file::write(&users)).unwrap();
    let expected = "user a on nopass sanitize-payload ~* resetchannels -@all +get (~x resetchannels -@all)\n\
                    user default off sanitize-payload resetchannels -@all\n";
    assert_eq!(written, expected);
    let again = file::read(written.as_bytes(), "f", &CONTEXT).unwrap();
    assert_eq!(file::write(&again), written.as_bytes());
    assert!(file::read(b"", "f", &CONTEXT).unwrap().default_user().is_open());

    let text = "user b on +zz\nuser\nuser \"a b\" on\nuser c (+get\nuser b on\nuser c on\nuser d ~* ~a zz\nfoo bar on\nuser i\ton x\nUSER h on";
    let errors = file::read(text.as_bytes(), "f", &CONTEXT).unwrap_err();
    let expected = "f:1: Error in applying operation '+zz': Unknown command or category name in ACL. \
        f:2 should start with user keyword followed by the username. f:3: Syntax error. \
        f:4: Unmatched parenthesis in selector definition.WARNING: Duplicate user 'b' found on line 5. WARNING: Duplicate user 'c' found on line 6. \
        f:7: Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. \
        Try 'resetkeys' to start with an empty list of patterns. \
        f:8 should start with user keyword followed by the username. \
        'f:9: username 'i\ton' contains invalid characters. \
        f:10 should start with user keyword followed by the username. \
        WARNING: ACL errors detected, no change to the previously active ACL rules was performed";
    assert_eq!(String::from_utf8(errors).unwrap(), expected);
}

/// A store with these roles (name, rules).
fn with_roles(roles: &[(&str, &str)]) -> Users {
    let mut users = Users::new(User::default_user(&CONTEXT));
    roles.iter().for_each(|(name, rules)| put_role(&mut users, name, rules).unwrap());
    users
}

fn put_role(users: &mut Users, name: &str, rules: &str) -> Result<(), RuleError> {
    let mut role = match users.roles().get(name.as_bytes()) {
        Some(role) => RoleDraft::of(role, CONTEXT),
        None => RoleDraft::new(name.as_bytes(), CONTEXT),
    };
    let words = join_selectors(rules.split(' ').map(str::as_bytes)).expect("closed selectors");
    words.iter().try_for_each(|rule| role.apply(rule))?;
    let role = role.finish();
    users.put_role(role);
    Ok(())
}

fn put_user(users: &mut Users, name: &str, rules: &str) -> Result<(), RuleError> {
    let known = users.get(name.as_bytes()).cloned();
    let mut user = match &known {
        Some(user) => UserDraft::of(user, CONTEXT, users.roles()),
        None => UserDraft::new(name.as_bytes(), CONTEXT, users.roles()),
    };
    let words = join_selectors(rules.split(' ').map(str::as_bytes)).expect("closed selectors");
    words.iter().try_for_each(|rule| user.apply(rule))?;
    let user = user.finish();
    users.put(user);
    Ok(())
}

fn holders(users: &Users, role: &str) -> String {
    let holders = users.holders(role.as_bytes());
    let names: Vec<_> = holders.map(|user| String::from_utf8_lossy(&user.name).into_owned()).collect();
    names.join(" ")
}

#[test]
fn a_role_gives_its_rights_to_the_users_that_hold_it() {
    let mut users = with_roles(&[("reader", "~app:* +@read (+set ~w)"), ("all", "+@all ~* &*")]);
    let get = |key| Request(0, None, Some((key, access::READ)), None);
    let may = |users: &Users, name: &str, key| users.get(name.as_bytes()).unwrap().check(&get(key)).is_ok();
    put_user(&mut users, "amy", "~own role=reader").unwrap();
    put_user(&mut users, "bob", "role=reader,all,reader").unwrap();
    let text = |users: &Users, name: &str| String::from_utf8(users.get(name.as_bytes()).unwrap().describe());
    assert_eq!(text(&users, "amy").unwrap(), "off sanitize-payload ~own resetchannels -@all role=reader");
    assert_eq!(text(&users, "bob").unwrap(), "off sanitize-payload resetchannels -@all role=reader,all");
    assert!(may(&users, "amy", "app:1") && !may(&users, "amy", "own") && may(&users, "bob", "own"));
    assert!(!users.get(b"amy").unwrap().is_unrestricted() && users.get(b"bob").unwrap().is_unrestricted());
    assert_eq!(holders(&users, "reader"), "amy bob");

    put_role(&mut users, "reader", "resetkeys ~other clearselectors").unwrap();
    assert!(!may(&users, "amy", "app:1") && may(&users, "amy", "other"), "at once");
    assert_eq!(put_role(&mut users, "reader", "~x on"), Err(RuleError::Syntax));
    assert!(!may(&users, "amy", "x"), "all rules or none");

    assert!(!users.remove_role(b"reader") && !users.remove_role(b"none"));
    put_user(&mut users, "amy", "role=all").unwrap();
    users.remove(b"bob");
    assert_eq!((holders(&users, "reader"), holders(&users, "all")), (String::new(), "amy".into()));
    assert!(users.remove_role(b"reader"));
    put_user(&mut users, "amy", "resetroles").unwrap();
    put_user(&mut users, "default", "role=all").unwrap();
    assert_eq!(holders(&users, "all"), "default");
    put_role(&mut users, "all", "-get").unwrap();
    assert!(Arc::ptr_eq(&users.default_user().roles()[0], users.roles().get(b"all").unwrap()));
    put_user(&mut users, "default", "reset").unwrap();
    assert!(users.remove_role(b"all") && users.roles().is_empty());
}

#[test]
fn bad_roles() {
    let mut users = with_roles(&[("r", "+get")]);
    for (rules, error) in [
        ("role=", RuleError::Syntax),
        ("role=,", RuleError::Syntax),
        ("role=r,", RuleError::Syntax),
        ("role=,r", RuleError::Syntax),
        ("role=r,,r", RuleError::Syntax),
        ("role=R", RuleError::NoSuchRole),
        ("role=r,no", RuleError::NoSuchRole),
        ("(role=r)", RuleError::Syntax),
    ] {
        assert_eq!(put_user(&mut users, "u", rules), Err(error), "{rules}");
    }
    for rule in [
        "on",
        "off",
        "reset",
        ">p",
        "<p",
        "#zz",
        "!zz",
        "nopass",
        "resetpass",
        "role=r",
        "resetroles",
        "sanitize-payload",
        "skip-sanitize-payload",
    ] {
        assert_eq!(put_role(&mut users, "r", rule), Err(RuleError::Syntax), "{rule}");
    }
    for name in ["a", "app.read-only", "role:admin", "a=b", "(x)", "get"] {
        assert_eq!(role_name_error(name.as_bytes()), None, "{name}");
    }
    for name in ["", "a b", "a\tb", "café", "a\0", "a,b", "q\"", "q'", "q\\"] {
        assert!(role_name_error(name.as_bytes()).is_some(), "{name}");
    }
}

#[test]
fn files_with_roles() {
    let text = "user a on nopass role=late,early\nrole late ~x (+get\t ~y )\nrole early +@read\nuser default on role=late";
    let users = file::read(text.as_bytes(), "f", &CONTEXT).unwrap();
    let written = String::from_utf8(file::write(&users)).unwrap();
    let expected = "role early resetchannels -@all +@read\n\
        role late ~x resetchannels -@all (~y resetchannels -@all +get)\n\
        user a on nopass sanitize-payload resetchannels -@all role=late,early\n\
        user default on sanitize-payload resetchannels -@all role=late\n";
    assert_eq!(written, expected);
    let again = file::read(written.as_bytes(), "f", &CONTEXT).unwrap();
    assert_eq!(file::write(&again), written.as_bytes());
    assert_eq!(holders(&again, "late"), "a default");

    let text = "role\nrole a,b +get\nrole r >secret\nrole d ~*\nrole d ~x\nuser u role=none\nrole e (+get\nrole g +zz\nrole r\nuser x role=g";
    let errors = file::read(text.as_bytes(), "f", &CONTEXT).unwrap_err();
    let expected = "f:1: the role keyword requires a role name. \
        f:2: invalid role name 'a,b': Role names can't contain commas. \
        f:3: Error in the rules of role 'r': Syntax error. \
        WARNING: Duplicate role 'd' found on line 5. \
        f:7: Error in the rules of role 'e': Unmatched parenthesis in selector definition. \
        f:8: Error in the rules of role 'g': Unknown command or category name in ACL. \
        WARNING: Duplicate role 'r' found on line 9. \
        f:6: The specified role does not exist. \
        WARNING: ACL errors detected, no change to the previously active ACL rules was performed";
    assert_eq!(String::from_utf8(errors).unwrap(), expected);
}

#[test]
fn digests_are_those_of_valkey() {
    let mut users = with_roles(&[]);
    let default = "24ece0a4daea0bcb936b438ae6c9f36db76f57dfc70e00def7b2c26041c49822";
    assert_eq!(users.digest(), default);
    put_user(&mut users, "alice", "on >alice ~key:* +get").unwrap();
    assert_eq!(users.digest(), "d06ec40dd1a8e30a4babea1011d4b0daf02dbdf5de95ea18768e15f346a7d385");
    users.remove(b"alice");
    put_role(&mut users, "r", "+get").unwrap();
    let with_role = users.digest();
    put_role(&mut users, "r", "+set").unwrap();
    assert!(with_role != default && with_role != users.digest(), "a role's rules count");
    users.remove_role(b"r");
    assert_eq!(users.digest(), default);
}

/// A request without keys and channels, in database 0.
struct First<'a>(u16, &'a [u8]);

impl Demand for First<'_> {
    fn command(&self) -> Option<u16> {
        Some(self.0)
    }
    fn first_argument(&self) -> Option<&[u8]> {
        Some(self.1)
    }
    fn all_keys(&self, _: impl FnMut(&[u8], usize, u8) -> bool) -> bool {
        true
    }
    fn all_channels(&self, _: impl FnMut(&[u8], bool, usize) -> bool) -> bool {
        true
    }
    fn all_databases(&self, _: impl FnMut(Option<u32>, usize) -> bool) -> bool {
        true
    }
}

#[test]
fn first_arguments_are_any_bytes() {
    let roles = Roles::default();
    let mut user = UserDraft::new(b"u", CONTEXT, &roles);
    for rule in [b"+select|\xff\x01B".as_slice(), b"+select|7", b"+get|Z", b"+select|A"] {
        user.apply(rule).unwrap();
    }
    let user = user.finish();
    let expected = b"off sanitize-payload resetchannels -@all +select|\xff\x01b +select|7 +get|z +select|a";
    assert_eq!(user.describe(), expected);
    let allows = |id, first: &[u8]| user.check(&First(id, first)).is_ok();
    assert!(allows(2, b"\xff\x01b") && allows(2, b"\xff\x01B") && allows(2, b"7") && allows(0, b"z"));
    assert!(!allows(2, b"\xff\x01") && !allows(2, b"8") && !allows(2, b"z") && !allows(0, b"7"));
    let mut line = [b"user u ".as_slice(), expected].concat();
    line.push(b'\n');
    let read = file::read(&line, "f", &CONTEXT).unwrap();
    assert_eq!(read.get(b"u").unwrap().describe(), expected);
}

/// 400,000 rules: if their time grew with the square of their number, this would take minutes.
#[test]
fn many_rules_take_a_time_of_their_number() {
    const MANY: usize = 50_000;
    let roles = Roles::default();
    let started = std::time::Instant::now();
    let mut user = UserDraft::new(b"u", CONTEXT, &roles);
    for number in 0..MANY {
        for rule in [
            format!("~k{number}"),
            format!("&c{number}"),
            format!("+select|{number}"),
            format!("#{number:064x}"),
            format!("%R~k{}", number / 2),
            format!("db={number}"),
            "+@read".into(),
            "-set".into(),
        ] {
            user.apply(rule.as_bytes()).unwrap();
        }
    }
    let user = user.finish();
    assert_eq!(user.passwords().len(), MANY);
    let mut again = UserDraft::of(&user, CONTEXT, &roles);
    for number in 0..MANY {
        again.apply(format!("!{number:064x}").as_bytes()).unwrap();
    }
    again.apply(b"-select").unwrap();
    let again = again.finish();
    assert!(again.passwords().is_empty());
    let text = String::from_utf8(again.describe()).unwrap();
    assert!(text.ends_with(" db=49999 -@all +@read -set -select"), "{}", &text[text.len() - 80..]);
    assert_eq!(text.split(' ').count(), 2 * MANY + 8);
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}
