//! File pages: what the process has resident of its program and libraries, which the kernel maps from its page cache as they are used.
//!
//! Starting uses code and tables that running doesn't: parsing of arguments and files, set-up of tables and TLS, the dynamic linker. The
//! kernel maps sixteen pages for each that is touched, and leaves them there until memory is short. Giving them up costs a page
//! fault of a microsecond for each sixteen that are used again; the disk isn't read as long as they are in the cache.
//!
//! Only pages that are as in their file are given up: of mappings that can't be written to and that have no page of the process's own.
//! The linker makes such pages by relocation, and so do a debugger's breakpoints and probes.
#![allow(unsafe_code)]

/// Gives up the resident pages of the program and its libraries. Those that are used again are mapped again.
pub fn give_up() {
    #[cfg(target_os = "linux")]
    linux::give_up();
}

#[cfg(target_os = "linux")]
mod linux {
    use std::ops::Range;

    /// Address ranges of mappings; `None` until they have been read.
    type Mappings = Option<Vec<Range<usize>>>;

    pub(super) fn give_up() {
        let mut unchanged: Mappings = None;
        // SAFETY: the callback is called before this returns, with `unchanged`, to which there is no other reference.
        unsafe { libc::dl_iterate_phdr(Some(give_up_object), (&raw mut unchanged).cast()) };
    }

    /// Gives up the pages of a loaded object. Meanwhile the linker holds the lock under which it loads and unloads objects.
    ///
    /// # Safety
    /// `object` describes a loaded object, and `unchanged` is a [`Mappings`] of the caller's.
    unsafe extern "C" fn give_up_object(
        object: *mut libc::dl_phdr_info,
        _size: libc::size_t,
        unchanged: *mut libc::c_void,
    ) -> libc::c_int {
        // SAFETY: by the contract; the headers are there as long as the object is.
        let (base, headers, unchanged) = unsafe {
            let object = &*object;
            let headers = match object.dlpi_phdr.is_null() {
                true => &[],
                false => std::slice::from_raw_parts(object.dlpi_phdr, usize::from(object.dlpi_phnum)),
            };
            (object.dlpi_addr as usize, headers, &mut *unchanged.cast::<Mappings>())
        };
        let read = || unchanged_mappings(&std::fs::read_to_string("/proc/self/smaps").unwrap_or_default());
        let unchanged = unchanged.get_or_insert_with(read);
        for header in headers {
            if header.p_type != libc::PT_LOAD || header.p_flags & libc::PF_W != 0 {
                continue;
            }
            let start = base.wrapping_add(header.p_vaddr as usize);
            let end = start.saturating_add(header.p_filesz as usize);
            for mapping in unchanged.iter().filter(|mapping| mapping.start < end && start < mapping.end) {
                // SAFETY: the mapping is that of a segment which the linker has loaded, keeps while this runs, and doesn't write
                // to. Its pages are those of its file, and are read from there when they are used next. A mapping that is locked
                // in memory stays as it is.
                unsafe {
                    libc::madvise(mapping.start as *mut libc::c_void, mapping.len(), libc::MADV_DONTNEED)
                };
            }
        }
        0
    }

    /// The mappings of files, by the text of `/proc/self/smaps`, that can't be written to and have no page of the process's own.
    pub(super) fn unchanged_mappings(smaps: &str) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        let mut current: Option<Range<usize>> = None;
        for line in smaps.lines() {
            let mut words = line.split_ascii_whitespace();
            let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            match first {
                // The last field of a mapping.
                "VmFlags:" => found.extend(current.take()),
                "Anonymous:" | "Swap:" if second != "0" => current = None,
                _ if first.ends_with(':') => {}
                _ => {
                    let is_constant =
                        second.starts_with('r') && second[1..].starts_with('-') && second.ends_with('p');
                    current = range(first).filter(|_| is_constant && line.contains('/'));
                }
            }
        }
        found
    }

    /// `7f0000000000-7f0000001000`
    fn range(word: &str) -> Option<Range<usize>> {
        let (start, end) = word.split_once('-')?;
        Some(usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::linux::unchanged_mappings;

    #[test]
    fn mappings_with_pages_of_their_own_are_left_alone() {
        let mapping = |range: &str, access: &str, name: &str, anonymous: u32, swap: u32| {
            format!(
                "{range} {access} 00000000 fd:00 123 {name}\nSize: 8 kB\nRss: 8 kB\nAnonymous: {anonymous} kB\n\
                Swap: {swap} kB\nVmFlags: rd ex mr mw me\n"
            )
        };
        let smaps = [
            mapping("1000-3000", "r-xp", "/usr/bin/redloop", 0, 0),
            mapping("3000-5000", "r--p", "/usr/bin/redloop", 4, 0),
            mapping("5000-6000", "r--p", "/usr/bin/redloop", 0, 4),
            mapping("6000-8000", "rw-p", "/usr/bin/redloop", 0, 0),
            mapping("8000-9000", "r--s", "/usr/lib/gconv.cache", 0, 0),
            mapping("9000-a000", "r--p", "", 0, 0),
            mapping("7f00a000-7f00c000", "r--p", "/usr/lib/libc.so.6 (deleted)", 0, 0),
        ];
        assert_eq!(unchanged_mappings(&smaps.concat()), [0x1000..0x3000, 0x7f00a000..0x7f00c000]);
        assert_eq!(unchanged_mappings("1000-3000 r-xp"), []);
    }

    /// Code runs on, and constants are what they were: in a build for tests the program has them in many pages.
    #[test]
    fn what_was_given_up_is_there_when_it_is_used() {
        let digest = || crate::base::crc::crc64(0, include_bytes!("file_pages.rs"));
        let before = digest();
        for _ in 0..3 {
            super::give_up();
            assert_eq!(digest(), before);
        }
    }
}
