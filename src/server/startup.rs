//! Start-up: from the command line to a server that listens.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use super::acl_file::load_users;
use super::apply_config::{adjust_open_files, net_limits};
use super::inherited::Inherited;
use super::listeners::{listen, shown_port};
use super::persistence::Files;
use super::reload::Reload;
use super::sources::Sources;
use super::supervisor::{Kind, Supervisor, daemonizes};
use super::{
    Server, cluster, cluster_local, logging, metrics, oom_score::OomScore, sentinel, signals::Signals,
    system_check, title::ProcessTitle, tls,
};
use crate::commands;
use crate::engine::Engine;
use crate::net::EventLoop;
use crate::services::acl::PasswordGenerator;
use crate::services::config::{
    CommandLine, Config, FileError, Loaded, REDIS_VERSION, SHELLS, render_completion, render_manual,
};
use crate::services::persist::{aof, rdb};
use crate::sys::{clock::Clock, crash, disk::RealDisk, process};

const USAGE: &str = "\
Usage: redloop [/path/to/redis.conf | -] [options]
       redloop -v | --version
       redloop -h | --help
       redloop --sentinel /path/to/sentinel.conf [options]
       redloop --cluster-local <primaries> [replicas of each] [options]
       redloop --check-config [/path/to/redis.conf | -] [options]
       redloop --check-system [/path/to/redis.conf | -] [options]
       redloop --check-rdb <rdb-file-name>
       redloop --man
       redloop --completion <bash|zsh|fish>
       redloop --check-aof [--fix|--truncate-to-timestamp $timestamp] <file.manifest|file.aof>

A configuration file has the directives of redis.conf; `-` reads them from standard input.
Options are directives with two dashes before them, and override the file:

       redloop --port 7777
       redloop /etc/redis.conf --loglevel verbose --save ''
       redloop --unixsocket /tmp/redloop.sock --port 0

Without any, it listens on port 6379 and lets in clients of this machine only.
";

/// The line of `--version`: tools look for the version of Redis, people for ours.
fn version() -> String {
    let allocator = crate::sys::memory::ALLOCATOR_NAME;
    format!(
        "redloop server v={REDIS_VERSION} redloop={} malloc={allocator} bits=64",
        env!("CARGO_PKG_VERSION")
    )
}

/// Runs the program; the exit status.
pub fn main() -> i32 {
    let mut arguments: Vec<Vec<u8>> = std::env::args_os().map(OsStringExt::into_vec).collect();
    let program = if arguments.is_empty() { Vec::new() } else { arguments.remove(0) };
    let is_sentinel = sentinel::is_wanted(&program, &mut arguments);
    if arguments.first().is_some_and(|first| first == b"--check-rdb") {
        return check_rdb(&arguments[1..]);
    }
    if arguments.first().is_some_and(|first| first == b"--check-aof") {
        return aof::check::run(&arguments[1..], &RealDisk, unix_ms(), &mut Terminal::new());
    }
    if let Some(plan) = cluster_local::plan(&arguments) {
        return match plan {
            Ok(plan) => cluster_local::run(&plan),
            Err(text) => {
                eprintln!("{text}");
                1
            }
        };
    }
    let first = arguments.first().map(Vec::as_slice);
    if first == Some(b"--man") {
        return print(&render_manual(env!("CARGO_PKG_VERSION")));
    }
    if first == Some(b"--completion") {
        let shell = arguments.get(1).map(|shell| String::from_utf8_lossy(shell)).unwrap_or_default();
        return match render_completion(&shell) {
            Some(text) => print(&text),
            None => {
                eprintln!("Usage: redloop --completion <{}>", SHELLS.join("|"));
                1
            }
        };
    }
    let (checks_config, checks_system) = (first == Some(b"--check-config"), first == Some(b"--check-system"));
    if checks_config || checks_system {
        arguments.remove(0);
    }
    let (file, stdin, options) = match CommandLine::parse(&arguments) {
        CommandLine::Version => return print(&format!("{}\n", version())),
        CommandLine::Help => return print(USAGE),
        CommandLine::Start { file, stdin, options } => (file, stdin, options),
    };
    let file = file.map(|name| String::from_utf8_lossy(&name).into_owned());
    let start_again = StartCommand::of_this_process();
    let read = Sources::new(file.as_deref(), stdin, options, is_sentinel)
        .map_err(|error| FileError::whole(error.to_string()))
        .and_then(|sources| {
            let (config, loaded) = sources.read(file.as_deref().unwrap_or_default())?;
            Ok((sources, config, loaded))
        });
    let (sources, config, loaded) = match read {
        Ok(read) => read,
        Err(error) => {
            eprintln!("{error}");
            return 1;
        }
    };
    if checks_system {
        return system_check::run(&config, print);
    }
    if checks_config {
        loaded.warnings.iter().for_each(|warning| println!("{warning}"));
        return print("The configuration is valid.\n");
    }
    run(config, loaded, sources, start_again)
}

