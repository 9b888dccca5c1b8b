//! Cipher suites by OpenSSL's names: `tls-ciphers` (TLS 1.2) and `tls-ciphersuites` (TLS 1.3).

use rustls::{CipherSuite, SupportedCipherSuite};

use super::TlsError;

/// The suites of TLS 1.2: OpenSSL's name and the words of a list that mean it besides `ALL` and its like.
const TLS12: [(CipherSuite, &str, &[&str]); 6] = [
    (
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        &["AES256", "AESGCM", "AES", "FIPS", "AECDSA", "ECDSA"],
    ),
    (
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        &["AES128", "AESGCM", "AES", "FIPS", "AECDSA", "ECDSA"],
    ),
    (
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        &["CHACHA20", "AECDSA", "ECDSA"],
    ),
    (
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        "ECDHE-RSA-AES256-GCM-SHA384",
        &["AES256", "AESGCM", "AES", "FIPS", "ARSA"],
    ),
    (
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        "ECDHE-RSA-AES128-GCM-SHA256",
        &["AES128", "AESGCM", "AES", "FIPS", "ARSA"],
    ),
    (
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        "ECDHE-RSA-CHACHA20-POLY1305",
        &["CHACHA20", "ARSA"],
    ),
];

const TLS13: [(CipherSuite, &str); 3] = [
    (CipherSuite::TLS13_AES_256_GCM_SHA384, "TLS_AES_256_GCM_SHA384"),
    (CipherSuite::TLS13_AES_128_GCM_SHA256, "TLS_AES_128_GCM_SHA256"),
    (CipherSuite::TLS13_CHACHA20_POLY1305_SHA256, "TLS_CHACHA20_POLY1305_SHA256"),
];

/// Words that mean every suite there is.
const EVERY: [&str; 8] = ["ALL", "DEFAULT", "HIGH", "ECDHE", "EECDH", "KECDHE", "KEECDH", "TLSV1.2"];

/// Words that mean suites which are not there.
const NONE: [&str; 52] = [
    "3DES",
    "ADH",
    "AECDH",
    "ANULL",
    "ARIA",
    "ARIA128",
    "ARIA256",
    "ARIAGCM",
    "AESCCM",
    "AESCCM8",
    "ADSS",
    "AGOST",
    "AGOST01",
    "APSK",
    "CAMELLIA",
    "CAMELLIA128",
    "CAMELLIA256",
    "CBC",
    "COMPLEMENTOFALL",
    "COMPLEMENTOFDEFAULT",
    "DES",
    "DH",
    "DHE",
    "DSS",
    "EDH",
    "ENULL",
    "EXP",
    "EXPORT",
    "GOST94",
    "IDEA",
    "KDHE",
    "KDHEPSK",
    "KECDHEPSK",
    "KEDH",
    "KGOST",
    "KPSK",
    "KRSA",
    "KRSAPSK",
    "LOW",
    "MD5",
    "MEDIUM",
    "NULL",
    "PSK",
    "RC2",
    "RC4",
    "RSA",
    "SEED",
    "SHA",
    "SHA1",
    "SHA256",
    "SHA384",
    "SRP",
];

/// Indices into [`TLS12`] that a word means; `None` if the word is unknown. Parts joined by `+` must all apply.
fn meaning(word: &str) -> Option<Vec<usize>> {
    let mut left: Vec<usize> = (0..TLS12.len()).collect();
    for part in word.split('+') {
        let upper = part.to_ascii_uppercase();
        let upper = upper.as_str();
        let is_named = |(suite, name, words): &(CipherSuite, &str, &[&str])| {
            part == *name || suite.as_str() == Some(part) || words.contains(&upper)
        };
        if EVERY.contains(&upper) {
            continue;
        }
        if !NONE.contains(&upper) && !TLS12.iter().any(is_named) {
            return None;
        }
        left.retain(|index| is_named(&TLS12[*index]));
    }
    Some(left)
}

/// The suites of TLS 1.2 that a list in OpenSSL's language leaves, in its order. `all`: those that rustls has, by preference.
pub fn tls12_suites(
    list: Option<&str>,
    all: &[SupportedCipherSuite],
) -> Result<Vec<SupportedCipherSuite>, TlsError> {
    let Some(list) = list.filter(|list| !list.is_empty()) else {
        return Ok(all.iter().filter(|suite| suite.tls13().is_none()).copied().collect());
    };
    let failed = |reason: &str| TlsError::new(format!("Failed to configure ciphers: {list}: {reason}"));
    let (mut chosen, mut killed) = (Vec::<usize>::new(), Vec::<usize>::new());
    for word in list.split([':', ',', ' ']).filter(|word| !word.is_empty()) {
        // These choose an order or a level that all suites there are fulfil.
        if word == "@STRENGTH" || word.starts_with("@SECLEVEL=") {
            continue;
        }
        let (operator, name) = match word.as_bytes()[0] {
            operator @ (b'!' | b'-' | b'+') => (operator, &word[1..]),
            _ => (b' ', word),
        };
        let suites = match (meaning(name), operator) {
            (Some(suites), _) => suites,
            // What is not there need not be excluded.
            (None, b'!' | b'-') => continue,
            (None, _) => return Err(failed(&format!("{name} is not supported"))),
        };
        match operator {
            b'!' => {
                chosen.retain(|suite| !suites.contains(suite));
                killed.extend(suites);
            }
            b'-' => chosen.retain(|suite| !suites.contains(suite)),
            b'+' => chosen.sort_by_key(|suite| suites.contains(suite)),
            _ => {
                let new: Vec<_> =
                    suites.iter().filter(|it| !killed.contains(it) && !chosen.contains(it)).collect();
                chosen.extend(new);
            }
        }
    }
    if chosen.is_empty() {
        return Err(failed("it leaves no cipher that is supported"));
    }
    let find = |index: &usize| all.iter().find(|suite| suite.suite() == TLS12[*index].0).copied();
    Ok(chosen.iter().filter_map(find).collect())
}

/// The suites of TLS 1.3 that a list names, in its order.
pub fn tls13_suites(
    list: Option<&str>,
    all: &[SupportedCipherSuite],
) -> Result<Vec<SupportedCipherSuite>, TlsError> {
    let Some(list) = list.filter(|list| !list.is_empty()) else {
        return Ok(all.iter().filter(|suite| suite.tls13().is_some()).copied().collect());
    };
    let mut chosen = Vec::new();
    for word in list.split(':').filter(|word| !word.is_empty()) {
        let suite = TLS13.iter().find(|(_, name)| *name == word);
        let suite = suite.and_then(|(wanted, _)| all.iter().find(|suite| suite.suite() == *wanted));
        let Some(suite) = suite else {
            let text = format!("Failed to configure ciphersuites: {list}: {word} is not supported");
            return Err(TlsError::new(text));
        };
        if !chosen.contains(suite) {
            chosen.push(*suite);
        }
    }
    Ok(chosen)
}
