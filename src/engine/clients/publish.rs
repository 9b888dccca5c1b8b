//! Message delivery: published messages (PUBLISH), keyspace notifications and the lines of MONITOR, sent to their clients.

use crate::base::ids::ClientId;
use crate::engine::Engine;
use crate::engine::clients::Clients;
use crate::engine::clients::session::state;
use crate::keyspace::{Event, event::class};
use crate::resp::{Args, OwnedArgs, Reply};
use crate::services::pubsub::{Kind, Listeners};

/// Bytes of the buffer for a keyspace event's channel that are kept between events.
const KEPT_CHANNEL: usize = 4096;

impl Clients {
    /// Publishes a keyspace event on the channel of its key, that of its name, or both, as `classes` says.
    pub(in crate::engine) fn notify(&mut self, classes: u32, db: u32, key: &[u8], event: Event) {
        let name = event.name.as_bytes();
        if classes & class::KEYSPACE != 0 {
            self.publish_event(b"__keyspace@", db, key, name);
        }
        if classes & class::KEYEVENT != 0 {
            self.publish_event(b"__keyevent@", db, name, key);
        }
    }

    fn publish_event(&mut self, start: &[u8], db: u32, end: &[u8], message: &[u8]) {
        let mut channel = std::mem::take(&mut self.event_channel);
        channel.clear();
        channel.extend_from_slice(start);
        channel.extend_from_slice(itoa::Buffer::new().format(db).as_bytes());
        channel.extend_from_slice(b"__:");
        channel.extend_from_slice(end);
        self.publish(Kind::Channel, &channel, message);
        channel.shrink_to(KEPT_CHANNEL);
        self.event_channel = channel;
    }

    /// Posts a message to the subscribers of a channel and, if it is no shard channel, of matching patterns; returns how
    /// many there are.
    pub fn publish(&mut self, kind: Kind, channel: &[u8], message: &[u8]) -> usize {
        let word: &[u8] = if kind == Kind::Shard { b"smessage" } else { b"message" };
        const FRAME: usize = 64;
        let (outbox, sessions) = (&mut self.outbox, &self.sessions);
        let mut deliver = |words: &[&[u8]], to: &Listeners| {
            let mut stored = [None, None];
            to.for_each(|client| {
                let resp3 = sessions.get(client).is_some_and(|session| session.resp3);
                let stored = stored[usize::from(resp3)].get_or_insert_with(|| {
                    let size = words.iter().map(|word| word.len()).sum::<usize>() + FRAME;
                    outbox.share(size, |bytes| {
                        let mut reply = Reply::new(std::mem::take(bytes), resp3);
                        reply.push(words.len());
                        words.iter().for_each(|word| reply.bulk(word));
                        *bytes = reply.into_bytes();
                    })
                });
                outbox.post_shared(client, stored);
            });
            to.len()
        };
        let listeners = self.pubsub.listeners(kind, channel);
        let mut receivers = listeners.map_or(0, |to| deliver(&[word, channel, message], to));
        if kind == Kind::Channel {
            for (pattern, listeners) in self.pubsub.matching(channel) {
                receivers += deliver(&[b"pmessage", pattern, channel, message], listeners);
            }
        }
        receivers
    }
}

impl Engine {
    /// Shows a request to clients in MONITOR.
    #[cold]
    pub fn send_to_monitors(&mut self, client: ClientId, args: Args<'_>) {
        let Some(session) = self.clients.sessions.get(client) else { return };
        let (seconds, micros) = (self.frame.now_us / 1_000_000, self.frame.now_us % 1_000_000);
        let in_script = session.is(state::IN_SCRIPT);
        let source = if in_script { "lua".into() } else { session.peer.source() };
        let mut line = format!("+{seconds}.{micros:06} [{} {source}]", session.db).into_bytes();
        let redacted = self.redacted(args);
        for arg in redacted.as_ref().map_or(args, OwnedArgs::as_args).iter() {
            line.push(b' ');
            crate::base::quoting::push_quoted(&mut line, arg);
        }
        line.extend_from_slice(b"\r\n");
        let stored = self.clients.outbox.share(line.len(), |bytes| bytes.extend_from_slice(&line));
        self.clients.outbox.set_current_client(Some(client));
        for monitor in &self.clients.monitors {
            self.clients.outbox.post_shared(*monitor, &stored);
        }
        self.clients.outbox.set_current_client(None);
    }
}
