//! Payloads of FUNCTION DUMP: the sources of libraries as RDB files have them, and the footer of DUMP.

use std::borrow::Cow;

use super::codec::{Reader, Writer, payload};
use super::rdb::opcode;

/// The error of an invalid payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FunctionsRefusal {
    /// The version is unknown, or the checksum is wrong.
    Footer,
    /// Functions as they were written before 7.0 was out.
    Early,
    /// Something else than a library.
    Kind,
    /// A library's source can't be read.
    Source,
}

impl FunctionsRefusal {
    /// The error's text, without its code.
    pub fn text(self) -> &'static str {
        match self {
            FunctionsRefusal::Footer => "DUMP payload version or checksum are wrong",
            FunctionsRefusal::Early => "Pre-GA function format not supported",
            FunctionsRefusal::Kind => "given type is not a function",
            FunctionsRefusal::Source => "Failed loading library payload",
        }
    }
}

/// Makes a payload of the sources of libraries.
pub fn dump<'s>(sources: impl Iterator<Item = &'s [u8]>, compress: bool) -> Vec<u8> {
    let mut out = Vec::new();
    for source in sources {
        out.push(opcode::FUNCTION);
        Writer::new(&mut out, compress).string(source);
    }
    payload::seal(&mut out);
    out
}

/// The sources of libraries in a payload; `any_version` accepts unknown versions, `skip_checksum` skips the checksum.
pub fn restore(
    payload: &[u8],
    any_version: bool,
    skip_checksum: bool,
) -> Result<Vec<Cow<'_, [u8]>>, FunctionsRefusal> {
    let (_, body) = payload::open(payload, any_version, skip_checksum).ok_or(FunctionsRefusal::Footer)?;
    let mut input = Reader::new(body);
    let mut sources = Vec::new();
    while input.remaining() > 0 {
        match input.byte() {
            Ok(opcode::FUNCTION) => sources.push(input.string().map_err(|_| FunctionsRefusal::Source)?),
            Ok(opcode::FUNCTION_EARLY) => return Err(FunctionsRefusal::Early),
            _ => return Err(FunctionsRefusal::Kind),
        }
    }
    Ok(sources)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dumped_is_restored() {
        let long = [b"#!lua name=b\n".to_vec(), vec![b'x'; 1000]].concat();
        for compress in [false, true] {
            let payload = dump([b"#!lua name=a\n".as_slice(), &long].into_iter(), compress);
            assert_eq!(payload.len() < 200, compress);
            let sources = restore(&payload, false, false).expect("sources");
            assert_eq!(sources, [b"#!lua name=a\n".as_slice(), &long]);
        }
        assert_eq!(restore(&dump([].into_iter(), true), false, false), Ok(Vec::new()));
    }

    #[test]
    fn damaged_payloads_are_refused() {
        let refusal = |mut body: Vec<u8>| {
            payload::seal(&mut body);
            restore(&body, false, false).map(|sources| sources.len())
        };
        assert_eq!(refusal(Vec::new()), Ok(0));
        assert_eq!(restore(b"short", false, false), Err(FunctionsRefusal::Footer));
        assert_eq!(restore(&[1; 20], false, false), Err(FunctionsRefusal::Footer));
        assert_eq!(refusal(vec![246]), Err(FunctionsRefusal::Early));
        assert_eq!(refusal(vec![0, 1, b'a']), Err(FunctionsRefusal::Kind));
        assert_eq!(refusal(vec![245, 10, b'a']), Err(FunctionsRefusal::Source));
    }
}
