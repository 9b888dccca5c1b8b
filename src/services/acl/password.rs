//! Passwords of users: kept as SHA-256, compared in constant time.

use sha2::{Digest, Sha256};

/// The SHA-256 of a password.
#[derive(Clone, Copy, Debug)]
pub struct PasswordHash([u8; 32]);

impl PasswordHash {
    /// The hash of a password in clear text.
    pub fn of(password: &[u8]) -> Self {
        PasswordHash(Sha256::digest(password).into())
    }

    /// The hash that 64 lower-case hexadecimal digits write.
    pub fn from_hex(text: &[u8]) -> Option<Self> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let mut hash = [0; 32];
        if text.len() != 2 * hash.len() {
            return None;
        }
        for (byte, pair) in hash.iter_mut().zip(text.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(PasswordHash(hash))
    }

    /// As 64 lower-case hexadecimal digits.
    pub fn to_hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether both are equal; the time says nothing of where they differ.
    pub fn matches(self, other: Self) -> bool {
        let differing = self.0.iter().zip(other.0).fold(0, |bits, (a, b)| bits | (a ^ b));
        std::hint::black_box(differing) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_sha256() {
        let text = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
        let hash = PasswordHash::of(b"x");
        assert_eq!(hash.to_hex(), text);
        assert!(PasswordHash::from_hex(text.as_bytes()).unwrap().matches(hash));
        assert!(!PasswordHash::of(b"y").matches(hash));
        for bad in [&text[1..], &text.to_uppercase(), &text.replace('d', "g"), ""] {
            assert!(PasswordHash::from_hex(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
