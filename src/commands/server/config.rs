//! CONFIG: reads and changes the configuration at run time.
//!
//! Directives about requests take effect at once. Directives about the process (sockets, the directory,
//! limits of the system) are applied by the server, so the reply waits for it. CONFIG REWRITE writes a file and
//! is a server action, too.

use crate::engine::clients::session::state;
use crate::engine::{ClientCall, ControlCall, Done, Outcome, ServerAction};
use crate::resp::CommandError;
use crate::services::config::{SetContext, lookup};

/// Directives that the server applies to the process, which may fail.
const DEFERRED: &[&str] = &[
    "appendonly",
    "bind",
    "metrics-port",
    "port",
    "dir",
    "maxclients",
    "oom-score-adj",
    "oom-score-adj-values",
];
/// Directives that the server applies to the process, which cannot fail.
const PASSED_ON: &[&str] = &[
    "appendfsync",
    "crash-log-enabled",
    "log-format",
    "log-timestamp-format",
    "loglevel",
    "max-new-connections-per-cycle",
    "max-new-tls-connections-per-cycle",
    "maxclients-reserved",
    "priority-subnets",
    "proc-title-template",
    "protected-mode",
    "requirepass",
    "tcp-keepalive",
];

pub(in crate::commands) fn config_get(call: &mut ClientCall<'_>) -> Outcome {
    let patterns: Vec<&[u8]> = call.args.tail(2).iter().collect();
    let found = call.config.get(&patterns);
    call.reply.map(found.len());
    for (name, value) in found {
        call.reply.bulk(&name);
        call.reply.bulk(&value);
    }
    Ok(Done::Replied)
}

pub(in crate::commands) fn config_set(call: &mut ControlCall<'_>) -> Outcome {
    if !call.args.len().is_multiple_of(2) {
        return Err(CommandError::SYNTAX);
    }
    let words = call.args.tail(2);
    let pairs: Vec<(&[u8], &[u8])> =
        (0..words.len()).step_by(2).map(|i| (words.at(i), words.at(i + 1))).collect();
    for (number, (name, _)) in pairs.iter().enumerate() {
        if crate::services::config::is_sensitive(name) {
            call.engine.redact(3 + 2 * number);
        }
    }
    let session = call.engine.clients.sessions.live(call.client);
    let loading = call.engine.persistence.loading.is_some();
    let context = SetContext { local_connection: session.peer.is_local(), loading };
    let in_exec = session.is(state::IN_EXEC);
    let before = call.engine.config.clone();
    let mut config = before.clone();
    let changed = config.set_many(&pairs, context).map_err(|error| CommandError::new(error.reply()))?;
    call.engine.configure(config);
    for line in changed.iter().filter_map(|name| lookup(name.as_bytes())?.warning()) {
        log::warn!("{line}");
    }
    let is_of = |names: &[&str]| changed.iter().any(|name| names.contains(name));
    let deferred = is_of(DEFERRED) || changed.iter().any(|name| name.starts_with("tls-"));
    if deferred || is_of(PASSED_ON) {
        let waiting = deferred.then_some(call.client);
        let before = Box::new(before);
        let request = ServerAction::ConfigChanged { client: waiting, before, changed, in_exec };
        call.engine.actions.push_back(request);
    }
    if deferred {
        return Ok(Done::Deferred);
    }
    call.reply.ok();
    Ok(Done::Replied)
}

pub(in crate::commands) fn config_resetstat(call: &mut ControlCall<'_>) -> Outcome {
    call.engine.reset_stats();
    call.reply.ok();
    Ok(Done::Replied)
}

pub(in crate::commands) fn config_rewrite(call: &mut ClientCall<'_>) -> Outcome {
    ask_for_rewrite(call, false)
}

/// Has the server write the configuration file; `force_all` writes defaults, too.
pub(in crate::commands) fn ask_for_rewrite(call: &mut ClientCall<'_>, force_all: bool) -> Outcome {
    if call.info.config_file.is_empty() {
        return Err(CommandError::text("ERR The server is running without a config file"));
    }
    call.actions.push_back(ServerAction::RewriteConfig { client: call.client, force_all });
    Ok(Done::Deferred)
}

pub(in crate::commands) fn config_help(call: &mut ClientCall<'_>) -> Outcome {
    call.reply.help(
        call.args.at(0),
        &[
            "GET <pattern> [<pattern> ...]",
            "    Show the directives whose names match, with their values.",
            "SET <directive> <value> [<directive> <value> ...]",
            "    Give directives new values, all of them or none.",
            "RESETSTAT",
            "    Set the counters of INFO back to zero.",
            "REWRITE",
            "    Bring the configuration file up to date.",
        ],
    );
    Ok(Done::Replied)
}

#[cfg(test)]
mod tests {
    use crate::commands::support::testing::TestServer;
    use crate::engine::ServerAction;

    #[test]
    fn get_and_set() {
        let mut server = TestServer::new();
        server.script(
            "CONFIG GET maxmemory-s* port => [\"maxmemory-samples\" \"5\" \"port\" \"6379\"]
             CONFIG GET nothing => []
             CONFIG SET maxmemory-samples 7 hz 20
             CONFIG GET hz maxmemory-samples => [\"hz\" \"20\" \"maxmemory-samples\" \"7\"]
             CONFIG SET maxmemory-samples 8 hz => -ERR syntax error
             CONFIG SET maxmemory-samples => -ERR wrong number of arguments for 'config|set' command
             CONFIG SET maxmemory-samples 8 nothing 1 => -ERR Unknown option or number of arguments for CONFIG SET - 'nothing'
             CONFIG GET maxmemory-samples => [\"maxmemory-samples\" \"7\"]
             CONFIG REWRITE => -ERR The server is running without a config file
             CONFIG WHAT => -ERR unknown subcommand 'WHAT'. Try CONFIG HELP.",
        );
        assert_eq!(server.engine.settings.maxmemory_samples, 7);
        server.resp3();
        server.script("CONFIG GET hz => {\"hz\":\"20\"}");
    }

    #[test]
    fn what_concerns_the_process_waits_for_it() {
        let mut server = TestServer::new();
        assert_eq!(server.run("CONFIG SET port 1234 hz 50"), "(blocked)");
        let request = server.engine.next_action();
        let Some(ServerAction::ConfigChanged { client, before, changed, in_exec: false }) = request else {
            panic!("the server was asked for something else");
        };
        assert_eq!((client, before.port, server.engine.config.port), (Some(server.client), 6379, 1234));
        assert_eq!(changed, ["port", "hz"]);
        let client = server.client;
        server.engine.complete_deferred(client, b"+OK\r\n");
        assert_eq!(server.run("CONFIG SET loglevel debug"), "+OK");
        assert!(matches!(
            server.engine.actions.pop_back(),
            Some(ServerAction::ConfigChanged { client: None, .. })
        ));
    }

    #[test]
    fn resetstat() {
        let mut server = TestServer::new();
        server.script(
            "GET a => nil\nGET => -ERR wrong number of arguments for 'get' command\nCONFIG RESETSTAT",
        );
        let stats = &server.engine.metrics.stats;
        assert_eq!(
            (stats.commands_processed, stats.error_replies, server.engine.data.keyspace.stats.misses),
            (1, 0, 0)
        );
    }
}
