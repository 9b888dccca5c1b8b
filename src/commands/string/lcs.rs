//! LCS: the longest common subsequence of two strings, by dynamic programming over their prefixes.
//!
//! ```text
//! length[i][j] of the subsequence of a[..i] and b[..j]      row by row, one u32 each
//! ```
//!
//! The table may have as many bytes as a string (`proto-max-bulk-len`); LEN keeps only two rows of it.

use crate::commands::support::args::is;
use crate::commands::support::options::OptionReader;
use crate::engine::{Call, Done, Outcome};
use crate::keyspace::Text;
use crate::resp::{Args, CommandError, Reply};

#[derive(Clone, Copy, Default)]
struct Options {
    length_only: bool,
    indexes: bool,
    match_lengths: bool,
    shortest: u32,
}

impl Options {
    fn parse(args: Args<'_>) -> Result<Options, CommandError> {
        let mut options = Options::default();
        let mut words = OptionReader::new(args, 3);
        while let Some(word) = words.next() {
            if is(word, "IDX") {
                options.indexes = true;
            } else if is(word, "LEN") {
                options.length_only = true;
            } else if is(word, "WITHMATCHLEN") {
                options.match_lengths = true;
            } else if is(word, "MINMATCHLEN") {
                options.shortest = u32::try_from(words.integer()?.max(0)).unwrap_or(u32::MAX);
            } else {
                return Err(CommandError::SYNTAX);
            }
        }
        if options.length_only && options.indexes {
            return Err(CommandError::text(
                "ERR If you want both the length and indexes, please just use IDX.",
            ));
        }
        Ok(options)
    }
}

pub(in crate::commands) fn lcs(call: &mut Call<'_>) -> Outcome {
    let first = call.db.lookup_read(call.args.at(1));
    let second = call.db.lookup_read(call.args.at(2));
    // The second lookup may have removed an expired key, which makes the first one's reference stale.
    let first = first.and_then(|_| call.db.lookup_silent(call.args.at(1)));
    let text = |at| match at {
        None => Ok(Text::Bytes(b"")),
        Some(at) => {
            let text = call.db.text(at);
            text.map_err(|_| CommandError::text("ERR The specified keys must contain string values"))
        }
    };
    let (first, second) = (text(first)?, text(second)?);
    let options = Options::parse(call.args)?;
    let (mut digits, mut more_digits) = (itoa::Buffer::new(), itoa::Buffer::new());
    let (a, b) = (first.bytes(&mut digits), second.bytes(&mut more_digits));
    check_size(a, b, call.db.env.max_string)?;
    if options.length_only {
        call.reply.integer(i64::from(length(a, b)));
        return Ok(Done::Replied);
    }
    let table = Table::new(a, b)?;
    if options.indexes {
        write_indexes(call.reply, &table, a, b, options);
    } else {
        let mut common = Vec::with_capacity(table.at(a.len(), b.len()) as usize);
        table.walk_back(a, b, |i, _, matches| {
            if matches {
                common.push(a[i]);
            }
        });
        common.reverse();
        call.reply.bulk(&common);
    }
    Ok(Done::Replied)
}

fn check_size(a: &[u8], b: &[u8], limit: u64) -> Result<(), CommandError> {
    if a.len().max(b.len()) >= u32::MAX as usize - 1 {
        return Err(CommandError::text("ERR String too long for LCS"));
    }
    let cells = (a.len() as u64 + 1) * (b.len() as u64 + 1);
    if cells.checked_mul(4).is_none_or(|bytes| bytes > limit) {
        return Err(CommandError::text(
            "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
        ));
    }
    Ok(())
}

/// Computes row `i + 1` of the table from row `i` (`above`).
fn next_row(letter: u8, b: &[u8], above: &[u32], row: &mut [u32]) {
    row[0] = 0;
    for (j, other) in b.iter().enumerate() {
        row[j + 1] = if letter == *other { above[j] + 1 } else { above[j + 1].max(row[j]) };
    }
}

/// The length of the longest common subsequence, from two rows.
fn length(a: &[u8], b: &[u8]) -> u32 {
    let mut above = vec![0; b.len() + 1];
    let mut row = above.clone();
    for letter in a {
        next_row(*letter, b, &above, &mut row);
        std::mem::swap(&mut above, &mut row);
    }
    above[b.len()]
}

struct Table {
    lengths: Vec<u32>,
    width: usize,
}

