//! What handlers share: arguments as numbers and words, replies of several elements, blocking.

pub mod args;
pub mod blocking;
pub mod reply;
#[cfg(test)]
pub mod testing;
