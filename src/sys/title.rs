//! The process's title, as `ps` shows it: the memory in which the kernel put the command line and, behind
//! it, the environment.
//!
//! ```text
//! | redloop\0 | a.conf\0 | PATH=…\0 | HOME=…\0 |     as the process was started
//! | redloop *:6379\0\0\0 …                     |     with a title
//! ```
//!
//! The environment moves elsewhere first. The command line is not read from that memory any more: the
//! program has taken its arguments before.
#![allow(unsafe_code)]

use std::os::unix::ffi::OsStrExt;

/// The memory of the title.
pub struct Title {
    start: *mut u8,
    len: usize,
}

/// Offsets of arguments and environment: their begins and ends, fields 48 to 51 of /proc/self/stat.
fn places() -> Option<[usize; 4]> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field, a name in parentheses, may have spaces; the third follows it.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(45).map(str::parse);
    let mut next = || fields.next()?.ok();
    Some([next()?, next()?, next()?, next()?])
}

impl Title {
    /// Takes the memory over; `None` where the kernel doesn't say where it is. To be called once, before any thread
    /// starts.
    pub fn claim() -> Option<Self> {
        let [args_start, args_end, env_start, env_end] = places()?;
        if args_start == 0 || args_end <= args_start {
            return None;
        }
        let mut end = args_end;
        if env_start == args_end && env_end > env_start && move_environment() {
            end = env_end;
        }
        Some(Title { start: args_start as *mut u8, len: end - args_start })
    }

    /// Shows a title, cut to the memory there is.
    pub fn set(&mut self, title: &str) {
        // SAFETY: `claim` found the memory to be that of the process's arguments and environment, which
        // stays mapped and writable as long as the process lives and which only this value writes.
        let memory = unsafe { std::slice::from_raw_parts_mut(self.start, self.len) };
        memory.fill(0);
        let bytes = title.as_bytes();
        let len = bytes.len().min(memory.len() - 1);
        memory[..len].copy_from_slice(&bytes[..len]);
    }
}

/// Has the environment copied to memory of its own; false if a variable can't be.
fn move_environment() -> bool {
    let variables: Vec<_> = std::env::vars_os().collect();
    let fits = |name: &[u8]| !name.is_empty() && !name.contains(&b'=');
    if !variables.iter().all(|(name, _)| fits(name.as_bytes())) {
        return false;
    }
    for (name, value) in variables {
        // SAFETY: no other thread runs yet that could read the environment meanwhile.
        unsafe { std::env::set_var(name, value) };
    }
    true
}
