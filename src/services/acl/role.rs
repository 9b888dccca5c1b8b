//! Roles (of Valkey 9.2): named rights that users hold beside their own.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::rights::{Rights, RightsDraft};
use super::rule::{RuleContext, RuleError};

/// Named rights. Never changed: a rule makes another role of it.
#[derive(Clone, Debug)]
pub struct Role {
    pub name: Box<[u8]>,
    rights: Rights,
}

impl Role {
    pub fn rights(&self) -> &Rights {
        &self.rights
    }

    /// The role's rules, as ACL LIST shows them after the name: applied to a new role they make this one.
    pub fn describe(&self) -> Vec<u8> {
        self.rights.describe().collect::<Vec<_>>().join(&b' ')
    }
}

/// A role while rules are applied to it.
pub struct RoleDraft<'a> {
    name: Box<[u8]>,
    rights: RightsDraft,
    context: RuleContext<'a>,
}

impl<'a> RoleDraft<'a> {
    /// A new role.
    pub fn new(name: &[u8], context: RuleContext<'a>) -> Self {
        RoleDraft { name: name.into(), rights: RightsDraft::new(&context), context }
    }

    /// A role that exists.
    pub fn of(role: &Role, context: RuleContext<'a>) -> Self {
        RoleDraft { name: role.name.clone(), rights: RightsDraft::of(&role.rights), context }
    }

    /// Applies one rule; those that concern a user are no rules of a role.
    pub fn apply(&mut self, rule: &[u8]) -> Result<(), RuleError> {
        self.rights.apply(rule, &self.context)
    }

    pub fn finish(self) -> Role {
        Role { name: self.name, rights: self.rights.finish() }
    }
}

/// What is wrong with the name of a role: what a file or a `role=` could not name.
pub fn role_name_error(name: &[u8]) -> Option<&'static str> {
    if name.is_empty() {
        Some("Role names can't be empty")
    } else if !name.iter().all(u8::is_ascii_graphic) {
        Some("Role names can only contain printable ASCII characters, and no spaces")
    } else if name.contains(&b',') {
        Some("Role names can't contain commas")
    } else if name.iter().any(|byte| matches!(byte, b'"' | b'\'' | b'\\')) {
        Some("Role names can't contain quotes or backslashes")
    } else {
        None
    }
}

/// All roles, in the order of their names.
#[derive(Clone, Debug, Default)]
pub struct Roles {
    by_name: BTreeMap<Box<[u8]>, Arc<Role>>,
}

impl Roles {
    pub fn get(&self, name: &[u8]) -> Option<&Arc<Role>> {
        self.by_name.get(name)
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<Role>> {
        self.by_name.values()
    }

    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    pub(super) fn put(&mut self, role: Arc<Role>) {
        self.by_name.insert(role.name.clone(), role);
    }

    pub(super) fn remove(&mut self, name: &[u8]) -> bool {
        self.by_name.remove(name).is_some()
    }
}
