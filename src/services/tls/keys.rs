//! Private keys in PEM, plain or encrypted with a password (PKCS #8).

use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::SecretDocument;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

const BEGIN: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
const END: &str = "-----END ENCRYPTED PRIVATE KEY-----";

/// The first private key of a PEM text.
pub fn private_key(text: &[u8], password: Option<&[u8]>) -> Result<PrivateKeyDer<'static>, String> {
    let readable = String::from_utf8_lossy(text);
    if let Some(start) = readable.find(BEGIN) {
        let Some(length) = readable[start..].find(END) else {
            return Err("the encrypted key has no end".into());
        };
        return decrypt(&readable[start..start + length + END.len()], password);
    }
    if readable.contains("Proc-Type: 4,ENCRYPTED") {
        return Err("it is encrypted in the traditional format, which is not supported; \
                    'openssl pkcs8 -topk8' converts it"
            .into());
    }
    PrivateKeyDer::from_pem_slice(text).map_err(|error| match error {
        rustls_pki_types::pem::Error::NoItemsFound => "there is none in the file".into(),
        error => error.to_string(),
    })
}

fn decrypt(pem: &str, password: Option<&[u8]>) -> Result<PrivateKeyDer<'static>, String> {
    let Some(password) = password else {
        return Err("it is encrypted, and there is no password for it (tls-key-file-pass)".into());
    };
    let (_, document) = SecretDocument::from_pem(pem).map_err(|error| error.to_string())?;
    let encrypted =
        EncryptedPrivateKeyInfoRef::try_from(document.as_bytes()).map_err(|error| error.to_string())?;
    let key = encrypted
        .decrypt(password)
        .map_err(|error| format!("it can't be decrypted; the password may be wrong ({error})"))?;
    Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into())
}
