//! Tests of the configuration: directives, CONFIG SET and GET, files, command lines, CONFIG REWRITE.

use super::*;
use crate::base::rng::Rng;

/// An environment of a few files and a working directory.
#[derive(Default)]
struct TestEnv {
    files: Vec<(&'static str, &'static str)>,
}

impl ConfigEnv for TestEnv {
    fn include(&mut self, path: &str) -> Result<Vec<u8>, String> {
        let file = self.files.iter().find(|(name, _)| *name == path);
        file.map(|(_, text)| text.as_bytes().to_vec()).ok_or("No such file or directory".into())
    }

    fn change_dir(&mut self, path: &str) -> Result<String, String> {
        match path {
            "missing" => Err("No such file or directory".into()),
            _ => Ok(format!("/cwd/{path}")),
        }
    }

    fn rename_command(&mut self, command: &[u8], _name: &[u8]) -> Result<(), InvalidValue> {
        if command == b"nosuch" { Err("No such command in rename-command".into()) } else { Ok(()) }
    }
}

fn load(text: &str) -> Result<Config, String> {
    Config::load(text.as_bytes(), &mut TestEnv::default())
        .map(|(config, _)| config)
        .map_err(|e| e.to_string())
}

fn load_arguments(arguments: &[&str]) -> Result<Config, String> {
    let arguments: Vec<Vec<u8>> = arguments.iter().map(|argument| argument.as_bytes().to_vec()).collect();
    match CommandLine::parse(&arguments) {
        CommandLine::Start { options, .. } => {
            let text = startup_text(None, None, &options);
            load(&String::from_utf8_lossy(&text))
        }
        other => Err(format!("{other:?}")),
    }
}

fn set(config: &mut Config, pairs: &[(&str, &str)]) -> Result<Vec<&'static str>, String> {
    let pairs: Vec<(&[u8], &[u8])> =
        pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    let context = SetContext { local_connection: true, loading: false };
    config.set_many(&pairs, context).map_err(|error| String::from_utf8_lossy(&error.reply()).into_owned())
}

fn text(config: &Config, name: &str) -> String {
    config.get_text(name).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or("(none)".into())
}

#[test]
fn what_was_set_is_taken_back() {
    let before = Config::default();
    for directive in DIRECTIVES.iter().filter(|directive| !directive.has(flags::IMMUTABLE)) {
        let mut config = Config { hz: 77, maxmemory: 5, ..Config::default() };
        config.take_back(&before, &[directive.name]);
        for other in DIRECTIVES {
            let expected = if other.name == directive.name {
                &before
            } else {
                &Config { hz: 77, maxmemory: 5, ..Config::default() }
            };
            assert_eq!(
                other.to_get(&config),
                other.to_get(expected),
                "{} after {}",
                other.name,
                directive.name
            );
        }
    }
    let mut config = Config::default();
    let pairs =
        [("save", "1 2"), ("bind", "* -::1"), ("client-output-buffer-limit", "pubsub 1 2 3"), ("port", "9")];
    let changed = set(&mut config, &pairs).expect("set");
    let after = config.clone();
    config.take_back(&before, &changed);
    assert_eq!(config.get(&[b"*"]), before.get(&[b"*"]));
    config.take_back(&after, &changed);
    assert_eq!(config.get(&[b"*"]), after.get(&[b"*"]));
}

fn failed(name: &str, reason: &str) -> String {
    format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}")
}

#[test]
fn names_are_unique_and_defaults_valid() {
    let mut names: Vec<&str> =
        DIRECTIVES.iter().flat_map(|row| std::iter::once(row.name).chain(row.alias)).collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
    let config = Config::default();
    for row in DIRECTIVES {
        let mut again = config.clone();
        let value = row.to_get(&config);
        let words = match row.has(flags::MULTI) {
            true => value
                .split(|&byte| byte == b' ')
                .filter(|word| !word.is_empty())
                .map(<[u8]>::to_vec)
                .collect(),
            false => vec![value],
        };
        if row.name != "replicaof" {
            assert_eq!(row.assign(&mut again, &words), Ok(()), "{}", row.name);
            assert_eq!(again, config, "{}", row.name);
        }
    }
}

