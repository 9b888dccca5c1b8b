//! Checksums: CRC-64 "Jones" of RDB files and DUMP payloads, and CRC-16
//! XMODEM of cluster slots.

use crc_fast::{CrcAlgorithm, Digest};

/// The number of slots of a cluster.
pub const SLOTS: u16 = 16384;

/// x^16 + x^12 + x^5 + 1.
const POLYNOMIAL_16: u16 = 0x1021;

/// `TABLES_16[n]` is what a byte adds to the checksum when `n` bytes follow it in its word.
static TABLES_16: [[u16; 256]; 8] = tables_16();

const fn tables_16() -> [[u16; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut after = 0;
        while after < 8 {
            let mut bit = 0;
            while bit < 8 {
                crc = if crc & 0x8000 != 0 { (crc << 1) ^ POLYNOMIAL_16 } else { crc << 1 };
                bit += 1;
            }
            tables[after][byte] = crc;
            after += 1;
        }
        byte += 1;
    }
    tables
}

/// Continues the CRC-64 of a stream by `bytes`; a stream starts with 0.
pub fn crc64(crc: u64, bytes: &[u8]) -> u64 {
    let mut digest = Digest::new_with_init_state(CrcAlgorithm::Crc64Redis, crc);
    digest.update(bytes);
    digest.finalize()
}

/// The CRC-16 of a word after what `crc` is that of.
#[inline(always)]
fn crc16_word(crc: u16, word: u64) -> u16 {
    let bytes = (word ^ u64::from(crc) << 48).to_le_bytes();
    (0..8).fold(0, |crc, after| crc ^ TABLES_16[after][usize::from(bytes[after])])
}

/// `bytes` as big-endian words, the first of them filled up by zeroes at its front: they don't change a checksum that begins with 0.
#[inline(always)]
fn for_each_word(bytes: &[u8], mut visit: impl FnMut(u64)) {
    let first = |bytes: &[u8; 8]| u64::from_be_bytes(*bytes);
    let tail = bytes.len() % 8;
    if let Some(whole) = bytes.first_chunk::<8>() {
        visit((first(whole) >> 8) >> (56 - 8 * tail));
        bytes[tail..].as_chunks::<8>().0.iter().for_each(|word| visit(first(word)));
    } else {
        visit(bytes.iter().fold(0, |word, &byte| word << 8 | u64::from(byte)));
    }
}

/// The CRC-16 of `bytes`.
pub fn crc16(bytes: &[u8]) -> u16 {
    let mut crc = 0;
    for_each_word(bytes, |word| crc = crc16_word(crc, word));
    crc
}

/// Whether one of the bytes of `word` is `{`.
#[inline(always)]
fn has_brace(word: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let zero_where_brace = word ^ (ONES * b'{' as u64);
    zero_where_brace.wrapping_sub(ONES) & !zero_where_brace & ONES << 7 != 0
}

/// The cluster slot of `key`: that of its hash tag, the text between the first `{` and the next `}`, if
/// there is one and it is not empty.
pub fn key_slot(key: &[u8]) -> u16 {
    let (mut crc, mut may_have_tag) = (0, false);
    for_each_word(key, |word| {
        may_have_tag |= has_brace(word);
        crc = crc16_word(crc, word);
    });
    if may_have_tag {
        crc = crc16(hash_tag(key));
    }
    crc % SLOTS
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

/// The slot of all keys that a pattern can make; `None` if that depends on what it matches.
pub fn pattern_slot(pattern: &[u8]) -> Option<u16> {
    let wild = pattern.iter().position(|byte| matches!(byte, b'*' | b'?' | b'[' | b'\\'));
    let fixed = &pattern[..wild.unwrap_or(pattern.len())];
    let tag = memchr::memchr(b'{', fixed).and_then(|open| {
        let inside = &fixed[open + 1..];
        memchr::memchr(b'}', inside).filter(|close| *close > 0).map(|close| &inside[..close])
    });
    match (tag, wild) {
        (Some(tag), _) => Some(crc16(tag) % SLOTS),
        (None, None) => Some(key_slot(pattern)),
        (None, Some(_)) => None,
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

    /// A byte at a time.
    fn crc16_naive(bytes: &[u8]) -> u16 {
        bytes.iter().fold(0, |crc, byte| {
            (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| {
                if crc & 0x8000 != 0 { (crc << 1) ^ POLYNOMIAL_16 } else { crc << 1 }
            })
        })
    }

    proptest::proptest! {
        #[test]
        fn words_make_the_same_checksum_as_bytes(bytes in proptest::collection::vec(0u8.., 0..70)) {
            assert_eq!(crc16(&bytes), crc16_naive(&bytes));
        }

        #[test]
        fn slots_are_those_of_the_tags(key in "[a{}z|\\x00]{0,20}") {
            assert_eq!(key_slot(key.as_bytes()), crc16_naive(hash_tag(key.as_bytes())) % SLOTS);
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
