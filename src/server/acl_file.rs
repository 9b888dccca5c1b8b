//! The file of users: read at start and by ACL LOAD, written by ACL SAVE; and the `user` and `role` lines of the
//! configuration file.

use std::collections::BTreeSet;
use std::path::Path;

use super::Server;
use super::apply_config::replace_file;
use crate::base::ids::ClientId;
use crate::commands;
use crate::engine::Engine;
use crate::engine::acl::{configured_default, rule_context};
use crate::engine::command::table::CommandTable;
use crate::resp::{CommandError, Reply};
use crate::services::acl::{
    self, RoleDraft, Roles, RuleContext, RuleError, UserDraft, Users, file, join_selectors, role_name_error,
};
use crate::services::config::{AclLine, Config, InvalidValue, Loaded};
use crate::sys::disk;

/// Checks the `user` and `role` lines of the configuration file as they are read: each name once, and rules without errors
/// but those of commands, which may have other names, and of roles, which may follow.
#[derive(Default)]
pub(super) struct AclLines {
    users: BTreeSet<Vec<u8>>,
    roles: BTreeSet<Vec<u8>>,
    commands: Option<CommandTable>,
}

impl AclLines {
    pub(super) fn check(&mut self, kind: AclLine, words: &[Vec<u8>]) -> Result<(), InvalidValue> {
        let [name, rules @ ..] = words else { return Ok(()) };
        let kind_name = kind.name();
        let fail = |reason: &str| {
            let name = String::from_utf8_lossy(name);
            Err(InvalidValue::from(format!("Error in {kind_name} declaration '{name}': {reason}")))
        };
        if kind == AclLine::Role
            && let Some(reason) = role_name_error(name)
        {
            return fail(reason);
        }
        let names = if kind == AclLine::Role { &mut self.roles } else { &mut self.users };
        if !names.insert(name.clone()) {
            return fail(&format!(
                "Duplicate {kind_name} found. A {kind_name} can only be defined once in config files"
            ));
        }
        let Ok(rules) = join_selectors(rules.iter().map(Vec::as_slice)) else { return fail("Wrong format") };
        let commands = self.commands.get_or_insert_with(|| CommandTable::new(commands::FAMILIES));
        let context = RuleContext { catalog: commands, all_channels: false };
        let no_roles = Roles::default();
        let mut draft = Draft::new(kind, name, context, &no_roles);
        for rule in rules {
            match draft.apply(&rule) {
                Ok(()) | Err(RuleError::UnknownCommand | RuleError::NoSuchRole) => {}
                Err(error) => return fail(error.message()),
            }
        }
        Ok(())
    }
}

