//! The functions of the `table` library that change a table or take a time of its length: they leave protected tables alone, and
//! can be interrupted.

use super::arguments::{self, check_kind, check_table};
use super::basics::check_writable;
use super::host::Host;
use crate::sys::lua::{Error, Kind, Result, Stack};

/// Steps between two ticks.
const STEPS: u32 = 20_000;

/// Counts steps, and lets the engine look at the clock now and then.
struct Steps<'h> {
    host: &'h Host<'h>,
    count: u32,
}

impl<'h> Steps<'h> {
    fn new(host: &'h Host<'h>) -> Self {
        Steps { host, count: 0 }
    }

    fn step(&mut self, stack: &mut Stack<'_>) -> Result<()> {
        self.count += 1;
        if self.count < STEPS {
            return Ok(());
        }
        self.count = 0;
        self.host.tick(stack)
    }
}

/// `table.insert`.
pub fn insert<'h>(host: &'h Host<'h>, stack: &mut Stack<'_>) -> Result<usize> {
    check_table(stack, 1)?;
    let end = stack.length(1) as i32 + 1;
    let place = match stack.count() {
        2 => end,
        3 => {
            let place = arguments::integer_in(stack, 2)? as i32;
            check_writable(host, stack, 1)?;
            let mut steps = Steps::new(host);
            for index in (place.saturating_add(1)..=end).rev() {
                steps.step(stack)?;
                stack.push_item(1, index - 1)?;
                stack.set_item(1, index)?;
            }
            place
        }
        _ => return Err(arguments::raise(stack, "wrong number of arguments to 'insert'")),
    };
    check_writable(host, stack, 1)?;
    stack.set_item(1, place)?;
    Ok(0)
}

/// `table.remove`.
pub fn remove<'h>(host: &'h Host<'h>, stack: &mut Stack<'_>) -> Result<usize> {
    check_table(stack, 1)?;
    let end = stack.length(1) as i32;
    let place = arguments::integer_in_or(stack, 2, i64::from(end))? as i32;
    check_writable(host, stack, 1)?;
    if !(1..=end).contains(&place) {
        return Ok(0);
    }
    stack.push_item(1, place)?;
    let mut steps = Steps::new(host);
    for index in place..end {
        steps.step(stack)?;
        stack.push_item(1, index + 1)?;
        stack.set_item(1, index)?;
    }
    stack.push_nil()?;
    stack.set_item(1, end)?;
    Ok(1)
}

/// `table.concat`.
pub fn concat<'h>(host: &'h Host<'h>, stack: &mut Stack<'_>) -> Result<usize> {
    if stack.kind(2) == Kind::Nil {
        return concat_with(host, stack, b"");
    }
    arguments::with_string(stack, 2, |stack, separator| concat_with(host, stack, separator))
}

fn concat_with<'h>(host: &'h Host<'h>, stack: &mut Stack<'_>, separator: &[u8]) -> Result<usize> {
    check_table(stack, 1)?;
    let first = arguments::integer_in_or(stack, 3, 1)? as i32;
    let last = match stack.kind(4) {
        Kind::Nil => stack.length(1) as i32,
        _ => arguments::integer_in(stack, 4)? as i32,
    };
    let mut result = stack.take_buffer();
    let (mut steps, base) = (Steps::new(host), stack.count());
    let mut add = |stack: &mut Stack<'_>, index: i32| -> Result<()> {
        steps.step(stack)?;
        stack.push_item(1, index)?;
        let item = stack.count();
        match stack.kind(item) {
            Kind::Text => result.extend_from_slice(stack.text(item).unwrap_or_default()),
            Kind::Number => super::number::write(&mut result, stack.number(item).unwrap_or_default(), 14),
            kind => {
                let text = format!("invalid value ({}) at index {index} in table for 'concat'", kind.name());
                return Err(arguments::raise(stack, text));
            }
        }
        stack.truncate(base);
        if index < last {
            result.extend_from_slice(separator);
        }
        if stack.has_memory(result.len()) { Ok(()) } else { Err(Error::Memory) }
    };
    let added = if first <= last { (first..=last).try_for_each(|index| add(stack, index)) } else { Ok(()) };
    let pushed = added.and_then(|()| stack.push_text(&result));
    stack.give_buffer(result);
    pushed.map(|()| 1)
}

/// `table.sort`: the same comparisons in the same order as Lua's own, so that a comparison that isn't one is noticed as there.
pub fn sort<'h>(host: &'h Host<'h>, stack: &mut Stack<'_>) -> Result<usize> {
    check_table(stack, 1)?;
    let last = stack.length(1) as i32;
    if stack.kind(2) != Kind::Nil {
        check_kind(stack, 2, Kind::Function)?;
    }
    stack.truncate(2);
    if stack.count() < 2 {
        stack.push_nil()?;
    }
    check_writable(host, stack, 1)?;
    let has_order = stack.kind(2) == Kind::Function;
    stack.push_kept(host.locator.get())?;
    let mut sort = Sort { has_order, steps: Steps::new(host) };
    sort.range(stack, 1, last)?;
    Ok(0)
}

