//! Access control lists: users with their passwords and rights, the check of a request, the log of refusals.
//!
//! ```text
//! user  on  #hash  ~app:* &news +@read +config|get   (%R~cache:* +get)   role=ops,backup
//!       └┬┘ └─┬─┘  └──────────────┬──────────────┘   └───────┬───────┘   └──────┬──────┘
//!     flags  passwords       root selector             further selectors   shared selectors
//! ```
//!
//! Users and roles are immutable and shared: a session holds its user, a user its roles. Rules make another user, by way of
//! a draft, which takes the place of the former one in the store and in the sessions; another role is put into another
//! user for each that holds it.

mod check;
mod digest;
pub mod file;
mod log;
mod ordered;
mod password;
mod pattern;
mod rights;
mod role;
mod rule;
mod selector;
mod selector_draft;
mod user;

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use check::Demand;
pub use log::{DenialLog, Entry, Event};
pub use password::PasswordGenerator;
pub use rights::Rights;
pub use role::{Role, RoleDraft, Roles, role_name_error};
pub use rule::{CatalogEntry, CommandCatalog, RuleContext, RuleError, has_spaces, join_selectors};
pub use selector::{Denial, Reason, Selector, access};
pub use user::{User, UserDraft};

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

/// All users and roles. There is always a user called `default`.
#[derive(Clone, Debug)]
pub struct Users {
    by_name: BTreeSet<ByName>,
    default: Arc<User>,
    roles: Roles,
    /// The users that hold a role, by its name; none of roles that no user holds.
    holders: BTreeMap<Box<[u8]>, BTreeSet<ByName>>,
}

impl Users {
    /// The user `default` alone.
    pub fn new(default: User) -> Self {
        let default = Arc::new(default);
        Users {
            by_name: BTreeSet::from([ByName(default.clone())]),
            default,
            roles: Roles::default(),
            holders: BTreeMap::new(),
        }
    }

    /// The user `default`.
    #[inline]
    pub fn default_user(&self) -> &Arc<User> {
        &self.default
    }

    pub fn get(&self, name: &[u8]) -> Option<&Arc<User>> {
        self.by_name.get(name).map(|user| &user.0)
    }

    /// Adds a user, or replaces the one of its name, which is returned. Its roles are those of this store.
    pub fn put(&mut self, user: User) -> (Arc<User>, Option<Arc<User>>) {
        let user = Arc::new(user);
        if *user.name == *DEFAULT {
            self.default = user.clone();
        }
        let former = self.by_name.replace(ByName(user.clone())).map(|former| former.0);
        if let Some(former) = &former {
            self.forget_holder(former);
        }
        for role in user.roles() {
            self.holders.entry(role.name.clone()).or_default().insert(ByName(user.clone()));
        }
        (user, former)
    }

    /// Removes a user, but never `default`.
    pub fn remove(&mut self, name: &[u8]) -> Option<Arc<User>> {
        if name == DEFAULT {
            return None;
        }
        let removed = self.by_name.take(name)?.0;
        self.forget_holder(&removed);
        Some(removed)
    }

    fn forget_holder(&mut self, user: &User) {
        for role in user.roles() {
            if let Some(holders) = self.holders.get_mut(&role.name) {
                holders.remove(&*user.name);
                if holders.is_empty() {
                    self.holders.remove(&role.name);
                }
            }
        }
    }

    pub fn roles(&self) -> &Roles {
        &self.roles
    }

    /// The users that hold a role, in the order of their names.
    pub fn holders(&self, role: &[u8]) -> impl Iterator<Item = &Arc<User>> {
        self.holders.get(role).into_iter().flatten().map(|holder| &holder.0)
    }

    /// Adds a role, or replaces the one of its name in each user that holds it.
    pub fn put_role(&mut self, role: Role) {
        let role = Arc::new(role);
        self.roles.put(role.clone());
        let changed: Vec<User> = self.holders(&role.name).map(|user| user.with_role(&role)).collect();
        for user in changed {
            self.put(user);
        }
    }

    /// Removes a role, unless a user holds it.
    pub fn remove_role(&mut self, name: &[u8]) -> bool {
        !self.holders.contains_key(name) && self.roles.remove(name)
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
