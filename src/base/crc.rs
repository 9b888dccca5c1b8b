//! Checksums: CRC-64 "Jones" of RDB files and DUMP payloads, and CRC-16
//! XMODEM of cluster slots.

use crc_fast::{CrcAlgorithm, Digest};

/// The number of slots of a cluster.
pub const SLOTS: u16 = 16384;

/// x^16 + x^12 + x^5 + 1.
const POLYNOMIAL_16: u16 = 0x1021;

static TABLE_16: [u16; 256] = table_16();

const fn table_16() -> [u16; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 != 0 { (crc << 1) ^ POLYNOMIAL_16 } else { crc << 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

/// Continues the CRC-64 of a stream by `bytes`; a stream starts with 0.
pub fn crc64(crc: u64, bytes: &[u8]) -> u64 {
    let mut digest = Digest::new_with_init_state(CrcAlgorithm::Crc64Redis, crc);
    digest.update(bytes);
    digest.finalize()
}

/// The CRC-16 of `bytes`.
pub fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| (crc << 8) ^ TABLE_16[usize::from((crc >> 8) as u8 ^ byte)])
}

/// The cluster slot of `key`: that of its hash tag, the text between the first `{` and the next `}`, if
/// there is one and it is not empty.
pub fn key_slot(key: &[u8]) -> u16 {
    crc16(hash_tag(key)) % SLOTS
}

/// The part of `key` that decides its slot.
pub fn hash_tag(key: &[u8]) -> &[u8] {
    let Some(open) = memchr::memchr(b'{', key) else { return key };
    let inside = &key[open + 1..];
    match memchr::memchr(b'}', inside) {
        None | Some(0) => key,
        Some(close) => &inside[..close],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_values() {
        assert_eq!(crc64(0, b"123456789"), 0xe9c6_d914_c4b8_d9ca);
        assert_eq!(crc16(b"123456789"), 0x31c3);
    }

    #[test]
    fn crc64_of_parts_is_that_of_the_whole() {
        let bytes: Vec<u8> = (0..500u32).map(|n| (n * n) as u8).collect();
        let bytewise = bytes.iter().fold(0, |crc, byte| crc64(crc, std::slice::from_ref(byte)));
        for cut in 0..bytes.len() {
            assert_eq!(crc64(crc64(0, &bytes[..cut]), &bytes[cut..]), bytewise);
        }
    }

    #[test]
    fn slots_and_tags() {
        assert_eq!(key_slot(b"foo"), 12182);
        assert_eq!(key_slot(b"{user1000}.following"), key_slot(b"{user1000}.followers"));
        assert_eq!(hash_tag(b"foo{}{bar}"), b"foo{}{bar}");
        assert_eq!(hash_tag(b"foo{{bar}}zap"), b"{bar");
        assert_eq!(hash_tag(b"foo{bar}{zap}"), b"bar");
        assert_eq!(hash_tag(b"foo{bar"), b"foo{bar");
        assert_eq!(key_slot(b""), 0);
    }
}
