//! Access control lists: users with their passwords and rights, the check of a request, the log of refusals.
//!
//! ```text
//! user  on  #hash  ~app:* &news +@read +config|get   (%R~cache:* +get)
//!       └┬┘ └─┬─┘  └──────────────┬──────────────┘   └───────┬───────┘
//!     flags  passwords       root selector             further selectors
//! ```
//!
//! Users are immutable and shared: a session holds its user, and a rule makes another user, which takes the place of the
//! former one in the store and in the sessions.

mod check;
pub mod file;
mod log;
mod password;
mod pattern;
mod rule;
mod selector;
mod user;

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::sync::Arc;

pub use check::Demand;
pub use log::{DenialLog, Entry, Event};
pub use password::PasswordGenerator;
pub use rule::{CatalogEntry, CommandCatalog, RuleError, has_spaces, join_selectors};
pub use selector::{Denial, Reason, Selector, access};
pub use user::{RuleContext, User};

/// The name of the user that clients are before AUTH.
pub const DEFAULT: &[u8] = b"default";

/// A user in the order of names.
#[derive(Clone, Debug)]
struct ByName(Arc<User>);

impl Borrow<[u8]> for ByName {
    fn borrow(&self) -> &[u8] {
        &self.0.name
    }
}

impl PartialEq for ByName {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for ByName {}

impl PartialOrd for ByName {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ByName {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.name.cmp(&other.0.name)
    }
}

/// All users. There is always one called `default`.
#[derive(Clone, Debug)]
pub struct Users {
    by_name: BTreeSet<ByName>,
    default: Arc<User>,
}

impl Users {
    /// The user `default` alone.
    pub fn new(default: User) -> Self {
        let default = Arc::new(default);
        Users { by_name: BTreeSet::from([ByName(default.clone())]), default }
    }

    /// The user `default`.
    #[inline]
    pub fn default_user(&self) -> &Arc<User> {
        &self.default
    }

    pub fn get(&self, name: &[u8]) -> Option<&Arc<User>> {
        self.by_name.get(name).map(|user| &user.0)
    }

    /// Adds a user, or replaces the one of its name, which is returned.
    pub fn put(&mut self, mut user: User) -> (Arc<User>, Option<Arc<User>>) {
        user.shrink();
        let user = Arc::new(user);
        if *user.name == *DEFAULT {
            self.default = user.clone();
        }
        let former = self.by_name.replace(ByName(user.clone()));
        (user, former.map(|former| former.0))
    }

    /// Removes a user, but never `default`.
    pub fn remove(&mut self, name: &[u8]) -> Option<Arc<User>> {
        if name == DEFAULT { None } else { self.by_name.take(name).map(|user| user.0) }
    }

    /// In the order of their names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<User>> {
        self.by_name.iter().map(|user| &user.0)
    }

    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}

#[cfg(test)]
mod tests;
