//! TLS of the server process: the files are read, the settings built from them, renewed and watched.
//!
//! The settings are replaced as a whole or not at all. New connections get the new ones; those that exist keep theirs.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::{ClientConfig, ServerConfig};
use sha2::{Digest, Sha256};

use super::Server;
use crate::engine::CertificateEnds;
use crate::services::config::{Config, ConfigError, TlsAuthClients};
use crate::services::tls::{
    CertificateEnd, ClientAuth, Identity, PemFile, TlsError, TlsSettings, certificates, client_config,
    earliest_end, server_config,
};
use crate::sys::clock::Clock;
use crate::sys::disk;

/// A certificate that ends sooner than this is worth a line in the log, seconds.
const NEAR_END: i64 = 30 * 86_400;
/// Time between such lines, ms.
const WARNING_INTERVAL: u64 = 86_400_000;

/// What becomes of the files.
#[derive(Default)]
pub(super) struct TlsWatch {
    /// Of the files that are in use.
    digest: Option<[u8; 32]>,
    /// When they were last looked at, and their ends, Unix ms.
    looked_ms: u64,
    warned_ms: u64,
}

/// All that TLS needs, read from the files.
pub(super) struct TlsSetup {
    config: Arc<ServerConfig>,
    of_links: Option<Arc<ClientConfig>>,
    ends: CertificateEnds,
    digest: [u8; 32],
}

fn read(path: &str, what: &str) -> Result<PemFile, TlsError> {
    match std::fs::read(path) {
        Ok(text) => Ok(PemFile { name: path.into(), text }),
        Err(error) => Err(TlsError::new(format!("Failed to load {what}: {path}: {}", disk::reason(&error)))),
    }
}

/// The files of a directory that hold a certificate, by name.
fn read_directory(path: &str) -> io::Result<Vec<PemFile>> {
    let mut paths: Vec<_> = std::fs::read_dir(path)?.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let is_hidden =
        |path: &Path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    let mut files = Vec::new();
    for path in paths.iter().filter(|path| !is_hidden(path) && path.is_file()) {
        // A private key beside the certificates may be unreadable, and rightly so.
        let Ok(text) = std::fs::read(path) else { continue };
        let file = PemFile { name: path.to_string_lossy().into_owned(), text };
        if certificates(&file).is_ok() {
            files.push(file);
        }
    }
    Ok(files)
}

fn authorities(config: &Config) -> Result<Vec<PemFile>, TlsError> {
    let mut files = Vec::new();
    if let Some(path) = &config.tls_ca_cert_file {
        files.push(read(path, "CA certificate(s)")?);
    }
    if let Some(path) = &config.tls_ca_cert_dir {
        let found = read_directory(path).map_err(|error| {
            TlsError::new(format!(
                "Failed to configure CA certificate(s) file/directory: {path}: {}",
                disk::reason(&error)
            ))
        })?;
        files.extend(found);
    }
    Ok(files)
}

fn seconds_now() -> u64 {
    let clock = Clock::real();
    clock.unix_us(clock.ticks()) / 1_000_000
}

fn settings(config: &Config) -> TlsSettings {
    TlsSettings {
        auth: match config.tls_auth_clients {
            TlsAuthClients::No => ClientAuth::No,
            TlsAuthClients::Optional => ClientAuth::Optional,
            TlsAuthClients::Yes => ClientAuth::Required,
        },
        protocols: config.tls_protocols.clone(),
        ciphers: config.tls_ciphers.clone(),
        ciphersuites: config.tls_ciphersuites.clone(),
        prefer_server_ciphers: config.tls_prefer_server_ciphers,
        session_caching: config.tls_session_caching,
        session_cache_size: config.tls_session_cache_size as usize,
        session_timeout: config.tls_session_cache_timeout,
        clock: seconds_now,
    }
}

fn digest_of<'a>(files: impl Iterator<Item = &'a PemFile>) -> [u8; 32] {
    let mut digest = Sha256::new();
    for file in files {
        for text in [file.name.as_bytes(), &file.text] {
            digest.update((text.len() as u64).to_le_bytes());
            digest.update(text);
        }
    }
    digest.finalize().into()
}

/// The files of a configuration, before anything is made of them.
struct TlsFiles {
    identity: Identity,
    /// For connections to other servers, if they have one of their own.
    of_links: Option<Identity>,
    authorities: Vec<PemFile>,
}

impl TlsFiles {
    fn read(config: &Config) -> Result<Self, TlsError> {
        let Some(certificate) = &config.tls_cert_file else {
            return Err(TlsError::new("No tls-cert-file configured!"));
        };
        let Some(key) = &config.tls_key_file else {
            return Err(TlsError::new("No tls-key-file configured!"));
        };
        let without = config.tls_ca_cert_file.is_none() && config.tls_ca_cert_dir.is_none();
        if (config.tls_auth_clients != TlsAuthClients::No || has_links(config)) && without {
            return Err(TlsError::new(
                "Either tls-ca-cert-file or tls-ca-cert-dir must be specified when tls-cluster, \
                 tls-replication or tls-auth-clients are enabled!",
            ));
        }
        let identity = Identity {
            certificate: read(certificate, "certificate")?,
            key: read(key, "private key")?,
            password: config.tls_key_file_pass.bytes().map(<[u8]>::to_vec),
        };
        let of_links = match (&config.tls_client_cert_file, &config.tls_client_key_file) {
            (Some(certificate), Some(key)) => Some(Identity {
                certificate: read(certificate, "client certificate")?,
                key: read(key, "client private key")?,
                password: config.tls_client_key_file_pass.bytes().map(<[u8]>::to_vec),
            }),
            (Some(_), None) => return Err(TlsError::new("No tls-client-key-file configured!")),
            (None, _) => None,
        };
        Ok(TlsFiles { identity, of_links, authorities: authorities(config)? })
    }

