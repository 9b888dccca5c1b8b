//! About how long searches of a graph take, to decide what another thread does.

use crate::engine::Call;
use crate::engine::clients::session::{Role, state};
use crate::structures::hnsw::{Graph, Quantization};

fn vector_bytes(graph: &Graph) -> usize {
    let dim = graph.dim();
    match graph.quantization() {
        Quantization::None => dim * 4,
        Quantization::Int8 => dim,
        Quantization::Binary => dim / 8,
    }
}

/// A node that a search comes by, ns: its vector is somewhere in memory.
pub(super) fn visited(graph: &Graph) -> usize {
    60 + vector_bytes(graph) / 10
}

/// A search with this effort, ns.
pub(super) fn search(graph: &Graph, ef: usize) -> usize {
    /// Beyond it the nearest nodes are in a heap that no cache holds.
    const LARGE_EF: usize = 1024;
    let factor = if ef > LARGE_EF { 3 } else { 1 };
    ef.saturating_mul(graph.most_links() / 2).min(graph.len()) * visited(graph) * factor
}

/// A node that is compared in order, ns.
pub(super) fn scanned(graph: &Graph) -> usize {
    10 + vector_bytes(graph) / 16
}

/// So many elements, put in order and written to the reply, ns.
pub(super) fn returned(elements: usize) -> usize {
    elements * 150
}

/// Whether what takes so long may be given away: it is long, and the client may wait.
pub(super) fn may_be_given_away(call: &Call<'_>, nanos: usize) -> bool {
    let (session, vectors) = (&call.session, &call.db.vectors);
    nanos >= vectors.long_nanos
        && !vectors.only_on_loop
        && session.role == Role::Normal
        && !session.is(state::IN_EXEC | state::IN_SCRIPT)
}
