//! The file of users: read at start and by ACL LOAD, written by ACL SAVE; and the `user` lines of the configuration file.

use std::collections::BTreeSet;
use std::path::Path;

use super::Server;
use super::apply_config::replace_file;
use crate::base::ids::ClientId;
use crate::commands;
use crate::engine::Engine;
use crate::engine::acl::rule_context;
use crate::engine::command::table::CommandTable;
use crate::resp::{CommandError, Reply};
use crate::services::acl::{self, RuleContext, RuleError, User, Users, file, join_selectors};
use crate::services::config::{InvalidValue, Loaded};
use crate::sys::disk;

/// Checks the `user` lines of the configuration file as they are read: each name once, and rules without errors but
/// those of commands, which may have other names.
#[derive(Default)]
pub(super) struct UserLines {
    names: BTreeSet<Vec<u8>>,
    commands: Option<CommandTable>,
}

impl UserLines {
    pub(super) fn check(&mut self, words: &[Vec<u8>]) -> Result<(), InvalidValue> {
        let [name, rules @ ..] = words else { return Ok(()) };
        let fail = |reason: &str| {
            let name = String::from_utf8_lossy(name);
            Err(InvalidValue::from(format!("Error in user declaration '{name}': {reason}")))
        };
        if !self.names.insert(name.clone()) {
            return fail("Duplicate user found. A user can only be defined once in config files");
        }
        let Ok(rules) = join_selectors(rules.iter().map(Vec::as_slice)) else { return fail("Wrong format") };
        let commands = self.commands.get_or_insert_with(|| CommandTable::new(commands::FAMILIES));
        let context = RuleContext { catalog: commands, all_channels: false };
        let mut user = User::new(name, &context);
        for rule in rules {
            match user.apply(&rule, &context) {
                Ok(()) | Err(RuleError::UnknownCommand) => {}
                Err(error) => return fail(error.message()),
            }
        }
        Ok(())
    }
}

/// Gives a new engine its users, from the `user` lines of the configuration or from the file of users.
pub(super) fn load_users(engine: &mut Engine, loaded: &Loaded) -> Result<(), String> {
    if !engine.config.aclfile.is_empty() {
        if !loaded.users.is_empty() {
            return Err("Configuring users in the configuration file and at the same time an ACL file is invalid: define the users in either of them, but not in both.".into());
        }
        let users = read_file(engine).map_err(|error| {
            format!("Aborting startup because of ACL errors: {}", String::from_utf8_lossy(&error))
        })?;
        engine.replace_users(users, None);
        return Ok(());
    }
    for words in &loaded.users {
        let [name, rules @ ..] = words.as_slice() else { continue };
        let user = declared(engine, name, rules)?;
        engine.put_user(user, None);
    }
    Ok(())
}

fn declared(engine: &Engine, name: &[u8], rules: &[Vec<u8>]) -> Result<User, String> {
    let shown = String::from_utf8_lossy(name);
    if acl::has_spaces(name) {
        return Err(format!("Spaces or null characters in the name of user '{shown}'"));
    }
    let context = rule_context(&engine.commands, &engine.config);
    let mut user = User::new(name, &context);
    let rules = join_selectors(rules.iter().map(Vec::as_slice))
        .map_err(|_| format!("Unmatched parenthesis in the rules of user '{shown}'"))?;
    for rule in rules {
        user.apply(&rule, &context).map_err(|error| {
            // A password is not for the log.
            let rule = if rule.starts_with(b">") || rule.starts_with(b"<") {
                "a password".into()
            } else {
                String::from_utf8_lossy(&rule)
            };
            format!("Error loading ACL rule '{rule}' for the user named '{shown}': {}", error.message())
        })?;
    }
    Ok(user)
}

/// Reads the file of users; the error is what is wrong.
fn read_file(engine: &Engine) -> Result<Users, Vec<u8>> {
    let name = &engine.config.aclfile;
    let text = std::fs::read(name).map_err(|error| {
        let reason = disk::reason(&error);
        format!("Error loading ACLs, opening file '{name}': {reason}").into_bytes()
    })?;
    file::read(&text, name, &rule_context(&engine.commands, &engine.config))
}

impl Server {
    /// ACL LOAD: puts the users of the file in the place of all; changes nothing if there is an error in it.
    pub(super) fn reload_users(&mut self, client: Option<ClientId>) {
        let mut reply = Reply::new(Vec::new(), false);
        match read_file(&self.engine) {
            Ok(users) => {
                self.engine.replace_users(users, client);
                reply.ok();
            }
            Err(error) => {
                log::warn!("{}", String::from_utf8_lossy(&error));
                reply.error(&CommandError::new([b"ERR ", error.as_slice()].concat()));
            }
        }
        self.complete_acl(client, &reply);
    }

    /// ACL SAVE: replaces the file of users by one of the present users.
    pub(super) fn save_users(&mut self, client: Option<ClientId>) {
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
        self.complete_acl(client, &reply);
    }

    fn complete_acl(&mut self, client: Option<ClientId>, reply: &Reply) {
        if let Some(client) = client {
            self.engine.complete_deferred(client, reply.bytes());
            // A client whose own user is gone gets its reply before the end: no message follows its mark.
            self.net.deliver(&mut self.engine);
            self.engine.close_if_ended(client);
        }
    }

    /// What CONFIG REWRITE writes after `user` for each user; `default` only if it is not as `requirepass` makes it.
    pub(super) fn user_lines(&self) -> Vec<Vec<u8>> {
        let users = self.engine.acl.users.iter();
        let line = |user: &std::sync::Arc<User>| [&*user.name, b" ", &user.describe()].concat();
        if users.len() == 1
            && self.engine.acl.is_default_as_configured(&self.engine.commands, &self.engine.config)
        {
            return Vec::new();
        }
        users.map(line).collect()
    }
}
