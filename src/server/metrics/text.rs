//! Bytes of clients as text in JSON.

/// Bytes as text; what is no UTF-8 is shown as redis-cli does.
pub fn text(bytes: &[u8]) -> String {
    bytes.utf8_chunks().fold(String::new(), |mut text, chunk| {
        text.push_str(chunk.valid());
        text.push_str(&chunk.invalid().escape_ascii().to_string());
        text
    })
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn what_is_no_text_is_escaped() {
        assert_eq!(text("a<ü>".as_bytes()), "a<ü>");
        assert_eq!(text(b"a\xff\x00b"), "a\\xff\0b");
    }
}
