//! The configuration: typed values behind a table of directives.
//!
//! ```text
//!   redis.conf, --options ──load──▶ Config ──get──▶ CONFIG GET
//!                                     ▲  └──rewrite──▶ new text of redis.conf
//!                     CONFIG SET ──set_many
//! ```
//!
//! Nothing here opens a file or a socket. The caller applies the changes (another port
//! to bind, a directory to enter); it keeps a clone to restore on failure, and reports
//! the failure by [`ConfigError::failed`].

mod checks;
pub use checks::expand_title;
mod command_line;
mod compound;
mod directives;
mod enums;
mod events;
mod file;
mod manual;
mod quotas;
mod reference;
mod rewrite;
mod setting;
mod subnets;

#[cfg(test)]
mod config_tests;

use std::borrow::Cow;
use std::collections::HashSet;

pub use command_line::{CommandLine, startup_text};
pub use compound::{
    OomScores, OutputBufferLimit, OutputBufferLimits, Percentiles, ReplicaOf, SavePoint, SavePoints,
};
pub use directives::{Config, DIRECTIVES, Directive, Effect, flags};
pub use enums::*;
pub use events::KeyspaceEvents;
pub use file::{AclLine, ConfigEnv, FileError, Loaded, SentinelLine};
pub use manual::{SHELLS, render_completion, render_manual};
pub use quotas::{QuotaLine, QuotaLines, QuotaOver, QuotaSubject};
pub use reference::render_reference;
pub use rewrite::{Rewrite, StateLine, fuzz_config_text, rewrite};
pub use setting::{InvalidValue, Rule, Secret, Unit};
pub use subnets::Subnets;

use crate::base::glob::matches_ignoring_case;

/// The version of Redis that the server reports and follows.
pub const REDIS_VERSION: &str = "8.6.0";

/// The bounds to which `hz` is clamped.
const HZ_BOUNDS: (u32, u32) = (1, 500);
/// The least `repl-backlog-size` in bytes; CONFIG SET raises smaller values to it.
const MIN_BACKLOG: u64 = 16 << 10;

/// The circumstances of a CONFIG SET, on which some directives depend.
#[derive(Clone, Copy, Debug, Default)]
pub struct SetContext {
    /// Whether the connection comes from this machine.
    pub local_connection: bool,
    /// Whether the data set is being loaded.
    pub loading: bool,
}

/// Why `CONFIG SET` changed nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// No directive has this name.
    Unknown(Vec<u8>),
    /// The directive refused its value, or what follows from it failed.
    Failed { name: Vec<u8>, reason: InvalidValue },
    /// Not while the data set is being loaded.
    Loading,
}

impl ConfigError {
    /// The failure of applying a value that was well formed, such as a port in use.
    pub fn failed(name: &str, reason: impl Into<InvalidValue>) -> Self {
        ConfigError::Failed { name: name.as_bytes().to_vec(), reason: reason.into() }
    }

    /// The error reply, without the leading `-` and the line's end.
    pub fn reply(&self) -> Vec<u8> {
        let mut out = match self {
            ConfigError::Loading => b"LOADING Redis is loading the dataset in memory".to_vec(),
            ConfigError::Unknown(name) => {
                [b"ERR Unknown option or number of arguments for CONFIG SET - '", &name[..], b"'"].concat()
            }
            ConfigError::Failed { name, reason } => {
                let start = b"ERR CONFIG SET failed (possibly related to argument '";
                [&start[..], name, b"') - ", reason.as_bytes()].concat()
            }
        };
        for byte in &mut out {
            if matches!(byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
        out
    }
}

/// What became of a configuration that was to be as another one.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Followed {
    /// Directives that differed and don't any more.
    pub changed: Vec<&'static str>,
    /// These, and those whose files may have changed.
    pub to_apply: Vec<&'static str>,
    /// Directives that differ still.
    pub needs_restart: Vec<&'static str>,
}

/// The directive of this name or alias, in any case.
pub fn lookup(name: &[u8]) -> Option<&'static Directive> {
    DIRECTIVES.iter().find(|directive| directive.is_called(name))
}

