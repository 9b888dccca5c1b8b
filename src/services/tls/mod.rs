//! TLS settings as rustls takes them: from PEM texts and directives to the configurations of both sides. It reads no file.
//!
//! The providers of cryptography, the suites and the versions are rustls' own; what OpenSSL has beside them is refused with a
//! reason, never passed over.

mod certificate;
mod ciphers;
mod client;
mod keys;
mod sessions;

use std::fmt;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion, version};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

pub use certificate::{CertificateEnd, UserField, earliest_end, user_names};
pub use client::client_config;
use sessions::{SessionCache, Tickets};

/// Whether clients need a certificate (`tls-auth-clients`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    No,
    Optional,
    Required,
}

/// Why there can be no TLS, in a sentence for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsError(String);

impl TlsError {
    pub fn new(text: impl Into<String>) -> Self {
        TlsError(text.into())
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The content of a file, with its name for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PemFile {
    pub name: String,
    pub text: Vec<u8>,
}

/// A certificate with the chain above it, and its private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub certificate: PemFile,
    pub key: PemFile,
    pub password: Option<Vec<u8>>,
}

/// What the directives say besides the files.
#[derive(Clone, Debug)]
pub struct TlsSettings {
    pub auth: ClientAuth,
    pub protocols: Option<String>,
    pub ciphers: Option<String>,
    pub ciphersuites: Option<String>,
    pub prefer_server_ciphers: bool,
    pub session_caching: bool,
    /// Sessions kept at most; 0 is no limit.
    pub session_cache_size: usize,
    /// How long a session may be resumed, seconds.
    pub session_timeout: u32,
    /// The time in seconds, which sets the age of a session.
    pub clock: fn() -> u64,
}

#[cfg(test)]
impl TlsSettings {
    /// No certificates asked of clients, all versions and suites, ten sessions kept, a clock that stands still.
    pub fn for_tests() -> Self {
        TlsSettings {
            auth: ClientAuth::No,
            protocols: None,
            ciphers: None,
            ciphersuites: None,
            prefer_server_ciphers: false,
            session_caching: true,
            session_cache_size: 10,
            session_timeout: 300,
            clock: || 0,
        }
    }
}

/// The certificates of a PEM file, of which there is at least one.
pub fn certificates(file: &PemFile) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = CertificateDer::pem_slice_iter(&file.text).collect::<Result<Vec<_>, _>>();
    match found {
        Ok(found) if found.is_empty() => {
            Err(TlsError(format!("Failed to load certificate: {}: there is none in the file", file.name)))
        }
        Ok(found) => Ok(found),
        Err(error) => Err(TlsError(format!("Failed to load certificate: {}: {error}", file.name))),
    }
}

/// The versions of `tls-protocols`.
fn versions(protocols: Option<&str>) -> Result<Vec<&'static SupportedProtocolVersion>, TlsError> {
    let mut found = Vec::new();
    for word in protocols.unwrap_or_default().split(' ').filter(|word| !word.is_empty()) {
        let version = match word.to_ascii_lowercase().as_str() {
            "tlsv1.2" => &version::TLS12,
            "tlsv1.3" => &version::TLS13,
            "tlsv1" | "tlsv1.1" => {
                return Err(TlsError(format!(
                    "tls-protocols: {word} is not supported, it is not secure. Use 'TLSv1.2' and 'TLSv1.3'."
                )));
            }
            _ => {
                return Err(TlsError(
                    "Invalid tls-protocols specified. Use a combination of 'TLSv1.2' and 'TLSv1.3'.".into(),
                ));
            }
        };
        if !found.contains(&version) {
            found.push(version);
        }
    }
    Ok(if found.is_empty() { vec![&version::TLS13, &version::TLS12] } else { found })
}

/// The cryptography of some settings: the suites that they allow.
fn provider(settings: &TlsSettings) -> Result<CryptoProvider, TlsError> {
    let default = aws_lc_rs::default_provider();
    let all = &default.cipher_suites;
    let mut suites = ciphers::tls13_suites(settings.ciphersuites.as_deref(), all)?;
    suites.extend(ciphers::tls12_suites(settings.ciphers.as_deref(), all)?);
    Ok(CryptoProvider { cipher_suites: suites, ..default })
}

/// A certificate with its key. The pair is checked here and not by rustls, which would refuse certificates of X.509 version 1.
fn certified_key(identity: &Identity, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let chain = certificates(&identity.certificate)?;
    let failed = |reason: &dyn fmt::Display| {
        TlsError(format!("Failed to load private key: {}: {reason}", identity.key.name))
    };
    let key = keys::private_key(&identity.key.text, identity.password.as_deref())
        .map_err(|reason| failed(&reason))?;
    let key = provider.key_provider.load_private_key(key).map_err(|error| failed(&error))?;
    let of_certificate = certificate::public_key(&chain[0]).map_err(|reason| {
        TlsError(format!("Failed to load certificate: {}: {reason}", identity.certificate.name))
    })?;
    if key.public_key().is_some_and(|of_key| of_key.as_ref() != of_certificate) {
        return Err(failed(&"it is not the key of the certificate"));
    }
    Ok(CertifiedKey::new(chain, key))
}

/// The certificates trusted.
fn trusted(authorities: &[PemFile]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for file in authorities {
        for certificate in certificates(file)? {
            roots.add(certificate).map_err(|error| {
                TlsError(format!(
                    "Failed to configure CA certificate(s) file/directory: {}: {error}",
                    file.name
                ))
            })?;
        }
    }
    Ok(roots)
}

/// What a server needs to speak TLS. `authorities`: files of certificates that sign those of clients.
pub fn server_config(
    settings: &TlsSettings,
    identity: &Identity,
    authorities: &[PemFile],
) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(provider(settings)?);
    let key = certified_key(identity, &provider)?;
    let failed = |error: rustls::Error| TlsError(format!("Failed to configure TLS: {error}"));
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions(settings.protocols.as_deref())?)
        .map_err(failed)?;
    let builder = if settings.auth == ClientAuth::No {
        builder.with_no_client_auth()
    } else {
        let verifier =
            WebPkiClientVerifier::builder_with_provider(trusted(authorities)?.into(), provider.clone());
        let verifier =
            if settings.auth == ClientAuth::Optional { verifier.allow_unauthenticated() } else { verifier };
        // The names of authorities make the handshake long, and clients of Redis have one certificate.
        let verifier = verifier.clear_root_hint_subjects().build().map_err(|error| {
            TlsError(format!("Failed to configure CA certificate(s) file/directory: {error}"))
        })?;
        builder.with_client_cert_verifier(verifier)
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    config.ignore_client_order = settings.prefer_server_ciphers;
    if settings.session_caching && settings.session_timeout > 0 {
        config.session_storage = Arc::new(SessionCache::new(
            settings.session_cache_size,
            settings.session_timeout,
            settings.clock,
        ));
        config.ticketer = Arc::new(Tickets::new(settings.session_timeout, settings.clock).map_err(failed)?);
        // One is what a client that connects again uses.
        config.send_tls13_tickets = 1;
    } else {
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests;
