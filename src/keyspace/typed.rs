//! The collection types that a keyspace entry can hold.

use std::convert::identity;

use crate::value::Value;

/// A value type that a keyspace entry can point at.
pub trait Typed: Sized {
    /// As TYPE names it.
    const NAME: &'static str;
    /// Whether a key stays when its value loses its last element.
    const STAYS_EMPTY: bool = false;
    /// Whether something in the value may have deadlines.
    const HAS_DEADLINES_WITHIN: bool = false;
    fn of(value: &Value) -> Option<&Self>;
    fn of_mut(value: &mut Value) -> Option<&mut Self>;
    fn wrap(self) -> Value;
    fn new() -> Self;
    /// Whether the value is as good as none: as it was made, or, unless that may stay, emptied.
    fn is_empty(&self) -> bool;
}

macro_rules! typed {
    ($type:ty, $variant:ident, $name:literal, $stays:literal, $deadlines:literal, $wrap:expr, |$value:ident| $is_empty:expr) => {
        impl Typed for $type {
            const NAME: &'static str = $name;
            const STAYS_EMPTY: bool = $stays;
            const HAS_DEADLINES_WITHIN: bool = $deadlines;
            fn of(value: &Value) -> Option<&Self> {
                if let Value::$variant(value) = value { Some(value) } else { None }
            }
            fn of_mut(value: &mut Value) -> Option<&mut Self> {
                if let Value::$variant(value) = value { Some(value) } else { None }
            }
            fn wrap(self) -> Value {
                Value::$variant($wrap(self))
            }
            fn new() -> Self {
                <$type>::new()
            }
            fn is_empty(&self) -> bool {
                let $value = self;
                $is_empty
            }
        }
    };
}

typed!(crate::value::list::List, List, "list", false, false, identity, |list| list.len() == 0);
typed!(crate::value::set::Set, Set, "set", false, false, identity, |set| set.len() == 0);
typed!(crate::value::hash::Hash, Hash, "hash", false, true, identity, |hash| hash.len() == 0);
typed!(crate::value::zset::Zset, Zset, "zset", false, false, identity, |zset| zset.len() == 0);
// A stream stays without entries and groups; only the making of one that got neither is undone.
typed!(crate::value::stream::Stream, Stream, "stream", true, true, Box::new, |stream| stream.is_pristine());
