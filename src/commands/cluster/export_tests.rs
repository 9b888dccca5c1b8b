//! Slots that leave this node by Redis's protocol: where DEBUG ASM-FAILPOINT cuts a source's connections.

use super::import_tests::node_of_all_slots;
use crate::base::ids::ClientId;
use crate::commands::support::testing::TestServer;
use crate::engine::clients::session::state;
use crate::engine::slot_migration::ChannelName;
use crate::services::cluster::flag;
use crate::services::slot_migration::{Family, State};

const TARGET: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const TASK: &str = "1111111111111111111111111111111111111111";

/// A connection that has shown the cluster's secret.
fn internal(server: &mut TestServer) -> ClientId {
    let client = server.connect();
    server.engine.clients.sessions.get_mut(client).expect("a session").set(state::INTERNAL, true);
    client
}

fn turns(server: &mut TestServer) {
    for _ in 0..5 {
        server.advance(20);
        server.engine.tick();
        server.engine.finish_cluster_turn();
    }
}

/// Begins a task that is cut there; what became of it.
fn task_cut_at(channel: ChannelName, state: State) -> String {
    let mut server = node_of_all_slots(b"b");
    server.engine.migration_faults_mut().expect("in cluster mode").cut = Some((channel, state));
    begin_task(&mut server).map_or_else(|refusal| refusal, |()| report(&server))
}

/// Begins a task with all slots, and brings it as far as it goes before slots have another owner.
fn begin_task(server: &mut TestServer) -> Result<(), String> {
    server.run("SET a 1");
    let main = internal(server);
    assert_eq!(server.run_as(main, &format!("CLUSTER SYNCSLOTS CONF NODE-ID {TARGET}")), "+OK");
    let reply = server.run_as(main, &format!("CLUSTER SYNCSLOTS SYNC {TASK} 0 16383"));
    if reply.starts_with('-') {
        return Err(reply);
    }
    turns(server);
    let snapshot = internal(server);
    server.run_as(snapshot, &format!("CLUSTER SYNCSLOTS RDBCHANNEL {TASK}"));
    turns(server);
    if server.engine.clients.sessions.get(main).is_some() {
        server.run_as(main, "CLUSTER SYNCSLOTS ACK wait-stream-eof 0");
        turns(server);
    }
    Ok(())
}

/// State and message of the one task.
fn report(server: &TestServer) -> String {
    let migration = server.engine.slot_migration().expect("in cluster mode");
    let job = migration.jobs.iter().next().expect("a task");
    format!("{}: {}", job.state.name(Family::Redis), job.message)
}

#[test]
fn a_source_is_cut_where_it_is_to_be() {
    use ChannelName::{ExportMain, ExportSnapshot};
    let closed = "failed: Main and RDB channel clients are disconnected. (state: ";
    let unsent = "failed: RDB channel - Failed to send slots snapshot (state: ";
    for (channel, state, text) in [
        (ExportMain, State::None, "-NOTREADY Cluster is not ready to migrate slots"),
        (ExportMain, State::WaitRdbChannel, &format!("{closed}wait-rdbchannel")),
        (ExportMain, State::SendBulkAndStream, &format!("{closed}send-bulk-and-stream")),
        (ExportMain, State::Handoff, &format!("{closed}handoff,")),
        (ExportSnapshot, State::WaitBgsaveStart, &format!("{unsent}wait-bgsave-start")),
        (ExportSnapshot, State::SendBulkAndStream, &format!("{unsent}send-bulk-and-stream")),
        // A pause doesn't begin.
        (ExportMain, State::HandoffPrep, "send-bulk-and-stream: "),
        // Of the other end, so this one goes on.
        (ChannelName::ImportMain, State::SendBulkAndStream, "stream-eof: "),
    ] {
        let became = task_cut_at(channel, state);
        assert!(became.starts_with(text), "{channel:?} {state:?}: {became}");
    }
}

#[test]
fn a_node_that_has_given_its_last_slots_away_is_done_also_as_a_replica() {
    let other = "cccccccccccccccccccccccccccccccccccccccc";
    for (owner, text) in [
        (TARGET, "completed: "),
        (other, "canceled: Cancelled due to switching to replica (state: stream-eof"),
    ] {
        let mut server = node_of_all_slots(b"bc");
        assert_eq!(begin_task(&mut server), Ok(()));
        let topology = &mut server.engine.cluster.as_mut().expect("in cluster mode").service.topology;
        let owner = topology.find(owner.parse().expect("a name"));
        (0..16384).for_each(|slot| topology.set_owner(slot, owner));
        topology.set_primary(topology.me(), owner);
        topology.myself_mut().set(flag::PRIMARY, false);
        topology.myself_mut().set(flag::REPLICA, true);
        server.engine.slots_changed();
        let became = report(&server);
        assert!(became.starts_with(text), "{became}");
    }
}
