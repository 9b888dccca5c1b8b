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

    pub(super) fn from_bytes(hash: [u8; 32]) -> Self {
        PasswordHash(hash)
    }

    /// The bytes, for what need not be done in constant time.
    pub(super) fn bytes(self) -> [u8; 32] {
        self.0
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

/// Unpredictable bytes for new passwords (ACL GENPASS): hashes of a secret seed and a counter.
pub struct PasswordGenerator {
    seed: [u8; 32],
    drawn: u64,
}

impl PasswordGenerator {
    /// Draws from `seed`, which must be as hard to guess as the passwords are to be.
    pub fn new(seed: &[u8]) -> Self {
        PasswordGenerator { seed: Sha256::digest(seed).into(), drawn: 0 }
    }

    /// So many hexadecimal digits.
    pub fn hex(&mut self, digits: usize) -> String {
        let mut text = String::new();
        while text.len() < digits {
            let block =
                Sha256::new().chain_update(self.seed).chain_update(self.drawn.to_le_bytes()).finalize();
            self.drawn += 1;
            text.push_str(&PasswordHash(block.into()).to_hex());
        }
        text.truncate(digits);
        text
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

    #[test]
    fn generated_passwords_differ() {
        let mut generator = PasswordGenerator::new(b"seed");
        let (first, second) = (generator.hex(64), generator.hex(65));
        assert_eq!((first.len(), second.len()), (64, 65));
        assert_ne!(first, second[..64]);
        assert_ne!(PasswordGenerator::new(b"other").hex(64), first);
        assert!(second.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}
