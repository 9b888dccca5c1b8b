//! Checks of string directives: file names, announced host names, the process title template and the like.

const MAX_HOSTNAME: usize = 256;
const MAX_IP: usize = 46;
const MAX_HASH_SEED: usize = 256;

type Verdict = Result<(), &'static str>;

fn is_base_name(text: &str) -> bool {
    !text.contains(['/', '\\'])
}

pub fn dbfilename(text: &str) -> Verdict {
    match () {
        () if text.is_empty() => Err("dbfilename can't be empty"),
        () if !is_base_name(text) => Err("dbfilename can't be a path, just a filename"),
        () => Ok(()),
    }
}

pub fn appendfilename(text: &str) -> Verdict {
    match () {
        () if text.is_empty() => Err("appendfilename can't be empty"),
        () if !is_base_name(text) => Err("appendfilename can't be a path, just a filename"),
        () => Ok(()),
    }
}

pub fn appenddirname(text: &str) -> Verdict {
    match () {
        () if text.is_empty() => Err("appenddirname can't be empty"),
        () if !is_base_name(text) => Err("appenddirname can't be a path, just a dirname"),
        () => Ok(()),
    }
}

pub fn cluster_config_file(text: &str) -> Verdict {
    if text.is_empty() { Err("cluster-config-file can't be empty") } else { Ok(()) }
}

/// Whether a text can be a word's part in `nodes.conf` and the replies (`isValidAuxString` of Valkey).
fn is_aux_text(text: &str) -> bool {
    text.bytes().all(|byte| byte > b',' && byte != 0x7f && !b";<=>?@[]^{|}~\\".contains(&byte))
}

pub fn announced_nodename(text: &str) -> Verdict {
    if is_aux_text(text) { Ok(()) } else { Err("Announced human node name contained invalid character") }
}

pub fn announced_ip(text: &str) -> Verdict {
    match () {
        () if text.len() >= MAX_IP => Err("cluster-announce-ip is too long"),
        () if !is_aux_text(text) => Err("cluster-announce-ip contains invalid character"),
        () => Ok(()),
    }
}

pub fn announced_hostname(text: &str) -> Verdict {
    let is_host_byte = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    match () {
        () if text.len() >= MAX_HOSTNAME => Err("Hostnames must be less than 256 characters"),
        () if !text.bytes().all(is_host_byte) => {
            Err("Hostnames may only contain alphanumeric characters, hyphens or dots")
        }
        () => Ok(()),
    }
}

pub fn ipv4(text: &str) -> Verdict {
    match text.is_empty() || text.parse::<std::net::Ipv4Addr>().is_ok() {
        true => Ok(()),
        false => Err("Invalid IPv4 address"),
    }
}

pub fn ipv6(text: &str) -> Verdict {
    match text.is_empty() || text.parse::<std::net::Ipv6Addr>().is_ok() {
        true => Ok(()),
        false => Err("Invalid IPv6 address"),
    }
}

pub fn hash_seed(text: &str) -> Verdict {
    match text.len() <= MAX_HASH_SEED {
        true => Ok(()),
        false => Err("hash-seed must be less than or equal to 256 characters"),
    }
}

/// A template of the process title: its variables must be known, and its result not empty.
pub fn title_template(text: &str) -> Verdict {
    let sample = |variable: &str| match variable {
        "title" | "server-mode" | "unixsocket" => Some(""),
        "listen-addr" => Some("*:6379"),
        "config-file" => Some("-"),
        "port" | "tls-port" => Some("0"),
        _ => None,
    };
    match expand_title(text, sample) {
        Some(title) if !title.trim_matches(' ').is_empty() => Ok(()),
        _ => Err("template format is invalid or contains unknown variables"),
    }
}

/// Replaces each `{variable}`; `{{` is a brace. `None` if a variable is unknown or not closed.
pub fn expand_title<'v>(template: &str, value: impl Fn(&str) -> Option<&'v str>) -> Option<String> {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('{') {
            out.push('{');
            rest = after;
            continue;
        }
        let (variable, after) = after.split_once('}')?;
        out.push_str(value(variable)?);
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names() {
        assert!(dbfilename("dump.rdb").is_ok() && dbfilename("").is_err() && dbfilename("a/b").is_err());
        assert!(appendfilename("").is_err() && appenddirname("x/").is_err());
    }

    #[test]
    fn announced() {
        assert!(announced_hostname("a-b.example").is_ok() && announced_hostname("").is_ok());
        assert!(announced_hostname("a_b").is_err() && announced_hostname(&"a".repeat(256)).is_err());
        assert!(announced_nodename("shard-1:east").is_ok() && announced_nodename("a b").is_err());
        assert!(announced_ip("::1").is_ok() && announced_ip("10.0.0.1;").is_err());
        assert!(ipv4("").is_ok() && ipv4("1.2.3.4").is_ok() && ipv4("1.2.3").is_err());
        assert!(ipv6("::1").is_ok() && ipv6("1.2.3.4").is_err());
    }

    #[test]
    fn templates() {
        assert!(title_template("{title} {listen-addr} {server-mode}").is_ok());
        assert!(title_template("--my--title--template").is_ok());
        for bad in ["", "  ", "{title}", "{", "{titel}", "x {port"] {
            assert!(title_template(bad).is_err(), "{bad}");
        }
        assert_eq!(expand_title("a{{b{x}", |_| Some("1")).as_deref(), Some("a{b1"));
    }
}
