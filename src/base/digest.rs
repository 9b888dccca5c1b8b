//! Digests that clients see as hexadecimal text: SHA-1 names scripts, SHA-256 keeps passwords.

use sha1::Digest as _;

/// The SHA-1 of `bytes`, 40 lower-case digits.
pub fn sha1_hex(bytes: &[u8]) -> [u8; 40] {
    hex(&sha1::Sha1::digest(bytes))
}

/// The SHA-256 of `bytes`, 64 lower-case digits.
pub fn sha256_hex(bytes: &[u8]) -> [u8; 64] {
    hex(&sha2::Sha256::digest(bytes))
}

fn hex<const DIGITS: usize>(bytes: &[u8]) -> [u8; DIGITS] {
    let mut text = [b'0'; DIGITS];
    for (pair, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
        *pair = [byte >> 4, byte & 15].map(|nibble| b"0123456789abcdef"[usize::from(nibble)]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_values() {
        assert_eq!(&sha1_hex(b"abc"), b"a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(&sha1_hex(b""), b"da39a3ee5e6b4b0d3255bfef95601890afd80709");
        let expected = b"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(&sha256_hex(b"abc"), expected);
    }
}
