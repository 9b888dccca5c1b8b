//! Checks of the machine (`--check-system`, and warnings at the start): what of the kernel's settings is in the way, and the
//! command that mends it.

use super::apply_config::wanted_files;
use crate::services::config::Config;
use crate::sys::process;

/// Clock sources that are read without a system call.
const FAST_CLOCKS: [&str; 4] = ["tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page"];
/// The first kernel that can keep huge pages from all memory but what asks for them.
const EXCEPTS_ADVISED: (u32, u32) = (6, 18);
const CLOCKS: &str = "/sys/devices/system/clocksource/clocksource0";
const THP: &str = "/sys/kernel/mm/transparent_hugepage/enabled";
/// Above this the kernel swaps data out to have more room for files.
const GENTLE_SWAPPINESS: u64 = 10;

/// What the checks are about; nothing of what can't be found out.
#[derive(Clone, Debug, Default)]
struct Facts {
    kernel: Option<(u32, u32)>,
    clock: Option<String>,
    clocks: String,
    overcommit: Option<u64>,
    huge_pages: Option<String>,
    disable_thp: bool,
    somaxconn: Option<u64>,
    backlog: u64,
    file_limit: u64,
    files_wanted: u64,
    maxclients: u32,
    swap_kib: Option<u64>,
    swappiness: Option<u64>,
    maxmemory: u64,
    memory: u64,
}

/// What a check came to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Finding {
    Fine,
    /// It couldn't be made.
    Skipped,
    /// What is wrong, and what mends it.
    Wrong {
        what: String,
        remedy: String,
    },
}

/// A check: its name, its finding, and whether it belongs into the log of a start.
struct Check {
    name: &'static str,
    finding: Finding,
    at_start: bool,
}

fn wrong(what: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding::Wrong { what: what.into(), remedy: remedy.into() }
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|text| text.trim().to_string())
}

fn read_number(path: &str) -> Option<u64> {
    read(path)?.parse().ok()
}

/// `6.18.4-arch1` is 6 and 18.
fn kernel_version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|word| word.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}

