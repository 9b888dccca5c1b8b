//! Stream index: where in the log's files the bytes of the command stream lie, so that a replica can be served from there.
//!
//! ```text
//! stream   | bytes      | for replicas | bytes        |          offsets
//! files    | bytes | #TS:… | bytes     | bytes        |          places
//! ```
//!
//! It covers the stream without a hole from some offset on to what was written last: each span is a piece of a file, or was for
//! replicas alone and is in no file. What happened to the files before the process started is not known.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

/// Spans that are remembered; the oldest are forgotten first.
const MOST_SPANS: usize = 64 * 1024;

/// A piece of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    offset: u64,
    len: u64,
    /// Where in the file; `None`: nowhere.
    place: Option<u64>,
}

/// What of the stream one file has.
#[derive(Clone, Debug, Default)]
struct FilePart {
    /// Unknown as long as it has a temporary name.
    path: Option<PathBuf>,
    spans: VecDeque<Span>,
}

/// Some bytes of the stream to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogPiece {
    /// From this file, at this place.
    File { path: PathBuf, place: u64, len: u64 },
    /// So many bytes were for replicas alone.
    Skipped { len: u64 },
}

/// See the head of this file.
#[derive(Clone, Debug, Default)]
pub struct StreamIndex {
    files: VecDeque<FilePart>,
    count: usize,
}

impl StreamIndex {
    /// What is added from now on lies in another file.
    pub fn begin_file(&mut self, path: Option<PathBuf>) {
        self.files.push_back(FilePart { path, spans: VecDeque::new() });
    }

    /// The last file has this name from now on.
    pub fn name_file(&mut self, path: PathBuf) {
        if let Some(last) = self.files.back_mut() {
            last.path = Some(path);
        }
    }

    /// Forgets everything, but goes on in the same file.
    pub fn clear(&mut self) {
        let path = self.files.pop_back().and_then(|last| last.path);
        *self = StreamIndex::default();
        self.begin_file(path);
    }

    /// Forgets files that are gone, and what came before them.
    pub fn retain_files(&mut self, keep: impl Fn(&Path) -> bool) {
        let is_gone = |file: &FilePart| file.path.as_ref().is_some_and(|path| !keep(path));
        while self.files.iter().any(is_gone) {
            let first = self.files.pop_front();
            self.count -= first.map_or(0, |file| file.spans.len());
        }
    }

    /// These bytes of the stream were written at a place of the last file, or (`None`) were for replicas alone.
    pub fn add(&mut self, offset: u64, len: u64, place: Option<u64>) {
        if len == 0 {
            return;
        }
        if self.end().is_some_and(|end| end != offset) {
            self.clear();
        }
        let Some(file) = self.files.back_mut() else { return };
        match file.spans.back_mut() {
            Some(last) if last.offset + last.len == offset && last.place.map(|it| it + last.len) == place => {
                last.len += len;
            }
            _ => {
                file.spans.push_back(Span { offset, len, place });
                self.count += 1;
            }
        }
        while self.count > MOST_SPANS {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        while let Some(first) = self.files.front_mut() {
            if first.spans.pop_front().is_some() {
                self.count -= 1;
                return;
            }
            self.files.pop_front();
        }
    }

    fn spans(&self) -> impl Iterator<Item = (&FilePart, &Span)> {
        self.files.iter().flat_map(|file| file.spans.iter().map(move |span| (file, span)))
    }

    /// The first offset that is known.
    pub fn start(&self) -> Option<u64> {
        self.spans().next().map(|(_, span)| span.offset)
    }

    /// The offset behind the last one.
    pub fn end(&self) -> Option<u64> {
        let last = self.files.iter().rev().find_map(|file| file.spans.back());
        last.map(|span| span.offset + span.len)
    }

    /// The pieces from one offset to another; `None` if they aren't all known.
    pub fn pieces(&self, from: u64, to: u64) -> Option<Vec<LogPiece>> {
        if from > to || self.start()? > from || self.end()? < to {
            return None;
        }
        let mut pieces = Vec::new();
        for (file, span) in self.spans() {
            let (start, end) = (span.offset.max(from), (span.offset + span.len).min(to));
            if start >= end {
                continue;
            }
            let len = end - start;
            pieces.push(match span.place {
                Some(place) => {
                    LogPiece::File { path: file.path.clone()?, place: place + (start - span.offset), len }
                }
                None => LogPiece::Skipped { len },
            });
        }
        Some(pieces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    fn path(number: usize) -> PathBuf {
        PathBuf::from(number.to_string())
    }

    /// What is read by the pieces is the stream, with bytes for replicas replaced.
    #[test]
    fn pieces_are_the_stream() {
        let mut rng = Rng::new(1);
        for _ in 0..50 {
            let (mut index, mut files, mut stream) = (StreamIndex::default(), vec![Vec::new()], Vec::new());
            index.begin_file(Some(path(0)));
            let mut from = 0;
            for step in 0..200_u64 {
                let bytes = vec![step as u8; 1 + rng.below(9) as usize];
                match rng.below(12) {
                    0 => {
                        index.begin_file(None);
                        index.name_file(path(files.len()));
                        files.push(Vec::new());
                    }
                    1 if files.len() > 2 => {
                        index.retain_files(|name| name == path(files.len() - 1));
                        from = index.start().unwrap_or(stream.len() as u64);
                    }
                    2 => {
                        index.clear();
                        from = stream.len() as u64;
                    }
                    3 => files.last_mut().expect("a file").extend(b"#TS"),
                    4 | 5 => {
                        index.add(stream.len() as u64, bytes.len() as u64, None);
                        stream.extend(vec![b'\n'; bytes.len()]);
                    }
                    _ => {
                        let file = files.last_mut().expect("a file");
                        index.add(stream.len() as u64, bytes.len() as u64, Some(file.len() as u64));
                        file.extend(&bytes);
                        stream.extend(&bytes);
                    }
                }
                if index.start().is_none() {
                    continue;
                }
                assert_eq!((index.start(), index.end()), (Some(from), Some(stream.len() as u64)));
                let start = from + rng.below(stream.len() as u64 - from + 1);
                let mut read = Vec::new();
                for piece in index.pieces(start, stream.len() as u64).expect("it is known") {
                    match piece {
                        LogPiece::Skipped { len } => read.extend(vec![b'\n'; len as usize]),
                        LogPiece::File { path, place, len } => {
                            let file: usize =
                                path.to_str().and_then(|name| name.parse().ok()).expect("a number");
                            read.extend(&files[file][place as usize..(place + len) as usize]);
                        }
                    }
                }
                assert_eq!(read, stream[start as usize..]);
                assert!(from == 0 || index.pieces(from - 1, stream.len() as u64).is_none());
                assert!(index.pieces(start, stream.len() as u64 + 1).is_none());
            }
        }
    }

    #[test]
    fn it_is_bounded() {
        let mut index = StreamIndex::default();
        index.begin_file(Some(path(0)));
        for offset in 0..3 * MOST_SPANS as u64 {
            index.add(offset, 1, (offset % 2 == 0).then_some(offset / 2));
        }
        assert_eq!((index.count, index.start()), (MOST_SPANS, Some(2 * MOST_SPANS as u64)));
    }
}
