//! The fingerprint of all rules (ACL DIGEST of Valkey 9.2).

use sha2::{Digest, Sha256};

use super::Users;

impl Users {
    /// The exclusive or of the SHA-256 of each user's and role's line, as 64 hexadecimal digits: the same on servers with the
    /// same rules, in whatever order they were given.
    ///
    /// The line of a user is its name and its rules as Valkey 9.2 writes them, which gives its digest; the line of a role has
    /// `role ` before them, so that a user and a role that are alike do not cancel each other out.
    pub fn digest(&self) -> String {
        let users = self.iter().map(|user| [&*user.name, b" ", &user.describe_as_valkey()].concat());
        let roles = self.roles().iter().map(|role| [b"role ", &*role.name, b" ", &role.describe()].concat());
        let mut sum = [0u8; 32];
        for line in users.chain(roles) {
            sum.iter_mut().zip(Sha256::digest(line)).for_each(|(byte, other)| *byte ^= other);
        }
        sum.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
