//! Tests of TLS settings: lists of ciphers, versions, keys, files that are none.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};

use super::*;

fn file(name: &str, text: impl Into<Vec<u8>>) -> PemFile {
    PemFile { name: name.into(), text: text.into() }
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new([]).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate")
}

fn identity() -> Identity {
    let key = KeyPair::generate().expect("a key");
    let certificate = CertificateParams::new(["localhost".to_string()]).expect("parameters");
    let certificate = certificate.signed_by(&key, &authority()).expect("a certificate");
    Identity {
        certificate: file("a.crt", certificate.pem()),
        key: file("a.key", key.serialize_pem()),
        password: None,
    }
}

fn refused(settings: &TlsSettings, identity: &Identity, authorities: &[PemFile]) -> String {
    match server_config(settings, identity, authorities) {
        Ok(_) => "accepted".into(),
        Err(error) => error.to_string(),
    }
}

fn tls12(list: &str) -> Result<Vec<String>, String> {
    let all = aws_lc_rs::default_provider().cipher_suites;
    let suites = ciphers::tls12_suites(Some(list), &all).map_err(|error| error.to_string())?;
    Ok(suites
        .iter()
        .map(|suite| suite.suite().as_str().unwrap_or_default().replace("TLS_ECDHE_", ""))
        .collect())
}

#[test]
fn lists_of_ciphers_are_openssls() {
    const RSA256: &str = "RSA_WITH_AES_256_GCM_SHA384";
    const RSA128: &str = "RSA_WITH_AES_128_GCM_SHA256";
    for every in
        ["DEFAULT", "HIGH:!aNULL:!MD5", "ALL:!EXPORT:!LOW:!aNULL:!eNULL:@STRENGTH", "DEFAULT:-AES128-SHA256"]
    {
        assert_eq!(tls12(every).map(|suites| suites.len()), Ok(6), "{every}");
    }
    let two = "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256";
    assert_eq!(tls12(two), Ok(vec![RSA256.into(), RSA128.into()]));
    assert_eq!(
        tls12("ECDHE-RSA-AES128-GCM-SHA256 ECDHE-RSA-AES256-GCM-SHA384"),
        Ok(vec![RSA128.into(), RSA256.into()])
    );
    assert_eq!(tls12("ECDHE+AESGCM+aRSA:!AES128"), Ok(vec![RSA256.into()]));
    assert_eq!(tls12(&format!("{two}:+AES256")), Ok(vec![RSA128.into(), RSA256.into()]));
    assert_eq!(tls12("-ALL:ECDHE-RSA-AES256-GCM-SHA384"), Ok(vec![RSA256.into()]));
    assert_eq!(tls12(&format!("!AES256:{two}")), Ok(vec![RSA128.into()]), "what is excluded stays so");
    assert_eq!(tls12(&format!("-AES256:{two}")), Ok(vec![RSA256.into(), RSA128.into()]));
    let failed = |list: &str, reason: &str| Err(format!("Failed to configure ciphers: {list}: {reason}"));
    assert_eq!(tls12("AES128-SHA256"), failed("AES128-SHA256", "AES128-SHA256 is not supported"));
    assert_eq!(tls12("DEFAULT:nonsense"), failed("DEFAULT:nonsense", "nonsense is not supported"));
    let nothing = "it leaves no cipher that is supported";
    for list in ["aNULL", "DEFAULT:!ALL", "ECDHE+RC4", ":", "!", "!:-"] {
        let result = tls12(list);
        assert_eq!(result, failed(list, nothing), "{list}");
    }
}

#[test]
fn suites_of_tls13_by_name_and_order() {
    let all = aws_lc_rs::default_provider().cipher_suites;
    let names = |list: &str| {
        let suites = ciphers::tls13_suites(Some(list), &all).map_err(|error| error.to_string())?;
        Ok::<_, String>(
            suites.iter().map(|suite| suite.suite().as_str().unwrap_or_default()).collect::<Vec<_>>(),
        )
    };
    assert_eq!(
        names("TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256"),
        Ok(vec!["TLS13_CHACHA20_POLY1305_SHA256", "TLS13_AES_128_GCM_SHA256"])
    );
    assert_eq!(names("").map(|names| names.len()), Ok(3));
    assert_eq!(
        names("TLS_AES_128_CCM_SHA256"),
        Err("Failed to configure ciphersuites: TLS_AES_128_CCM_SHA256: TLS_AES_128_CCM_SHA256 is not supported".into())
    );
}

