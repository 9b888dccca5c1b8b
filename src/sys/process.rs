//! This process: resident memory, CPU time, file descriptors.
#![allow(unsafe_code)]

/// Resident set size in bytes; 0 where /proc isn't.
pub fn resident_bytes() -> usize {
    resident().0
}

/// What is resident and of no file: memory that is this process's own, bytes.
pub fn resident_anonymous_bytes() -> usize {
    let (all, of_files) = resident();
    all.saturating_sub(of_files)
}

/// Bytes that are resident, and those of files and shared memory among them.
fn resident() -> (usize, usize) {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let mut pages = statm.split(' ').skip(1).map(|word| word.parse().unwrap_or(0));
    let mut next = || pages.next().unwrap_or(0) * page_size();
    (next(), next())
}

fn page_size() -> usize {
    // SAFETY: sysconf takes a constant and has no preconditions.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}

/// Physical memory of the machine in bytes.
pub fn total_memory() -> usize {
    // SAFETY: as above.
    page_size() * unsafe { libc::sysconf(libc::_SC_PHYS_PAGES) as usize }
}

/// Lowers the priority of the calling thread below that of the thread that serves clients.
pub fn lower_priority() {
    #[cfg(target_os = "linux")]
    // SAFETY: changes a number of the calling thread's. Should it fail, nothing is lost.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, 5);
    }
}

/// CPU time, seconds in the kernel and in user space: of this process, of its children, of this thread.
pub struct CpuTimes {
    pub process: (f64, f64),
    pub children: (f64, f64),
    pub thread: (f64, f64),
}

/// Reads the CPU times.
pub fn cpu_times() -> CpuTimes {
    let read = |who| {
        // SAFETY: rusage is plain data that getrusage fills.
        let usage = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            libc::getrusage(who, &mut usage);
            usage
        };
        let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
        (seconds(usage.ru_stime), seconds(usage.ru_utime))
    };
    CpuTimes {
        process: read(libc::RUSAGE_SELF),
        children: read(libc::RUSAGE_CHILDREN),
        thread: read(libc::RUSAGE_THREAD),
    }
}

/// Page faults of this process so far that didn't read from a disk.
pub fn page_faults() -> u64 {
    // SAFETY: rusage is plain data that getrusage fills.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    usage.ru_minflt as u64
}

/// CPU time of the calling thread, ns.
pub fn thread_cpu_nanos() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call fills the timespec that it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Raises the limit of open files to `wanted` if it can; returns the limit that holds then.
pub fn raise_open_files(wanted: u64) -> u64 {
    // SAFETY: rlimit is plain data that the calls read and fill.
    unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) != 0 {
            return wanted;
        }
        if limit.rlim_cur >= wanted {
            return limit.rlim_cur;
        }
        let target = libc::rlimit { rlim_cur: wanted, rlim_max: limit.rlim_max.max(wanted) };
        if libc::setrlimit(libc::RLIMIT_NOFILE, &target) == 0 {
            return wanted;
        }
        let target = libc::rlimit { rlim_cur: limit.rlim_max.min(wanted), rlim_max: limit.rlim_max };
        libc::setrlimit(libc::RLIMIT_NOFILE, &target);
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        limit.rlim_cur
    }
}

/// Goes on in a child without terminal; the parent ends. To be called before any thread starts.
pub fn daemonize() -> std::io::Result<()> {
    // SAFETY: single-threaded at this point, so the child of fork may go on with anything.
    unsafe {
        match libc::fork() {
            -1 => return Err(std::io::Error::last_os_error()),
            0 => {}
            _ => libc::_exit(0),
        }
        libc::setsid();
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
        if null >= 0 {
            for fd in 0..3 {
                libc::dup2(null, fd);
            }
            if null > 2 {
                libc::close(null);
            }
        }
    }
    Ok(())
}

/// Asks a child process to end in order.
pub fn terminate(pid: u32) {
    let Ok(pid) = libc::pid_t::try_from(pid) else { return };
    // SAFETY: a call without pointers; a child that hasn't been waited for keeps its number.
    unsafe {
        libc::kill(pid, libc::SIGTERM);
    }
}

/// Stops this process, as a debugger does: it goes on with SIGCONT.
pub fn stop() {
    // SAFETY: a call without pointers.
    unsafe {
        libc::raise(libc::SIGSTOP);
    }
}

/// A broken connection is an error of `write`, not a signal.
pub fn ignore_sigpipe() {
    // SAFETY: installing SIG_IGN has no preconditions.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        libc::signal(libc::SIGHUP, libc::SIG_IGN);
    }
}

