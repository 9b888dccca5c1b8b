//! Extensions of a PING, PONG or MEET: names, addresses for clients, shards, forgotten nodes.

use super::Cluster;
use super::Level;
use super::ids::{NodeId, NodeRef};
use super::message::Extensions;

impl Cluster {
    pub(super) fn process_extensions(&mut self, at: NodeRef, extensions: Extensions) {
        let Extensions { announced, shard, forgotten, secret } = extensions;
        if self.topology.node(at).announced != announced {
            self.topology.node_mut(at).announced = announced;
            self.todo.save();
        }
        if let Some(secret) = secret {
            self.secret = self.secret.min(secret);
        }
        // A node of an old version doesn't say: a replica's shard is that of its primary.
        let shard = shard.unwrap_or_else(|| self.topology.node(self.topology.primary_of(at)).shard);
        self.update_shard(at, shard);
        for (id, ttl_s) in forgotten {
            let Some(gone) = self.topology.find(id) else { continue };
            if gone != self.topology.me() && self.topology.myself().primary() != Some(gone) {
                self.forget_for(gone, ttl_s);
            }
        }
    }

    /// Takes over the shard that a node says it is in: a replica only that of its primary, and this node, if it is a replica, with its
    /// primary.
    pub(super) fn update_shard(&mut self, at: NodeRef, shard: NodeId) {
        if let Some(primary) = self.topology.node(at).primary()
            && self.topology.node(primary).shard != shard
        {
            let (id, own) = (self.topology.node(at).id, self.topology.node(primary).shard);
            let text = format!(
                "Shard id {shard} update request for node id {id} diverges from existing primary shard id {own}, rejecting!"
            );
            return self.log(Level::Notice, text);
        }
        if self.topology.node(at).shard != shard {
            self.topology.node_mut(at).shard = shard;
            self.todo.save();
        }
        if self.topology.myself().primary() == Some(at) && self.topology.myself().shard != shard {
            self.topology.myself_mut().shard = shard;
            self.todo.save_durably();
        }
    }
}
