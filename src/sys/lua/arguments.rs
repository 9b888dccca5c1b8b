//! The arguments of a function as RESP bulk strings, written without a call for each piece.

use mlua::ffi;

use super::stack::Stack;

/// Bytes that a bulk string takes beside its own, at most.
const FRAME: usize = 25;

/// Appends a bulk string; where its own bytes begin.
#[inline]
pub fn append_bulk(bytes: &mut Vec<u8>, text: &[u8]) -> usize {
    let len = text.len();
    bytes.reserve(len.saturating_add(FRAME));
    let digit = |n: usize| b'0' + (n % 10) as u8;
    match len {
        // Nearly all are short, and a piece is written faster than its parts.
        0..10 => bytes.extend_from_slice(&[b'$', digit(len), b'\r', b'\n']),
        10..100 => bytes.extend_from_slice(&[b'$', digit(len / 10), digit(len), b'\r', b'\n']),
        _ => {
            bytes.push(b'$');
            bytes.extend_from_slice(itoa::Buffer::new().format(len).as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
    }
    let start = bytes.len();
    // SAFETY: there is room for the text and two bytes behind the header, which takes 23 at most; all of it is written
    // before it counts. The text is not of the vector, which is borrowed mutably.
    unsafe {
        let end = bytes.as_mut_ptr().add(start);
        if len <= 16 {
            copy_short(text, end);
        } else {
            end.copy_from_nonoverlapping(text.as_ptr(), len);
        }
        end.add(len).cast::<[u8; 2]>().write_unaligned(*b"\r\n");
        bytes.set_len(start + len + 2);
    }
    start
}

/// Copies up to 16 bytes in two pieces that may overlap each other.
///
/// # Safety
/// There is room for the text at `to`, and it doesn't lie there.
#[inline]
unsafe fn copy_short(text: &[u8], to: *mut u8) {
    let (from, len) = (text.as_ptr(), text.len());
    // SAFETY: each piece lies within the text, and as far from its start at `to`.
    unsafe {
        match len {
            8.. => {
                to.cast::<[u8; 8]>().write(from.cast::<[u8; 8]>().read());
                to.add(len - 8).cast::<[u8; 8]>().write(from.add(len - 8).cast::<[u8; 8]>().read());
            }
            4.. => {
                to.cast::<[u8; 4]>().write(from.cast::<[u8; 4]>().read());
                to.add(len - 4).cast::<[u8; 4]>().write(from.add(len - 4).cast::<[u8; 4]>().read());
            }
            _ => (0..len).for_each(|at| to.add(at).write(*from.add(at))),
        }
    }
}

impl Stack<'_> {
    /// Appends the values in all slots to `bytes` as bulk strings, and tells `place` where each begins and how long it is. Of
    /// numbers that are no integers of 64 bits `format` makes the text. False at a value that is neither text nor number.
    pub fn append_arguments(
        &self,
        bytes: &mut Vec<u8>,
        mut place: impl FnMut(usize, usize),
        format: impl Fn(f64) -> Vec<u8>,
    ) -> bool {
        /// Integers below this, and their negatives, fit an `i64`.
        const END: f64 = 9_223_372_036_854_775_808.0;
        for slot in 1..=self.top {
            // SAFETY: the slot is there. Its kind is known before it is read: a string is its own bytes, which stay as long as
            // it is on the stack, and a number is converted to nothing else.
            let (start, len) = unsafe {
                match ffi::lua_type(self.raw(), slot) {
                    ffi::LUA_TSTRING => {
                        let text = self.bytes(slot as usize);
                        (append_bulk(bytes, text), text.len())
                    }
                    ffi::LUA_TNUMBER => {
                        let number = ffi::lua_tonumber(self.raw(), slot);
                        let integer = number as i64;
                        if integer as f64 == number && number.abs() < END {
                            let mut digits = itoa::Buffer::new();
                            let digits = digits.format(integer).as_bytes();
                            (append_bulk(bytes, digits), digits.len())
                        } else {
                            let text = format(number);
                            (append_bulk(bytes, &text), text.len())
                        }
                    }
                    _ => return false,
                }
            };
            place(start, len);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::State;
    use super::super::stack::Look;
    use super::*;

    /// As [`Stack::append_arguments`], by what reads a value safely.
    fn twin(stack: &Stack<'_>) -> Option<(Vec<u8>, Vec<Vec<u8>>)> {
        let (mut bytes, mut words) = (b"*".to_vec(), Vec::new());
        for slot in 1..=stack.count() {
            let word = match stack.look(slot) {
                Look::Text(text) => text.to_vec(),
                Look::Number(number) if number.fract() == 0.0 && number.abs() < 9.0e18 => {
                    (number as i64).to_string().into_bytes()
                }
                Look::Number(number) => format!("<{number}>").into_bytes(),
                _ => return None,
            };
            bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            bytes.extend_from_slice(&word);
            bytes.extend_from_slice(b"\r\n");
            words.push(word);
        }
        Some((bytes, words))
    }

    fn appended(stack: &Stack<'_>) -> Option<(Vec<u8>, Vec<Vec<u8>>)> {
        let (mut bytes, mut places) = (b"*".to_vec(), Vec::new());
        let place = |start, len| places.push((start, len));
        let whole = stack.append_arguments(&mut bytes, place, |number| format!("<{number}>").into_bytes());
        let words = places.iter().map(|&(start, len)| bytes[start..start + len].to_vec()).collect();
        whole.then_some((bytes, words))
    }

    #[derive(Clone, Debug)]
    enum Value {
        Text(Vec<u8>),
        Number(f64),
        Boolean,
    }

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            8 => (0..40_usize, any::<u8>()).prop_map(|(len, byte)| Value::Text((0..len).map(|at| byte.wrapping_add(at as u8)).collect())),
            2 => (90..110_usize).prop_map(|len| Value::Text(vec![b'x'; len])),
            1 => (1000..70_000_usize).prop_map(|len| Value::Text(vec![b'y'; len])),
            4 => (-100_000..100_000_i64).prop_map(|number| Value::Number(number as f64)),
            2 => any::<f64>().prop_map(Value::Number),
            2 => prop::sample::select(vec![0.0, -0.0, 0.5, f64::NAN, f64::INFINITY, 2f64.powi(63), -(2f64.powi(63)), 2f64.powi(53) + 2.0]).prop_map(Value::Number),
            1 => Just(Value::Boolean),
        ]
    }

    proptest! {
        #[test]
        fn arguments_are_as_the_safe_way_writes_them(values in prop::collection::vec(value(), 0..12)) {
            let state = State::new(1 << 24, 1 << 20);
            let mut stack = state.stack();
            for value in &values {
                match value {
                    Value::Text(text) => stack.push_text(text),
                    Value::Number(number) => stack.push_number(*number),
                    Value::Boolean => stack.push_boolean(true),
                }
                .expect("there is room");
            }
            prop_assert_eq!(appended(&stack), twin(&stack));
        }
    }
}
