//! DEBUG's subcommands about the cluster's bus.

use super::Debug;
use crate::base::crc::crc16;
use crate::commands::support::args::{self, is};
use crate::engine::slot_migration::{ChannelName, RemovalPace};
use crate::engine::{Done, Outcome};
use crate::resp::CommandError;
use crate::services::cluster::{Cluster, Direction, Dropped, Faults, NodeId};
use crate::services::slot_migration::{Family, State};

const NO_CLUSTER: CommandError =
    CommandError::text("ERR Debug option only available for cluster mode enabled setup!");

fn service<'a>(debug: &'a mut Debug<'_>) -> Result<&'a mut Cluster, CommandError> {
    debug.engine.cluster.as_mut().map(|mode| &mut mode.service).ok_or(NO_CLUSTER)
}

fn set(debug: &mut Debug<'_>, set: impl FnOnce(&mut Faults, bool)) -> Outcome {
    let on = debug.flag(0);
    set(&mut service(debug)?.faults, on);
    debug.ok()
}

/// The secret that the members of a cluster of Redis share, as a checksum.
pub(super) fn internal_secret(debug: &mut Debug<'_>) -> Outcome {
    let cluster = debug.engine.cluster.as_ref();
    let Some(mode) = cluster else { return Err(CommandError::text("ERR Internal secret is missing")) };
    let checksum = crc16(mode.service.secret().as_bytes());
    debug.reply.integer(i64::from(checksum));
    Ok(Done::Replied)
}

pub(super) fn drop_packets(debug: &mut Debug<'_>) -> Outcome {
    let dropped = match args::integer(debug.args.at(0))? {
        -2 => Dropped::All,
        number => u16::try_from(number).map_or(Dropped::None, Dropped::Type),
    };
    service(debug)?.faults.dropped = dropped;
    debug.ok()
}

pub(super) fn close_links_of_dropped(debug: &mut Debug<'_>) -> Outcome {
    set(debug, |faults, on| faults.closes_links = on)
}

pub(super) fn disable_random_ping(debug: &mut Debug<'_>) -> Outcome {
    set(debug, |faults, on| faults.no_random_pings = on)
}

pub(super) fn disable_reconnection(debug: &mut Debug<'_>) -> Outcome {
    set(debug, |faults, on| faults.no_connections = on)
}

/// `CLUSTERLINK KILL <to|from|all> <node>`
pub(super) fn kill_link(debug: &mut Debug<'_>) -> Outcome {
    let (word, direction, id) = (debug.args.at(0), debug.args.at(1), debug.args.at(2));
    if !is(word, "KILL") {
        return Err(CommandError::SYNTAX);
    }
    let directions = [("TO", Direction::To), ("FROM", Direction::From), ("ALL", Direction::Both)];
    let found = directions.iter().find(|(name, _)| is(direction, name)).map(|(_, found)| *found);
    let named = |text: &[u8], name: &[u8]| CommandError::new([text, name].concat());
    let topology = &service(debug)?.topology;
    let node = NodeId::parse(id).and_then(|id| topology.find(id)).ok_or(named(b"ERR Unknown node ", id))?;
    if node == topology.me() {
        return Err(CommandError::text("ERR Cannot free cluster link(s) to myself"));
    }
    let found = found.ok_or(named(b"ERR Unknown direction ", direction))?;
    debug.engine.with_cluster(|service, _| service.close_links_of(node, found));
    debug.ok()
}

/// `SLOTMIGRATION <PREVENT-PAUSE|PREVENT-FAILOVER> <0|1>`
pub(super) fn slot_migration(debug: &mut Debug<'_>) -> Outcome {
    let (word, on) = (debug.args.at(0), debug.flag(1));
    let faults = debug.engine.migration_faults_mut().ok_or(NO_CLUSTER)?;
    match word {
        word if is(word, "PREVENT-PAUSE") => faults.prevents_pause = on,
        word if is(word, "PREVENT-FAILOVER") => faults.prevents_failover = on,
        _ => return Err(CommandError::SYNTAX),
    }
    debug.ok()
}

/// `ASM-FAILPOINT <channel> <state>`: where connections of migrations are cut; two empty words: nowhere.
pub(super) fn cut_migrations(debug: &mut Debug<'_>) -> Outcome {
    const INVALID: CommandError = CommandError::text("ERR Failed to set ASM fail point");
    let (channel, state) = (debug.args.at(0), debug.args.at(1));
    let cut = match () {
        () if channel.is_empty() && state.is_empty() => None,
        () => {
            let channel = ChannelName::parse(channel).ok_or(INVALID)?;
            Some((channel, State::parse(state, Family::Redis).ok_or(INVALID)?))
        }
    };
    debug.engine.migration_faults_mut().ok_or(NO_CLUSTER)?.cut = cut;
    debug.ok()
}

/// `ASM-TRIM-METHOD <default|bg|active|none> [delay-us]`: how keys of slots are removed that other nodes have now. It is done in slices whatever
/// the name of the method is; a negative delay stops it. With `none` keys stay until there is another method.
pub(super) fn removal_pace(debug: &mut Debug<'_>) -> Outcome {
    let delay = debug.args.get(1).map_or(Ok(0), args::integer)?;
    let pace = match debug.args.at(0) {
        word if is(word, "NONE") => RemovalPace::Off,
        word if !["DEFAULT", "BG", "ACTIVE"].iter().any(|name| is(word, name)) => {
            return Err(CommandError::text("ERR Unsupported trim method"));
        }
        _ => match u64::try_from(delay) {
            Err(_) => RemovalPace::Never,
            Ok(0) => RemovalPace::Usual,
            Ok(us) => RemovalPace::Slow(us),
        },
    };
    debug.engine.set_removal_pace(pace).ok_or(NO_CLUSTER)?;
    debug.ok()
}

/// `REPL-PAUSE <CLEAR|ON-STREAMING-REPL-BUF>`: the process stops (SIGSTOP) before it executes what it has kept of a stream while a snapshot
/// came. That is so where slots come from another node; a replica keeps nothing, and nothing is forked.
pub(super) fn pause_replication(debug: &mut Debug<'_>) -> Outcome {
    let stops = match debug.args.at(0) {
        word if is(word, "CLEAR") => false,
        word if is(word, "ON-STREAMING-REPL-BUF") => true,
        word if is(word, "AFTER-FORK") || is(word, "BEFORE-RDB-CHANNEL") => {
            return Err(CommandError::text("ERR Nothing is forked, and replicas have no RDB channel"));
        }
        _ => return Err(CommandError::SYNTAX),
    };
    debug.engine.migration_faults_mut().ok_or(NO_CLUSTER)?.stops_before_kept = stops;
    debug.ok()
}
