//! X.509 certificates: their ends, serial numbers, public keys and the names of users in them.

use rustls_pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

/// When a certificate ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateEnd {
    /// Unix time, seconds.
    pub expires: i64,
    /// The serial number in hexadecimal digits.
    pub serial: String,
}

/// The field of a client's certificate that names its user (`tls-auth-clients-user`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserField {
    CommonName,
    /// The URIs among the subject's alternative names.
    Uri,
}

fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, String> {
    match X509Certificate::from_der(certificate) {
        Ok((_, parsed)) => Ok(parsed),
        Err(error) => Err(error.to_string()),
    }
}

/// The public key as a `SubjectPublicKeyInfo` in DER.
pub(super) fn public_key<'a>(certificate: &'a CertificateDer<'_>) -> Result<&'a [u8], String> {
    parse(certificate).map(|parsed| parsed.tbs_certificate.subject_pki.raw)
}

fn serial(certificate: &X509Certificate<'_>) -> String {
    let bytes = certificate.raw_serial();
    let digits = bytes.iter().skip_while(|byte| **byte == 0).map(|byte| format!("{byte:02X}"));
    let text: String = digits.collect();
    if text.is_empty() { "0".into() } else { text }
}

/// The end of the certificate that ends first.
pub fn earliest_end<'a>(
    certificates: impl IntoIterator<Item = &'a CertificateDer<'static>>,
) -> Option<CertificateEnd> {
    let ends = certificates.into_iter().filter_map(|certificate| {
        let parsed = parse(certificate).ok()?;
        let expires = parsed.validity().not_after.timestamp();
        Some(CertificateEnd { expires, serial: serial(&parsed) })
    });
    ends.min_by_key(|end| end.expires)
}

/// The names of users in a certificate, in order: those that come first are tried first.
pub fn user_names(certificate: &CertificateDer<'_>, field: UserField) -> Vec<Vec<u8>> {
    let Ok(parsed) = parse(certificate) else { return Vec::new() };
    match field {
        UserField::CommonName => {
            // As a whole, with a zero byte if there is one: what is before it may be another's name.
            let first = parsed.subject().iter_common_name().next();
            first
                .map(|name| name.attr_value().data.to_vec())
                .filter(|name| !name.is_empty())
                .into_iter()
                .collect()
        }
        UserField::Uri => {
            let Ok(Some(names)) = parsed.subject_alternative_name() else { return Vec::new() };
            let uris = names.value.general_names.iter().filter_map(|name| match name {
                GeneralName::URI(uri) if !uri.is_empty() && !uri.contains('\0') => {
                    Some(uri.as_bytes().to_vec())
                }
                _ => None,
            });
            uris.collect()
        }
    }
}