/// The field of each numeric directive holds the whole range.
#[test]
fn fields_hold_their_bounds() {
    for row in DIRECTIVES {
        let Rule::Range { low, high, unit } = row.rule else { continue };
        let high = if unit == Unit::Plain { high.min(i64::MAX.into()) } else { high };
        let low = if unit == Unit::BytesOrPercent { 0 } else { low };
        for bound in [low, high] {
            let word = if unit == Unit::Octal { format!("{bound:o}") } else { bound.to_string() };
            let mut config = Config::default();
            assert_eq!(row.assign(&mut config, &[word.clone().into_bytes()]), Ok(()), "{}", row.name);
            if row.name != "hz" {
                assert_eq!(row.to_get(&config), word.as_bytes(), "{}", row.name);
            }
            if i64::try_from(bound).is_ok_and(|bound| bound < i64::MAX && bound > i64::MIN)
                && unit != Unit::Octal
            {
                let beyond = if bound == high { bound + 1 } else { bound - 1 };
                let refused = row.assign(&mut config, &[beyond.to_string().into_bytes()]);
                assert!(unit == Unit::BytesOrPercent || refused.is_err(), "{} {beyond}", row.name);
            }
        }
    }
}

#[test]
fn set_reports_what_changed() {
    let mut config = Config::default();
    let changed =
        set(&mut config, &[("MaxMemory", "100mb"), ("port", "6379"), ("save", "3000 5"), ("hz", "0")]);
    assert_eq!(changed, Ok(vec!["maxmemory", "save", "hz"]));
    assert_eq!((config.maxmemory, config.hz), (100 << 20, 1));
    assert_eq!(text(&config, "save"), "3000 5");
    assert_eq!(set(&mut config, &[("slave-read-only", "no")]), Ok(vec!["replica-read-only"]));
    assert_eq!(set(&mut config, &[("hash-max-ziplist-entries", "7")]), Ok(vec!["hash-max-listpack-entries"]));
    assert_eq!(config.limits.hash_max_listpack_entries, 7);
    assert_eq!(
        set(&mut config, &[("commandlog-execution-slower-than", "-1")]),
        Ok(vec!["slowlog-log-slower-than"])
    );
    assert_eq!(set(&mut config, &[("tls-cert-file", "a")]), Ok(vec!["tls-cert-file"]));
    assert_eq!(set(&mut config, &[("tls-cert-file", "a")]), Ok(vec!["tls-cert-file"]));
}

#[test]
fn set_is_all_or_nothing() {
    let mut config = Config::default();
    let before = config.clone();
    let share = "percentage argument must be less or equal to 100";
    let pairs =
        [("maxmemory", "10000001"), ("maxmemory-clients", "200%"), ("client-query-buffer-limit", "invalid")];
    assert_eq!(set(&mut config, &pairs), Err(failed("maxmemory-clients", share)));
    assert_eq!(config, before);
}

#[test]
fn set_refuses_with_the_known_words() {
    let mut config = Config::default();
    let mut refuse =
        |pairs: &[(&str, &str)], wanted: String| assert_eq!(set(&mut config, pairs), Err(wanted));
    refuse(&[("nosuch", "1")], "ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'".into());
    refuse(
        &[("no\r\nsuch", "1")],
        "ERR Unknown option or number of arguments for CONFIG SET - 'no  such'".into(),
    );
    refuse(&[("Daemonize", "yes")], failed("Daemonize", "can't set immutable config"));
    refuse(&[("dir", "x")], failed("dir", "can't set protected config"));
    refuse(&[("maxmemory", "1"), ("MAXMEMORY", "2")], failed("MAXMEMORY", "duplicate parameter"));
    refuse(&[("Port", "70000")], failed("port", "argument must be between 0 and 65535 inclusive"));
    refuse(&[("port", "x")], failed("port", "argument couldn't be parsed into an integer"));
    refuse(
        &[("proto-max-bulk-len", "1")],
        failed("proto-max-bulk-len", "argument must be between 1048576 and 9223372036854775807 inclusive"),
    );
    refuse(&[("appendonly", "1")], failed("appendonly", "argument must be 'yes' or 'no'"));
    refuse(&[("save", "1")], failed("save", "Invalid save parameters"));
    refuse(
        &[("notify-keyspace-events", "Q")],
        failed("notify-keyspace-events", "Invalid event class character. Use 'Ag$lshzxeKEtmdn'."),
    );
    refuse(
        &[("activedefrag", "yes")],
        failed(
            "activedefrag",
            "this setting has no effect here: tables compact themselves, there is nothing to defragment",
        ),
    );
    assert_eq!(set(&mut config, &[("activedefrag", "no")]), Ok(vec![]));
    assert_eq!(set(&mut config, &[("save", ""), ("appendonly", "no")]), Ok(vec!["save"]));
    // An alias beside its directive is no duplicate.
    assert!(set(&mut config, &[("replica-priority", "1"), ("slave-priority", "2")]).is_ok());
    assert_eq!(config.replica_priority, 2);
    assert_eq!(
        ConfigError::failed("port", "Unable to listen on this port. Check server logs.").reply(),
        failed("port", "Unable to listen on this port. Check server logs.").into_bytes()
    );
}

