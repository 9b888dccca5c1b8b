//! Vectors in requests: `FP32 blob` or `VALUES n x …`, and what VADD says before one.

use crate::base::number;
use crate::commands::support::args::is;
use crate::resp::{Args, CommandError};
use crate::structures::hnsw::MAX_DIM;
use crate::value::vector_set::VectorSet;

const INVALID: CommandError = CommandError::text("ERR invalid vector specification");

/// Factors of the largest projection: files and DUMP have them all, four bytes each.
const MOST_FACTORS: usize = 1 << 26;

/// A vector as it came.
pub(super) struct GivenVector {
    pub components: Vec<f32>,
    /// Dimensions to which it is to be reduced.
    pub reduced: Option<usize>,
    /// Words that say all this.
    pub words: usize,
}

/// Reads a vector from a word on; with `REDUCE n` before it, if that may be.
pub(super) fn parse(args: Args<'_>, first: usize, may_reduce: bool) -> Result<GivenVector, CommandError> {
    let (mut at, mut reduced) = (first, None);
    if may_reduce && args.len() > first + 2 && is(args.at(first), "REDUCE") {
        let wanted = number::parse_i64(args.at(first + 1)).filter(|dim| *dim > 0).ok_or(INVALID)?;
        // Redis keeps 32 bits, none of which is no reduction.
        reduced = Some(wanted as u32 as usize).filter(|dim| *dim > 0);
        at += 2;
    }
    let format = args.get(at).ok_or(INVALID)?;
    let given = args.get(at + 1).ok_or(INVALID)?;
    let (components, words) = if is(format, "FP32") {
        (of_blob(given)?, 2)
    } else if is(format, "VALUES") {
        let dim = number::parse_i64(given).and_then(|dim| usize::try_from(dim).ok()).ok_or(INVALID)?;
        if !(1..=MAX_DIM).contains(&dim) || args.len() < at + 2 + dim {
            return Err(INVALID);
        }
        let values = args.tail(at + 2).head(dim);
        let values = values.iter().map(|value| number::parse_f64(value).map(|value| value as f32));
        (values.collect::<Option<Vec<f32>>>().ok_or(INVALID)?, 2 + dim)
    } else {
        return Err(INVALID);
    };
    if reduced.is_some_and(|dim| dim > components.len()) {
        return Err(INVALID);
    }
    if reduced.is_some_and(|dim| dim * components.len() > MOST_FACTORS) {
        return Err(CommandError::text("ERR REDUCE needs a projection matrix of more than 256 MB"));
    }
    Ok(GivenVector { components, reduced, words: at - first + words })
}

/// Floats of four bytes, the lowest first.
fn of_blob(blob: &[u8]) -> Result<Vec<f32>, CommandError> {
    let (floats, rest) = blob.as_chunks();
    if !rest.is_empty() || !(1..=MAX_DIM).contains(&floats.len()) {
        return Err(INVALID);
    }
    Ok(floats.iter().map(|float| f32::from_le_bytes(*float)).collect())
}

/// The error of a vector of other dimensions than the set's.
pub(super) fn mismatch(given: usize, set: &VectorSet) -> CommandError {
    let dim = set.graph().dim();
    CommandError::new(format!("ERR Vector dimension mismatch - got {given} but set has {dim}"))
}

/// Reduces a vector as the set reduces its own.
pub(super) fn reduce(vector: Vec<f32>, set: &VectorSet) -> Result<Vec<f32>, CommandError> {
    let Some(projection) = set.projection() else { return Ok(vector) };
    let (given, expected) = (vector.len(), projection.input());
    if given != expected {
        return Err(CommandError::new(format!(
            "ERR Input dimension mismatch for projection - got {given} but projection expects {expected}"
        )));
    }
    Ok(projection.apply(&vector))
}
