//! The page under `/`: one file, which loads nothing from elsewhere and whose script and style are allowed by their hashes.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

use crate::services::http::Response;

const PAGE: &str = include_str!("page.html");

/// What an element of this name has in it; there is one.
fn inside<'a>(page: &'a str, name: &str) -> &'a str {
    let (_, rest) = page.split_once(&format!("<{name}>")).unwrap_or_default();
    rest.split_once(&format!("</{name}>")).unwrap_or_default().0
}

fn hash(text: &str) -> String {
    BASE64_STANDARD.encode(Sha256::digest(text.as_bytes()))
}

static POLICY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "Content-Security-Policy: default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(inside(PAGE, "script")),
        hash(inside(PAGE, "style"))
    )
});

static HEADERS: LazyLock<[&'static str; 3]> =
    LazyLock::new(|| [POLICY.as_str(), "Referrer-Policy: no-referrer", "X-Frame-Options: DENY"]);

/// The page.
pub fn response() -> Response {
    Response {
        status: 200,
        content_type: "text/html; charset=utf-8",
        body: PAGE.as_bytes().to_vec(),
        headers: &HEADERS[..],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_loaded_from_elsewhere_and_no_style_or_handler_is_inline() {
        assert_eq!((PAGE.matches("<script").count(), PAGE.matches("<style").count()), (1, 1));
        assert!(inside(PAGE, "script").len() > 1000 && inside(PAGE, "style").len() > 1000);
        for part in ["http://", "https://", " style=", " onclick=", "innerHTML", "document.write", "eval("] {
            // That one is a name, not an address.
            assert!(!PAGE.replace("http://www.w3.org/2000/svg", "").contains(part), "{part}");
        }
        assert!(POLICY.contains("script-src 'sha256-") && !POLICY.contains("unsafe"));
    }
}
