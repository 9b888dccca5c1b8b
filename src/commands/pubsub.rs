//! Publish and subscribe: SUBSCRIBE, UNSUBSCRIBE and their pattern and shard forms, PUBLISH, SPUBLISH, PUBSUB.

use crate::engine::clients::BusMessage;
use crate::engine::clients::session::state;
use crate::engine::command::spec::{Channels, CommandSpec, Group, KeySpec, flag, key};
use crate::engine::{ClientCall, Done, Outcome};
use crate::resp::{CommandError, Reply};
use crate::services::pubsub::Kind;

pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::client("SUBSCRIBE", subscribe)
        .arity(-2)
        .channels(Channels::All)
        .deny_oom()
        .noscript()
        .loading()
        .stale()
        .with(flag::PUBSUB | flag::WHEN_SUBSCRIBED)
        .docs(Group::Pubsub, "2.0.0", "O(N), N being the number of channels", "Listens to channels.")
        .syntax("channel:string..."),
    CommandSpec::client("UNSUBSCRIBE", unsubscribe)
        .arity(-1)
        .noscript()
        .loading()
        .stale()
        .with(flag::PUBSUB | flag::WHEN_SUBSCRIBED)
        .docs(Group::Pubsub, "2.0.0", "O(N), N being the number of channels", "Stops listening to channels.")
        .syntax("[channel:string...]"),
    CommandSpec::client("PSUBSCRIBE", psubscribe)
        .arity(-2)
        .channels(Channels::AllPatterns)
        .deny_oom()
        .noscript()
        .loading()
        .stale()
        .with(flag::PUBSUB | flag::WHEN_SUBSCRIBED)
        .docs(
            Group::Pubsub,
            "2.0.0",
            "O(N), N being the number of patterns",
            "Listens to all channels that match patterns.",
        )
        .syntax("pattern:pattern..."),
    CommandSpec::client("PUNSUBSCRIBE", punsubscribe)
        .arity(-1)
        .noscript()
        .loading()
        .stale()
        .with(flag::PUBSUB | flag::WHEN_SUBSCRIBED)
        .docs(Group::Pubsub, "2.0.0", "O(N), N being the number of patterns", "Stops listening to patterns.")
        .syntax("[pattern:pattern...]"),
    CommandSpec::client("SSUBSCRIBE", ssubscribe)
        .arity(-2)
        .channels(Channels::All)
        .deny_oom()
        .noscript()
        .loading()
        .stale()
        .with(flag::PUBSUB | flag::WHEN_SUBSCRIBED)
        .keys(&[KeySpec::ALL.with(key::NOT_KEY)])
        .docs(
            Group::Pubsub,
            "7.0.0",
            "O(N), N being the number of channels",
            "Listens to channels of a shard.",
        )
        .syntax("shardchannel:string..."),
    CommandSpec::client("SUNSUBSCRIBE", sunsubscribe)
        .arity(-1)
        .noscript()
        .loading()
        .stale()
        .with(flag::PUBSUB | flag::WHEN_SUBSCRIBED)
        .keys(&[KeySpec::ALL.with(key::NOT_KEY)])
        .docs(
            Group::Pubsub,
            "7.0.0",
            "O(N), N being the number of channels",
            "Stops listening to channels of a shard.",
        )
        .syntax("[shardchannel:string...]"),
    CommandSpec::client("PUBLISH", publish)
        .arity(3)
        .channels(Channels::First)
        .loading()
        .stale()
        .fast()
        .with(flag::PUBSUB | flag::MAY_REPLICATE)
        .docs(
            Group::Pubsub,
            "2.0.0",
            "O(N+M), N being the number of clients at the channel and M that of all patterns \
            listened to",
            "Sends a message to a channel.",
        )
        .syntax("channel:string message:string"),
    CommandSpec::client("SPUBLISH", spublish)
        .arity(3)
        .channels(Channels::First)
        .loading()
        .stale()
        .fast()
        .with(flag::PUBSUB | flag::MAY_REPLICATE)
        .keys(&[KeySpec::FIRST.with(key::NOT_KEY)])
        .docs(
            Group::Pubsub,
            "7.0.0",
            "O(N), N being the number of clients at the channel",
            "Sends a message to a channel of a shard.",
        )
        .syntax("shardchannel:string message:string"),
    CommandSpec::container("PUBSUB", PUBSUB).docs(
        Group::Pubsub,
        "2.8.0",
        "Depends on the subcommand",
        "Looks at channels and who listens to them.",
    ),
];

