//! Links: the connections to an instance, and the state of reaching it.
//!
//! A primary or replica has two connections, for commands and for the hello channel; a sentinel has one, which all groups that
//! know the same sentinel share. Requests are pipelined; each waits for its reply in order.

use std::collections::VecDeque;

use super::ids::{ConnectionId, InstanceId};
use super::reply::Input;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    Commands,
    PubSub,
}

/// What is done with a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    Ping,
    Info,
    Publish,
    /// SENTINEL IS-MASTER-DOWN-BY-ADDR.
    PrimaryDown,
    /// Nothing: its effect is seen in INFO.
    Ignored,
}

/// A request whose reply has not come.
#[derive(Clone, Copy, Debug)]
pub struct Pending {
    pub expected: Expected,
    pub instance: InstanceId,
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    pub id: ConnectionId,
    /// This end's IP address, once it is connected.
    pub local_ip: Option<String>,
    /// Requests from before it was connected.
    pub unsent: Vec<u8>,
    pub input: Input,
    pub opened_at: u64,
    /// On the channel for messages: how many replies come before that to SUBSCRIBE.
    pub before_subscribed: u32,
}

impl Connection {
    pub fn new(id: ConnectionId, now: u64) -> Self {
        Connection {
            id,
            local_ip: None,
            unsent: Vec::new(),
            input: Input::default(),
            opened_at: now,
            before_subscribed: 0,
        }
    }
}

/// The link to an instance (`instanceLink`).
#[derive(Debug)]
pub struct Link {
    /// How many instances use it.
    pub users: u32,
    /// A connection is missing.
    pub is_disconnected: bool,
    pub commands: Option<Connection>,
    pub pubsub: Option<Connection>,
    pub pending: VecDeque<Pending>,
    /// When a message of the hello channel last came.
    pub pubsub_active_at: u64,
    /// When a ping was last answered in a way that means the instance is available.
    pub available_at: u64,
    /// When the ping that has had no such answer was sent; 0: there is none.
    pub ping_since: u64,
    pub pinged_at: u64,
    /// When a ping was last answered in any way.
    pub ponged_at: u64,
    pub attempted_at: u64,
}

impl Link {
    pub fn new(now: u64) -> Self {
        Link {
            users: 1,
            is_disconnected: true,
            commands: None,
            pubsub: None,
            pending: VecDeque::new(),
            pubsub_active_at: 0,
            available_at: now,
            // An instance that can never be connected to is down after the same time.
            ping_since: now,
            pinged_at: 0,
            ponged_at: now,
            attempted_at: 0,
        }
    }

    /// Forgets what is known of the instance's availability.
    pub fn reset_times(&mut self, now: u64) {
        self.ping_since = now;
        self.pinged_at = 0;
        self.available_at = now;
        self.ponged_at = now;
    }

    pub fn place(&mut self, channel: Channel) -> &mut Option<Connection> {
        match channel {
            Channel::Commands => &mut self.commands,
            Channel::PubSub => &mut self.pubsub,
        }
    }
}
