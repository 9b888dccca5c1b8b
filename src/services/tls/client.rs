//! The client's side of TLS: connections to other servers, which prove their identity by certificates.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::{Identity, PemFile, TlsError, TlsSettings, certified_key, provider, trusted, versions};

/// Accepts certificates that an authority has signed, whatever names are in them: primaries, replicas and sentinels are known by
/// addresses, which change, and Redis looks at no name either.
#[derive(Debug)]
struct ChainVerifier {
    roots: RootCertStore,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for ChainVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = ParsedCertificate::try_from(certificate)?;
        let algorithms = self.algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&certificate, &self.roots, intermediates, now, algorithms)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// What connections to other servers need. `authorities`: files of certificates that sign those of the servers.
pub fn client_config(
    settings: &TlsSettings,
    identity: &Identity,
    authorities: &[PemFile],
) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = Arc::new(provider(settings)?);
    let key = certified_key(identity, &provider)?;
    let algorithms = provider.signature_verification_algorithms;
    let verifier = ChainVerifier { roots: trusted(authorities)?, algorithms };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions(settings.protocols.as_deref())?)
        .map_err(|error| TlsError(format!("Failed to configure TLS: {error}")))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    config.enable_sni = false;
    // These connections last.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}
