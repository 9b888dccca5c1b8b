//! SENTINEL CONFIG and SENTINEL DEBUG: what holds for all primaries.

use std::collections::BTreeSet;

use super::change::reply_when_saved;
use super::{refuse_control_characters, service, word};
use crate::base::{glob, number};
use crate::engine::{ControlCall, Done, Outcome, ServerAction};
use crate::resp::CommandError;
use crate::services::config::SetContext;
use crate::services::sentinel::{MAX_TIME, Settings, TIMING_FIELDS};

/// The parameters, in the order in which CONFIG GET shows them.
const PARAMETERS: [&str; 7] = [
    "resolve-hostnames",
    "announce-hostnames",
    "announce-ip",
    "announce-port",
    "sentinel-user",
    "sentinel-pass",
    "loglevel",
];

fn value_of(settings: &Settings, name: &str) -> String {
    let yes_or_no = |yes: bool| if yes { "yes" } else { "no" }.to_string();
    match name {
        "resolve-hostnames" => yes_or_no(settings.resolve_hostnames),
        "announce-hostnames" => yes_or_no(settings.announce_hostnames),
        "announce-ip" => settings.announce_ip.clone(),
        "announce-port" => settings.announce_port.to_string(),
        "sentinel-user" => settings.auth_user.clone().unwrap_or_default(),
        _ => settings.auth_pass.clone().unwrap_or_default(),
    }
}

/// `SENTINEL CONFIG GET pattern …`, `SENTINEL CONFIG SET name value …`
pub(super) fn config(call: &mut ControlCall<'_>) -> Outcome {
    let word = call.args.at(2);
    if word.eq_ignore_ascii_case(b"set") && call.args.len() >= 5 {
        return config_set(call);
    }
    if word.eq_ignore_ascii_case(b"get") {
        return config_get(call);
    }
    Err(CommandError::text(
        "ERR Only SENTINEL CONFIG GET <param> [<param> <param> ...] / SET <param> <value> [<param> <value> ...] are supported.",
    ))
}

fn config_get(call: &mut ControlCall<'_>) -> Outcome {
    let loglevel = call.engine.config.get_text("loglevel").unwrap_or_default();
    let loglevel = String::from_utf8_lossy(&loglevel).into_owned();
    let settings = service(call)?.settings.clone();
    let mut found: Vec<&str> = Vec::new();
    for pattern in call.args.tail(3).iter() {
        for name in PARAMETERS {
            if glob::matches_ignoring_case(pattern, name.as_bytes()) && !found.contains(&name) {
                found.push(name);
            }
        }
    }
    call.reply.map(found.len());
    for name in found {
        call.reply.bulk(name.as_bytes());
        let value = if name == "loglevel" { loglevel.clone() } else { value_of(&settings, name) };
        call.reply.bulk(value.as_bytes());
    }
    Ok(Done::Replied)
}

/// Checks names and values of CONFIG SET; the names in lower case.
fn checked(words: &[String]) -> Result<Vec<(String, String)>, CommandError> {
    let mut seen = BTreeSet::new();
    let mut pairs = Vec::new();
    for pair in words.chunks(2) {
        let name = pair[0].to_ascii_lowercase();
        if !PARAMETERS.contains(&name.as_str()) {
            return Err(CommandError::new(format!(
                "ERR Invalid argument '{}' to SENTINEL CONFIG SET",
                pair[0]
            )));
        }
        if !seen.insert(name.clone()) {
            return Err(CommandError::new(format!(
                "ERR Duplicate argument '{}' to SENTINEL CONFIG SET",
                pair[0]
            )));
        }
        let Some(value) = pair.get(1) else {
            return Err(CommandError::new(format!("ERR Missing argument '{}' value", pair[0])));
        };
        let is_one_of = |words: &[&str]| words.iter().any(|word| value.eq_ignore_ascii_case(word));
        let is_fine = match name.as_str() {
            "resolve-hostnames" | "announce-hostnames" => is_one_of(&["yes", "no"]),
            "announce-port" => {
                number::parse_i64(value.as_bytes()).is_some_and(|port| u16::try_from(port).is_ok())
            }
            "loglevel" => is_one_of(&["debug", "verbose", "notice", "warning", "nothing"]),
            _ => true,
        };
        if !is_fine {
            return Err(CommandError::new(format!(
                "ERR Invalid value '{value}' to SENTINEL CONFIG SET '{}'",
                pair[0]
            )));
        }
        pairs.push((name, value.clone()));
    }
    Ok(pairs)
}

