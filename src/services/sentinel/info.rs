//! INFO of a monitored instance: the fields that Sentinel looks at.

use super::instance::Role;
use crate::base::number;

/// What an instance's INFO says. Fields that are not in it are `None`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub run_id: Option<String>,
    pub role: Option<Role>,
    /// Hosts and ports of the replicas that a primary has.
    pub replicas: Vec<(String, i64)>,
    pub link_down_ms: u64,
    pub primary_host: Option<String>,
    pub primary_port: Option<i64>,
    pub is_link_up: Option<bool>,
    pub priority: Option<i64>,
    pub offset: Option<u64>,
    pub is_announced: Option<bool>,
    /// Valkey's `master_failover_state`: whether a FAILOVER is going on.
    pub failover: Option<bool>,
}

/// The most replicas of a primary that are looked at.
pub const MAX_REPLICAS: usize = 1024;
/// Digits of a run id.
const RUN_ID: usize = 40;

/// The leading integer of a text, as C's `atoi` reads it.
pub fn leading_integer(text: &[u8]) -> i64 {
    let blank = text.iter().take_while(|byte| number::is_c_space(**byte)).count();
    let text = &text[blank..];
    let sign = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let digits = text[sign..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let value = text[sign..sign + digits]
        .iter()
        .fold(0i64, |value, digit| value.saturating_mul(10).saturating_add(i64::from(digit - b'0')));
    if text.first() == Some(&b'-') { -value } else { value }
}

/// The leading unsigned integer of a text, as C's `strtoull` reads it.
pub fn leading_unsigned(text: &[u8]) -> u64 {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0u64, |value, digit| value.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The value after `name` in a list like `ip=10.0.0.1,port=6379`.
fn part<'a>(list: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    list.split(|byte| *byte == b',').find_map(|part| part.strip_prefix(name))
}

/// Host and port of a `slave0:` line; before Redis 2.8 they stood without names.
fn replica(list: &[u8]) -> Option<(String, i64)> {
    if let Some(host) = part(list, b"ip=") {
        return Some((text(host), leading_integer(part(list, b"port=")?)));
    }
    let mut parts = list.split(|byte| *byte == b',');
    let (host, port) = (parts.next()?, parts.next()?);
    parts.next()?;
    Some((text(host), leading_integer(port)))
}

impl Report {
    pub fn parse(info: &[u8]) -> Report {
        let mut report = Report::default();
        for line in info.split(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if let Some(colon) = memchr::memchr(b':', line) {
                report.read(&line[..colon], &line[colon + 1..]);
            }
        }
        report
    }

    fn read(&mut self, name: &[u8], value: &[u8]) {
        match name {
            b"run_id" if value.len() >= RUN_ID => self.run_id = Some(text(&value[..RUN_ID])),
            b"role" if value.starts_with(b"master") => self.role = Some(Role::Primary),
            b"role" if value.starts_with(b"slave") => self.role = Some(Role::Replica),
            b"master_link_down_since_seconds" => {
                self.link_down_ms = u64::try_from(leading_integer(value)).unwrap_or(0).saturating_mul(1000);
            }
            b"master_host" => self.primary_host = Some(text(value)),
            b"master_port" => self.primary_port = Some(leading_integer(value)),
            b"master_link_status" => self.is_link_up = Some(value.eq_ignore_ascii_case(b"up")),
            b"slave_priority" => self.priority = Some(leading_integer(value)),
            b"slave_repl_offset" => self.offset = Some(leading_unsigned(value)),
            b"replica_announced" => self.is_announced = Some(leading_integer(value) != 0),
            b"master_failover_state" => self.failover = Some(!value.eq_ignore_ascii_case(b"no-failover")),
            _ => {
                let number = name.strip_prefix(b"slave").and_then(<[u8]>::first);
                if number.is_some_and(u8::is_ascii_digit) && self.replicas.len() < MAX_REPLICAS {
                    self.replicas.extend(replica(value));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_primary() {
        let info = b"# Server\r\nrun_id:0123456789012345678901234567890123456789\r\n\r\n# Replication\r\nrole:master\r\nconnected_slaves:2\r\n\
            slave0:ip=10.0.0.2,port=6380,state=online,offset=14,lag=0\r\nslave1:10.0.0.3,6381,online\r\nslave2:10.0.0.4\r\nmaster_failover_state:no-failover\r\n";
        let report = Report::parse(info);
        assert_eq!(report.role, Some(Role::Primary));
        assert_eq!(report.run_id.as_deref(), Some("0123456789012345678901234567890123456789"));
        assert_eq!(report.replicas, [("10.0.0.2".to_string(), 6380), ("10.0.0.3".to_string(), 6381)]);
        assert_eq!(report.failover, Some(false));
    }

    #[test]
    fn fields_of_a_replica() {
        let info = b"role:slave\r\nmaster_host:10.0.0.1\r\nmaster_port:6379\r\nmaster_link_status:down\r\nmaster_link_down_since_seconds:7\r\n\
            slave_repl_offset:99\r\nslave_priority:50\r\nreplica_announced:0\r\n";
        let report = Report::parse(info);
        assert_eq!(report.role, Some(Role::Replica));
        assert_eq!((report.primary_host.as_deref(), report.primary_port), (Some("10.0.0.1"), Some(6379)));
        assert_eq!((report.is_link_up, report.link_down_ms), (Some(false), 7000));
        assert_eq!((report.offset, report.priority, report.is_announced), (Some(99), Some(50), Some(false)));
        let never = Report::parse(b"role:slave\nmaster_link_down_since_seconds:-1\n");
        assert_eq!(never.link_down_ms, 0);
    }

    #[test]
    fn numbers_are_read_as_far_as_they_go() {
        assert_eq!((leading_integer(b" -12x"), leading_integer(b"x"), leading_unsigned(b"7,8")), (-12, 0, 7));
        assert_eq!(leading_unsigned(b"99999999999999999999999"), u64::MAX);
    }
}
