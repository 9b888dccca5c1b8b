//! Simulated clients: what each has sent, and which of them the engine lets go on.

use std::collections::VecDeque;

use redloop::base::ids::ClientId;
use redloop::engine::clients::session::Peer;
use redloop::engine::{Engine, ServerAction};

use crate::request::Request;

/// A client and what it has sent.
pub struct Client {
    pub id: ClientId,
    /// Waits in a blocking command.
    pub blocked: bool,
    /// Held back by CLIENT PAUSE.
    pub postponed: Option<Request>,
    /// Not yet executed.
    pub queue: VecDeque<Request>,
}

impl Client {
    pub fn connect(engine: &mut Engine) -> Client {
        let id = engine.connect(0, 0, Peer::Internal);
        Client { id, blocked: false, postponed: None, queue: VecDeque::new() }
    }

    /// Leaves, and comes again.
    pub fn reconnect(&mut self, engine: &mut Engine) {
        engine.disconnect(self.id);
        *self = Client::connect(engine);
    }
}

/// Does what the engine asks of its server: the clients that go on, the requests that were held back first in their queues.
pub fn resume(engine: &mut Engine, clients: &mut [Client]) -> Vec<usize> {
    let mut resumed = Vec::new();
    while let Some(action) = engine.next_action() {
        match action {
            ServerAction::Resume(id) => {
                if let Some(number) = clients.iter().position(|client| client.id == id) {
                    clients[number].blocked = false;
                    resumed.push(number);
                }
            }
            ServerAction::ResumeAll => resumed.extend(0..clients.len()),
            other => panic!("{other:?}"),
        }
    }
    for number in &resumed {
        let client = &mut clients[*number];
        client.postponed.take().into_iter().for_each(|request| client.queue.push_front(request));
    }
    resumed
}