#[test]
fn protection_and_loading() {
    let remote = SetContext::default();
    let loading = SetContext { local_connection: true, loading: true };
    let mut config = Config { enable_protected_configs: ProtectedAction::Local, ..Config::default() };
    assert!(config.set_many(&[(b"dbfilename", b"x")], remote).is_err());
    assert_eq!(config.set_many(&[(b"dir", b"x")], loading), Err(ConfigError::Loading));
    assert!(config.set_many(&[(b"loglevel", b"debug")], loading).is_ok());
    assert!(set(&mut config, &[("dbfilename", "x")]).is_ok());
    assert_eq!(ConfigError::Loading.reply(), b"LOADING Redis is loading the dataset in memory");
}

#[test]
fn get_matches_names_and_aliases() {
    let config = Config::default();
    let names = |patterns: &[&str]| -> Vec<String> {
        let patterns: Vec<&[u8]> = patterns.iter().map(|pattern| pattern.as_bytes()).collect();
        config
            .get(&patterns)
            .into_iter()
            .map(|(name, _)| String::from_utf8_lossy(&name).into_owned())
            .collect()
    };
    assert_eq!(
        names(&["maxmemory", "MAXMEMORY", "*of", "bind"]),
        ["bind", "maxmemory", "replicaof", "slaveof"]
    );
    assert_eq!(names(&["key-load-delay"]), ["key-load-delay"]);
    assert_eq!(names(&["key-load*", "nosuch"]), Vec::<String>::new());
    assert_eq!(names(&["SAVE"]), ["SAVE"]);
    let all = names(&["*"]);
    assert!(
        all.is_sorted()
            && all.iter().all(|name| !is_sensitive(name.as_bytes()) || text(&config, name).is_empty())
    );
    assert!(is_sensitive(b"RequirePass") && is_sensitive(b"primaryauth") && !is_sensitive(b"port"));
}

#[test]
fn save_lines() {
    let save = |lines: &str| load(lines).map(|config| text(&config, "save"));
    assert_eq!(save(""), Ok("3600 1 300 100 60 10000".into()));
    assert_eq!(save("save 100 100"), Ok("100 100".into()));
    assert_eq!(save("save 900 1\nsave \"100 100 5 0\""), Ok("900 1 100 100 5 0".into()));
    assert_eq!(save("save 900 1\nsave \"\""), Ok(String::new()));
    assert_eq!(save("save ''\nsave 900 1"), Ok("900 1".into()));
}

