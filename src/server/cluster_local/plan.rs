//! What `--cluster-local` is asked for: how many nodes, where, with which options.

use std::ops::Range;
use std::path::PathBuf;

use crate::base::crc::SLOTS;
use crate::services::cluster::BUS_PORT_OFFSET;

/// The argument that asks for it.
const OPTION: &[u8] = b"--cluster-local";
/// The port of the first node, if none is given.
const FIRST_PORT: u16 = 6379;
/// The directory of the nodes' directories, if none is given.
const DIRECTORY: &str = "redloop-cluster";
const USAGE: &str = "Usage: redloop --cluster-local <primaries> [replicas of each] [--port first] [--dir directory] [options for all nodes]";

/// What is to be started.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::server) struct Plan {
    pub primaries: u16,
    pub replicas: u16,
    pub port: u16,
    pub directory: PathBuf,
    pub options: Vec<String>,
}

/// The plan that the arguments ask for, if they begin with the option; the error is the line for the user.
pub(in crate::server) fn plan(arguments: &[Vec<u8>]) -> Option<Result<Plan, String>> {
    let (first, rest) = arguments.split_first()?;
    (first == OPTION).then(|| parse(rest).ok_or_else(|| USAGE.to_string()).and_then(Plan::check))
}

fn parse(arguments: &[Vec<u8>]) -> Option<Plan> {
    let mut words = arguments.iter().map(|word| String::from_utf8_lossy(word).into_owned()).peekable();
    let primaries = words.next()?.parse().ok()?;
    let replicas = words.next_if(|word| word.parse::<u16>().is_ok());
    let mut plan = Plan {
        primaries,
        replicas: replicas.and_then(|word| word.parse().ok()).unwrap_or(0),
        port: FIRST_PORT,
        directory: PathBuf::from(DIRECTORY),
        options: Vec::new(),
    };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--port" => plan.port = words.next()?.parse().ok()?,
            "--dir" => plan.directory = PathBuf::from(words.next()?),
            _ => plan.options.push(word),
        }
    }
    Some(plan)
}

impl Plan {
    fn check(self) -> Result<Plan, String> {
        let nodes = u32::from(self.primaries) * (1 + u32::from(self.replicas));
        let last = u32::from(self.port) + nodes + u32::from(BUS_PORT_OFFSET);
        if self.primaries == 0 || self.primaries > SLOTS {
            return Err(USAGE.into());
        }
        if self.port == 0 || last > u32::from(u16::MAX) {
            let highest = u32::from(u16::MAX - BUS_PORT_OFFSET).saturating_sub(nodes);
            return Err(format!("The first port must be between 1 and {highest} for {nodes} nodes."));
        }
        Ok(self)
    }

    pub fn nodes(&self) -> u16 {
        self.primaries * (1 + self.replicas)
    }

    /// The ports of the nodes, primaries first.
    pub fn ports(&self) -> Range<u16> {
        self.port..self.port + self.nodes()
    }

    pub fn last_port(&self) -> u16 {
        self.port + self.nodes() - 1
    }

    /// Where the files of a node are.
    pub fn directory_of(&self, port: u16) -> PathBuf {
        self.directory.join(port.to_string())
    }

    /// The value of an option of all nodes.
    pub fn option(&self, name: &str) -> Option<&str> {
        let at = self.options.iter().position(|word| word == name)?;
        self.options.get(at + 1).map(String::as_str)
    }

    /// The slots of a primary: all of the same number, but for one.
    pub fn slots(&self, primary: u16) -> (u16, u16) {
        let at = |number: u16| (u32::from(number) * u32::from(SLOTS) / u32::from(self.primaries)) as u16;
        (at(primary), at(primary + 1) - 1)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn planned(line: &str) -> Option<Result<Plan, String>> {
        let words: Vec<Vec<u8>> = line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        plan(&words)
    }

    #[test]
    fn a_plan_is_read_from_the_arguments() {
        assert_eq!(planned("--port 1"), None);
        let plan = planned("--cluster-local 3 1 --port 7000 --dir /d --appendonly yes").unwrap().unwrap();
        assert_eq!((plan.primaries, plan.replicas, plan.port, plan.nodes()), (3, 1, 7000, 6));
        assert_eq!(
            (plan.directory.as_path(), &plan.options[..]),
            (Path::new("/d"), &["--appendonly".to_string(), "yes".into()][..])
        );
        assert_eq!([0, 1, 2].map(|primary| plan.slots(primary)), [(0, 5460), (5461, 10921), (10922, 16383)]);
        assert_eq!((plan.ports(), plan.last_port()), (7000..7006, 7005));
        assert_eq!((plan.option("--appendonly"), plan.option("--save")), (Some("yes"), None));
        for wrong in ["--cluster-local", "--cluster-local 0", "--cluster-local x", "--cluster-local 3 --port"]
        {
            assert_eq!(planned(wrong), Some(Err(USAGE.into())), "{wrong}");
        }
        assert_eq!(
            planned("--cluster-local 3 --port 60000"),
            Some(Err("The first port must be between 1 and 55532 for 3 nodes.".into()))
        );
    }
}
