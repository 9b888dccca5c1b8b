//! The way of a request through the engine: admission, the call, its timing, propagation, what follows from changes.

pub mod admission;
pub mod call;
mod changes;
mod frame;
pub mod propagation;
pub mod timing;
mod unblock;

pub(in crate::engine) use frame::{Frame, NO_KEY};