fn config_set(call: &mut ControlCall<'_>) -> Outcome {
    let words: Vec<String> = (3..call.args.len()).map(|index| word(call, index)).collect();
    for at in (0..words.len()).filter(|at| words[*at].eq_ignore_ascii_case("sentinel-pass")) {
        if at + 1 < words.len() {
            call.engine.redact(3 + at + 1);
        }
    }
    refuse_control_characters(call, 3, "SENTINEL CONFIG SET")?;
    let mut reconnects = false;
    for (name, value) in checked(&words)? {
        if name == "loglevel" {
            set_loglevel(call, &value);
            continue;
        }
        let settings = &mut service(call)?.settings;
        let is_yes = value.eq_ignore_ascii_case("yes");
        let text = Some(value.clone()).filter(|text| !text.is_empty());
        match name.as_str() {
            "resolve-hostnames" => settings.resolve_hostnames = is_yes,
            "announce-hostnames" => settings.announce_hostnames = is_yes,
            "announce-ip" => settings.announce_ip = value,
            "announce-port" => settings.announce_port = value.parse().unwrap_or_default(),
            "sentinel-user" => settings.auth_user = text,
            _ => settings.auth_pass = text,
        }
        reconnects |= name.starts_with("sentinel-");
    }
    if reconnects {
        service(call)?.drop_sentinel_links();
    }
    reply_when_saved(call)
}

fn set_loglevel(call: &mut ControlCall<'_>, value: &str) {
    let before = call.engine.config.clone();
    let mut config = before.clone();
    // The value has been checked.
    if let Ok(changed) = config.set_many(&[(b"loglevel", value.as_bytes())], SetContext::default()) {
        call.engine.configure(config);
        let before = Box::new(before);
        call.engine.actions.push_back(ServerAction::ConfigChanged {
            client: None,
            before,
            changed,
            in_exec: false,
        });
    }
}

/// `SENTINEL DEBUG [name ms …]`
pub(super) fn debug(call: &mut ControlCall<'_>) -> Outcome {
    if call.args.len() == 2 {
        let mut timing = service(call)?.timing.clone();
        call.reply.map(TIMING_FIELDS.len());
        for (name, field) in TIMING_FIELDS {
            call.reply.bulk(name.as_bytes());
            call.reply.bulk_integer(*field(&mut timing) as i64);
        }
        return Ok(Done::Replied);
    }
    let words: Vec<String> = (2..call.args.len()).map(|index| word(call, index)).collect();
    for pair in words.chunks(2) {
        let known = TIMING_FIELDS.iter().find(|(name, _)| name.eq_ignore_ascii_case(&pair[0]));
        let (Some((_, field)), Some(value)) = (known, pair.get(1)) else {
            return Err(CommandError::new(format!(
                "ERR Unknown option or number of arguments for SENTINEL DEBUG '{}'",
                pair[0]
            )));
        };
        let Some(ms) = number::parse_i64(value.as_bytes()).filter(|ms| *ms > 0) else {
            return Err(CommandError::new(format!(
                "ERR Invalid argument '{value}' for SENTINEL DEBUG '{}'",
                pair[0]
            )));
        };
        *field(&mut service(call)?.timing) = (ms as u64).min(MAX_TIME);
    }
    call.reply.ok();
    Ok(Done::Replied)
}
