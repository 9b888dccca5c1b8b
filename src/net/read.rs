//! What a read from a byte stream brought.

/// What a read brought.
#[derive(Clone, Copy, Debug)]
pub struct Read {
    /// Bytes read; 0 at the end of the stream.
    pub bytes: usize,
    /// Whether more may be there already, of which there will be no event.
    pub more: bool,
}
