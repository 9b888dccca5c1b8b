//! MODULE: the list of modules, and refusals. Modules are shared libraries written against the C interface of Redis, which this
//! server doesn't have. Vector sets are a module in Redis, and listed as it is there.

use crate::engine::{ClientCall, Done, Outcome};
use crate::resp::{CommandError, Reply};

/// The name of the module that vector sets are in Redis.
pub(in crate::commands) const VECTOR_SETS: &str = "vectorset";

pub(super) fn list(call: &mut ClientCall<'_>) -> Outcome {
    reply_modules(call.reply);
    Ok(Done::Replied)
}

/// Writes the list of modules, which HELLO has too.
pub(in crate::commands) fn reply_modules(reply: &mut Reply) {
    reply.array(1);
    reply.map(4);
    reply.bulk(b"name");
    reply.bulk(VECTOR_SETS.as_bytes());
    reply.bulk(b"ver");
    reply.integer(1);
    reply.bulk(b"path");
    reply.bulk(b"");
    reply.bulk(b"args");
    reply.array(0);
}

/// MODULE LOAD and LOADEX: the reply of Redis where a library can't be opened; the log has the reason.
pub(super) fn load(call: &mut ClientCall<'_>) -> Outcome {
    let path = String::from_utf8_lossy(call.args.at(2));
    log::warn!("Module {path:?} failed to load: modules cannot be loaded by this server");
    Err(CommandError::text("ERR Error loading the extension. Please check the server logs."))
}

pub(super) fn unload(_call: &mut ClientCall<'_>) -> Outcome {
    Err(CommandError::text("ERR Error unloading module: no such module with that name"))
}

pub(super) fn help(call: &mut ClientCall<'_>) -> Outcome {
    call.reply.help(
        call.args.at(0),
        &[
            "LIST",
            "    List the modules that are part of the server.",
            "LOAD <path> [<arg> ...]",
            "    Load a module, which this server refuses.",
            "LOADEX <path> [CONFIG <name> <value> ...] [ARGS <arg> ...]",
            "    As LOAD.",
            "UNLOAD <name>",
            "    Unload a module, of which there is none that could be.",
        ],
    );
    Ok(Done::Replied)
}

#[cfg(test)]
mod tests {
    use crate::commands::support::testing::TestServer;
    use crate::services::config::{Config, ProtectedAction};

    #[test]
    fn modules_are_listed_and_refused() {
        let config = Config { enable_module_command: ProtectedAction::Yes, ..Config::default() };
        TestServer::with(config).script(
            r#"MODULE LIST => [["name" "vectorset" "ver" :1 "path" "" "args" []]]
             MODULE LIST x => -ERR wrong number of arguments for 'module|list' command
             MODULE LOAD /tmp/x.so a b => -ERR Error loading the extension. Please check the server logs.
             MODULE LOADEX /tmp/x.so ARGS a => -ERR Error loading the extension. Please check the server logs.
             MODULE UNLOAD x => -ERR Error unloading module: no such module with that name
             MODULE foo => -ERR unknown subcommand 'foo'. Try MODULE HELP.
             MODULE => -ERR wrong number of arguments for 'module' command"#,
        );
    }

    #[test]
    fn loading_needs_leave_by_configuration() {
        const REFUSAL: &str = "-ERR MODULE command not allowed. If the enable-module-command option is set to \"local\", \
             you can run it from a local connection, otherwise you need to set this option in the configuration file, and \
             then restart the server.";
        let mut server = TestServer::new();
        for line in ["MODULE LOAD x", "MODULE LOADEX x", "MODULE UNLOAD x"] {
            assert_eq!(server.run(line), REFUSAL, "{line}");
        }
        server.script("MULTI => +OK");
        assert_eq!(server.run("MODULE LOAD x"), REFUSAL);
        server.script("EXEC => -EXECABORT Transaction discarded because of previous errors.");
        assert!(server.run("MODULE LIST").contains("vectorset"));
    }
}
