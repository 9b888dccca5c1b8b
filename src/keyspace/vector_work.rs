//! What searches of vector sets share, whatever database they are in.

use crate::structures::hnsw::Scratch;

/// See the head of this file.
#[derive(Default)]
pub struct VectorWork {
    /// What a search on the event loop needs beside the set. A command takes it out, and puts it back.
    pub scratch: Scratch,
}
