//! Pages of the program's code that only its start has used.
//!
//! They count as resident, and are the last of the page cache to be given up, for as long as they are mapped, though they are hardly run
//! again: some 2 MB, a fifth of an empty server. What is needed still comes back from the page cache by itself.
#![allow(unsafe_code)]

/// Unmaps the pages of the program's code; each is mapped again when it is run.
pub fn unmap() {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let Ok(program) = std::env::current_exe() else { return };
    let code = maps.lines().filter(|line| program.to_str().is_some_and(|path| line.ends_with(path)));
    for (start, end) in code.filter_map(code_range) {
        // SAFETY: the range is a mapping of the program's file that was never writable (see `code_range`): the kernel reads the same
        // bytes from the file again, which can't be written to while it is run (ETXTBSY). Should it refuse, nothing has changed.
        unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_DONTNEED) };
    }
}

/// The addresses of a line of /proc/self/maps, if it is of code: readable, executable, private, not writable.
fn code_range(line: &str) -> Option<(usize, usize)> {
    let mut words = line.split(' ');
    let (range, access) = (words.next()?, words.next()?);
    let (start, end) = range.split_once('-')?;
    let parse = |text| usize::from_str_radix(text, 16).ok();
    (access == "r-xp").then_some((parse(start)?, parse(end)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Resident kB of the code of this program.
    fn resident_code() -> usize {
        let smaps = std::fs::read_to_string("/proc/self/smaps").expect("Linux");
        let program = std::env::current_exe().expect("a path");
        let (mut is_code, mut sum) = (false, 0);
        for line in smaps.lines() {
            if line.contains(" r-xp ") || line.contains(" r--p ") || line.contains(" rw-p ") {
                is_code = code_range(line).is_some() && line.ends_with(program.to_str().expect("text"));
            } else if let Some(rest) = line.strip_prefix("Rss:").filter(|_| is_code) {
                sum += rest.trim().trim_end_matches(" kB").parse::<usize>().expect("a number");
            }
        }
        sum
    }

    #[test]
    fn code_runs_on_after_it_was_unmapped() {
        // Tests that run beside this one map pages again: not all of it goes.
        let before = resident_code();
        unmap();
        let after = resident_code();
        assert!(after < before, "{after} kB of {before}");
        assert_eq!(code_range("55d0-55e0 r-xp 0 08:01 1 /x"), Some((0x55d0, 0x55e0)));
    }

    #[test]
    fn what_was_writable_stays() {
        assert_eq!(code_range("55d0-55e0 r--p 0 08:01 1 /x"), None);
        assert_eq!(code_range("55d0-55e0 rwxp 0 08:01 1 /x"), None);
        assert_eq!(code_range(""), None);
    }
}