/// The kernel's name, release and machine, as INFO's `os` field shows them.
pub fn uname() -> String {
    let read = |name: &str| {
        std::fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap_or_default().trim().to_string()
    };
    format!("{} {} {}", read("ostype"), read("osrelease"), std::env::consts::ARCH)
}

/// A moment as people of this place read it.
pub struct LocalTime {
    since_epoch: std::time::Duration,
    fields: libc::tm,
}

impl LocalTime {
    pub fn now() -> Self {
        let since_epoch =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let seconds = since_epoch.as_secs() as libc::time_t;
        // SAFETY: localtime_r fills the plain data it is given.
        let fields = unsafe {
            let mut fields: libc::tm = std::mem::zeroed();
            libc::localtime_r(&seconds, &mut fields);
            fields
        };
        LocalTime { since_epoch, fields }
    }

    fn clock(&self) -> String {
        let (time, ms) = (&self.fields, self.since_epoch.subsec_millis());
        format!("{:02}:{:02}:{:02}.{ms:03}", time.tm_hour, time.tm_min, time.tm_sec)
    }

    fn month(&self) -> &'static str {
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        MONTHS[self.fields.tm_mon.clamp(0, 11) as usize]
    }

    /// `Nov 22 17:03:01`, as syslog has it; a day before the tenth has a blank in front.
    pub fn syslog(&self) -> String {
        let time = &self.fields;
        let (month, day) = (self.month(), time.tm_mday);
        format!("{month} {day:2} {:02}:{:02}:{:02}", time.tm_hour, time.tm_min, time.tm_sec)
    }

    /// `22 Nov 2026 17:03:01.123`
    pub fn text(&self) -> String {
        let month = self.month();
        format!("{:02} {month} {} {}", self.fields.tm_mday, self.fields.tm_year + 1900, self.clock())
    }

    /// `2026-11-22T17:03:01.123+01:00`
    pub fn iso8601(&self) -> String {
        let (date, offset) = (&self.fields, self.fields.tm_gmtoff / 60);
        let (year, month) = (date.tm_year + 1900, date.tm_mon + 1);
        let sign = if offset < 0 { '-' } else { '+' };
        let (hours, minutes) = (offset.abs() / 60, offset.abs() % 60);
        format!("{year:04}-{month:02}-{:02}T{}{sign}{hours:02}:{minutes:02}", date.tm_mday, self.clock())
    }

    /// Milliseconds since 1970.
    pub fn unix_ms(&self) -> u128 {
        self.since_epoch.as_millis()
    }
}

/// Unpredictable bytes, for secrets: the kernel's random numbers. They have never been refused once the system is up; if
/// they were, the process would be without secrets and ends.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0u8; N];
    // SAFETY: the buffer is ours and its length is given.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), N, 0) };
    assert!(usize::try_from(got) == Ok(N), "the kernel gives no random numbers");
    bytes
}

/// 64 unpredictable bits.
pub fn random_seed() -> u64 {
    let mut seed = [0u8; 8];
    // SAFETY: the buffer is ours and its length is given.
    let got = unsafe { libc::getrandom(seed.as_mut_ptr().cast(), seed.len(), 0) };
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    if got == 8 { u64::from_ne_bytes(seed) } else { clock.as_nanos() as u64 ^ u64::from(std::process::id()) }
}

/// Whether a path is a program that may be started.
pub fn is_executable(path: &str) -> bool {
    use std::os::unix::fs::PermissionsExt;
    const ANYBODY: u32 = 0o111;
    std::fs::metadata(path).is_ok_and(|data| data.is_file() && data.permissions().mode() & ANYBODY != 0)
}

/// Whether a person sees standard output.
pub fn stdout_is_terminal() -> bool {
    use std::io::IsTerminal;
    std::io::stdout().is_terminal()
}

/// Keeps the kernel from giving huge pages, whose first use takes milliseconds, to memory that didn't ask for
/// them. The tables' slabs do ask. Where the kernel gives them to all memory and can't distinguish the two
/// (before 6.18), neither gets them.
pub fn limit_huge_pages() {
    const EXCEPT_ADVISED: libc::c_ulong = 1 << 1;
    let mode = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_default();
    if !mode.contains("[always]") {
        return;
    }
    // SAFETY: the calls take plain numbers and change only a flag of the process.
    unsafe {
        if libc::prctl(libc::PR_SET_THP_DISABLE, 1, EXCEPT_ADVISED, 0, 0) != 0 {
            libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0);
        }
    }
}
