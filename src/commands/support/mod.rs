//! What the handlers of several families use: arguments, blocking, replies.

pub mod args;
pub mod blocking;
pub mod collection_scan;
pub mod random_count;
pub mod reply;
#[cfg(test)]
pub mod testing;
