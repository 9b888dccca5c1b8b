//! What follows from an instance's INFO: new replicas, changes of roles, the steps of a failover that only INFO shows.

use super::address::Address;
use super::event::Level;
use super::ids::InstanceId;
use super::info::Report;
use super::instance::{FailoverState, Kind, Role, flag};
use super::{Action, Sentinel};

impl Sentinel {
    /// Takes over what an instance reports.
    pub(super) fn refresh(&mut self, id: InstanceId, info: Vec<u8>) {
        let report = Report::parse(&info);
        self.note_run_id(id, &report);
        if self.at(id).kind == Kind::Primary {
            self.add_reported_replicas(id, &report);
        }
        let now = self.now;
        let role = report.role;
        let instance = self.at_mut(id);
        instance.info = Some(info);
        instance.info_at = now;
        instance.replication.link_down_ms = report.link_down_ms;
        if instance.replication.failover != report.failover {
            instance.replication.failover = report.failover;
            instance.replication.failover_changed_at = now;
        }
        if role == Some(Role::Replica) {
            self.note_replication(id, report);
        }
        if self.at(id).role != role {
            self.note_role(id, role);
        }
        if self.tilt_since.is_some() || self.at(id).kind != Kind::Replica {
            return;
        }
        match role {
            Some(Role::Primary) => self.handle_promotion(id),
            Some(Role::Replica) => {
                self.correct_replica(id);
                self.follow_reconfiguration(id);
            }
            None => {}
        }
    }

    fn note_run_id(&mut self, id: InstanceId, report: &Report) {
        let Some(run_id) = &report.run_id else { return };
        let known = self.at(id).run_id.clone();
        if known.as_ref() == Some(run_id) {
            return;
        }
        if known.is_some() {
            self.event(Level::Notice, "+reboot", id, "");
            let waits = self.group(&self.at(id).group).reboot_down_after_ms != 0;
            let now = self.now;
            let instance = self.at_mut(id);
            if instance.kind == Kind::Primary && waits {
                instance.set(flag::PRIMARY_REBOOT, true);
                instance.reboot_since = now;
            }
        }
        self.at_mut(id).run_id = Some(run_id.clone());
    }

    fn add_reported_replicas(&mut self, id: InstanceId, report: &Report) {
        let group = self.at(id).group.clone();
        for (host, port) in &report.replicas {
            let Ok(address) = self.address(host, *port) else { continue };
            if self.find_replica(&group, &address) {
                continue;
            }
            if let Some(replica) = self.add_replica(&group, address) {
                self.event(Level::Notice, "+slave", replica, "");
                self.persist();
            }
        }
    }

    fn find_replica(&self, group: &str, address: &Address) -> bool {
        let group = self.group(group);
        group.replicas.contains_key(&address.with_port(self.settings.announce_hostnames))
            || group.replicas.values().any(|id| self.at(*id).address.is_same(address))
    }

    fn note_replication(&mut self, id: InstanceId, report: Report) {
        let now = self.now;
        let replication = &mut self.at_mut(id).replication;
        if let Some(host) = report.primary_host {
            let is_same =
                replication.primary_host.as_ref().is_some_and(|old| old.eq_ignore_ascii_case(&host));
            if !is_same {
                replication.primary_host = Some(host);
                replication.changed_at = now;
            }
        }
        if let Some(port) = report.primary_port
            && port != replication.primary_port
        {
            replication.primary_port = port;
            replication.changed_at = now;
        }
        replication.is_link_up = report.is_link_up.unwrap_or(replication.is_link_up);
        replication.priority = report.priority.unwrap_or(replication.priority);
        replication.offset = report.offset.unwrap_or(replication.offset);
        replication.is_announced = report.is_announced.unwrap_or(replication.is_announced);
    }

    fn note_role(&mut self, id: InstanceId, role: Option<Role>) {
        let now = self.now;
        let instance = self.at_mut(id);
        instance.role = role;
        instance.role_changed_at = now;
        if role == Some(Role::Replica) {
            instance.replication.changed_at = now;
        }
        let is_expected = match instance.kind {
            Kind::Primary => role == Some(Role::Primary),
            Kind::Replica => role == Some(Role::Replica),
            Kind::Sentinel => role.is_none(),
        };
        let name = if is_expected { "+role-change" } else { "-role-change" };
        self.event(Level::Verbose, name, id, &format!("new reported role is {}", Role::name(role)));
    }