/// Whether the value after this name must not appear in logs, MONITOR or SLOWLOG.
pub fn is_sensitive(name: &[u8]) -> bool {
    lookup(name).is_some_and(|directive| directive.has(flags::SENSITIVE))
}

impl Directive {
    /// Whether the flag is set.
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    fn is_called(&self, name: &[u8]) -> bool {
        let same = |known: &str| known.as_bytes().eq_ignore_ascii_case(name);
        same(self.name) || self.alias.is_some_and(same)
    }

    /// The words of a value that CONFIG SET gives.
    fn words(&self, value: &[u8]) -> Vec<Vec<u8>> {
        match self.has(flags::MULTI) {
            true if value.is_empty() => Vec::new(),
            true => value.split(|&byte| byte == b' ').map(<[u8]>::to_vec).collect(),
            false => vec![value.to_vec()],
        }
    }

    /// The value as `CONFIG GET` shows it.
    pub fn to_get(&self, config: &Config) -> Vec<u8> {
        (self.get)(config).to_get(&self.rule)
    }

    /// The value in full, as a file would hold it.
    fn to_file(&self, config: &Config) -> Vec<u8> {
        (self.get)(config).to_file(&self.rule)
    }

    /// Parses and sets a value; on an error the configuration may be partly changed.
    fn assign(&self, config: &mut Config, words: &[Vec<u8>]) -> Result<(), InvalidValue> {
        (self.get_mut)(config).assign(words, &self.rule)?;
        config.hz = config.hz.clamp(HZ_BOUNDS.0, HZ_BOUNDS.1);
        Ok(())
    }
}

impl Config {
    /// The value of a directive by name or alias, as `CONFIG GET` shows it.
    pub fn get_text(&self, name: &str) -> Option<Vec<u8>> {
        lookup(name.as_bytes()).map(|directive| directive.to_get(self))
    }

