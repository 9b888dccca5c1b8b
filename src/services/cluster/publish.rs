//! Messages of PUBLISH and SPUBLISH go to all other nodes, or to those of this node's shard.

use super::Cluster;
use super::message::{Body, Encoded, Message};
use super::node::{Node, flag};
use super::wire;

impl Cluster {
    /// Sends a published message, the light form to nodes that understand it.
    pub fn publish(&mut self, channel: &[u8], message: &[u8], sharded: bool) {
        let shard = self.topology.myself().shard;
        let is_meant =
            |node: &Node| !node.is(flag::MYSELF | flag::HANDSHAKE) && (!sharded || node.shard == shard);
        let nodes = self.topology.by_place().filter(|(_, node)| is_meant(node));
        let links = nodes.filter_map(|(_, node)| Some((node.link?, self.takes_light(node))));
        let links: Vec<_> = links.collect();
        if links.is_empty() {
            return;
        }
        let body = Body::Publish { channel: channel.to_vec(), message: message.to_vec(), sharded };
        let (mut light, mut full): (Option<Encoded>, Option<Encoded>) = (None, None);
        for (link, is_light) in &links {
            let form = if *is_light { &mut light } else { &mut full };
            if form.is_none() {
                let header = (!is_light).then(|| self.header());
                *form = Some(wire::encode(&Message { header, body: body.clone() }));
            }
            if let Some(bytes) = form {
                self.send_encoded(*link, &body, bytes);
            }
        }
    }

    /// The node understands light messages, and knows whose link this is: it has answered on it.
    fn takes_light(&self, node: &Node) -> bool {
        let created = node.link.and_then(|link| self.links.get(&link)).map(|link| link.created);
        node.is(flag::LIGHT_PUBLISH) && created.is_some_and(|created| node.pong_received >= created)
    }
}