impl Facts {
    /// Of this machine and a configuration. `raises_limit`: tries whether enough files may be opened.
    fn gather(config: &Config, raises_limit: bool) -> Facts {
        let swap = read("/proc/meminfo").and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("SwapTotal:"))?;
            line.split_whitespace().nth(1)?.parse().ok()
        });
        let files_wanted = wanted_files(config.maxclients);
        Facts {
            kernel: read("/proc/sys/kernel/osrelease").as_deref().and_then(kernel_version),
            clock: read(&format!("{CLOCKS}/current_clocksource")),
            clocks: read(&format!("{CLOCKS}/available_clocksource")).unwrap_or_default(),
            overcommit: read_number("/proc/sys/vm/overcommit_memory"),
            huge_pages: read(THP),
            disable_thp: config.disable_thp,
            somaxconn: read_number("/proc/sys/net/core/somaxconn"),
            backlog: u64::from(config.tcp_backlog),
            file_limit: if raises_limit { process::raise_open_files(files_wanted) } else { files_wanted },
            files_wanted,
            maxclients: config.maxclients,
            swap_kib: swap,
            swappiness: read_number("/proc/sys/vm/swappiness"),
            maxmemory: config.maxmemory,
            memory: process::total_memory() as u64,
        }
    }

    fn checks(&self) -> Vec<Check> {
        let check = |name, at_start, finding| Check { name, at_start, finding };
        vec![
            check("clocksource", true, self.clock_source()),
            check("overcommit", true, self.overcommit()),
            check("THP", true, self.huge_pages()),
            check("somaxconn", true, self.backlog()),
            check("open-files", false, self.open_files()),
            check("swap", false, self.swap()),
            check("maxmemory", true, self.memory()),
        ]
    }

    fn clock_source(&self) -> Finding {
        let Some(clock) = &self.clock else { return Finding::Skipped };
        if FAST_CLOCKS.contains(&clock.as_str()) {
            return Finding::Fine;
        }
        let better = FAST_CLOCKS.iter().find(|fast| self.clocks.split(' ').any(|found| found == **fast));
        let remedy = match better {
            Some(fast) => format!(
                "echo {fast} > {CLOCKS}/current_clocksource   (for good: clocksource={fast} on the kernel's command line)"
            ),
            None => "there is no faster one on this machine".into(),
        };
        wrong(
            format!("The clock source is '{clock}', which takes a system call each time the clock is read"),
            remedy,
        )
    }

    fn overcommit(&self) -> Finding {
        match self.overcommit {
            None => Finding::Skipped,
            // Saving forks no process, so memory is never counted twice.
            Some(0 | 1) => Finding::Fine,
            Some(_) => wrong(
                "Memory is accounted strictly (vm.overcommit_memory = 2): it may be refused while there is some, and the process ends",
                "sysctl -w vm.overcommit_memory=1   (for good: in /etc/sysctl.d/)",
            ),
        }
    }

    fn huge_pages(&self) -> Finding {
        let remedy = format!(
            "echo madvise > {THP}   (for good: transparent_hugepage=madvise on the kernel's command line)"
        );
        let Some(mode) = &self.huge_pages else { return Finding::Skipped };
        if mode.contains("[never]") {
            return wrong(
                "Huge pages are off: large tables, which ask for them, lie on small ones, which makes lookups slower",
                remedy,
            );
        }
        if !mode.contains("[always]") {
            return Finding::Fine;
        }
        match (self.disable_thp, self.kernel) {
            (false, _) => wrong(
                "All memory gets huge pages, and 'disable-thp no' leaves it so: a write may wait for one to be zeroed",
                remedy,
            ),
            (true, Some(kernel)) if kernel >= EXCEPTS_ADVISED => Finding::Fine,
            (true, _) => wrong(
                "All memory would get huge pages, and this kernel can't except the large tables: the server turns them off for both",
                remedy,
            ),
        }
    }

    fn backlog(&self) -> Finding {
        let backlog = self.backlog;
        match self.somaxconn {
            None => Finding::Skipped,
            Some(most) if most >= backlog => Finding::Fine,
            Some(most) => wrong(
                format!(
                    "The TCP backlog setting of {backlog} cannot be enforced because /proc/sys/net/core/somaxconn is set to the lower value of {most}."
                ),
                format!("sysctl -w net.core.somaxconn={backlog}   (for good: in /etc/sysctl.d/)"),
            ),
        }
    }

    fn open_files(&self) -> Finding {
        let (limit, wanted) = (self.file_limit, self.files_wanted);
        if limit >= wanted {
            return Finding::Fine;
        }
        wrong(
            format!(
                "{} clients (maxclients) need {wanted} open files, and {limit} are allowed",
                self.maxclients
            ),
            format!("ulimit -n {wanted}   (for a service: LimitNOFILE={wanted} in its unit)"),
        )
    }

    fn swap(&self) -> Finding {
        match (self.swap_kib, self.swappiness) {
            (None, _) | (Some(1..), None) => Finding::Skipped,
            (Some(0), _) => Finding::Fine,
            (_, Some(swappiness)) if swappiness <= GENTLE_SWAPPINESS => Finding::Fine,
            (_, Some(swappiness)) => wrong(
                format!(
                    "Data that isn't used for a while may be swapped out for the sake of files (vm.swappiness = {swappiness}), and the whole server waits while it is read back"
                ),
                "sysctl -w vm.swappiness=1   (for good: in /etc/sysctl.d/)",
            ),
        }
    }

    fn memory(&self) -> Finding {
        if self.maxmemory <= self.memory {
            return Finding::Fine;
        }
        wrong(
            format!(
                "'maxmemory' is {} bytes, more than the {} that the machine has",
                self.maxmemory, self.memory
            ),
            format!("CONFIG SET maxmemory {}", self.memory / 10 * 8),
        )
    }
}

