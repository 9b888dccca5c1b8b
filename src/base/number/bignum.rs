//! A big unsigned integer, for exact conversions of long decimal texts: little-endian limbs,
//! and only the operations that the conversions need. Its size is bounded by its callers (some hundred limbs).

/// An unsigned integer of any size; no leading zero limbs, so zero has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bignum {
    limbs: Vec<u32>,
}

impl From<u64> for Bignum {
    fn from(value: u64) -> Self {
        let mut number = Bignum { limbs: vec![value as u32, (value >> 32) as u32] };
        number.trim();
        number
    }
}

impl Bignum {
    fn trim(&mut self) {
        while self.limbs.last() == Some(&0) {
            self.limbs.pop();
        }
    }

    fn bits(&self) -> usize {
        self.limbs.last().map_or(0, |top| self.limbs.len() * 32 - top.leading_zeros() as usize)
    }

    /// `self` = `self` · `factor` + `addend`.
    pub(super) fn multiply_add(&mut self, factor: u32, addend: u32) {
        let mut carry = u64::from(addend);
        for limb in &mut self.limbs {
            let product = u64::from(*limb) * u64::from(factor) + carry;
            *limb = product as u32;
            carry = product >> 32;
        }
        if carry != 0 {
            self.limbs.push(carry as u32);
        }
    }

    /// `self` = `self` · 5^`power`.
    pub(super) fn multiply_power_of_five(&mut self, power: u32) {
        const STEP: u32 = 13;
        for _ in 0..power / STEP {
            self.multiply_add(5u32.pow(STEP), 0);
        }
        self.multiply_add(5u32.pow(power % STEP), 0);
    }

    /// `self` · 2^`count`.
    pub(super) fn shifted(mut self, count: usize) -> Bignum {
        if self.limbs.is_empty() {
            return self;
        }
        let bits = (count % 32) as u32;
        if bits > 0 {
            self.multiply_add(1 << bits, 0);
        }
        self.limbs.splice(0..0, std::iter::repeat_n(0, count / 32));
        self
    }

    /// The top 128 bits, the exponent of the lowest of them, and whether anything was below.
    pub(super) fn top_bits(&self) -> (u128, i32, bool) {
        let skipped = self.limbs.len().saturating_sub(4);
        let bits = self.limbs[skipped..].iter().rev().fold(0, |sum, limb| sum << 32 | u128::from(*limb));
        (bits, skipped as i32 * 32, self.limbs[..skipped].iter().any(|limb| *limb != 0))
    }

    /// `self` / `divisor` as (bits, exponent): some 96 exact bits, of which the lowest is set if any
    /// remainder is left.
    pub(super) fn divide_to_bits(self, divisor: Bignum) -> (u128, i32) {
        const QUOTIENT_BITS: i32 = 96;
        let distance = self.bits() as i32 - divisor.bits() as i32;
        // Both are shifted to the same length: the quotient then starts with one of its first two bits.
        let (mut rest, divisor) = if distance >= 0 {
            (self, divisor.shifted(distance as usize))
        } else {
            (self.shifted(-distance as usize), divisor)
        };
        let mut quotient = 0u128;
        for _ in 0..=QUOTIENT_BITS {
            quotient <<= 1;
            if rest.subtract_if_not_less(&divisor) {
                quotient |= 1;
            }
            rest.multiply_add(2, 0);
        }
        (quotient << 1 | u128::from(!rest.limbs.is_empty()), distance - QUOTIENT_BITS - 1)
    }

    fn subtract_if_not_less(&mut self, other: &Bignum) -> bool {
        let longer = self.limbs.len().cmp(&other.limbs.len());
        let order = longer.then_with(|| self.limbs.iter().rev().cmp(other.limbs.iter().rev()));
        if order.is_lt() {
            return false;
        }
        let mut borrow = 0i64;
        for (index, limb) in self.limbs.iter_mut().enumerate() {
            let taken = other.limbs.get(index).map_or(0, |limb| i64::from(*limb));
            let difference = i64::from(*limb) - taken + borrow;
            *limb = difference as u32;
            borrow = difference >> 32;
        }
        self.trim();
        true
    }

    /// Appends the number in decimal.
    pub(super) fn push_decimal(mut self, out: &mut Vec<u8>) {
        const BASE: u64 = 1_000_000_000;
        if self.limbs.len() <= 4 {
            let (value, _, _) = self.top_bits();
            return out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        }
        let mut groups = Vec::new();
        while !self.limbs.is_empty() {
            let mut rest = 0;
            for limb in self.limbs.iter_mut().rev() {
                let value = rest << 32 | u64::from(*limb);
                *limb = (value / BASE) as u32;
                rest = value % BASE;
            }
            groups.push(rest);
            self.trim();
        }
        let mut buffer = itoa::Buffer::new();
        for (index, group) in groups.iter().rev().enumerate() {
            let digits = buffer.format(*group).as_bytes();
            if index > 0 {
                out.resize(out.len() + 9 - digits.len(), b'0');
            }
            out.extend_from_slice(digits);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_print_and_divide() {
        let mut number = Bignum::from(1);
        number.multiply_power_of_five(60);
        let number = number.shifted(60);
        let mut text = Vec::new();
        number.clone().push_decimal(&mut text);
        assert_eq!(text, format!("1{}", "0".repeat(60)).into_bytes());
        // 10^60 / 10^60 is one bit, and a third has no end.
        let (bits, exponent) = number.clone().divide_to_bits(number.clone());
        assert_eq!((bits, exponent), (1 << 97, -97));
        let (bits, exponent) = Bignum::from(1).divide_to_bits(Bignum::from(3));
        let third = bits as f64 * 2f64.powi(exponent);
        assert!((third - 1.0 / 3.0).abs() < 1e-16 && bits % 2 == 1);
        let (bits, exponent, sticky) = number.top_bits();
        assert!((bits as f64 * 2f64.powi(exponent) / 1e60 - 1.0).abs() < 1e-15 && sticky);
    }
}