impl Table {
    fn new(a: &[u8], b: &[u8]) -> Result<Table, CommandError> {
        const NO_MEMORY: CommandError =
            CommandError::text("ERR Insufficient memory, failed allocating transient memory for LCS");
        let width = b.len() + 1;
        let mut lengths = Vec::new();
        lengths.try_reserve_exact((a.len() + 1) * width).map_err(|_| NO_MEMORY)?;
        lengths.resize((a.len() + 1) * width, 0);
        for (i, letter) in a.iter().enumerate() {
            let (above, row) = lengths[i * width..(i + 2) * width].split_at_mut(width);
            next_row(*letter, b, above, row);
        }
        Ok(Table { lengths, width })
    }

    fn at(&self, i: usize, j: usize) -> u32 {
        self.lengths[i * self.width + j]
    }

    /// Goes from the ends of both strings back to a beginning. `step` gets the two indexes, and whether the bytes
    /// there are equal and thus part of the subsequence.
    fn walk_back(&self, a: &[u8], b: &[u8], mut step: impl FnMut(usize, usize, bool)) {
        let (mut i, mut j) = (a.len(), b.len());
        while i > 0 && j > 0 {
            let matches = a[i - 1] == b[j - 1];
            step(i - 1, j - 1, matches);
            if matches {
                (i, j) = (i - 1, j - 1);
            } else if self.at(i - 1, j) > self.at(i, j - 1) {
                i -= 1;
            } else {
                j -= 1;
            }
        }
    }
}

/// A run of equal bytes: its index in both strings, and its length.
#[derive(Clone, Copy)]
struct Run {
    a: usize,
    b: usize,
    length: usize,
}

fn write_indexes(reply: &mut Reply, table: &Table, a: &[u8], b: &[u8], options: Options) {
    reply.map(2);
    reply.bulk(b"matches");
    let open = reply.open();
    let mut count = 0;
    let mut emit = |run: Run| {
        if run.length >= options.shortest as usize {
            count += 1;
            write_run(reply, run, options.match_lengths);
        }
    };
    let mut current: Option<Run> = None;
    table.walk_back(a, b, |i, j, matches| {
        let goes_on = current.is_some_and(|run| matches && run.a == i + 1 && run.b == j + 1);
        if !goes_on && let Some(run) = current.take() {
            emit(run);
        }
        if matches {
            let length = current.map_or(0, |run| run.length) + 1;
            current = Some(Run { a: i, b: j, length });
        }
    });
    if let Some(run) = current {
        emit(run);
    }
    reply.close_array(open, count);
    reply.bulk(b"len");
    reply.integer(i64::from(table.at(a.len(), b.len())));
}

fn write_run(reply: &mut Reply, run: Run, with_length: bool) {
    reply.array(if with_length { 3 } else { 2 });
    for start in [run.a, run.b] {
        reply.array(2);
        reply.count(start);
        reply.count(start + run.length - 1);
    }
    if with_length {
        reply.count(run.length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::support::testing::TestServer;

    #[test]
    fn replies() {
        let mut server = TestServer::new();
        server.script(
            r#"
            MSET a ohmytext b mynewtext n 12345
            LCS a b => "mytext"
            LCS a b LEN => :6
            LCS a none => ""
            LCS a none LEN => :0
            LCS a b IDX => ["matches" [[[:4 :7] [:5 :8]] [[:2 :3] [:0 :1]]] "len" :6]
            LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN => ["matches" [[[:4 :7] [:5 :8] :4]] "len" :6]
            LCS a b IDX MINMATCHLEN -5 => ["matches" [[[:4 :7] [:5 :8]] [[:2 :3] [:0 :1]]] "len" :6]
            LCS a b IDX MINMATCHLEN 5 => ["matches" [] "len" :6]
            LCS n n => "12345"
            LCS a b IDX LEN => -ERR If you want both the length and indexes, please just use IDX.
            LCS a b FOO => -ERR syntax error
            LCS a b MINMATCHLEN => -ERR syntax error
            "#,
        );
        server.resp3();
        assert_eq!(server.run("LCS a n IDX"), r#"{"matches":[] "len"::0}"#);
    }

    #[test]
    fn rows_and_table_agree() {
        let mut rng = crate::base::rng::Rng::new(3);
        for _ in 0..200 {
            let mut word = || (0..rng.below(12)).map(|_| b'a' + rng.below(3) as u8).collect::<Vec<_>>();
            let (a, b) = (word(), word());
            let table = Table::new(&a, &b).expect("memory");
            let mut common = 0;
            table.walk_back(&a, &b, |_, _, matches| common += u32::from(matches));
            assert_eq!(common, length(&a, &b));
            assert_eq!(common, table.at(a.len(), b.len()));
        }
    }
}
