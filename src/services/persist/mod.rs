//! What leaves the process and comes back: the serialized forms of values.

pub mod codec;
