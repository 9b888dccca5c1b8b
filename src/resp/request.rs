//! The request writer: a request's words as one RESP frame.

/// Appends a request of these words as a RESP frame.
pub fn encode_request<T: AsRef<[u8]>>(out: &mut Vec<u8>, words: impl Iterator<Item = T> + Clone) {
    let mut digits = itoa::Buffer::new();
    out.push(b'*');
    out.extend_from_slice(digits.format(words.clone().count()).as_bytes());
    out.extend_from_slice(b"\r\n");
    for word in words {
        let word = word.as_ref();
        out.push(b'$');
        out.extend_from_slice(digits.format(word.len()).as_bytes());
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}
