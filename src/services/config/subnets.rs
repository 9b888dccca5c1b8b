//! `priority-subnets`: a list of addresses and CIDR blocks, separated by commas or blanks.

use std::net::IpAddr;

use ipnet::IpNet;

use super::setting::{InvalidValue, Rule, Setting, quoted, single, utf8};

/// Addresses of clients that may take a reserved place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subnets {
    /// As it was written.
    text: String,
    blocks: Vec<IpNet>,
}

impl Subnets {
    /// The most blocks: each new client is compared with all.
    const MOST: usize = 1024;

    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Whether an address is in one of the blocks. An IPv4 address written as an IPv6 one is the same address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.blocks.iter().any(|block| block.contains(&address))
    }
}

fn parse_block(word: &str) -> Option<IpNet> {
    match word.contains('/') {
        true => word.parse().ok(),
        false => word.parse::<IpAddr>().ok().map(IpNet::from),
    }
}

impl Setting for Subnets {
    fn assign(&mut self, words: &[Vec<u8>], _rule: &Rule) -> Result<(), InvalidValue> {
        let text = utf8(single(words)?)?;
        let words = text.split([',', ' ', '\t']).filter(|word| !word.is_empty());
        let blocks: Option<Vec<IpNet>> = words.take(Self::MOST + 1).map(parse_block).collect();
        let blocks = blocks.ok_or("Invalid IP address or CIDR subnet in priority-subnets")?;
        if blocks.len() > Self::MOST {
            return Err(format!("priority-subnets takes {} subnets at most", Self::MOST).into());
        }
        *self = Subnets { text: text.into(), blocks };
        Ok(())
    }

    fn to_get(&self, _rule: &Rule) -> Vec<u8> {
        self.text.as_bytes().to_vec()
    }

    fn to_file(&self, _rule: &Rule) -> Vec<u8> {
        quoted(self.text.as_bytes())
    }

    fn domain(&self, _rule: &Rule) -> String {
        "addresses and CIDR blocks, separated by commas or blanks".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnets(text: &str) -> Result<Subnets, InvalidValue> {
        let mut subnets = Subnets::default();
        subnets.assign(&[text.as_bytes().to_vec()], &Rule::Any).map(|()| subnets)
    }

    #[test]
    fn lists_of_blocks() {
        let holds = |list: &str, address: &str| {
            subnets(list).expect("a list").contains(address.parse().expect("an address"))
        };
        assert!(holds("10.0.0.0/8, 127.0.0.1", "127.0.0.1"));
        assert!(holds("10.0.0.0/8\t127.0.0.1", "10.255.0.1"));
        assert!(!holds("10.0.0.0/8,127.0.0.1", "127.0.0.2"));
        // A block is what its first bits say, whatever follows.
        assert!(holds("192.168.7.9/16", "192.168.1.1"));
        assert!(holds("2001:db8::/32", "2001:db8:1::7") && !holds("2001:db8::/32", "2001:db9::1"));
        assert!(holds("10.0.0.0/8", "::ffff:10.1.2.3"));
        assert!(subnets("").is_ok_and(|none| none.is_empty()));
        assert_eq!(
            subnets("a, ::1").map(|_| ()),
            Err("Invalid IP address or CIDR subnet in priority-subnets".into())
        );
        assert!(
            subnets("127.0.0.1/99").is_err() && subnets("invalid/24").is_err() && subnets("1.2.3").is_err()
        );
        assert!(subnets(&"1.1.1.1 ".repeat(1024)).is_ok() && subnets(&"1.1.1.1 ".repeat(1025)).is_err());
        let same = subnets("10.0.0.0/8, ::1").expect("a list");
        assert_eq!(same.to_get(&Rule::Any), b"10.0.0.0/8, ::1");
        assert_eq!(same.to_file(&Rule::Any), b"\"10.0.0.0/8, ::1\"");
    }
}
