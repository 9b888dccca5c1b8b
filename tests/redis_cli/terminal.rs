//! redis-cli in a terminal: a line is typed, and what appears up to the next prompt is its answer.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::Child;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use pty_process::Size;
use pty_process::blocking::{Command, Pty, open};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A terminal with redis-cli in it, which is killed when dropped.
pub struct Terminal {
    child: Child,
    keyboard: Arc<Pty>,
    screen: Arc<(Mutex<Vec<u8>>, Condvar)>,
    /// How much of the screen was read.
    seen: usize,
    port: u16,
}

impl Terminal {
    /// `term` is what the terminal says it is: in a `dumb` one redis-cli reads lines as they are.
    pub fn start(program: &PathBuf, port: u16, args: &[&str], term: &str) -> Terminal {
        let (pty, inside) = open().expect("a terminal");
        pty.resize(Size::new(50, 200)).expect("its size");
        let child = Command::new(program)
            .args(["-p", &port.to_string()])
            .args(args)
            .env("TERM", term)
            .env("REDISCLI_HISTFILE", "/dev/null")
            .env("REDISCLI_RCFILE", "/dev/null")
            .env_remove("REDISCLI_AUTH")
            .spawn(inside)
            .expect("redis-cli runs");
        let (keyboard, screen) = (Arc::new(pty), Arc::new((Mutex::new(Vec::new()), Condvar::new())));
        let (from, shown) = (keyboard.clone(), screen.clone());
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = (&*from).read(&mut bytes) {
                shown.0.lock().expect("lock").extend_from_slice(&bytes[..count]);
                shown.1.notify_all();
            }
        });
        let mut terminal = Terminal { child, keyboard, screen, seen: 0, port };
        if term == "dumb" {
            terminal.wait_for(|text| has_prompt(text, port));
        }
        terminal
    }

    /// Waits until what has appeared since the last time satisfies, and takes it.
    pub fn wait_for(&mut self, satisfies: impl Fn(&str) -> bool) -> String {
        let (screen, changed) = &*self.screen;
        let guard = screen.lock().expect("lock");
        let text = |screen: &Vec<u8>| without_colours(&String::from_utf8_lossy(&screen[self.seen..]));
        let (guard, late) =
            changed.wait_timeout_while(guard, PATIENCE, |screen| !satisfies(&text(screen))).expect("lock");
        let found = text(&guard);
        assert!(!late.timed_out(), "the terminal shows only {found:?}");
        self.seen = guard.len();
        found.replace(&format!(":{}", self.port), ":PORT")
    }

    /// Types keys.
    pub fn keys(&mut self, keys: &str) {
        (&*self.keyboard).write_all(keys.as_bytes()).expect("typed");
    }

    /// Types a line; what appears up to the next prompt, that included.
    pub fn line(&mut self, line: &str) -> String {
        self.keys(&format!("{line}\n"));
        let port = self.port;
        let echo = format!("{line}\n");
        let shown = self.wait_for(|text| text.strip_prefix(&echo).is_some_and(|rest| has_prompt(rest, port)));
        let answer = shown.strip_prefix(&echo).expect("the echo");
        // redis-cli shows how long it took if that was long.
        let is_time = |line: &str| {
            let number = line.strip_prefix('(').and_then(|rest| rest.strip_suffix("s)"));
            number.is_some_and(|number| number.parse::<f64>().is_ok())
        };
        answer.split('\n').filter(|line| !is_time(line)).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Text as it would be on paper.
fn without_colours(text: &str) -> String {
    let mut pieces = text.split("\x1b[");
    let mut plain = pieces.next().unwrap_or_default().to_string();
    for piece in pieces {
        let end = piece.find(|c: char| c.is_ascii_alphabetic()).map_or(piece.len(), |at| at + 1);
        plain += &piece[end..];
    }
    plain.replace("\r\r\n", "\n").replace("\r\n", "\n")
}

/// Whether the last line is a prompt.
fn has_prompt(text: &str, port: u16) -> bool {
    let last = text.rsplit('\n').next().expect("one");
    last.ends_with("> ")
        && (last.starts_with(&format!("127.0.0.1:{port}")) || last.starts_with("not connected"))
}
