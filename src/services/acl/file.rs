//! The file of users (`aclfile`): a `user` line for each. It is taken as a whole or, if there is any error, not at all.
//!
//! ```text
//! user bob on #2d71… ~app:* resetchannels -@all +@read (%R~b resetchannels -@all +get)
//! ```

use super::rule::{RuleError, has_spaces, join_selectors};
use super::user::{RuleContext, User};
use super::{DEFAULT, Users};

/// Reads the users of a file; the error names all that is wrong. `name`: the file's, for the errors.
pub fn read(text: &[u8], name: &str, context: &RuleContext<'_>) -> Result<Users, Vec<u8>> {
    let mut users = Users::new(User::default_user(context));
    let mut errors = Vec::new();
    let mut default_seen = false;
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        let place = format!("{name}:{}", index + 1);
        let mut words = line.split(|byte| *byte == b' ');
        let (Some(b"user"), Some(username)) = (words.next(), words.next()) else {
            errors
                .extend(format!("{place} should start with user keyword followed by the username. ").bytes());
            continue;
        };
        if has_spaces(username) {
            errors.extend(
                [b"'", place.as_bytes(), b": username '", username, b"' contains invalid characters. "]
                    .concat(),
            );
            continue;
        }
        let is_default = username == DEFAULT;
        if if is_default { default_seen } else { users.get(username).is_some() } {
            let line = format!("' found on line {}. ", index + 1);
            errors.extend([b"WARNING: Duplicate user '", username, line.as_bytes()].concat());
            continue;
        }
        default_seen |= is_default;
        let Ok(rules) = join_selectors(words.map(<[u8]>::trim_ascii).filter(|word| !word.is_empty())) else {
            errors.extend(format!("{place}: Unmatched parenthesis in selector definition.").bytes());
            continue;
        };
        let mut user = User::new(username, context);
        apply_all(&mut user, &rules, context, &place, &mut errors);
        users.put(user);
    }
    if errors.is_empty() {
        return Ok(users);
    }
    errors
        .extend(b"WARNING: ACL errors detected, no change to the previously active ACL rules was performed");
    Err(errors)
}

/// Applies the rules of a line. Each unknown command is an error of its own; of all others the first is named.
fn apply_all(
    user: &mut User,
    rules: &[Vec<u8>],
    context: &RuleContext<'_>,
    place: &str,
    errors: &mut Vec<u8>,
) {
    let mut is_bad = false;
    for rule in rules {
        match user.apply(rule, context) {
            Ok(()) => {}
            Err(error @ RuleError::UnknownCommand) => {
                let reason = format!("': {}. ", error.message());
                let parts = [
                    place.as_bytes(),
                    b": Error in applying operation '",
                    rule.as_slice(),
                    reason.as_bytes(),
                ];
                errors.extend(parts.concat());
            }
            Err(error) => {
                if !std::mem::replace(&mut is_bad, true) {
                    errors.extend(format!("{place}: {}. ", error.message()).bytes());
                }
            }
        }
    }
}

/// The text of the file of these users.
pub fn write(users: &Users) -> Vec<u8> {
    let mut text = Vec::new();
    for user in users.iter() {
        text.extend_from_slice(b"user ");
        text.extend_from_slice(&user.name);
        text.push(b' ');
        text.extend(user.describe());
        text.push(b'\n');
    }
    text
}
