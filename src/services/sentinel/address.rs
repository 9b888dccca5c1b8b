//! Addresses of instances: the host as it was given, the IP address once it is known, the port.
//!
//! Names are resolved where links are opened. Until the first connection an instance that was given by a name has no IP address
//! and is known by its name.

use std::net::IpAddr;

/// Where an instance listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// A name or an IP address.
    pub host: String,
    /// Empty while it isn't known.
    pub ip: String,
    pub port: u16,
}

/// Why a host and a port are no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// A name, where names are not allowed (`resolve-hostnames no`), or none at all.
    Host,
    Port,
}

/// The IP address that a text is, in its usual form.
pub fn parse_ip(host: &str) -> Option<String> {
    host.parse::<IpAddr>().ok().map(|ip| ip.to_string())
}

/// The longest name of a host (RFC 1035).
const MAX_HOST: usize = 253;

fn is_host_name(host: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:%".contains(&byte);
    !host.is_empty() && host.len() <= MAX_HOST && host.bytes().all(is_part)
}

impl Address {
    /// The address of a host; names only if `names_allowed`.
    pub fn new(host: &str, port: i64, names_allowed: bool) -> Result<Address, AddressError> {
        let port = u16::try_from(port).map_err(|_| AddressError::Port)?;
        let ip = match parse_ip(host) {
            Some(ip) => ip,
            None if names_allowed && is_host_name(host) => String::new(),
            None => return Err(AddressError::Host),
        };
        Ok(Address { host: host.to_string(), ip, port })
    }

    /// As others are told of it.
    pub fn announced(&self, by_name: bool) -> &str {
        if by_name || self.ip.is_empty() { &self.host } else { &self.ip }
    }

    /// `host:port`, an IPv6 address in brackets.
    pub fn with_port(&self, by_name: bool) -> String {
        let host = self.announced(by_name);
        if host.contains(':') { format!("[{host}]:{}", self.port) } else { format!("{host}:{}", self.port) }
    }

    /// Whether both are the same place, by IP address or by name.
    pub fn is_same(&self, other: &Address) -> bool {
        self.port == other.port
            && ((!self.ip.is_empty() && self.ip == other.ip) || self.host.eq_ignore_ascii_case(&other.host))
    }

    /// Whether a host, as another sentinel or server names it, is this one's.
    pub fn is_host(&self, host: &str) -> bool {
        let ip = parse_ip(host);
        ip.is_some_and(|ip| ip == self.ip) || self.host.eq_ignore_ascii_case(host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_an_address_only_where_names_are_allowed() {
        assert_eq!(Address::new("primary.example", 6379, false), Err(AddressError::Host));
        assert_eq!(Address::new("10.0.0.1", 65536, true), Err(AddressError::Port));
        assert_eq!(Address::new("10.0.0.1", -1, true), Err(AddressError::Port));
        assert_eq!(Address::new("a b", 1, true), Err(AddressError::Host));
        let named = Address::new("Primary.example", 6379, true).expect("a name");
        assert_eq!((named.ip.as_str(), named.announced(false)), ("", "Primary.example"));
        let resolved = Address { ip: "10.0.0.1".into(), ..named.clone() };
        assert_eq!((resolved.announced(false), resolved.announced(true)), ("10.0.0.1", "Primary.example"));
        assert!(named.is_same(&resolved) && named.is_host("primary.EXAMPLE") && resolved.is_host("10.0.0.1"));
        let other = Address::new("other.example", 6379, true).expect("a name");
        assert!(!other.is_same(&named), "two names without addresses are not the same");
    }

    #[test]
    fn ipv6_addresses_are_in_their_usual_form_and_bracketed() {
        let address = Address::new("0:0:0:0:0:0:0:1", 6379, false).expect("an address");
        assert_eq!((address.ip.as_str(), address.with_port(false).as_str()), ("::1", "[::1]:6379"));
        assert!(address.is_host("::1"));
    }
}
