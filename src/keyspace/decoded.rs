//! Decoded values: embedded collections, decoded while a command reads them.
//!
//! They live until the view's next lookup by key. Most commands look at one, which needs no list.

use std::cell::OnceCell;

use typed_arena::Arena;

use crate::value::{Value, embedded};

/// The values shown since the last lookup.
#[derive(Default)]
pub(super) struct DecodedValues {
    first: OnceCell<Value>,
    more: OnceCell<Box<Arena<Value>>>,
}

impl DecodedValues {
    /// The value of tag and bytes from an entry.
    pub fn decode(&self, tag: u8, bytes: &[u8]) -> &Value {
        if self.first.get().is_none() {
            return self.first.get_or_init(|| embedded::decode(tag, bytes));
        }
        self.more.get_or_init(Box::default).alloc(embedded::decode(tag, bytes))
    }

    /// Drops them; the exclusive reference shows that none is borrowed any more.
    #[inline(always)]
    pub fn clear(&mut self) {
        if self.first.get().is_some() {
            *self = DecodedValues::default();
        }
    }
}
