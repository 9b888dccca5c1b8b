//! A real server on a socket of its own, and its replies.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// A reply.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Line(String),
    Bulk(Vec<u8>),
    Nil,
    Array(Vec<Answer>),
}

impl Answer {
    pub fn read(from: &mut impl BufRead) -> Answer {
        let mut line = Vec::new();
        from.read_until(b'\n', &mut line).expect("a reply");
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end();
        let count = |text: &str| text[1..].parse::<i64>().expect("a length");
        match line.as_bytes()[0] {
            b'$' if count(line) >= 0 => {
                let mut bytes = vec![0; count(line) as usize + 2];
                from.read_exact(&mut bytes).expect("a reply");
                bytes.truncate(bytes.len() - 2);
                Answer::Bulk(bytes)
            }
            b'*' if count(line) >= 0 => Answer::Array((0..count(line)).map(|_| Answer::read(from)).collect()),
            b'$' | b'*' => Answer::Nil,
            _ => Answer::Line(line.to_string()),
        }
    }

    pub fn bytes(self) -> Vec<u8> {
        match self {
            Answer::Bulk(bytes) => bytes,
            other => panic!("{other:?} is no string"),
        }
    }

    pub fn text(&self) -> String {
        match self {
            Answer::Line(line) => line.clone(),
            Answer::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            other => format!("{other:?}"),
        }
    }
}

/// A real server; it is killed when dropped.
pub struct Peer {
    process: Child,
    /// Where it saves.
    pub folder: PathBuf,
    stream: BufReader<UnixStream>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Peer {
    /// Starts the first of these programs that there is.
    pub fn start(test: &str, programs: &[PathBuf], options: &[&str]) -> Option<Peer> {
        let folder = std::env::temp_dir().join(format!("redloop-{test}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a folder for the peer");
        let socket = folder.join("socket");
        let spawn = |program: &PathBuf| {
            let mut command = Command::new(program);
            command.args(["--port", "0", "--save", "", "--enable-debug-command", "yes", "--unixsocket"]);
            command.arg(&socket).arg("--dir").arg(&folder).args(options);
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()
        };
        let Some(mut process) = programs.iter().find_map(spawn) else {
            println!("{test}: skipped, there is no server of {programs:?}");
            let _ = std::fs::remove_dir_all(&folder);
            return None;
        };
        let start = Instant::now();
        loop {
            if let Ok(stream) = UnixStream::connect(&socket) {
                stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
                return Some(Peer { process, folder, stream: BufReader::new(stream) });
            }
            let ended = process.try_wait().expect("a process");
            assert!(ended.is_none() && start.elapsed() < PATIENCE, "the peer doesn't start: {ended:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn ask<T: AsRef<[u8]>>(&mut self, words: &[T]) -> Answer {
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words.iter().map(AsRef::as_ref) {
            request.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            request.extend_from_slice(word);
            request.extend_from_slice(b"\r\n");
        }
        self.stream.get_mut().write_all(&request).expect("the peer listens");
        Answer::read(&mut self.stream)
    }

    pub fn ask_line(&mut self, line: &str) -> Answer {
        self.ask(&line.split(' ').collect::<Vec<_>>())
    }
}

/// A program that tests/compat/peers.sh built.
pub fn built(tree: &str, program: &str) -> PathBuf {
    let peers = std::env::var_os("PEERS").map(PathBuf::from).or_else(|| {
        let home = std::env::var_os("HOME")?;
        Some(PathBuf::from(home).join(".cache/peers"))
    });
    peers.unwrap_or_default().join(tree).join("src").join(program)
}
