//! The file of users (`aclfile`): a line for each user and role. It is taken as a whole or, if there is any error, not at all.
//!
//! ```text
//! role reader ~app:* resetchannels -@all +@read
//! user bob on #2d71… ~app:* resetchannels -@all (%R~b resetchannels -@all +get) role=reader
//! ```
//!
//! A user may hold a role of a later line.

use super::role::{Role, RoleDraft, role_name_error};
use super::rule::{RuleContext, RuleError, has_spaces, join_selectors};
use super::user::{User, UserDraft};
use super::{DEFAULT, Users};

/// Reads the users and roles of a file; the error names all that is wrong. `name`: the file's, for the errors.
pub fn read(text: &[u8], name: &str, context: &RuleContext<'_>) -> Result<Users, Vec<u8>> {
    let mut reader = Reader {
        name,
        context,
        users: Users::new(User::default_user(context)),
        default_seen: false,
        errors: Vec::new(),
    };
    let lines = || {
        let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        (1..).zip(lines).filter(|(_, line)| !line.is_empty())
    };
    let is_role = |line: &[u8]| line.split(|byte| *byte == b' ').next() == Some(b"role");
    lines().filter(|(_, line)| is_role(line)).for_each(|(number, line)| reader.read_role(number, line));
    lines().filter(|(_, line)| !is_role(line)).for_each(|(number, line)| reader.read_user(number, line));
    let Reader { users, mut errors, .. } = reader;
    if errors.is_empty() {
        return Ok(users);
    }
    errors
        .extend(b"WARNING: ACL errors detected, no change to the previously active ACL rules was performed");
    Err(errors)
}

/// What has been read of a file.
struct Reader<'a> {
    name: &'a str,
    context: &'a RuleContext<'a>,
    users: Users,
    default_seen: bool,
    errors: Vec<u8>,
}

impl Reader<'_> {
    fn fail(&mut self, parts: &[&[u8]]) {
        parts.iter().for_each(|part| self.errors.extend_from_slice(part));
    }

    fn read_role(&mut self, number: usize, line: &[u8]) {
        let place = format!("{}:{number}", self.name);
        let mut words = line.split(|byte| *byte == b' ').skip(1);
        let Some(name) = words.next() else {
            return self.fail(&[place.as_bytes(), b": the role keyword requires a role name. "]);
        };
        if let Some(reason) = role_name_error(name) {
            let reason = format!("': {reason}. ");
            return self.fail(&[place.as_bytes(), b": invalid role name '", name, reason.as_bytes()]);
        }
        if self.users.roles().get(name).is_some() {
            let line = format!("' found on line {number}. ");
            return self.fail(&[b"WARNING: Duplicate role '", name, line.as_bytes()]);
        }
        match self.apply_role(name, words) {
            Ok(role) => self.users.put_role(role),
            Err(reason) => {
                self.users.put_role(RoleDraft::new(name, *self.context).finish());
                // A password has no place in a role, but may be there: the rule is not shown.
                let reason = format!("': {reason}. ");
                self.fail(&[place.as_bytes(), b": Error in the rules of role '", name, reason.as_bytes()]);
            }
        }
    }

    fn apply_role<'w>(
        &self,
        name: &[u8],
        words: impl Iterator<Item = &'w [u8]>,
    ) -> Result<Role, &'static str> {
        let rules = rules_of(words).ok_or("Unmatched parenthesis in selector definition")?;
        let mut role = RoleDraft::new(name, *self.context);
        rules.iter().try_for_each(|rule| role.apply(rule)).map_err(RuleError::message)?;
        Ok(role.finish())
    }

    fn read_user(&mut self, number: usize, line: &[u8]) {
        let place = format!("{}:{number}", self.name);
        let mut words = line.split(|byte| *byte == b' ');
        let (Some(b"user"), Some(username)) = (words.next(), words.next()) else {
            return self
                .fail(&[place.as_bytes(), b" should start with user keyword followed by the username. "]);
        };
        if has_spaces(username) {
            return self.fail(&[
                b"'",
                place.as_bytes(),
                b": username '",
                username,
                b"' contains invalid characters. ",
            ]);
        }
        let is_default = username == DEFAULT;
        if if is_default { self.default_seen } else { self.users.get(username).is_some() } {
            let line = format!("' found on line {number}. ");
            return self.fail(&[b"WARNING: Duplicate user '", username, line.as_bytes()]);
        }
        self.default_seen |= is_default;
        // A name is taken whatever its rules are, as a further line of it shows.
        let Some(rules) = rules_of(words) else {
            self.users.put(User::new(username, self.context));
            return self.fail(&[place.as_bytes(), b": Unmatched parenthesis in selector definition."]);
        };
        let user = self.apply_user(username, &rules, &place);
        self.users.put(user);
    }

    /// Applies the rules of a line. Each unknown command is an error of its own; of all others the first is named.
    fn apply_user(&mut self, username: &[u8], rules: &[Vec<u8>], place: &str) -> User {
        let mut is_bad = false;
        let mut user = UserDraft::new(username, *self.context, self.users.roles());
        for rule in rules {
            match user.apply(rule) {
                Ok(()) => {}
                Err(error @ RuleError::UnknownCommand) => {
                    let reason = format!("': {}. ", error.message());
                    let parts = [
                        place.as_bytes(),
                        b": Error in applying operation '",
                        rule.as_slice(),
                        reason.as_bytes(),
                    ];
                    self.errors.extend(parts.concat());
                }
                Err(error) => {
                    if !std::mem::replace(&mut is_bad, true) {
                        self.errors.extend(format!("{place}: {}. ", error.message()).bytes());
                    }
                }
            }
        }
        user.finish()
    }
}

/// The rules of the words of a line; none if a selector does not end.
fn rules_of<'w>(words: impl Iterator<Item = &'w [u8]>) -> Option<Vec<Vec<u8>>> {
    join_selectors(words.map(<[u8]>::trim_ascii).filter(|word| !word.is_empty())).ok()
}

/// The lines of these users and roles, the roles first, as ACL LIST shows them.
pub fn lines(users: &Users) -> impl Iterator<Item = Vec<u8>> {
    let roles = users.roles().iter().map(|role| [b"role ", &*role.name, b" ", &role.describe()].concat());
    roles.chain(users.iter().map(|user| [b"user ", &*user.name, b" ", &user.describe()].concat()))
}

/// The text of the file of these users.
pub fn write(users: &Users) -> Vec<u8> {
    let mut text = Vec::new();
    for line in lines(users) {
        text.extend(line);
        text.push(b'\n');
    }
    text
}