    /// A replica says that it is a primary: the failover goes on, or it is made a replica again.
    fn handle_promotion(&mut self, id: InstanceId) {
        let group_name = self.at(id).group.clone();
        let group = self.group(&group_name);
        let primary = group.primary;
        let is_awaited = self.at(id).is(flag::PROMOTED)
            && self.at(primary).is(flag::FAILOVER_IN_PROGRESS)
            && group.failover.state == FailoverState::WaitPromotion;
        if !is_awaited {
            // A newer configuration may be on its way.
            let wait = self.timing.publish_period * 4;
            let instance = self.at(id);
            if !instance.is(flag::PROMOTED)
                && self.looks_sane(primary)
                && instance.was_up_for(self.now, wait)
                && self.now.saturating_sub(instance.role_changed_at) > wait
            {
                let address = self.at(primary).address.clone();
                if self.send_replica_of(id, Some(&address)) {
                    self.event(Level::Notice, "+convert-to-slave", id, "");
                }
            }
            return;
        }
        let now = self.now;
        let group = self.group_mut(&group_name);
        group.config_epoch = group.failover.epoch;
        group.failover.state = FailoverState::ReconfReplicas;
        group.failover.changed_at = now;
        self.persist();
        self.event(Level::Warning, "+promoted-slave", id, "");
        if self.simulated.crash_after_promotion {
            self.crash();
        }
        if self.at(primary).is(flag::COORD_FAILOVER) {
            self.kill_clients(primary);
            self.kill_clients(id);
        }
        self.event(Level::Warning, "+failover-state-reconf-slaves", primary, "");
        let from = self.announced(&self.at(primary).address);
        let to = self.announced(&self.at(id).address);
        self.run_reconfig_script(&group_name, "leader", &from, &to);
        self.publish_soon(&group_name);
    }

    pub(super) fn crash(&mut self) {
        let text = "Sentinel CRASH because of SENTINEL simulate-failure".to_string();
        self.log(Level::Warning, text);
        self.actions.push_back(Action::Crash);
    }

    /// Whether a group's primary is one by its own report, is up and has been heard of lately.
    fn looks_sane(&self, primary: InstanceId) -> bool {
        let instance = self.at(primary);
        instance.role == Some(Role::Primary)
            && !instance.is(flag::S_DOWN | flag::O_DOWN)
            && self.now.saturating_sub(instance.info_at) < self.timing.info_period * 2
    }

    /// Points a replica at its primary, if it follows another one or hangs in a FAILOVER for too long.
    fn correct_replica(&mut self, id: InstanceId) {
        let group = self.group(&self.at(id).group);
        let (wait, primary) = (group.failover_timeout_ms, group.primary);
        let address = self.at(primary).address.clone();
        let (now, instance) = (self.now, self.at(id));
        let replication = &instance.replication;
        let host = replication.primary_host.as_deref();
        let follows = replication.primary_port == i64::from(address.port)
            && host.is_some_and(|host| address.is_host(host));
        let is_stuck =
            replication.failover == Some(true) && now.saturating_sub(replication.failover_changed_at) > wait;
        let is_elsewhere = !follows && now.saturating_sub(replication.changed_at) > wait;
        if (is_stuck || is_elsewhere)
            && self.looks_sane(primary)
            && instance.was_up_for(now, wait)
            && self.send_replica_of(id, Some(&address))
        {
            self.event(Level::Notice, "+fix-slave-config", id, "");
        }
    }

    /// Notes how far a replica is that was told of its new primary.
    fn follow_reconfiguration(&mut self, id: InstanceId) {
        let Some(promoted) = self.group(&self.at(id).group).failover.promoted else { return };
        let promoted = self.at(promoted).address.clone();
        let instance = self.at(id);
        let replication = &instance.replication;
        let follows = replication.primary_port == i64::from(promoted.port)
            && replication.primary_host.as_ref().is_some_and(|host| promoted.is_host(host));
        let is_link_up = replication.is_link_up;
        if instance.is(flag::RECONF_SENT) && follows {
            let instance = self.at_mut(id);
            instance.set(flag::RECONF_SENT, false);
            instance.set(flag::RECONF_INPROG, true);
            self.event(Level::Notice, "+slave-reconf-inprog", id, "");
        }
        if self.at(id).is(flag::RECONF_INPROG) && is_link_up {
            let instance = self.at_mut(id);
            instance.set(flag::RECONF_INPROG, false);
            instance.set(flag::RECONF_DONE, true);
            self.event(Level::Notice, "+slave-reconf-done", id, "");
        }
    }
}