/// How far a long check has come, as a bar on a terminal's last line.
struct Progress {
    total: u64,
    done: u64,
    is_shown: bool,
}

impl Progress {
    const WIDTH: u64 = 50;

    fn new(total: u64) -> Self {
        Progress { total, done: 0, is_shown: process::stdout_is_terminal() }
    }

    fn advance(&mut self, bytes: u64) {
        let marks = |done: u64| (done * Self::WIDTH).checked_div(self.total).unwrap_or(0).min(Self::WIDTH);
        let (before, now) = (marks(self.done), marks(self.done + bytes));
        self.done += bytes;
        if self.is_shown && now != before {
            let (full, empty) = ("#".repeat(now as usize), ".".repeat((Self::WIDTH - now) as usize));
            // Standard error is not held back until a line ends.
            eprint!("\r[{full}{empty}] {}%", now * 100 / Self::WIDTH);
        }
    }
}

/// Checks an RDB file; the exit status of redis-check-rdb.
fn check_rdb(arguments: &[Vec<u8>]) -> i32 {
    let [name] = arguments else {
        eprintln!("Usage: redloop --check-rdb <rdb-file-name>");
        return 1;
    };
    let name = String::from_utf8_lossy(name);
    let now = unix_ms();
    let checked = std::fs::File::open(&*name).and_then(|mut file| {
        let erase = if process::stdout_is_terminal() { "\r\x1b[K" } else { "" };
        let mut lines = std::io::stdout().lock();
        let mut progress = Progress::new(file.metadata().map_or(0, |data| data.len()));
        let read = |room: &mut [u8]| file.read(room).inspect(|count| progress.advance(*count as u64));
        // A closed pipe doesn't change what is found.
        rdb::check::check(&name, now, read, |line| drop(writeln!(lines, "{erase}{line}")))
    });
    match checked {
        Ok(sound) => i32::from(sound.is_none()),
        Err(error) => {
            eprintln!("Can't read {name}: {error}");
            1
        }
    }
}

fn unix_ms() -> u64 {
    let clock = Clock::real();
    clock.unix_us(clock.ticks()) / 1000
}

/// The console of the check of AOF files.
struct Terminal {
    erase: &'static str,
    progress: Progress,
}

impl Terminal {
    fn new() -> Self {
        let erase = if process::stdout_is_terminal() { "\r\x1b[K" } else { "" };
        Terminal { erase, progress: Progress::new(0) }
    }
}

impl aof::check::Console for Terminal {
    fn print(&mut self, text: &str) {
        // A closed pipe doesn't change what is found.
        let _ = write!(std::io::stdout(), "{}{text}", self.erase);
    }

    fn confirm(&mut self) -> bool {
        let mut line = String::new();
        let asked = std::io::stdout().flush().and_then(|()| std::io::stdin().read_line(&mut line));
        asked.is_ok() && line.starts_with(['y', 'Y'])
    }

    fn progress(&mut self, done: u64, len: u64) {
        if done < self.progress.done || len != self.progress.total {
            self.progress = Progress::new(len);
        }
        self.progress.advance(done - self.progress.done);
    }
}

/// Prints for a person or a pipe; a closed pipe is no error worth a panic.
fn print(text: &str) -> i32 {
    let written = std::io::stdout().write_all(text.as_bytes());
    i32::from(written.is_err())
}

