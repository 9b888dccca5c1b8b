//! What the world must repeat to have the same data: changed commands as RESP, in order.
//!
//! Encoded once for all consumers (the AOF, the backlog, replicas). While there is no consumer
//! nothing is encoded. A unit that fed several requests is wrapped in MULTI and EXEC.

use crate::resp::OwnedArgs;

/// The stream of changes.
#[derive(Debug, Default)]
pub struct Feed {
    /// Somebody takes what is fed.
    pub consumers: usize,
    bytes: Vec<u8>,
    selected: Option<u32>,
}

fn encode<'a>(out: &mut Vec<u8>, words: impl ExactSizeIterator<Item = &'a [u8]>) {
    let mut digits = itoa::Buffer::new();
    out.push(b'*');
    out.extend_from_slice(digits.format(words.len()).as_bytes());
    out.extend_from_slice(b"\r\n");
    for word in words {
        out.push(b'$');
        out.extend_from_slice(digits.format(word.len()).as_bytes());
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

impl Feed {
    #[inline]
    pub fn is_wanted(&self) -> bool {
        self.consumers > 0
    }

    /// Feeds the requests of one unit, each with its database. Several are one transaction, and the choice of
    /// a database lies within it.
    pub fn unit(&mut self, requests: &[(u32, OwnedArgs)]) {
        if !self.is_wanted() || requests.is_empty() {
            return;
        }
        let wrapped = requests.len() > 1;
        if wrapped {
            encode(&mut self.bytes, [b"MULTI".as_slice()].into_iter());
        }
        for (db, request) in requests {
            if self.selected != Some(*db) {
                self.selected = Some(*db);
                let number = db.to_string();
                encode(&mut self.bytes, [b"SELECT".as_slice(), number.as_bytes()].into_iter());
            }
            encode(&mut self.bytes, request.as_args().iter());
        }
        if wrapped {
            encode(&mut self.bytes, [b"EXEC".as_slice()].into_iter());
        }
    }

    /// Takes what has been fed; the next unit names its database anew.
    pub fn take(&mut self) -> Vec<u8> {
        self.selected = None;
        std::mem::take(&mut self.bytes)
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}
