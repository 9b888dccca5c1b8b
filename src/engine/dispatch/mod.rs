//! Command dispatch: admission (`processCommand`), the call (`call`), its timing, propagation, and effects of its changes.

pub mod admission;
pub mod call;
mod changes;
mod deferred;
mod frame;
pub mod propagation;
pub mod timing;
pub(in crate::engine) mod unblock;

pub(in crate::engine) use deferred::Deferred;
pub(in crate::engine) use frame::{Frame, NO_KEY};