fn run(mut config: Config, loaded: Loaded, sources: Sources, start_again: StartCommand) -> i32 {
    let is_sentinel = sources.is_sentinel;
    let supervisor = Kind::detect(config.supervised);
    let inherited = Inherited::from_env();
    if daemonizes(&config, supervisor)
        && let Err(error) = process::daemonize()
    {
        eprintln!("Can't run in the background: {error}");
        return 1;
    }
    process::ignore_sigpipe();
    let file = sources.file.as_ref().map(|path| path.to_string_lossy().into_owned());
    let title = ProcessTitle::new(&config, file.as_deref().unwrap_or_default());
    crash::set_enabled(config.crash_log_enabled);
    crash::install();
    if config.disable_thp {
        process::limit_huge_pages();
    }
    crate::sys::memory::leave_free_pages_to_purge();
    crate::sys::memory::start_unmapping_thread();
    if let Err(error) = start_log(&config, is_sentinel) {
        eprintln!("{}", FileError::whole(format!("Can't open the log file: {error}")));
        return 1;
    }
    log::info!("redloop {} (as Redis {REDIS_VERSION}) is starting", env!("CARGO_PKG_VERSION"));
    loaded.warnings.iter().for_each(|warning| log::warn!("{warning}"));
    system_check::warn(&config);
    adjust_open_files(&mut config);
    if config.dir == "." {
        config.dir = std::env::current_dir().unwrap_or_default().to_string_lossy().into_owned();
    }
    let reload = Reload::new(sources, &loaded);
    let mut server = match build(config, &loaded, file, title, reload, inherited) {
        Ok(server) => server,
        Err(text) => {
            log::error!("{text}");
            eprintln!("{text}");
            return 1;
        }
    };
    server.engine.info.supervised = supervisor.unwrap_or_default().name();
    server.supervisor = Supervisor::start(supervisor);
    let pidfile = write_pidfile(&server.engine.config);
    banner(&server);
    log::info!("Server initialized");
    let own_socket = |path: &String| !server.inherited.has_unix(path);
    let unixsocket = server.engine.config.unixsocket.clone().filter(own_socket);
    let loaded = if is_sentinel { server.start_as_sentinel() } else { server.load_at_start() };
    let (status, restarts) = match loaded {
        Ok(()) => server.run(),
        Err(text) => {
            log::error!("{text}");
            eprintln!("{text}");
            (1, false)
        }
    };
    for path in pidfile.into_iter().chain(unixsocket) {
        // It may be gone already, which is what is wanted.
        let _ = std::fs::remove_file(path);
    }
    if status == 0 {
        // In the words that tools look for.
        log::warn!("Redis is now ready to exit, bye bye...");
    }
    if restarts {
        log::error!("Can't restart: {}", start_again.exec());
        return 1;
    }
    status
}

/// How this process was started.
struct StartCommand {
    program: std::io::Result<PathBuf>,
    arguments: Vec<OsString>,
    directory: PathBuf,
}

impl StartCommand {
    /// To be called before the title is set, which overwrites the arguments, and before `dir` changes the directory.
    fn of_this_process() -> Self {
        StartCommand {
            program: std::env::current_exe(),
            arguments: std::env::args_os().skip(1).collect(),
            directory: std::env::current_dir().unwrap_or_default(),
        }
    }

    /// Puts the program, with its arguments, in the place of this process; why that failed.
    fn exec(self) -> std::io::Error {
        match self.program {
            Ok(program) => Command::new(program).args(self.arguments).current_dir(self.directory).exec(),
            Err(error) => error,
        }
    }
}

/// Starts the log where the configuration says.
fn start_log(config: &Config, is_sentinel: bool) -> std::io::Result<()> {
    logging::start();
    if is_sentinel {
        logging::set_sentinel();
    }
    logging::set_replica(config.replicaof.0.is_some());
    logging::set_level(config.loglevel);
    logging::set_shape(config.log_format, config.log_timestamp_format);
    logging::set_file(&config.logfile)?;
    if config.syslog_enabled {
        logging::start_syslog(config);
    }
    Ok(())
}

fn build(
    config: Config,
    loaded: &Loaded,
    file: Option<String>,
    mut title: ProcessTitle,
    reload: Reload,
    inherited: Inherited,
) -> Result<Server, String> {
    let tls =
        tls::set_up(&config).map_err(|_| "Failed to configure TLS. Check logs for more info.".to_string())?;
    let is_sentinel = reload.is_sentinel();
    let listeners = listen(&config, &inherited)?;
    let mut net = EventLoop::new(net_limits(&config, true)).map_err(|error| format!("epoll: {error}"))?;
    let signals = Signals::new(&net.poll).map_err(|error| format!("signals: {error}"))?;
    let port = shown_port(&config);
    net.set_listeners(listeners).map_err(|error| format!("epoll: {error}"))?;
    let seed = process::random_seed();
    let mut engine = match is_sentinel {
        true => Engine::new(&commands::sentinel_families(), config, Clock::real(), seed),
        false => Engine::new(commands::FAMILIES, config, Clock::real(), seed),
    };
    if is_sentinel {
        let service = sentinel::load(loaded, engine.now(), process::random_seed());
        engine.enter_sentinel_mode(service.map_err(|error| error.to_string())?);
    }
    engine.info.port = port;
    engine.info.config_file = file.unwrap_or_default();
    engine.info.executable =
        std::env::current_exe().map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
    for (from, to) in &loaded.renamed_commands {
        engine.commands.rename(from, to).map_err(|reason| FileError::whole(reason).to_string())?;
    }
    engine.acl.passwords = PasswordGenerator::new(&process::random_bytes::<32>());
    load_users(&mut engine, loaded)?;
    net.limits = net_limits(&engine.config, engine.acl.users.default_user().needs_no_password());
    engine.info.startup_memory = engine.counted_memory() as usize;
    let mut oom_score = OomScore::default();
    if let Err(error) = oom_score.apply(&engine.config) {
        log::warn!("The score for the kernel's choice of a victim could not be set: {error}");
    }
    title.apply(&engine.config);
    net.set_http_listeners(metrics::listen(&engine.config, &inherited)?)
        .map_err(|error| error.to_string())?;
    let is_node = engine.config.cluster_enabled && !is_sentinel;
    let nodes_file = is_node.then(|| enter_cluster_mode(&mut engine, &mut net, &inherited)).transpose()?;
    let waker = net.waker.clone();
    // The loop looks at the results in its next turn, if it isn't woken.
    let files = Files::new(Arc::new(RealDisk), move || drop(waker.wake()));
    let mut server = Server {
        engine,
        net,
        signals,
        oom_score,
        title,
        tls: Default::default(),
        files,
        scripts: Default::default(),
        recorder: Default::default(),
        reload,
        supervisor: Default::default(),
        inherited,
        nodes_file,
        vector_threads: Default::default(),
        idle_memory: Default::default(),
        ending: None,
        restarts: false,
    };
    server.use_tls(tls);
    Ok(server)
}