#[test]
fn versions_by_name() {
    let of = |protocols: &str| {
        let found = versions(Some(protocols)).map_err(|error| error.to_string())?;
        Ok::<_, String>(
            found.iter().map(|version| version.version.as_str().unwrap_or_default()).collect::<Vec<_>>(),
        )
    };
    assert_eq!(of(""), Ok(vec!["TLSv1_3", "TLSv1_2"]));
    assert_eq!(of("tlsv1.2  TLSv1.3 TLSv1.2"), Ok(vec!["TLSv1_2", "TLSv1_3"]));
    assert_eq!(
        of("TLSv1.1 TLSv1.2"),
        Err("tls-protocols: TLSv1.1 is not supported, it is not secure. Use 'TLSv1.2' and 'TLSv1.3'.".into())
    );
    assert!(of("SSLv3").is_err_and(|text| text.starts_with("Invalid tls-protocols specified.")));
    let only_13 = TlsSettings { protocols: Some("TLSv1.3".into()), ..TlsSettings::for_tests() };
    assert!(server_config(&only_13, &identity(), &[]).is_ok());
}

#[test]
fn what_is_no_certificate_or_key_is_told() {
    let (good, settings) = (identity(), TlsSettings::for_tests());
    assert!(server_config(&settings, &good, &[]).is_ok());
    let none = Identity { certificate: file("empty.crt", ""), ..good.clone() };
    assert_eq!(
        refused(&settings, &none, &[]),
        "Failed to load certificate: empty.crt: there is none in the file"
    );
    let cut = String::from_utf8_lossy(&good.certificate.text)[..200].to_string();
    let cut = Identity { certificate: file("cut.crt", cut), ..good.clone() };
    assert!(refused(&settings, &cut, &[]).starts_with("Failed to load certificate: cut.crt: "));
    let text = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let garbage = Identity { certificate: file("garbage.crt", text), ..good.clone() };
    assert!(refused(&settings, &garbage, &[]).starts_with("Failed to load certificate: garbage.crt: "));
    let none = Identity { key: file("empty.key", "text"), ..good.clone() };
    assert_eq!(
        refused(&settings, &none, &[]),
        "Failed to load private key: empty.key: there is none in the file"
    );
    let other = Identity { key: identity().key, ..good.clone() };
    assert_eq!(
        refused(&settings, &other, &[]),
        "Failed to load private key: a.key: it is not the key of the certificate"
    );
    let needs_authority = TlsSettings { auth: ClientAuth::Required, ..settings };
    assert!(refused(&needs_authority, &good, &[]).starts_with("Failed to configure CA certificate(s)"));
    assert_eq!(
        refused(&needs_authority, &good, &[file("ca.crt", "")]),
        "Failed to load certificate: ca.crt: there is none in the file"
    );
    assert!(server_config(&needs_authority, &good, &[file("ca.crt", authority().pem())]).is_ok());
}

/// `openssl pkcs8 -topk8 -v2 aes-256-cbc -passout pass:1234 -iter 2048` of an EC key.
const ENCRYPTED: &str = include_str!("encrypted_key.pem");

#[test]
fn encrypted_keys() {
    let key = |password: Option<&[u8]>| keys::private_key(ENCRYPTED.as_bytes(), password).map(|_| ());
    assert_eq!(key(Some(b"1234")), Ok(()));
    assert_eq!(key(None), Err("it is encrypted, and there is no password for it (tls-key-file-pass)".into()));
    assert!(
        key(Some(b"12345"))
            .is_err_and(|text| text.starts_with("it can't be decrypted; the password may be wrong"))
    );
    let cut = &ENCRYPTED.as_bytes()[..ENCRYPTED.len() / 2];
    assert_eq!(keys::private_key(cut, Some(b"1234")).map(|_| ()), Err("the encrypted key has no end".into()));
    let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    assert!(
        keys::private_key(old.as_bytes(), Some(b"1234"))
            .is_err_and(|text| text.starts_with("it is encrypted in the traditional format"))
    );
}

#[test]
fn names_and_ends_in_certificates() {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(["localhost".to_string()]).expect("parameters");
    params.distinguished_name.push(DnType::CommonName, "Client-only\0attacker");
    let uri = |text: &str| SanType::URI(text.try_into().expect("ASCII"));
    params.subject_alt_names.extend([uri("urn:user:first"), uri("urn:user:second")]);
    params.serial_number = Some(vec![0x0a, 0xbc].into());
    params.not_after = rcgen::date_time_ymd(2031, 1, 1);
    let certificate = params.self_signed(&key).expect("a certificate");
    let names = |field| user_names(certificate.der(), field);
    assert_eq!(names(UserField::CommonName), [b"Client-only\0attacker".to_vec()]);
    assert_eq!(names(UserField::Uri), [b"urn:user:first".to_vec(), b"urn:user:second".to_vec()]);
    let end = CertificateEnd { expires: 1_924_992_000, serial: "0ABC".into() };
    assert_eq!(earliest_end([certificate.der()]), Some(end.clone()));
    params.not_after = rcgen::date_time_ymd(2040, 1, 1);
    params.serial_number = Some(vec![0x7f].into());
    let later = params.self_signed(&key).expect("a certificate");
    assert_eq!(earliest_end([later.der(), certificate.der()]), Some(end));
    assert_eq!(earliest_end(&[CertificateDer::from(vec![1, 2, 3])]), None);
    assert_eq!(user_names(&CertificateDer::from(vec![1, 2, 3]), UserField::Uri), Vec::<Vec<u8>>::new());
}
