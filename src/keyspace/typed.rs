//! The collection types that a keyspace entry can hold.

use std::convert::identity;

use super::event::{self, Event};
use crate::value::Value;
use crate::value::vector_set::VectorSet;

/// A value type that a keyspace entry can point at.
pub trait Typed: Sized {
    /// As TYPE names it.
    const NAME: &'static str;
    /// Whether a key stays when its value loses its last element.
    const STAYS_EMPTY: bool = false;
    /// Whether something in the value may have deadlines.
    const HAS_DEADLINES_WITHIN: bool = false;
    /// What happens to a key whose value has lost its last element.
    const REMOVAL: Event = event::DEL;
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

impl Typed for VectorSet {
    const NAME: &'static str = "vectorset";
    // Redis publishes nothing of vector sets but that they are made.
    const REMOVAL: Event = Event { class: 0, name: "del" };

    fn of(value: &Value) -> Option<&Self> {
        if let Value::VectorSet(set) = value { Some(set) } else { None }
    }

    fn of_mut(value: &mut Value) -> Option<&mut Self> {
        if let Value::VectorSet(set) = value { Some(set) } else { None }
    }

    fn wrap(self) -> Value {
        Value::VectorSet(Box::new(self))
    }

    fn new() -> Self {
        VectorSet::new()
    }

    fn is_empty(&self) -> bool {
        VectorSet::is_empty(self)
    }
}
