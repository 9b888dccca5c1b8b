//! Checksums: CRC-64 "Jones" of RDB files and DUMP payloads, and CRC-16
//! XMODEM of cluster slots. Tables are made at compile time.

/// The number of slots of a cluster.
pub const SLOTS: u16 = 16384;

/// The Jones polynomial 0xad93d23594c935a9, bits reversed.
const POLYNOMIAL_64: u64 = 0x95ac_9329_ac4b_c9b5;
/// x^16 + x^12 + x^5 + 1.
const POLYNOMIAL_16: u16 = 0x1021;

/// `TABLES_64[n][byte]`: the checksum of `byte` followed by `n` zeros, so that eight bytes go in at once.
static TABLES_64: [[u64; 256]; 8] = tables_64();
static TABLE_16: [u16; 256] = table_16();

const fn tables_64() -> [[u64; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ POLYNOMIAL_64 } else { crc >> 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut zeros = 1;
    while zeros < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[zeros - 1][byte];
            tables[zeros][byte] = tables[0][(before & 0xff) as usize] ^ (before >> 8);
            byte += 1;
        }
        zeros += 1;
    }
    tables
}

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
pub fn crc64(mut crc: u64, bytes: &[u8]) -> u64 {
    let (words, tail) = bytes.as_chunks::<8>();
    for word in words {
        let [b0, b1, b2, b3, b4, b5, b6, b7] = (crc ^ u64::from_le_bytes(*word)).to_le_bytes();
        crc = TABLES_64[7][usize::from(b0)]
            ^ TABLES_64[6][usize::from(b1)]
            ^ TABLES_64[5][usize::from(b2)]
            ^ TABLES_64[4][usize::from(b3)]
            ^ TABLES_64[3][usize::from(b4)]
            ^ TABLES_64[2][usize::from(b5)]
            ^ TABLES_64[1][usize::from(b6)]
            ^ TABLES_64[0][usize::from(b7)];
    }
    for byte in tail {
        crc = TABLES_64[0][usize::from(crc as u8 ^ byte)] ^ (crc >> 8);
    }
    crc
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