    /// The reply of CONFIG GET: names that match and their values, in the order of names. Hidden
    /// directives answer to their exact name only; an alias is an entry of its own.
    pub fn get<'p>(&self, patterns: &[&'p [u8]]) -> Vec<(Cow<'p, [u8]>, Vec<u8>)> {
        let mut found: Vec<(Cow<'p, [u8]>, Vec<u8>)> = Vec::new();
        let mut seen = HashSet::new();
        let mut add = |name: Cow<'p, [u8]>, directive: &'static Directive| {
            let is_alias = !directive.name.as_bytes().eq_ignore_ascii_case(&name);
            if seen.insert((directive.name, is_alias)) {
                found.push((name, directive.to_get(self)));
            }
        };
        for &pattern in patterns {
            if !pattern.iter().any(|byte| b"[*?".contains(byte)) {
                if let Some(directive) = lookup(pattern) {
                    add(Cow::Borrowed(pattern), directive);
                }
                continue;
            }
            for directive in DIRECTIVES.iter().filter(|directive| !directive.has(flags::HIDDEN)) {
                let names = std::iter::once(directive.name).chain(directive.alias);
                for name in names.filter(|name| matches_ignoring_case(pattern, name.as_bytes())) {
                    add(Cow::Borrowed(name.as_bytes()), directive);
                }
            }
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found
    }

    /// CONFIG SET: sets all pairs or none. Returns the names (never aliases) of the changed directives,
    /// for the caller to apply.
    pub fn set_many(
        &mut self,
        pairs: &[(&[u8], &[u8])],
        context: SetContext,
    ) -> Result<Vec<&'static str>, ConfigError> {
        let directives = self.admit(pairs, context)?;
        let mut next = self.clone();
        let mut changed = Vec::new();
        for (directive, &(name, value)) in directives.into_iter().zip(pairs) {
            let failed = |reason| ConfigError::Failed { name: name.to_ascii_lowercase(), reason };
            let before = directive.to_file(&next);
            directive.assign(&mut next, &directive.words(value)).map_err(failed)?;
            next.repl_backlog_size = next.repl_backlog_size.max(MIN_BACKLOG.min(self.repl_backlog_size));
            let differs = directive.to_file(&next) != before;
            match directive.effect {
                Effect::Unsupported(reason) if differs => {
                    return Err(failed(format!("this setting has no effect here: {reason}").into()));
                }
                _ => {}
            }
            next.quota.check(next.databases).map_err(failed)?;
            if (differs || directive.has(flags::VOLATILE)) && !changed.contains(&directive.name) {
                changed.push(directive.name);
            }
        }
        *self = next;
        Ok(changed)
    }

    /// Gives all directives that may change at run time the values that they have in `wanted`.
    pub fn follow(&mut self, wanted: &Config, is_loading: bool) -> Result<Followed, ConfigError> {
        let mut followed = Followed::default();
        let mut next = self.clone();
        for directive in DIRECTIVES {
            let value = directive.to_get(wanted);
            let differs = directive.to_file(self) != directive.to_file(wanted);
            let may_differ = directive.has(flags::VOLATILE) && !value.is_empty();
            match () {
                () if differs && directive.has(flags::IMMUTABLE) => {
                    followed.needs_restart.push(directive.name)
                }
                () if directive.has(flags::IMMUTABLE) || !(differs || may_differ) => continue,
                () if differs && is_loading && directive.has(flags::DENY_LOADING) => {
                    return Err(ConfigError::Loading);
                }
                () => {
                    let failed = |reason| ConfigError::Failed { name: directive.name.into(), reason };
                    directive.assign(&mut next, &directive.words(&value)).map_err(failed)?;
                    followed.to_apply.push(directive.name);
                    if differs && !matches!(directive.effect, Effect::Unsupported(_)) {
                        followed.changed.push(directive.name);
                    }
                }
            }
        }
        *self = next;
        Ok(followed)
    }

    /// Gives these directives the values that they have in `before`.
    pub fn take_back(&mut self, before: &Config, names: &[&str]) {
        for directive in names.iter().filter_map(|name| lookup(name.as_bytes())) {
            if directive.assign(self, &directive.words(&directive.to_get(before))).is_err() {
                // A value that can't be written as a text: all goes back.
                *self = before.clone();
                return;
            }
        }
    }

    /// Finds the directives of `pairs` and checks that this connection may set them now. The first error in
    /// the order of the pairs decides.
    fn admit(
        &self,
        pairs: &[(&[u8], &[u8])],
        context: SetContext,
    ) -> Result<Vec<&'static Directive>, ConfigError> {
        let allow_protected = self.enable_protected_configs.allows(context.local_connection);
        let mut directives = Vec::with_capacity(pairs.len());
        for (index, &(name, _)) in pairs.iter().enumerate() {
            let failed =
                |reason: &'static str| ConfigError::Failed { name: name.to_vec(), reason: reason.into() };
            let directive = lookup(name).ok_or_else(|| ConfigError::Unknown(name.to_vec()))?;
            if directive.has(flags::IMMUTABLE) {
                return Err(failed("can't set immutable config"));
            }
            if directive.has(flags::PROTECTED) && !allow_protected {
                return Err(failed("can't set protected config"));
            }
            if context.loading && directive.has(flags::DENY_LOADING) {
                return Err(ConfigError::Loading);
            }
            // A directive and its alias in one call are two names: the later value wins.
            if pairs[..index].iter().any(|(earlier, _)| earlier.eq_ignore_ascii_case(name)) {
                return Err(failed("duplicate parameter"));
            }
            directives.push(directive);
        }
        Ok(directives)
    }

    /// A log line for each directive that was given a value which has no effect.
    pub fn warnings(&self) -> Vec<String> {
        let defaults = Config::default();
        let set = DIRECTIVES.iter().filter(|directive| directive.to_get(self) != directive.to_get(&defaults));
        set.filter_map(Directive::warning).collect()
    }
}

impl Directive {
    /// The log line for a value of this directive, if it has no effect.
    pub fn warning(&self) -> Option<String> {
        match self.effect {
            Effect::Live | Effect::Ignored(_) => None,
            Effect::NotYet(part) => {
                Some(format!("'{}' has no effect yet: {part} is not part of this release", self.name))
            }
            Effect::Unsupported(reason) => Some(format!("'{}' has no effect: {reason}", self.name)),
        }
    }
}