const PUBSUB: &[CommandSpec] = &[
    CommandSpec::client("CHANNELS", pubsub_channels)
        .arity(-2)
        .loading()
        .stale()
        .with(flag::PUBSUB)
        .docs(
            Group::Pubsub,
            "2.8.0",
            "O(N), N being the number of such channels",
            "Lists the channels that have subscribers.",
        )
        .syntax("[pattern:pattern]"),
    CommandSpec::client("HELP", pubsub_help).arity(2).loading().stale().docs(
        Group::Pubsub,
        "6.2.0",
        "O(1)",
        "Explains the subcommands.",
    ),
    CommandSpec::client("NUMPAT", pubsub_numpat).arity(2).loading().stale().with(flag::PUBSUB).docs(
        Group::Pubsub,
        "2.8.0",
        "O(1)",
        "Counts the patterns that have subscribers.",
    ),
    CommandSpec::client("NUMSUB", pubsub_numsub)
        .arity(-2)
        .loading()
        .stale()
        .with(flag::PUBSUB)
        .docs(
            Group::Pubsub,
            "2.8.0",
            "O(N), N being the number of channels given",
            "Counts the clients at each of the given channels.",
        )
        .syntax("[channel:string...]"),
    CommandSpec::client("SHARDCHANNELS", pubsub_shardchannels)
        .arity(-2)
        .loading()
        .stale()
        .with(flag::PUBSUB)
        .docs(
            Group::Pubsub,
            "7.0.0",
            "O(N), N being the number of such channels",
            "Lists the shard channels that have subscribers.",
        )
        .syntax("[pattern:pattern]"),
    CommandSpec::client("SHARDNUMSUB", pubsub_shardnumsub)
        .arity(-2)
        .loading()
        .stale()
        .with(flag::PUBSUB)
        .docs(
            Group::Pubsub,
            "7.0.0",
            "O(N), N being the number of channels given",
            "Counts the clients at each of the given channels of the shard.",
        )
        .syntax("[shardchannel:string...]"),
];

fn subscribe(call: &mut ClientCall<'_>) -> Outcome {
    subscribe_names(call, Kind::Channel)
}

fn psubscribe(call: &mut ClientCall<'_>) -> Outcome {
    subscribe_names(call, Kind::Pattern)
}

fn ssubscribe(call: &mut ClientCall<'_>) -> Outcome {
    if call.clients.sessions.live(call.client).is(state::IN_EXEC) {
        return Err(CommandError::text("ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client"));
    }
    subscribe_names(call, Kind::Shard)
}

fn unsubscribe(call: &mut ClientCall<'_>) -> Outcome {
    unsubscribe_names(call, Kind::Channel)
}

fn punsubscribe(call: &mut ClientCall<'_>) -> Outcome {
    unsubscribe_names(call, Kind::Pattern)
}

fn sunsubscribe(call: &mut ClientCall<'_>) -> Outcome {
    unsubscribe_names(call, Kind::Shard)
}

fn subscribe_names(call: &mut ClientCall<'_>, kind: Kind) -> Outcome {
    let word = match kind {
        Kind::Channel => "subscribe",
        Kind::Pattern => "psubscribe",
        Kind::Shard => "ssubscribe",
    };
    for name in call.args.tail(1).iter() {
        let count = call.clients.subscribe(call.client, kind, name);
        confirm(call, word, Some(name), count);
    }
    Ok(Done::Replied)
}

fn unsubscribe_names(call: &mut ClientCall<'_>, kind: Kind) -> Outcome {
    let word = match kind {
        Kind::Channel => "unsubscribe",
        Kind::Pattern => "punsubscribe",
        Kind::Shard => "sunsubscribe",
    };
    let names = if call.args.len() > 1 {
        call.args.tail(1).iter().map(Box::from).collect()
    } else {
        call.clients.subscribed(call.client, kind)
    };
    for name in &names {
        let count = call.clients.unsubscribe(call.client, kind, name);
        confirm(call, word, Some(name), count);
    }
    if names.is_empty() {
        let count = call.clients.subscription_count(call.client, kind);
        confirm(call, word, None, count);
    }
    Ok(Done::Replied)
}