/// `--check-system`: prints all checks; 1 if one found something.
pub(super) fn run(config: &Config, print: impl FnOnce(&str) -> i32) -> i32 {
    let checks = Facts::gather(config, true).checks();
    let mut page = String::new();
    for check in &checks {
        let finding = match &check.finding {
            Finding::Fine => "OK\n".to_string(),
            Finding::Skipped => "skipped\n".into(),
            Finding::Wrong { what, remedy } => format!("WARNING:\n{what}\n  mend it: {remedy}\n"),
        };
        page.push_str(&format!("[{}]...{finding}", check.name));
    }
    let is_wrong = checks.iter().any(|check| matches!(check.finding, Finding::Wrong { .. }));
    i32::from(print(&page) != 0 || is_wrong)
}

/// Logs what a start should tell.
pub(super) fn warn(config: &Config) {
    for check in Facts::gather(config, false).checks() {
        if let Finding::Wrong { what, remedy } = check.finding
            && check.at_start
        {
            log::warn!("WARNING: {what} To mend it: {remedy}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Facts {
        Facts {
            kernel: Some((6, 1)),
            clock: Some("tsc".into()),
            clocks: "tsc hpet".into(),
            overcommit: Some(0),
            huge_pages: Some("always [madvise] never".into()),
            disable_thp: true,
            somaxconn: Some(4096),
            backlog: 511,
            file_limit: 20_000,
            files_wanted: 10_064,
            maxclients: 10_000,
            swap_kib: Some(0),
            swappiness: Some(60),
            maxmemory: 0,
            memory: 1 << 30,
        }
    }

    /// The names of checks that found something, with their remedies.
    fn found(facts: &Facts) -> String {
        let checks = facts.checks().into_iter();
        let found = checks.filter_map(|check| match check.finding {
            Finding::Wrong { remedy, .. } => Some(format!("{}: {remedy}", check.name)),
            Finding::Skipped => Some(format!("{} skipped", check.name)),
            Finding::Fine => None,
        });
        found.collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn each_setting_has_its_remedy() {
        assert_eq!(found(&good()), "");
        let begins = |facts: Facts, start: &str| {
            assert!(found(&facts).starts_with(start), "{}", found(&facts));
        };
        let slow = |clocks: &str| Facts { clock: Some("xen".into()), clocks: clocks.into(), ..good() };
        begins(slow("xen tsc"), "clocksource: echo tsc > /sys/devices");
        begins(slow("xen"), "clocksource: there is no faster one");
        begins(Facts { overcommit: Some(2), ..good() }, "overcommit: sysctl -w vm.overcommit_memory=1");
        begins(Facts { somaxconn: Some(128), ..good() }, "somaxconn: sysctl -w net.core.somaxconn=511");
        begins(Facts { file_limit: 1024, ..good() }, "open-files: ulimit -n 10064");
        begins(Facts { swap_kib: Some(4096), ..good() }, "swap: sysctl -w vm.swappiness=1");
        begins(Facts { maxmemory: 2 << 30, ..good() }, "maxmemory: CONFIG SET maxmemory 858993456");
        assert_eq!(found(&Facts { swap_kib: Some(4096), swappiness: Some(10), ..good() }), "");
        let unknown = Facts { clock: None, huge_pages: None, overcommit: None, somaxconn: None, ..good() };
        assert_eq!(
            found(&unknown),
            "clocksource skipped; overcommit skipped; THP skipped; somaxconn skipped"
        );
    }

    #[test]
    fn huge_pages_depend_on_the_kernel() {
        let is_found = |mode: &str, kernel, disable_thp| {
            let facts = Facts { huge_pages: Some(mode.into()), kernel, disable_thp, ..good() };
            found(&facts).starts_with("THP: echo madvise >")
        };
        let (always, never) = ("[always] madvise never", "always madvise [never]");
        assert!(is_found(always, Some((6, 17)), true) && is_found(always, None, true));
        assert!(!is_found(always, Some((6, 18)), true) && !is_found(always, Some((7, 0)), true));
        assert!(is_found(always, Some((6, 18)), false) && is_found(never, Some((6, 18)), true));
        assert_eq!(kernel_version("6.18.44-fc-v782"), Some((6, 18)));
        assert_eq!((kernel_version("7.1-rc3"), kernel_version("x")), (Some((7, 1)), None));
    }
}
