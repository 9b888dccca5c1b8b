//! A user: whether it may log in, with which passwords, and its rights. Never changed: rules make another one of it.

use std::collections::HashSet;
use std::sync::Arc;

use super::check::Demand;
use super::ordered::Ordered;
use super::password::PasswordHash;
use super::rights::{Rights, RightsDraft};
use super::role::{Role, Roles};
use super::rule::{RuleContext, RuleError};
use super::selector::{Denial, Reason, Selector};

/// What rules say of logging in, and `sanitize-payload`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Flags {
    is_on: bool,
    /// Any password will do.
    no_password: bool,
    skip_sanitize_payload: bool,
}

/// A user and its rights.
#[derive(Clone, Debug)]
pub struct User {
    pub name: Box<[u8]>,
    flags: Flags,
    passwords: Box<[PasswordHash]>,
    rights: Rights,
    roles: Box<[Arc<Role>]>,
}

impl User {
    /// A new user: off, without passwords, without rights.
    pub fn new(name: &[u8], context: &RuleContext<'_>) -> Self {
        UserDraft::new(name, *context, &Roles::default()).finish()
    }

    /// The user `default` as it is without configuration: everything is allowed.
    pub fn default_user(context: &RuleContext<'_>) -> Self {
        let roles = Roles::default();
        let mut user = UserDraft::new(super::DEFAULT, *context, &roles);
        for rule in ["+@all", "~*", "&*", "on", "nopass"] {
            let _ = user.apply(rule.as_bytes());
        }
        user.finish()
    }

    /// Makes `default` need this password, or none if it is empty (`requirepass`).
    pub fn set_only_password(&mut self, password: &[u8]) {
        self.flags.no_password = password.is_empty();
        self.passwords =
            if password.is_empty() { Box::default() } else { Box::new([PasswordHash::of(password)]) };
    }

    /// The user with a role in the place of the former one of its name.
    pub(super) fn with_role(&self, role: &Arc<Role>) -> Self {
        let mut user = self.clone();
        for held in user.roles.iter_mut().filter(|held| held.name == role.name) {
            *held = role.clone();
        }
        user
    }

    /// Whether the password lets a client be this user. Each password is compared, and each to its end.
    pub fn accepts(&self, password: &[u8]) -> bool {
        let hash = PasswordHash::of(password);
        let known = self.passwords.iter().fold(false, |found, known| found | known.matches(hash));
        self.flags.is_on && (self.flags.no_password || known)
    }

    /// Whether a client is this user without AUTH, if it is `default`.
    pub fn is_open(&self) -> bool {
        self.flags.is_on && self.flags.no_password
    }

    /// Whether it is on: a client may be this user.
    pub fn is_enabled(&self) -> bool {
        self.flags.is_on
    }

    /// Whether it has `nopass`.
    pub fn needs_no_password(&self) -> bool {
        self.flags.no_password
    }

    /// All selectors: the user's own, the root first, and those of its roles.
    #[inline]
    pub fn selectors(&self) -> impl Iterator<Item = &Selector> {
        self.rights.selectors().chain(self.roles.iter().flat_map(|role| role.rights().selectors()))
    }

    /// Whether any channel is allowed.
    pub fn has_channels(&self) -> bool {
        self.selectors().any(|selector| selector.all_channels || !selector.channels.is_empty())
    }

    /// The user's own rights, without those of its roles.
    pub fn rights(&self) -> &Rights {
        &self.rights
    }

    /// The roles that it holds, in the order of its rule.
    pub fn roles(&self) -> &[Arc<Role>] {
        &self.roles
    }

    pub fn passwords(&self) -> &[PasswordHash] {
        &self.passwords
    }

    /// Whether nothing is ever refused to the user.
    pub fn is_unrestricted(&self) -> bool {
        self.selectors().any(Selector::is_unrestricted)
    }

    /// Whether a selector allows the request; if none does, the refusal that went furthest.
    #[inline]
    pub fn check(&self, demand: &impl Demand) -> Result<(), Denial> {
        let mut worst = Denial { reason: Reason::Database, argument: 0 };
        for selector in self.selectors() {
            match selector.check(demand) {
                Ok(()) => return Ok(()),
                Err(denial) if (denial.reason, denial.argument) > (worst.reason, worst.argument) => {
                    worst = denial;
                }
                Err(_) => {}
            }
        }
        Err(worst)
    }