    fn digest(&self) -> [u8; 32] {
        let own = [Some(&self.identity), self.of_links.as_ref()].into_iter().flatten();
        digest_of(own.flat_map(|own| [&own.certificate, &own.key]).chain(&self.authorities))
    }

    fn set_up(&self, config: &Config) -> Result<TlsSetup, TlsError> {
        let server = server_config(&settings(config), &self.identity, &self.authorities)?;
        // It is made without links, too: a wrong file is told when it is set.
        let of_links = match (&self.of_links, has_links(config)) {
            (None, false) => None,
            (own, _) => {
                let identity = own.as_ref().unwrap_or(&self.identity);
                Some(client_config(&settings(config), identity, &self.authorities)?)
            }
        };
        let chain = certificates(&self.identity.certificate)?;
        let trusted: Vec<_> = self.authorities.iter().flat_map(certificates).flatten().collect();
        let of_client = self.of_links.as_ref().map(|own| certificates(&own.certificate)).transpose()?;
        let ends = CertificateEnds {
            server: earliest_end(chain.first()),
            client: of_client.and_then(|chain| earliest_end(chain.first())),
            authority: earliest_end(&trusted),
        };
        Ok(TlsSetup { config: server, of_links, ends, digest: self.digest() })
    }
}

/// Whether connections to other servers speak TLS.
fn has_links(config: &Config) -> bool {
    config.tls_replication || config.tls_cluster
}

/// Reads what TLS needs, if there is a port or a link for it; the error has been logged.
pub(super) fn set_up(config: &Config) -> Result<Option<TlsSetup>, TlsError> {
    if config.tls_port == 0 && !has_links(config) {
        return Ok(None);
    }
    let setup = TlsFiles::read(config).and_then(|files| files.set_up(config));
    setup.map(Some).inspect_err(|error| log::warn!("{error}"))
}

/// Whether a directive is part of what is set up.
fn concerns_setup(name: &str) -> bool {
    name.starts_with("tls-") && !matches!(name, "tls-auth-clients-user" | "tls-auto-reload-interval")
}

impl Server {
    /// Has new connections get what has been set up.
    pub(super) fn use_tls(&mut self, setup: Option<TlsSetup>) {
        let now = self.engine.now();
        self.tls = TlsWatch { looked_ms: now, ..TlsWatch::default() };
        match setup {
            Some(TlsSetup { config, of_links, ends, digest }) => {
                self.net.tls = Some(config);
                self.net.tls_of_links = of_links;
                self.engine.info.certificates = ends;
                self.tls.digest = Some(digest);
                self.warn_of_ends();
            }
            None => {
                (self.net.tls, self.net.tls_of_links) = (None, None);
                self.engine.info.certificates = CertificateEnds::default();
            }
        }
    }

    /// Applies changed directives of TLS; notes them in `done`.
    pub(super) fn apply_tls(
        &mut self,
        config: &Config,
        changed: &[&'static str],
        done: &mut Vec<&'static str>,
    ) -> Result<(), ConfigError> {
        let Some(first) = changed.iter().find(|name| concerns_setup(name)) else { return Ok(()) };
        let setup = set_up(config).map_err(|_| {
            ConfigError::failed(first, "Unable to update TLS configuration. Check server logs.")
        })?;
        self.use_tls(setup);
        done.extend(changed.iter().filter(|name| concerns_setup(name)));
        Ok(())
    }

    /// Looks for new certificates and for some that end soon, now and then.
    pub(super) fn watch_tls(&mut self) {
        if self.net.tls.is_none() {
            return;
        }
        let now = self.engine.now();
        if now.saturating_sub(self.tls.warned_ms) >= WARNING_INTERVAL {
            self.warn_of_ends();
        }
        let interval = u64::from(self.engine.config.tls_auto_reload_interval) * 1000;
        if interval == 0 || now.saturating_sub(self.tls.looked_ms) < interval {
            return;
        }
        self.tls.looked_ms = now;
        let config = &self.engine.config;
        let renewed = TlsFiles::read(config).and_then(|files| {
            if self.tls.digest == Some(files.digest()) { Ok(None) } else { files.set_up(config).map(Some) }
        });
        match renewed {
            Ok(None) => log::debug!("TLS materials unchanged, nothing is reloaded"),
            Ok(setup) => {
                self.use_tls(setup);
                log::info!("TLS materials reloaded successfully");
            }
            // The certificate may have been written and its key not yet.
            Err(error) => log::warn!("TLS materials could not be reloaded, the former ones stay: {error}"),
        }
    }

    fn warn_of_ends(&mut self) {
        let now = self.engine.now();
        self.tls.warned_ms = now;
        let CertificateEnds { server, client, authority } = &self.engine.info.certificates;
        for (end, name) in [
            (server, "The certificate of TLS"),
            (client, "The certificate of outgoing connections"),
            (authority, "A CA certificate of TLS"),
        ] {
            let Some(CertificateEnd { expires, serial }) = end else { continue };
            let left = expires - (now / 1000) as i64;
            if left <= 0 {
                log::warn!("{name} (serial {serial}) has ended");
            } else if left < NEAR_END {
                log::warn!("{name} (serial {serial}) ends in {} days", left / 86_400);
            }
        }
    }
}
