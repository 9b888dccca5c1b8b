//! What the handlers of several families use: arguments, blocking, replies.

pub mod args;
pub mod blocking;
pub mod collection_scan;
pub mod listpack_reply;
pub mod options;
pub mod random_count;
#[cfg(test)]
pub mod testing;
