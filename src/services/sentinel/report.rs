//! The fields of an instance, as SENTINEL PRIMARY and its kin show them.

use super::Sentinel;
use super::ids::InstanceId;
use super::instance::{Kind, Role, flag};

/// A field's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    Text(String),
    Number(i64),
}

type Fields = Vec<(&'static str, Field)>;

fn text(value: impl Into<String>) -> Field {
    Field::Text(value.into())
}

fn number(value: u64) -> Field {
    Field::Number(i64::try_from(value).unwrap_or(i64::MAX))
}

impl Sentinel {
    fn since(&self, time: u64) -> Field {
        number(self.now.saturating_sub(time))
    }

    /// Ms since a time; 0 if it never was.
    fn since_if_any(&self, time: u64) -> Field {
        if time == 0 { Field::Number(0) } else { self.since(time) }
    }

    fn flags_text(&self, id: InstanceId) -> String {
        let instance = self.at(id);
        let mut words = Vec::new();
        for (bit, name) in [(flag::S_DOWN, "s_down"), (flag::O_DOWN, "o_down")] {
            if instance.is(bit) {
                words.push(name);
            }
        }
        words.push(instance.kind.name());
        if self.link_state(id).is_disconnected {
            words.push("disconnected");
        }
        words.extend(flag::SHOWN.iter().filter(|(bit, _)| instance.is(*bit)).map(|(_, name)| *name));
        words.join(",")
    }

    /// All fields of an instance at a time, in the order of the reply.
    pub fn fields(&self, id: InstanceId) -> Fields {
        let instance = self.at(id);
        let link = self.link_state(id);
        let host = instance.address.announced(self.settings.announce_hostnames);
        let mut fields = vec![
            ("name", text(&*instance.name)),
            ("ip", text(host)),
            ("port", Field::Number(instance.address.port.into())),
            ("runid", text(instance.run_id.clone().unwrap_or_default())),
            ("flags", Field::Text(self.flags_text(id))),
            ("link-pending-commands", number(link.pending.len() as u64)),
            ("link-refcount", number(link.users.into())),
        ];
        if instance.is(flag::FAILOVER_IN_PROGRESS) {
            let state = self.group(&instance.group).failover.state;
            fields.push(("failover-state", text(state.name())));
        }
        fields.push(("last-ping-sent", self.since_if_any(link.ping_since)));
        fields.push(("last-ok-ping-reply", self.since(link.available_at)));
        fields.push(("last-ping-reply", self.since(link.ponged_at)));
        if instance.is(flag::S_DOWN) {
            fields.push(("s-down-time", self.since(instance.s_down_since)));
        }
        if instance.is(flag::O_DOWN) {
            fields.push(("o-down-time", self.since(instance.o_down_since)));
        }
        fields.push(("down-after-milliseconds", number(instance.down_after_ms)));
        if instance.kind != Kind::Sentinel {
            fields.push(("info-refresh", self.since_if_any(instance.info_at)));
            fields.push(("role-reported", text(Role::name(instance.role))));
            fields.push(("role-reported-time", self.since(instance.role_changed_at)));
        }
        match instance.kind {
            Kind::Primary => self.push_group(id, &mut fields),
            Kind::Replica => self.push_replication(id, &mut fields),
            Kind::Sentinel => {
                fields.push(("last-hello-message", self.since(instance.hello_at)));
                fields.push(("voted-leader", text(instance.vote.leader.as_deref().unwrap_or("?"))));
                fields.push(("voted-leader-epoch", number(instance.vote.epoch)));
            }
        }
        fields
    }

    fn push_group(&self, id: InstanceId, fields: &mut Fields) {
        let group = self.group(&self.at(id).group);
        fields.extend([
            ("config-epoch", number(group.config_epoch)),
            ("num-slaves", number(group.replicas.len() as u64)),
            ("num-other-sentinels", number(group.sentinels.len() as u64)),
            ("quorum", number(group.quorum.into())),
            ("failover-timeout", number(group.failover_timeout_ms)),
            ("parallel-syncs", number(group.parallel_syncs.into())),
        ]);
        let scripts = [
            ("notification-script", &group.notification_script),
            ("client-reconfig-script", &group.client_reconfig_script),
        ];
        for (name, script) in scripts {
            fields.extend(script.as_ref().map(|script| (name, text(&**script))));
        }
    }

    fn push_replication(&self, id: InstanceId, fields: &mut Fields) {
        let replication = &self.at(id).replication;
        fields.extend([
            ("master-link-down-time", number(replication.link_down_ms)),
            ("master-link-status", text(if replication.is_link_up { "ok" } else { "err" })),
            ("master-host", text(replication.primary_host.as_deref().unwrap_or("?"))),
            ("master-port", Field::Number(replication.primary_port)),
            ("slave-priority", Field::Number(replication.priority)),
            ("slave-repl-offset", number(replication.offset)),
            ("replica-announced", Field::Number(replication.is_announced.into())),
        ]);
    }

    /// Brings the clock up to date, for what follows.
    pub fn set_now(&mut self, now: u64) {
        self.now = now;
    }
}
