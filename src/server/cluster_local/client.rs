//! A client of a node on this machine, as much of one as it takes to join nodes.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// The longest time that a node may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection to a node.
pub(super) struct Client(BufReader<TcpStream>);

impl Client {
    /// Connects, and logs in if the nodes have a password.
    pub fn connect(port: u16, password: Option<&str>) -> io::Result<Client> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut client = Client(BufReader::new(stream));
        if let Some(password) = password {
            client.ask(&["AUTH", password])?;
        }
        Ok(client)
    }

    /// Sends a request; its reply, a line or a bulk string, as a text.
    pub fn ask(&mut self, words: &[&str]) -> io::Result<String> {
        let mut request = format!("*{}\r\n", words.len());
        words.iter().for_each(|word| request += &format!("${}\r\n{word}\r\n", word.len()));
        self.0.get_mut().write_all(request.as_bytes())?;
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        let line = line.trim_end();
        match line.split_at_checked(1) {
            Some(("+" | ":", text)) => Ok(text.into()),
            Some(("$", len)) => {
                let len: usize = len.parse().map_err(io::Error::other)?;
                let mut bulk = vec![0; len + 2];
                self.0.read_exact(&mut bulk)?;
                bulk.truncate(len);
                Ok(String::from_utf8_lossy(&bulk).into_owned())
            }
            _ => Err(io::Error::other(format!("{}: {line}", words.join(" ")))),
        }
    }
}
