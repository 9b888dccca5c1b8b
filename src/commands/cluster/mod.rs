//! CLUSTER, READONLY, READWRITE, ASKING: this server is always one without cluster mode, and says so.

#[cfg(test)]
mod route_tests;
#[cfg(test)]
mod slot_keys_tests;
pub mod specs;

use crate::engine::clients::session::state;
use crate::engine::{ClientCall, Done, Outcome};
use crate::resp::CommandError;

fn disabled(_: &mut ClientCall<'_>) -> Outcome {
    Err(CommandError::text("ERR This instance has cluster support disabled"))
}

/// READONLY, READWRITE: whether a client that is redirected from replicas may read from this one.
fn readonly(call: &mut ClientCall<'_>) -> Outcome {
    set_reads_replica(call, true)
}

fn readwrite(call: &mut ClientCall<'_>) -> Outcome {
    set_reads_replica(call, false)
}

fn set_reads_replica(call: &mut ClientCall<'_>, on: bool) -> Outcome {
    let session = call.clients.sessions.live_mut(call.client);
    if !session.is(state::CAPA_REDIRECT) {
        return disabled(call);
    }
    session.set(state::READS_REPLICA, on);
    call.reply.ok();
    Ok(Done::Replied)
}

#[cfg(test)]
mod tests {
    use crate::commands::support::testing::TestServer;

    #[test]
    fn a_server_without_cluster_mode_says_so() {
        let mut server = TestServer::new();
        for request in [
            "CLUSTER INFO",
            "cluster slots",
            "CLUSTER HELP",
            "CLUSTER KEYSLOT a",
            "READONLY",
            "READWRITE",
            "ASKING",
        ] {
            assert_eq!(server.run(request), "-ERR This instance has cluster support disabled", "{request}");
        }
        server.script(
            "CLUSTER => -ERR wrong number of arguments for 'cluster' command
             CLUSTER NOSUCH => -ERR unknown subcommand 'NOSUCH'. Try CLUSTER HELP.
             CLUSTER KEYSLOT => -ERR wrong number of arguments for 'cluster|keyslot' command
             EVAL \"return redis.pcall('cluster', 'reset', 'hard')\" 0 => -ERR This Redis command is not allowed from script",
        );
    }
}
