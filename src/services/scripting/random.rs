//! The random numbers of scripts: a linear congruential generator of 48 bits (`lrand48`), so that a seed gives the same
//! numbers as in Redis.

use std::cell::RefCell;

use super::arguments;
use crate::sys::lua::{Result, Stack};

const MULTIPLIER: u64 = 0x5_DEEC_E66D;
const INCREMENT: u64 = 0xB;
const MASK: u64 = (1 << 48) - 1;
/// Numbers are below this, and it is a divisor.
const END: u64 = i32::MAX as u64;

pub struct Random(u64);

impl Default for Random {
    fn default() -> Self {
        Random(0x1234_ABCD_330E)
    }
}

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT) & MASK;
        self.0 >> 17
    }

    /// From 0 up to, but not including, 1.
    fn fraction(&mut self) -> f64 {
        (self.next() % END) as f64 / END as f64
    }

    fn seed(&mut self, seed: i32) {
        self.0 = u64::from(seed as u32) << 16 | 0x330E;
    }
}

/// `math.random`.
pub fn random(state: &RefCell<Random>, stack: &mut Stack<'_>) -> Result<usize> {
    let fraction = state.borrow_mut().fraction();
    let bound =
        |stack: &mut Stack<'_>, number| arguments::integer_in(stack, number).map(|value| value as i32);
    let number = match stack.count() {
        0 => fraction,
        1 => {
            let upper = bound(stack, 1)?;
            if upper < 1 {
                return Err(arguments::raise_argument(stack, 1, "interval is empty"));
            }
            (fraction * f64::from(upper)).floor() + 1.0
        }
        2 => {
            let (lower, upper) = (bound(stack, 1)?, bound(stack, 2)?);
            if lower > upper {
                return Err(arguments::raise_argument(stack, 2, "interval is empty"));
            }
            let width = upper.wrapping_sub(lower).wrapping_add(1);
            (fraction * f64::from(width)).floor() + f64::from(lower)
        }
        _ => return Err(arguments::raise(stack, "wrong number of arguments")),
    };
    stack.push_number(number)?;
    Ok(1)
}

/// `math.randomseed`.
pub fn seed(state: &RefCell<Random>, stack: &mut Stack<'_>) -> Result<usize> {
    let seed = arguments::integer_in(stack, 1)? as i32;
    state.borrow_mut().seed(seed);
    Ok(0)
}
