//! What is left to be done when a batch of events has been handled (`CLUSTER_TODO_*`), once for all of them.

/// See the module's description.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Todo {
    pub failover: bool,
    pub manual_failover: bool,
    pub update_state: bool,
    pub save: bool,
    /// What is saved is on the disk before anything is sent.
    pub sync: bool,
    /// A PONG to all nodes.
    pub broadcast: bool,
}

impl Todo {
    pub fn save(&mut self) {
        self.save = true;
    }

    /// The configuration has changed in a way that others are told of or that a vote depends on.
    pub fn save_durably(&mut self) {
        (self.save, self.sync) = (true, true);
    }

    /// The configuration has changed in a way that the cluster's state depends on.
    pub fn save_and_update(&mut self) {
        (self.save, self.update_state) = (true, true);
    }

    /// Both.
    pub fn save_durably_and_update(&mut self) {
        (self.save, self.sync, self.update_state) = (true, true, true);
    }
}