    /// The names of the flags, as ACL GETUSER shows them.
    pub fn flags(&self) -> impl Iterator<Item = &'static str> {
        let sanitizes =
            if self.flags.skip_sanitize_payload { "skip-sanitize-payload" } else { "sanitize-payload" };
        self.login_flags().chain([sanitizes])
    }

    fn login_flags(&self) -> impl Iterator<Item = &'static str> {
        let flags =
            [Some(if self.flags.is_on { "on" } else { "off" }), self.flags.no_password.then_some("nopass")];
        flags.into_iter().flatten()
    }

    /// The user's rules, as ACL LIST shows them after the name: applied to a new user they make this one.
    pub fn describe(&self) -> Vec<u8> {
        self.describe_behind(self.flags())
    }

    /// The rules without those of payloads, as Valkey shows them.
    pub(super) fn describe_as_valkey(&self) -> Vec<u8> {
        self.describe_behind(self.login_flags())
    }

    fn describe_behind(&self, flags: impl Iterator<Item = &'static str>) -> Vec<u8> {
        let mut words: Vec<Vec<u8>> = flags.map(|flag| flag.into()).collect();
        words.extend(self.passwords.iter().map(|hash| format!("#{}", hash.to_hex()).into_bytes()));
        words.extend(self.rights.describe());
        if !self.roles.is_empty() {
            let names: Vec<&[u8]> = self.roles.iter().map(|role| &*role.name).collect();
            words.push([b"role=", names.join(&b',').as_slice()].concat());
        }
        words.join(&b' ')
    }
}

/// A user while rules are applied to it.
pub struct UserDraft<'a> {
    name: Box<[u8]>,
    flags: Flags,
    passwords: Ordered<[u8; 32], ()>,
    rights: RightsDraft,
    roles: Vec<Arc<Role>>,
    context: RuleContext<'a>,
    /// Those that `role=` may name.
    all_roles: &'a Roles,
}

impl<'a> UserDraft<'a> {
    /// A new user.
    pub fn new(name: &[u8], context: RuleContext<'a>, all_roles: &'a Roles) -> Self {
        UserDraft {
            name: name.into(),
            flags: Flags::default(),
            passwords: Ordered::from_iter([]),
            rights: RightsDraft::new(&context),
            roles: Vec::new(),
            context,
            all_roles,
        }
    }

    /// A user that exists.
    pub fn of(user: &User, context: RuleContext<'a>, all_roles: &'a Roles) -> Self {
        UserDraft {
            name: user.name.clone(),
            flags: user.flags,
            passwords: user.passwords.iter().map(|hash| (hash.bytes(), ())).collect(),
            rights: RightsDraft::of(&user.rights),
            roles: user.roles.to_vec(),
            context,
            all_roles,
        }
    }

    /// The user that the rules make.
    pub fn finish(self) -> User {
        User {
            name: self.name,
            flags: self.flags,
            passwords: self
                .passwords
                .into_sorted()
                .map(|(hash, ())| PasswordHash::from_bytes(hash))
                .collect(),
            rights: self.rights.finish(),
            roles: self.roles.into(),
        }
    }

    /// Applies one rule; that of a selector is one with all its words.
    pub fn apply(&mut self, rule: &[u8]) -> Result<(), RuleError> {
        let is = |word: &str| rule.eq_ignore_ascii_case(word.as_bytes());
        if is("on") {
            self.flags.is_on = true;
        } else if is("off") {
            self.flags.is_on = false;
        } else if is("nopass") {
            self.flags.no_password = true;
            self.passwords.clear();
        } else if is("resetpass") {
            self.flags.no_password = false;
            self.passwords.clear();
        } else if is("skip-sanitize-payload") {
            self.flags.skip_sanitize_payload = true;
        } else if is("sanitize-payload") {
            self.flags.skip_sanitize_payload = false;
        } else if is("resetroles") {
            self.roles.clear();
        } else if is("reset") {
            *self = UserDraft::new(&self.name, self.context, self.all_roles);
        } else {
            return self.apply_prefixed(rule);
        }
        Ok(())
    }

    fn apply_prefixed(&mut self, rule: &[u8]) -> Result<(), RuleError> {
        match rule {
            [b'>', password @ ..] => self.add_password(PasswordHash::of(password)),
            [b'#', hex @ ..] => self.add_password(PasswordHash::from_hex(hex).ok_or(RuleError::BadHash)?),
            [b'<', password @ ..] => return self.remove_password(PasswordHash::of(password)),
            [b'!', hex @ ..] => {
                return self.remove_password(PasswordHash::from_hex(hex).ok_or(RuleError::BadHash)?);
            }
            _ if rule.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"role=")) => {
                return self.set_roles(&rule[5..]);
            }
            _ => return self.rights.apply(rule, &self.context),
        }
        Ok(())
    }

    fn add_password(&mut self, hash: PasswordHash) {
        self.passwords.get_or_insert(hash.bytes(), ());
        self.flags.no_password = false;
    }

    fn remove_password(&mut self, hash: PasswordHash) -> Result<(), RuleError> {
        if self.passwords.remove(&hash.bytes()) { Ok(()) } else { Err(RuleError::NoSuchPassword) }
    }

    /// `role=a,b`: these roles and no others, each once.
    fn set_roles(&mut self, list: &[u8]) -> Result<(), RuleError> {
        let names = || list.split(|byte| *byte == b',');
        if names().any(<[u8]>::is_empty) {
            return Err(RuleError::Syntax);
        }
        let mut chosen = Vec::new();
        let mut seen = HashSet::new();
        for name in names().filter(|name| seen.insert(*name)) {
            chosen.push(self.all_roles.get(name).ok_or(RuleError::NoSuchRole)?.clone());
        }
        self.roles = chosen;
        Ok(())
    }
}
