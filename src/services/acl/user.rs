//! A user: whether it may log in, with which passwords, and its selectors. Never changed: a rule makes another one of it.

use super::check::Demand;
use super::password::PasswordHash;
use super::rule::{CommandCatalog, RuleError};
use super::selector::{Denial, Reason, Selector};

/// What rules depend on beside the user.
#[derive(Clone, Copy)]
pub struct RuleContext<'a> {
    pub catalog: &'a dyn CommandCatalog,
    /// `acl-pubsub-default` is `allchannels`.
    pub all_channels: bool,
}

/// A user and its rights.
#[derive(Clone, Debug)]
pub struct User {
    pub name: Box<[u8]>,
    pub is_on: bool,
    /// Any password will do.
    pub no_password: bool,
    pub skip_sanitize_payload: bool,
    passwords: Vec<PasswordHash>,
    root: Selector,
    selectors: Vec<Selector>,
}

impl User {
    /// A new user: off, without passwords, without rights.
    pub fn new(name: &[u8], context: &RuleContext<'_>) -> Self {
        User {
            name: name.into(),
            is_on: false,
            no_password: false,
            skip_sanitize_payload: false,
            passwords: Vec::new(),
            root: Selector::new(context.all_channels),
            selectors: Vec::new(),
        }
    }

    /// The user `default` as it is without configuration: everything is allowed.
    pub fn default_user(context: &RuleContext<'_>) -> Self {
        let mut user = User::new(b"default", context);
        for rule in ["+@all", "~*", "&*", "on", "nopass"] {
            let _ = user.apply(rule.as_bytes(), context);
        }
        user
    }

    /// Applies one rule; that of a selector is one with all its words.
    pub fn apply(&mut self, rule: &[u8], context: &RuleContext<'_>) -> Result<(), RuleError> {
        let is = |word: &str| rule.eq_ignore_ascii_case(word.as_bytes());
        if rule.is_empty() {
        } else if is("on") {
            self.is_on = true;
        } else if is("off") {
            self.is_on = false;
        } else if is("nopass") {
            self.no_password = true;
            self.passwords = Vec::new();
        } else if is("resetpass") {
            self.no_password = false;
            self.passwords = Vec::new();
        } else if is("skip-sanitize-payload") {
            self.skip_sanitize_payload = true;
        } else if is("sanitize-payload") {
            self.skip_sanitize_payload = false;
        } else if is("clearselectors") {
            self.selectors = Vec::new();
        } else if is("reset") {
            *self = User::new(&self.name, context);
        } else {
            return self.apply_prefixed(rule, context);
        }
        Ok(())
    }

    fn apply_prefixed(&mut self, rule: &[u8], context: &RuleContext<'_>) -> Result<(), RuleError> {
        match rule {
            [b'>', password @ ..] => self.add_password(PasswordHash::of(password)),
            [b'#', hex @ ..] => self.add_password(PasswordHash::from_hex(hex).ok_or(RuleError::BadHash)?),
            [b'<', password @ ..] => return self.remove_password(PasswordHash::of(password)),
            [b'!', hex @ ..] => {
                return self.remove_password(PasswordHash::from_hex(hex).ok_or(RuleError::BadHash)?);
            }
            [b'(', words @ .., b')'] => {
                let mut selector = Selector::new(context.all_channels);
                for word in words.split(|byte| *byte == b' ').filter(|word| !word.is_empty()) {
                    selector.apply(word, context.catalog)?;
                }
                selector.shrink();
                self.selectors.push(selector);
            }
            _ => return self.root.apply(rule, context.catalog),
        }
        Ok(())
    }

    fn add_password(&mut self, hash: PasswordHash) {
        if !self.passwords.iter().any(|known| known.matches(hash)) {
            self.passwords.push(hash);
        }
        self.no_password = false;
    }

    fn remove_password(&mut self, hash: PasswordHash) -> Result<(), RuleError> {
        let before = self.passwords.len();
        self.passwords.retain(|known| !known.matches(hash));
        if self.passwords.len() == before { Err(RuleError::NoSuchPassword) } else { Ok(()) }
    }

    /// Makes `default` need this password, or none if it is empty (`requirepass`).
    pub fn set_only_password(&mut self, password: &[u8]) {
        self.no_password = password.is_empty();
        self.passwords = if password.is_empty() { Vec::new() } else { vec![PasswordHash::of(password)] };
    }

    /// Gives back what the lists have spare, once all rules are applied.
    pub fn shrink(&mut self) {
        self.passwords.shrink_to_fit();
        self.selectors.shrink_to_fit();
        self.root.shrink();
    }

    /// Whether the password lets a client be this user. Each password is compared, and each to its end.
    pub fn accepts(&self, password: &[u8]) -> bool {
        let hash = PasswordHash::of(password);
        let known = self.passwords.iter().fold(false, |found, known| found | known.matches(hash));
        self.is_on && (self.no_password || known)
    }

    /// Whether a client is this user without AUTH, if it is `default`.
    pub fn is_open(&self) -> bool {
        self.is_on && self.no_password
    }

    /// The selectors, the root first.
    pub fn selectors(&self) -> impl Iterator<Item = &Selector> {
        std::iter::once(&self.root).chain(&self.selectors)
    }

    /// The selector that rules outside parentheses make.
    pub fn root(&self) -> &Selector {
        &self.root
    }

    /// Selectors in parentheses.
    pub fn further_selectors(&self) -> &[Selector] {
        &self.selectors
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
        let flags = [
            Some(if self.is_on { "on" } else { "off" }),
            self.no_password.then_some("nopass"),
            Some(if self.skip_sanitize_payload { "skip-sanitize-payload" } else { "sanitize-payload" }),
        ];
        flags.into_iter().flatten()
    }

    /// The user's rules, as ACL LIST shows them after the name: applied to a new user they make this one.
    pub fn describe(&self) -> Vec<u8> {
        let mut words: Vec<Vec<u8>> = self.flags().map(|flag| flag.into()).collect();
        words.extend(self.passwords.iter().map(|hash| format!("#{}", hash.to_hex()).into_bytes()));
        words.push(self.root.describe());
        let further = self.selectors.iter();
        words.extend(further.map(|selector| [b"(", selector.describe().as_slice(), b")"].concat()));
        words.join(&b' ')
    }
}
