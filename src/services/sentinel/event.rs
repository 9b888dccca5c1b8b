//! Events: lines for the log and messages on channels, of the same names as Redis's (`sentinelEvent`).

use super::ids::InstanceId;
use super::instance::Kind;
use super::{Action, Sentinel};

/// How important an event is; what is below a notice is only logged, a warning runs the notification script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Debug,
    Verbose,
    Notice,
    Warning,
}

/// The longest text of an event, bytes.
const MAX_TEXT: usize = 1024;

impl Sentinel {
    /// `slave 10.0.0.2:6379 10.0.0.2 6379 @ mymaster 10.0.0.1 6379`.
    pub(super) fn describe(&self, id: InstanceId) -> String {
        let by_name = self.settings.announce_hostnames;
        let one = |id: InstanceId| {
            let instance = self.at(id);
            let address = &instance.address;
            format!("{} {} {}", instance.name, address.announced(by_name), address.port)
        };
        let instance = self.at(id);
        let text = format!("{} {}", instance.kind.name(), one(id));
        match instance.kind {
            Kind::Primary => text,
            Kind::Replica | Kind::Sentinel => {
                format!("{text} @ {}", one(self.group(&instance.group).primary))
            }
        }
    }

    /// An event about an instance; its description comes before the text.
    pub(super) fn event(&mut self, level: Level, name: &'static str, id: InstanceId, text: &str) {
        let mut message = self.describe(id);
        if !text.is_empty() {
            message.push(' ');
            message.push_str(text);
        }
        self.event_text(level, name, Some(id), message);
    }

    /// An event with a text of its own.
    pub(super) fn event_text(
        &mut self,
        level: Level,
        name: &'static str,
        id: Option<InstanceId>,
        mut message: String,
    ) {
        message.truncate(message.floor_char_boundary(MAX_TEXT));
        if level == Level::Warning
            && let Some(id) = id
            && let Some(script) = self.group(&self.at(id).group).notification_script.clone()
        {
            self.scripts.schedule(vec![script, name.to_string(), message.clone()]);
        }
        self.actions.push_back(Action::Event { level, name, message });
    }

    /// A line for the log only.
    pub(super) fn log(&mut self, level: Level, text: String) {
        self.actions.push_back(Action::Log { level, text });
    }

    /// Runs the script that tells clients of a group's new primary.
    pub(super) fn run_reconfig_script(
        &mut self,
        group: &str,
        role: &str,
        from: &[String; 2],
        to: &[String; 2],
    ) {
        let Some(script) = self.group(group).client_reconfig_script.clone() else { return };
        let words = [&script, group, role, "start", &from[0], &from[1], &to[0], &to[1]];
        self.scripts.schedule(words.iter().map(|word| (*word).to_string()).collect());
    }
}
