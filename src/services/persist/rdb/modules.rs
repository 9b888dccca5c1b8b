//! Data of modules in RDB files: of vector sets it is read (`codec::vector_set`), of others passed over, where the format allows that.
//!
//! ```text
//! value    (1 signed | 2 unsigned: length | 3 f32 | 4 f64 | 5 string)*, 0
//! id       name of a type, 9 characters of 6 bits | version, 10 bits
//! class    name of a class of metadata, 4 characters of 6 bits | version, 5 bits | flags, 3 bits
//! ```

use crate::services::persist::codec::{Fault, Reader};

const BAD_VALUE: Fault = Fault::Corrupt("Error reading the value of a module");

/// The flag of a class of metadata that a server may drop if it doesn't know the class.
const MAY_BE_DROPPED: u32 = 1;

const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

fn name(bits: u64, characters: u32, others: [u8; 2]) -> String {
    let letter = |at: u32| {
        let code = (bits >> (6 * (characters - 1 - at)) & 63) as usize;
        char::from(*LETTERS.get(code).unwrap_or(&others[code % 2]))
    };
    (0..characters).map(letter).collect()
}

/// The name of a type of value.
pub(super) fn type_name(id: u64) -> String {
    name(id >> 10, 9, *b"-_")
}

/// The name of a class of metadata, and whether it may be dropped.
pub(super) fn class_name(class: u32) -> (String, bool) {
    (name(u64::from(class >> 8), 4, *b"_-"), class & MAY_BE_DROPPED != 0)
}

/// Passes over one part of a value; true if it was the end.
pub(in crate::services::persist) fn skip_part(input: &mut Reader<'_>) -> Result<bool, Fault> {
    match input.length()? {
        0 => return Ok(true),
        1 | 2 => drop(input.length()?),
        3 => drop(input.take(4)?),
        4 => drop(input.take(8)?),
        5 => input.skip_string()?,
        _ => return Err(BAD_VALUE),
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let id = |text: &[u8], last: &[u8; 2]| {
            let code = |byte: &u8| {
                LETTERS.iter().position(|l| l == byte).unwrap_or_else(|| 62 + usize::from(*byte == last[1]))
            };
            text.iter().fold(0u64, |bits, byte| bits << 6 | code(byte) as u64)
        };
        for text in ["MBbloom--", "ReJSON-RL", "TSDB-TYPE", "a_b-c_d-9"] {
            assert_eq!(type_name(id(text.as_bytes(), b"-_") << 10 | 3), text);
        }
        let class = id(b"Ab_-", b"_-") as u32;
        assert_eq!(class_name(class << 8 | 5 << 3 | 1), ("Ab_-".into(), true));
        assert_eq!(class_name(class << 8 | 5 << 3 | 6), ("Ab_-".into(), false));
    }

    #[test]
    fn values() {
        let value = b"\x01\x05\x02\x40\xff\x03abcd\x04abcdefgh\x05\x02ab\x05\xc0\x07\x00rest";
        let mut input = Reader::new(value);
        let mut parts = 0;
        while !skip_part(&mut input).expect("a value") {
            parts += 1;
        }
        assert_eq!((parts, input.remaining()), (6, 4));
        assert_eq!(skip_part(&mut Reader::new(b"\x06")), Err(BAD_VALUE));
        assert_eq!(skip_part(&mut Reader::new(b"\x05\x09ab")), Err(Fault::Short));
    }
}