/// Tells a client what it is subscribed to. It is a message rather than a reply: one for each name, and even
/// for a client that wants no replies.
fn confirm(call: &mut ClientCall<'_>, word: &str, name: Option<&[u8]>, count: usize) {
    let write = |reply: &mut Reply| {
        reply.push(3);
        reply.bulk(word.as_bytes());
        match name {
            Some(name) => reply.bulk(name),
            None => reply.null(),
        }
        reply.count(count);
    };
    if call.clients.sessions.live(call.client).is(state::REPLY_OFF | state::REPLY_SKIP) {
        let mut message = Reply::new(Vec::new(), call.reply.is_resp3());
        write(&mut message);
        call.clients.outbox.put_reply_off_message(message.bytes());
    } else {
        write(call.reply);
    }
}

fn publish(call: &mut ClientCall<'_>) -> Outcome {
    deliver(call, Kind::Channel)
}

fn spublish(call: &mut ClientCall<'_>) -> Outcome {
    deliver(call, Kind::Shard)
}

fn deliver(call: &mut ClientCall<'_>, kind: Kind) -> Outcome {
    // What the client sends to itself comes after the reply.
    call.clients.outbox.set_current_client(Some(call.client));
    let receivers = call.clients.publish(kind, call.args.at(1), call.args.at(2));
    call.clients.outbox.set_current_client(None);
    call.reply.count(receivers);
    match &mut call.clients.bus_messages {
        Some(messages) => {
            let (channel, message) = (call.args.at(1).to_vec(), call.args.at(2).to_vec());
            messages.push(BusMessage { channel, message, is_sharded: kind == Kind::Shard });
        }
        // The clients of replicas may be subscribed, too.
        None => call.propagate_to_replicas(),
    }
    Ok(Done::Replied)
}

fn pubsub_channels(call: &mut ClientCall<'_>) -> Outcome {
    channels(call, Kind::Channel)
}

fn pubsub_shardchannels(call: &mut ClientCall<'_>) -> Outcome {
    channels(call, Kind::Shard)
}

fn channels(call: &mut ClientCall<'_>, kind: Kind) -> Outcome {
    if call.args.len() > 3 {
        return Err(CommandError::wrong_subcommand(call.args.at(0), call.args.at(1)));
    }
    let channels = call.clients.pubsub.channels(kind, call.args.get(2));
    call.reply.array(channels.len());
    channels.iter().for_each(|channel| call.reply.bulk(channel));
    Ok(Done::Replied)
}

fn pubsub_numsub(call: &mut ClientCall<'_>) -> Outcome {
    listener_counts(call, Kind::Channel)
}

fn pubsub_shardnumsub(call: &mut ClientCall<'_>) -> Outcome {
    listener_counts(call, Kind::Shard)
}

fn listener_counts(call: &mut ClientCall<'_>, kind: Kind) -> Outcome {
    let names = call.args.tail(2);
    call.reply.array(2 * names.len());
    for name in names.iter() {
        call.reply.bulk(name);
        call.reply.count(call.clients.pubsub.listener_count(kind, name));
    }
    Ok(Done::Replied)
}

fn pubsub_numpat(call: &mut ClientCall<'_>) -> Outcome {
    call.reply.count(call.clients.pubsub.pattern_count());
    Ok(Done::Replied)
}

fn pubsub_help(call: &mut ClientCall<'_>) -> Outcome {
    call.reply.help(
        call.args.at(0),
        &[
            "CHANNELS [<pattern>]",
            "    Lists the channels that have subscribers, or those of them that match <pattern>.",
            "NUMPAT",
            "    Counts the patterns that have subscribers.",
            "NUMSUB [<channel> ...]",
            "    Counts the listeners of each of the given channels, those by pattern not included.",
            "SHARDCHANNELS [<pattern>]",
            "    Lists the shard channels that have subscribers, or those that match <pattern>.",
            "SHARDNUMSUB [<shardchannel> ...]",
            "    Counts the listeners of each of the given channels of the shard.",
        ],
    );
    Ok(Done::Replied)
}