/// Makes the server a node of a cluster: with its state as it was, and listening on the bus.
fn enter_cluster_mode(
    engine: &mut Engine,
    net: &mut EventLoop,
    inherited: &Inherited,
) -> Result<cluster::NodesFile, String> {
    if engine.config.replicaof.0.is_some() {
        return Err("replicaof directive not allowed in cluster mode".into());
    }
    let (now, seed) = (engine.now(), process::random_seed());
    let (service, file) = cluster::load(&engine.config, now, seed, net.waker.clone())?;
    engine.enter_cluster_mode(service);
    net.set_bus_listeners(cluster::listen(&engine.config, inherited)?)
        .map_err(|error| format!("epoll: {error}"))?;
    Ok(file)
}

impl Server {
    /// Logs that everything has been loaded.
    pub(super) fn announce(&self) {
        let listeners = &self.net.listeners;
        for kind in ["tcp", "tls", "unix"] {
            if listeners.iter().any(|listener| listener.name() == kind) {
                log::info!("Ready to accept connections {kind}");
            }
        }
        if !self.engine.is_sentinel() {
            self.warn_of_open_access();
        }
    }

    /// Warns of a default user that needs no password.
    fn warn_of_open_access(&self) {
        let (user, config) = (self.engine.acl.users.default_user(), &self.engine.config);
        if !user.is_open() {
            return;
        }
        let everywhere = ["*", "0.0.0.0", "::", "::*"];
        let mut bound = config.bind.iter().map(|address| address.strip_prefix('-').unwrap_or(address));
        log::warn!(
            "{}",
            match config.protected_mode {
                true =>
                    "WARNING: Redis does not require authentication. Redis will accept connections from any local client.",
                false if bound.any(|address| everywhere.contains(&address)) =>
                    "WARNING: Redis does not require authentication and is not protected by network restrictions. \
                    Redis will accept connections from any IP address on any network interface.",
                false =>
                    "WARNING: Redis does not require authentication. Redis will accept connections from any IP \
                    address on the configured network interface.",
            }
        );
    }
}

/// Writes the process id where the configuration says; the path, if it did.
fn write_pidfile(config: &Config) -> Option<String> {
    let path = match (&config.pidfile, config.daemonize) {
        (Some(path), _) if !path.is_empty() => path.clone(),
        (_, true) => "/var/run/redis.pid".to_string(),
        _ => return None,
    };
    match std::fs::write(&path, format!("{}\n", std::process::id())) {
        Ok(()) => Some(path),
        Err(error) => {
            log::warn!("Failed to write PID file: {path}: {error}");
            None
        }
    }
}

fn banner(server: &Server) {
    let (port, pid) = (server.engine.info.port, std::process::id());
    let mode = server.engine.mode_name();
    log::info!("Running mode={mode}, port={port}.");
    let config = &server.engine.config;
    let is_seen = process::stdout_is_terminal() && config.logfile.is_empty() && !config.syslog_enabled;
    let show = config.always_show_logo || is_seen;
    if !show {
        return;
    }
    let lines = [
        "      .-~~~~~~~-.".to_string(),
        format!("    .'  .-----.  '.      redloop {}", env!("CARGO_PKG_VERSION")),
        format!("   /   /  .-.  \\   \\     speaks Redis {REDIS_VERSION}"),
        format!("  |   |  (   )  |   >    Port: {port}"),
        format!("   \\   \\  `-'  /   /     PID: {pid}"),
        "    '.  '-----'  .'".to_string(),
        "      '-._____.-'".to_string(),
    ];
    log::info!("\n\n{}\n", lines.join("\n"));
}