/// The slots of a sort: the table, the order, what notes where errors are raised.
const TABLE: usize = 1;
const ORDER: usize = 2;
const LOCATOR: usize = 3;

struct Sort<'h> {
    has_order: bool,
    steps: Steps<'h>,
}

impl Sort<'_> {
    fn is_less(&mut self, stack: &mut Stack<'_>, slot: usize, other: usize) -> Result<bool> {
        self.steps.step(stack)?;
        if !self.has_order {
            return stack.is_less(slot, other, LOCATOR);
        }
        let count = stack.count();
        stack.push_copy(ORDER)?;
        stack.push_copy(slot)?;
        stack.push_copy(other)?;
        if !stack.call(2, LOCATOR)? {
            return Err(Error::Raised);
        }
        let is_less = stack.boolean(count + 1);
        stack.truncate(count);
        Ok(is_less)
    }

    /// Takes the two topmost values as items.
    fn set_two(stack: &mut Stack<'_>, topmost: i32, other: i32) -> Result<()> {
        stack.set_item(TABLE, topmost)?;
        stack.set_item(TABLE, other)
    }

    /// Puts two items in order.
    fn order(&mut self, stack: &mut Stack<'_>, low: i32, high: i32) -> Result<()> {
        let base = stack.count();
        stack.push_item(TABLE, low)?;
        stack.push_item(TABLE, high)?;
        if self.is_less(stack, base + 2, base + 1)? {
            return Self::set_two(stack, low, high);
        }
        stack.truncate(base);
        Ok(())
    }

    fn range(&mut self, stack: &mut Stack<'_>, mut low: i32, mut high: i32) -> Result<()> {
        while low < high {
            self.order(stack, low, high)?;
            if high - low == 1 {
                return Ok(());
            }
            let middle = low + (high - low) / 2;
            self.order_middle(stack, (low, middle, high))?;
            if high - low == 2 {
                return Ok(());
            }
            let pivot = self.partition(stack, (low, middle, high))?;
            // The smaller part first: so it is nested no deeper than the length has bits.
            if pivot - low < high - pivot {
                self.range(stack, low, pivot - 1)?;
                low = pivot + 1;
            } else {
                self.range(stack, pivot + 1, high)?;
                high = pivot - 1;
            }
        }
        Ok(())
    }

    /// Puts the item in the middle in order with the first or, if it is in order with that, with the last.
    fn order_middle(&mut self, stack: &mut Stack<'_>, (low, middle, high): (i32, i32, i32)) -> Result<()> {
        let base = stack.count();
        stack.push_item(TABLE, middle)?;
        stack.push_item(TABLE, low)?;
        if self.is_less(stack, base + 1, base + 2)? {
            return Self::set_two(stack, middle, low);
        }
        stack.truncate(base + 1);
        stack.push_item(TABLE, high)?;
        if self.is_less(stack, base + 2, base + 1)? {
            return Self::set_two(stack, middle, high);
        }
        stack.truncate(base);
        Ok(())
    }

    /// Has all items that are less than the one in the middle before it, the others behind it: where it is then.
    fn partition(&mut self, stack: &mut Stack<'_>, (low, middle, high): (i32, i32, i32)) -> Result<i32> {
        const INVALID: &str = "invalid order function for sorting";
        let pivot = stack.count() + 1;
        stack.push_item(TABLE, middle)?;
        stack.push_copy(pivot)?;
        stack.push_item(TABLE, high - 1)?;
        Self::set_two(stack, middle, high - 1)?;
        let (mut left, mut right) = (low, high - 1);
        loop {
            left += 1;
            stack.push_item(TABLE, left)?;
            while self.is_less(stack, pivot + 1, pivot)? {
                if left > high {
                    return Err(arguments::raise(stack, INVALID));
                }
                stack.truncate(pivot);
                left += 1;
                stack.push_item(TABLE, left)?;
            }
            right -= 1;
            stack.push_item(TABLE, right)?;
            while self.is_less(stack, pivot, pivot + 2)? {
                if right < low {
                    return Err(arguments::raise(stack, INVALID));
                }
                stack.truncate(pivot + 1);
                right -= 1;
                stack.push_item(TABLE, right)?;
            }
            if right < left {
                break;
            }
            Self::set_two(stack, left, right)?;
        }
        stack.truncate(pivot - 1);
        stack.push_item(TABLE, high - 1)?;
        stack.push_item(TABLE, left)?;
        Self::set_two(stack, high - 1, left)?;
        Ok(left)
    }
}
