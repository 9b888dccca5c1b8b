//! Client libraries as people use them, against the built binary: redis-py, ioredis, node-redis, redis-rs, and Prometheus's parser.
//!
//! `tests/clients/install.sh` installs them into `$REDLOOP_CLIENTS` (by default `~/.cache/redloop-clients`).

#[path = "../support/ports.rs"]
mod ports;
#[path = "../support/process.rs"]
mod process;
#[path = "../support/programs.rs"]
mod programs;

use std::path::{Path, PathBuf};
use std::process::Command;

use process::Process;
use programs::{find_peer, on_path};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use ports::free_port;

/// Where the libraries are.
fn installed() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/redloop-clients");
    std::env::var_os("REDLOOP_CLIENTS").map_or_else(home, PathBuf::from)
}

/// The server under test, and a real one of version 8, if there is one, to test the test.
fn servers() -> Vec<Process> {
    let real = find_peer("redis", "redis-server", "REDLOOP_REDIS_SERVER").filter(|program| {
        let said = Command::new(program).arg("--version").output().expect("it runs").stdout;
        String::from_utf8_lossy(&said).contains("v=8.")
    });
    let real = real.map(|program| Process::start(&program, &[]));
    [Some(Process::ours(&[])), real].into_iter().flatten().collect()
}

/// The binary under test with a port for TLS, and the certificate of the authority that signed its own.
struct TlsServer {
    server: Process,
    port: u16,
    directory: PathBuf,
}

impl TlsServer {
    fn start(name: &str) -> TlsServer {
        let directory = std::env::temp_dir().join(format!("redloop-clients-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).expect("a directory");
        let mut params = CertificateParams::new([]).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // OpenSSL takes a certificate whose issuer has its own name to be self-signed.
        params.distinguished_name.push(DnType::CommonName, "authority");
        let authority =
            CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate");
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(["localhost".to_string()]).expect("parameters");
        let certificate = params.signed_by(&key, &authority).expect("a certificate");
        let file = |name: &str, text: &str| {
            let path = directory.join(name);
            std::fs::write(&path, text).expect("written");
            path.to_str().expect("UTF-8").to_string()
        };
        let port = free_port();
        let server = Process::ours(&[
            "--tls-port",
            &port.to_string(),
            "--tls-auth-clients",
            "no",
            "--tls-ca-cert-file",
            &file("ca.crt", &authority.pem()),
            "--tls-cert-file",
            &file("server.crt", &certificate.pem()),
            "--tls-key-file",
            &file("server.key", &key.serialize_pem()),
        ]);
        TlsServer { server, port, directory }
    }

    fn authority(&self) -> PathBuf {
        self.directory.join("ca.crt")
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Runs a script to its end, which must be a success, and report enough checks.
fn smoke(mut command: Command, name: &str, least: u32) {
    let output = command.output().unwrap_or_else(|error| panic!("{name}: {error}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name}: {out}{err}");
    let checks = out.trim().rsplit(' ').next().and_then(|word| word.parse::<u32>().ok());
    assert!(checks.is_some_and(|checks| checks >= least), "{name}: {out}{err}");
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

#[test]
fn redis_py() {
    let python = installed().join("python/bin/python");
    if !python.is_file() {
        println!("SKIPPED: redis_py, there is no {}", python.display());
        return;
    }
    for server in servers() {
        for protocol in ["2", "3"] {
            let mut command = Command::new(&python);
            command.arg(script("smoke.py")).args([&server.port.to_string(), protocol]);
            smoke(command, &format!("redis-py, RESP{protocol}, {server:?}"), 100);
        }
    }
    let tls = TlsServer::start("redis-py");
    let mut command = Command::new(&python);
    command.arg(script("smoke.py")).args([&tls.port.to_string(), "3"]).arg(tls.authority());
    smoke(command, &format!("redis-py over TLS, {:?}", tls.server), 100);
}

/// Prometheus's own library reads what the metrics port writes.
#[test]
fn prometheus_client() {
    let python = installed().join("python/bin/python");
    let has_library = python.is_file()
        && Command::new(&python)
            .args(["-c", "import prometheus_client"])
            .output()
            .is_ok_and(|output| output.status.success());
    if !has_library {
        println!("SKIPPED: prometheus_client, there is no such library in {}", python.display());
        return;
    }
    let free = free_port();
    let server = Process::ours(&["--metrics-port", &free.to_string()]);
    let mut command = Command::new(&python);
    command.arg(script("metrics.py")).args([&server.port.to_string(), &free.to_string()]);
    smoke(command, &format!("prometheus_client, {server:?}"), 100);
}

fn node(test: &str, library: &str, protocols: &[&str]) {
    let modules = installed().join("node/node_modules");
    let Some(program) = on_path("node").filter(|_| modules.join(library).is_dir()) else {
        println!("SKIPPED: {test}, there is no node or no {library} in {}", modules.display());
        return;
    };
    for server in servers() {
        for protocol in protocols {
            let mut command = Command::new(&program);
            command.env("NODE_PATH", &modules).arg(script("smoke.cjs"));
            command.args([&server.port.to_string(), library, protocol]);
            smoke(command, &format!("{library}, RESP{protocol}, {server:?}"), 25);
        }
    }
    let tls = TlsServer::start(library);
    let mut command = Command::new(&program);
    command.env("NODE_PATH", &modules).arg(script("smoke.cjs"));
    command.args([&tls.port.to_string(), library, protocols[0]]).arg(tls.authority());
    smoke(command, &format!("{library} over TLS, {:?}", tls.server), 25);
}

#[test]
fn ioredis() {
    node("ioredis", "ioredis", &["2"]);
}

#[test]
fn node_redis() {
    node("node_redis", "redis", &["2", "3"]);
}

#[test]
fn redis_rs() {
    let program = installed().join("rust/debug/redis-rs-smoke");
    if !program.is_file() {
        println!("SKIPPED: redis_rs, there is no {}", program.display());
        return;
    }
    for server in servers() {
        for protocol in ["2", "3"] {
            let mut command = Command::new(&program);
            command.args([&server.port.to_string(), protocol]);
            smoke(command, &format!("redis-rs, RESP{protocol}, {server:?}"), 46);
        }
    }
    let tls = TlsServer::start("redis-rs");
    let mut command = Command::new(&program);
    command.args([&tls.port.to_string(), "3"]).arg(tls.authority());
    smoke(command, &format!("redis-rs over TLS, {:?}", tls.server), 46);
}