#[test]
fn arguments_of_the_tcl_suite() {
    let wants = |arguments: &[&str], line: &str, reason: &str| match load_arguments(arguments) {
        Err(error) => {
            let at = error.find(line);
            assert!(at.is_some_and(|at| error[at..].contains(reason)), "{error}");
        }
        Ok(_) => panic!("accepted {arguments:?}"),
    };
    wants(&["--invalid"], "", "Bad directive or wrong number of arguments");
    wants(&["--port"], "'port'", "wrong number of arguments");
    wants(&["--port", "6380", "--loglevel"], "'loglevel'", "wrong number of arguments");
    wants(&["--port", "6379", "6380"], r#"'port "6379" "6380"'"#, "wrong number of arguments");
    wants(
        &["--port", "--loglevel", "verbose"],
        r#"'port "--loglevel" "verbose"'"#,
        "wrong number of arguments",
    );
    wants(
        &["--port", "--bla", "--loglevel", "verbose"],
        r#"'port "--bla"'"#,
        "argument couldn't be parsed into an integer",
    );
    wants(
        &["--logfile", "--my--log--file", "--loglevel", "--bla"],
        r#"'loglevel "--bla"'"#,
        "argument(s) must be one of the following",
    );
    wants(&["--shutdown-on-sigint"], "'shutdown-on-sigint'", "argument(s) must be one of the following");
    wants(&["--replicaof", "127.0.0.1", "abc"], r#"'replicaof "127.0.0.1" "abc"'"#, "Invalid master port");
    wants(
        &["--replicaof", "--127.0.0.1", "--abc"],
        r#"'replicaof "--127.0.0.1"'"#,
        "wrong number of arguments",
    );
    let value = |arguments: &[&str], name: &str| load_arguments(arguments).map(|config| text(&config, name));
    assert_eq!(value(&["--maxmemory 700mb", "--port 1"], "maxmemory"), Ok("734003200".into()));
    assert_eq!(value(&["--maxmemory '700mb'"], "maxmemory"), Ok("734003200".into()));
    let template = &["--proc-title-template", "--my--title--template", "--loglevel", "verbose"];
    assert_eq!(value(template, "proc-title-template"), Ok("--my--title--template".into()));
    let signals =
        &["--shutdown-on-sigint", "nosave", "force", "now", "--shutdown-on-sigterm", "nosave force"];
    assert_eq!(value(signals, "shutdown-on-sigint"), Ok("nosave now force".into()));
    assert_eq!(value(signals, "shutdown-on-sigterm"), Ok("nosave force".into()));
    assert_eq!(value(&["--save", "--loglevel", "verbose"], "save"), Ok(String::new()));
    assert_eq!(value(&["--dir", "./", "--dir", "./"], "dir"), Ok("/cwd/./".into()));
}

#[test]
fn file_errors_name_the_line() {
    let wanted = "\n*** FATAL CONFIG FILE ERROR (Redis 8.6.0) ***\nReading the configuration file, at line 2\n\
                  >>> 'prot 6380'\nBad directive or wrong number of arguments";
    assert_eq!(load("port 1\n  prot 6380 \r\n"), Err(wanted.into()));
    for (line, reason) in [
        ("port \"1", "Unbalanced quotes in configuration line"),
        ("dir missing", "No such file or directory"),
        ("loadmodule x.so", "modules cannot be loaded by this server"),
        ("sentinel monitor a b c d", "sentinel directive while not in sentinel mode"),
        ("rename-command nosuch x", "No such command in rename-command"),
        ("include nofile", "Fatal error, can't open config file 'nofile': No such file or directory"),
        ("cluster-enabled yes\nreplicaof h 1", "replicaof directive not allowed in cluster mode"),
        ("user", "Bad directive or wrong number of arguments"),
    ] {
        let error = load(line).err().unwrap_or_default();
        assert!(error.ends_with(reason), "{line}: {error}");
    }
}

#[test]
fn statements_and_includes() {
    let mut env = TestEnv {
        files: vec![
            ("a", "port 1\ninclude b\nport 3\nuser u on\nrole r +get"),
            ("b", "port 2"),
            ("loop", "include loop"),
        ],
    };
    let file =
        b"include a\nrename-command flushdb badger\nio-threads-do-reads yes\nrdma-port 5\nappendonly yes";
    let (config, loaded) = Config::load(file, &mut env).expect("a good file");
    assert_eq!(config.port, 3);
    assert_eq!(loaded.renamed_commands, [(b"flushdb".to_vec(), b"badger".to_vec())]);
    let line = |kind, words: [&str; 2]| (kind, words.map(|word| word.into()).to_vec());
    assert_eq!(loaded.acl, [line(AclLine::User, ["u", "on"]), line(AclLine::Role, ["r", "+get"])]);
    assert_eq!(loaded.warnings.len(), 2);
    let endless = Config::load(b"include loop", &mut env).err().map(|error| error.reason);
    assert_eq!(endless, Some("too many files include each other".into()));
}

#[test]
fn rewrite_keeps_the_shape_of_the_file() {
    let old = "# my server\n\nport 7000\nslave-priority 5\nnonsense\n\n\n# the end\nrename-command flushdb x\nsave 900 1\nsave 60 2\n";
    let mut config = load(&old.replace("nonsense", "")).expect("a good file");
    assert!(set(&mut config, &[("port", "7001"), ("replica-priority", "100"), ("save", "30 3")]).is_ok());
    assert!(set(&mut config, &[("maxmemory", "2gb"), ("requirepass", "a b\"")]).is_ok());
    let new = rewrite(old.as_bytes(), &config, &Rewrite::default());
    let wanted = "# my server\n\nport 7001\nreplica-priority 100\n# ??? nonsense\n\n# the end\nrename-command flushdb x\n\
                  save 30 3\n\n# Generated by CONFIG REWRITE\nrequirepass \"a b\\\"\"\ndir \".\"\nmaxmemory 2gb\n\
                  latency-tracking-info-percentiles 50 99 99.9\n";
    assert_eq!(String::from_utf8_lossy(&new), wanted);
    let again = rewrite(&new, &config, &Rewrite::default());
    assert_eq!(String::from_utf8_lossy(&again), wanted);
}

#[test]
fn rewrite_of_lines_with_several_parts() {
    let old = "client-output-buffer-limit pubsub 1mb 2mb 3\nbind 1.2.3.4\nuser a on\nrole r +get\nuser b on\nunixsocket /x\nhash-max-ziplist-entries 20\nhash-max-listpack-entries 21";
    let mut config = load(old).expect("a good file");
    config.bind = Config::default().bind;
    config.unixsocket = None;
    let users = [("role", Vec::new()), ("user", vec![b"default on nopass ~* &* +@all".to_vec()])];
    let new = rewrite(old.as_bytes(), &config, &Rewrite { statements: &users, ..Rewrite::default() });
    let new = String::from_utf8_lossy(&new).into_owned();
    let wanted = "client-output-buffer-limit normal 0 0 0\n\nuser default on nopass ~* &* +@all\n\n\
                  hash-max-listpack-entries 21\n\n# Generated by CONFIG REWRITE\ndir \".\"\n\
                  client-output-buffer-limit pubsub 1mb 2mb 3\nsave 3600 1\nsave 300 100\nsave 60 10000\n";
    assert!(new.starts_with("client-output-buffer-limit normal 0 0 0\n\nuser default on"), "{new}");
    for line in wanted.lines() {
        assert!(new.lines().any(|found| found == line), "{line} in {new}");
    }
    config.aclfile = "users.acl".into();
    let without = rewrite(old.as_bytes(), &config, &Rewrite { statements: &users, ..Rewrite::default() });
    assert!(!String::from_utf8_lossy(&without).contains("user default"));
}

#[test]
fn rewrite_of_everything_reads_back() {
    let mut config = Config { maxmemory: 1 << 63, maxmemory_clients: -100, ..Config::default() };
    config.dir = "/cwd".into();
    config.save.0.clear();
    config.shutdown_on_sigterm = ShutdownFlags::SAVE;
    let text = rewrite(b"", &config, &Rewrite { force_all: true, ..Rewrite::default() });
    let (mut again, _) = Config::load(&text, &mut TestEnv::default()).expect("its own text");
    again.dir = "/cwd".into();
    assert_eq!(again, config);
    for row in DIRECTIVES
        .iter()
        .filter(|row| !(row.get)(&config).file_lines(&row.rule, (row.get)(&config)).is_empty())
    {
        let start = format!("{} ", row.name);
        assert!(String::from_utf8_lossy(&text).lines().any(|line| line.starts_with(&start)), "{}", row.name);
    }
}

/// Lines built from the table with odd values, and mutations of them.
#[test]
fn hostile_text_does_no_harm() {
    const WORDS: [&str; 24] = [
        "yes",
        "no",
        "0",
        "-1",
        "1",
        "5%",
        "10mb",
        "18446744073709551616",
        "\"",
        "'a b'",
        "\"\\x00\\xff\"",
        "",
        "''",
        "#",
        "normal",
        "900 1",
        "include",
        "save",
        "user",
        "127.0.0.1",
        "sync",
        "KEA",
        "\x0b",
        "99.9",
    ];
    let mut rng = Rng::new(20);
    for _ in 0..400 {
        let mut text = Vec::new();
        for _ in 0..rng.below(5) {
            let row = &DIRECTIVES[rng.below(DIRECTIVES.len() as u64) as usize];
            let name = if rng.below(4) == 0 { row.alias.unwrap_or(row.name) } else { row.name };
            text.extend_from_slice(name.as_bytes());
            for _ in 0..rng.below(4) {
                text.push(b' ');
                text.extend_from_slice(WORDS[rng.below(WORDS.len() as u64) as usize].as_bytes());
            }
            text.push(b'\n');
        }
        fuzz_config_text(&text);
        for _ in 0..rng.below(4) {
            let at = rng.below(text.len() as u64 + 1) as usize;
            text.insert(at, rng.next_u64() as u8);
        }
        fuzz_config_text(&text);
    }
}

#[test]
fn values_set_at_random_survive_a_rewrite() {
    let mut rng = Rng::new(4);
    for _ in 0..60 {
        let mut config = Config {
            enable_protected_configs: ProtectedAction::Yes,
            dir: "/cwd/".into(),
            ..Config::default()
        };
        for _ in 0..20 {
            let row = &DIRECTIVES[rng.below(DIRECTIVES.len() as u64) as usize];
            let mut value = rng.below(2_000_000).to_string().into_bytes();
            if rng.below(2) == 0 {
                value.truncate(2);
            }
            if rng.below(3) == 0 {
                value.insert(0, rng.next_u64() as u8);
            }
            let _ = config.set_many(&[(row.name.as_bytes(), &value)], SetContext::default());
        }
        config.dir = "/cwd/".into();
        let text = rewrite(b"port 1\nsave 1 2\n", &config, &Rewrite::default());
        let (mut again, _) = Config::load(&text, &mut TestEnv::default()).expect("its own text");
        again.dir.clone_from(&config.dir);
        again.enable_protected_configs = ProtectedAction::Yes;
        assert_eq!(again.get(&[b"*"]), config.get(&[b"*"]));
    }
}

#[test]
fn every_directive_of_both_peers_is_known() {
    let unknown: Vec<&str> =
        PEER_NAMES.split_whitespace().filter(|name| lookup(name.as_bytes()).is_none()).collect();
    assert_eq!(unknown, Vec::<&str>::new());
}

/// docs/configuration.md holds the reference as the table has it. `REDLOOP_BLESS=1` writes it anew.
#[test]
fn the_page_is_up_to_date() {
    const BEGIN: &str = "<!-- directives: begin -->\n";
    const END: &str = "<!-- directives: end -->";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
    let page = std::fs::read_to_string(path).expect("the page");
    let (head, rest) = page.split_once(BEGIN).expect("where the reference begins");
    let (_, tail) = rest.split_once(END).expect("where the reference ends");
    let wanted = format!("{head}{BEGIN}\n{}{END}{tail}", render_reference());
    if std::env::var_os("REDLOOP_BLESS").is_some() {
        std::fs::write(path, &wanted).expect("a page that can be written");
    } else {
        assert!(page == wanted, "docs/configuration.md is out of date: run the tests with REDLOOP_BLESS=1");
    }
}

/// Names and aliases that configuration files of Redis 8.6 and Valkey 9.1 may hold.
const PEER_NAMES: &str = "
    acl-pubsub-default aclfile acllog-max-len active-defrag-cycle-max active-defrag-cycle-min
    active-defrag-cycle-us active-defrag-ignore-bytes active-defrag-max-scan-fields
    active-defrag-threshold-lower active-defrag-threshold-upper active-expire-effort activedefrag
    activerehashing always-show-logo aof-disable-auto-gc aof-load-corrupt-tail-max-size
    aof-load-truncated aof-rewrite-cpulist aof-rewrite-incremental-fsync aof-timestamp-enabled
    aof-use-rdb-preamble aof_rewrite_cpulist appenddirname appendfilename appendfsync appendonly
    auto-aof-rewrite-min-size auto-aof-rewrite-percentage availability-zone bgsave-cpulist
    bgsave_cpulist bind bind-source-addr bio-cpulist bio_cpulist busy-reply-threshold
    client-default-resp client-output-buffer-limit client-query-buffer-limit
    cluster-allow-pubsubshard-when-down cluster-allow-reads-when-down cluster-allow-replica-migration
    cluster-announce-bus-port cluster-announce-client-ipv4 cluster-announce-client-ipv6
    cluster-announce-client-port cluster-announce-client-tls-port cluster-announce-hostname
    cluster-announce-human-nodename cluster-announce-ip cluster-announce-port cluster-announce-tls-port
    cluster-blacklist-ttl cluster-compatibility-sample-ratio cluster-config-file
    cluster-config-save-behavior cluster-databases cluster-enabled cluster-link-sendbuf-limit
    cluster-manual-failover-timeout cluster-message-gossip-perc cluster-migration-barrier
    cluster-node-timeout cluster-ping-interval cluster-port cluster-preferred-endpoint-type
    cluster-replica-no-failover cluster-replica-validity-factor cluster-require-full-coverage
    cluster-slave-no-failover cluster-slave-validity-factor cluster-slot-migration-handoff-max-lag-bytes
    cluster-slot-migration-log-max-len cluster-slot-migration-max-archived-tasks
    cluster-slot-migration-sync-buffer-drain-timeout cluster-slot-migration-write-pause-timeout
    cluster-slot-stats-enabled commandlog-execution-slower-than commandlog-large-reply-max-len
    commandlog-large-request-max-len commandlog-reply-larger-than commandlog-request-larger-than
    commandlog-slow-execution-max-len crash-log-enabled crash-memcheck-enabled daemonize databases
    dbfilename debug-context dir disable-thp dual-channel-replication-enabled dynamic-hz
    enable-debug-assert enable-debug-command enable-module-command enable-protected-configs
    extended-redis-compatibility hash-max-listpack-entries hash-max-listpack-value
    hash-max-ziplist-entries hash-max-ziplist-value hash-seed hide-user-data-from-log
    hll-sparse-max-bytes hz ignore-warnings import-mode io-threads io-threads-always-active
    jemalloc-bg-thread key-load-delay key-memory-histograms latency-monitor-threshold latency-tracking
    latency-tracking-info-percentiles lazyfree-lazy-eviction lazyfree-lazy-expire
    lazyfree-lazy-server-del lazyfree-lazy-user-del lazyfree-lazy-user-flush lfu-decay-time
    lfu-log-factor list-compress-depth list-max-listpack-size list-max-ziplist-size
    loading-process-events-interval-bytes locale-collate log-format log-timestamp-format logfile
    loglevel lookahead lua-enable-deprecated-api lua-enable-insecure-api lua-time-limit masterauth
    masteruser max-new-connections-per-cycle max-new-tls-connections-per-cycle maxclients maxmemory
    maxmemory-clients maxmemory-eviction-tenacity maxmemory-policy maxmemory-samples
    min-io-threads-avoid-copy-reply min-replicas-max-lag min-replicas-to-write min-slaves-max-lag
    min-slaves-to-write min-string-size-avoid-copy-reply min-string-size-avoid-copy-reply-threaded mptcp
    no-appendfsync-on-rewrite notify-keyspace-events oom-score-adj oom-score-adj-values pidfile port
    prefetch-batch-max-size primaryauth primaryuser proc-title-template propagation-error-behavior
    protected-mode proto-max-bulk-len rdb-del-sync-files rdb-key-save-delay rdb-save-incremental-fsync
    rdb-version-check rdbchecksum rdbcompression rdma-bind rdma-completion-vector rdma-port rdma-rx-size
    repl-backlog-size repl-backlog-ttl repl-disable-tcp-nodelay repl-diskless-load repl-diskless-sync
    repl-diskless-sync-delay repl-diskless-sync-max-replicas repl-mptcp repl-ping-replica-period
    repl-ping-slave-period repl-rdb-channel repl-timeout replica-announce-ip replica-announce-port
    replica-announced replica-full-sync-buffer-limit replica-ignore-disk-write-errors
    replica-ignore-maxmemory replica-lazy-flush replica-priority replica-read-only
    replica-serve-stale-data replicaof req-res-logfile requirepass sanitize-dump-payload save
    server-cpulist server_cpulist set-max-intset-entries set-max-listpack-entries set-max-listpack-value
    set-proc-title shutdown-on-sigint shutdown-on-sigterm shutdown-timeout slave-announce-ip
    slave-announce-port slave-ignore-maxmemory slave-lazy-flush slave-priority slave-read-only
    slave-serve-stale-data slaveof slot-migration-max-failover-repl-bytes slowlog-log-slower-than
    slowlog-max-len socket-mark-id stop-writes-on-bgsave-error stream-node-max-bytes
    stream-node-max-entries supervised syslog-enabled syslog-facility syslog-ident tcp-backlog
    tcp-keepalive timeout tls-auth-clients tls-auth-clients-user tls-auto-reload-interval
    tls-ca-cert-dir tls-ca-cert-file tls-cert-file tls-ciphers tls-ciphersuites tls-client-cert-file
    tls-client-key-file tls-client-key-file-pass tls-cluster tls-dh-params-file tls-key-file
    tls-key-file-pass tls-port tls-prefer-server-ciphers tls-protocols tls-replication
    tls-session-cache-size tls-session-cache-timeout tls-session-caching tracking-table-max-keys
    unixsocket unixsocketgroup unixsocketperm use-exit-on-panic watchdog-period
    zset-max-listpack-entries zset-max-listpack-value zset-max-ziplist-entries zset-max-ziplist-value
";

#[test]
fn state_is_kept_in_its_lines() {
    let names = ["sentinel monitor", "sentinel known-replica", "sentinel current-epoch"];
    let line = |name, value: &str, forced| StateLine { name, value: value.into(), forced };
    let state = [
        line("sentinel monitor", "a 10.0.0.2 6379 2", true),
        line("sentinel known-replica", "a 10.0.0.1 6379", true),
        line("sentinel current-epoch", "7", true),
        line("sentinel known-replica", "a 10.0.0.3 6379", false),
    ];
    let old = "# mine\nsave 60 1\nSentinel Monitor a 10.0.0.1 6379 2\nsentinel known-slave a 10.0.0.2 6379\n\
        sentinel monitor b 10.0.0.9 6379 2\nsentinel other x\n";
    let how = Rewrite { state_names: &names, state: &state, ..Rewrite::default() };
    let new = rewrite(old.as_bytes(), &Config::default(), &how);
    let expected = "# mine\nsave 60 1\nsentinel monitor a 10.0.0.2 6379 2\nsentinel known-replica a 10.0.0.1 6379\n\n\
        sentinel other x\n# Generated by CONFIG REWRITE\ndir \".\"\nsentinel current-epoch 7\n";
    let new = String::from_utf8(new).expect("text");
    let kept: Vec<&str> = new.lines().filter(|line| !line.starts_with("latency-tracking")).collect();
    assert_eq!(kept, expected.lines().collect::<Vec<_>>());
}

#[test]
fn sentinel_lines_are_for_sentinel_mode() {
    struct Mode(bool);
    impl ConfigEnv for Mode {
        fn include(&mut self, path: &str) -> Result<Vec<u8>, String> {
            Ok(path.as_bytes().to_vec())
        }
        fn change_dir(&mut self, path: &str) -> Result<String, String> {
            Ok(path.to_owned())
        }
        fn is_sentinel(&self) -> bool {
            self.0
        }
    }
    let text = b"port 1\nsentinel monitor \"a b\" 10.0.0.1 6379 2\nsentinel\n";
    let (_, loaded) = Config::load(text, &mut Mode(true)).expect("a configuration");
    let words = [&b"monitor"[..], b"a b", b"10.0.0.1", b"6379", b"2"].map(<[u8]>::to_vec).to_vec();
    let line = b"sentinel monitor \"a b\" 10.0.0.1 6379 2".to_vec();
    assert_eq!(loaded.sentinel, [SentinelLine { number: 2, text: line, words }]);
    let error = Config::load(text, &mut Mode(false)).expect_err("not in this mode");
    assert_eq!(error.line.as_ref().map(|(number, _)| *number), Some(2));
    assert_eq!(&*error.reason, "sentinel directive while not in sentinel mode");
}