/// The user or role of a line.
enum Draft<'a> {
    User(UserDraft<'a>),
    Role(RoleDraft<'a>),
}

impl<'a> Draft<'a> {
    fn new(kind: AclLine, name: &[u8], context: RuleContext<'a>, roles: &'a Roles) -> Self {
        match kind {
            AclLine::User => Draft::User(UserDraft::new(name, context, roles)),
            AclLine::Role => Draft::Role(RoleDraft::new(name, context)),
        }
    }

    fn apply(&mut self, rule: &[u8]) -> Result<(), RuleError> {
        match self {
            Draft::User(user) => user.apply(rule),
            Draft::Role(role) => role.apply(rule),
        }
    }
}

/// Gives a new engine its users and roles, from lines of the configuration or from the file of users.
pub(super) fn load_users(engine: &mut Engine, loaded: &Loaded) -> Result<(), String> {
    let users = if engine.config.aclfile.is_empty() {
        users_of_lines(engine, &engine.config, loaded)?
    } else {
        read_users(engine, &engine.config, loaded)
            .map_err(|error| format!("Aborting startup because of ACL errors: {error}"))?
    };
    engine.replace_users(users, None);
    Ok(())
}

/// The users of the file that a configuration names, which then may have none itself.
pub(super) fn read_users(engine: &Engine, config: &Config, loaded: &Loaded) -> Result<Users, String> {
    if !loaded.acl.is_empty() {
        return Err("Configuring users in the configuration file and at the same time an ACL file is invalid: define the users in either of them, but not in both.".into());
    }
    read_file(engine, config).map_err(|error| String::from_utf8_lossy(&error).into_owned())
}

/// The users and roles of a configuration's lines, with `default` as it makes it without a line of its own.
pub(super) fn users_of_lines(engine: &Engine, config: &Config, loaded: &Loaded) -> Result<Users, String> {
    let mut users = Users::new(configured_default(&engine.commands, config));
    let context = rule_context(&engine.commands, config);
    // A user may hold a role of a later line.
    for kind in [AclLine::Role, AclLine::User] {
        for (_, words) in loaded.acl.iter().filter(|(found, _)| *found == kind) {
            let [name, rules @ ..] = words.as_slice() else { continue };
            declare(&mut users, context, kind, name, rules)?;
        }
    }
    Ok(users)
}

/// Makes the user or role of a line.
fn declare(
    users: &mut Users,
    context: RuleContext<'_>,
    kind: AclLine,
    name: &[u8],
    rules: &[Vec<u8>],
) -> Result<(), String> {
    let shown = String::from_utf8_lossy(name);
    let kind_name = kind.name();
    if acl::has_spaces(name) {
        return Err(format!("Spaces or null characters in the name of {kind_name} '{shown}'"));
    }
    let mut draft = Draft::new(kind, name, context, users.roles());
    let rules = join_selectors(rules.iter().map(Vec::as_slice))
        .map_err(|_| format!("Unmatched parenthesis in the rules of {kind_name} '{shown}'"))?;
    for rule in rules {
        draft.apply(&rule).map_err(|error| {
            // A password is not for the log.
            let rule = if rule.starts_with(b">") || rule.starts_with(b"<") {
                "a password".into()
            } else {
                String::from_utf8_lossy(&rule)
            };
            let reason = error.message();
            format!("Error loading ACL rule '{rule}' for the {kind_name} named '{shown}': {reason}")
        })?;
    }
    match draft {
        Draft::User(user) => {
            let user = user.finish();
            users.put(user);
        }
        Draft::Role(role) => {
            let role = role.finish();
            users.put_role(role);
        }
    }
    Ok(())
}

/// Reads the file of users; the error is what is wrong.
fn read_file(engine: &Engine, config: &Config) -> Result<Users, Vec<u8>> {
    let name = &config.aclfile;
    let text = std::fs::read(name).map_err(|error| {
        let reason = disk::reason(&error);
        format!("Error loading ACLs, opening file '{name}': {reason}").into_bytes()
    })?;
    file::read(&text, name, &rule_context(&engine.commands, config))
}

impl Server {
    /// ACL LOAD: puts the users of the file in the place of all; changes nothing if there is an error in it.
    pub(super) fn reload_users(&mut self, client: ClientId) {
        let mut reply = Reply::new(Vec::new(), false);
        match read_file(&self.engine, &self.engine.config) {
            Ok(users) => {
                self.engine.replace_users(users, Some(client));
                reply.ok();
            }
            Err(error) => {
                log::warn!("{}", String::from_utf8_lossy(&error));
                reply.error(&CommandError::new([b"ERR ", error.as_slice()].concat()));
            }
        }
        self.complete(client, &reply);
    }

    /// ACL SAVE: replaces the file of users by one of the present users.
    pub(super) fn save_users(&mut self, client: ClientId) {
        let mut reply = Reply::new(Vec::new(), false);
        let name = &self.engine.config.aclfile;
        match replace_file(Path::new(name), &file::write(&self.engine.acl.users)) {
            Ok(()) => reply.ok(),
            Err(error) => {
                log::warn!("The file of users {name} could not be written: {error}");
                reply.error(&CommandError::text(
                    "ERR There was an error trying to save the ACLs. Please check the server logs for more information",
                ));
            }
        }
        self.complete(client, &reply);
    }

    /// The `role` and `user` lines that CONFIG REWRITE writes; of `default` only if it is not as `requirepass` makes it or
    /// there are other users.
    pub(super) fn acl_lines(&self) -> Vec<(&'static str, Vec<Vec<u8>>)> {
        let acl = &self.engine.acl;
        let roles = acl.users.roles().iter().map(|role| [&*role.name, b" ", &role.describe()].concat());
        let users = acl.users.iter().map(|user| [&*user.name, b" ", &user.describe()].concat());
        let only_default =
            users.len() == 1 && acl.is_default_as_configured(&self.engine.commands, &self.engine.config);
        let users = if only_default { Vec::new() } else { users.collect() };
        vec![(AclLine::Role.name(), roles.collect()), (AclLine::User.name(), users)]
    }
}
