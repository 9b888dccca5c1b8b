//! Process title (`set-proc-title`, `proc-title-template`): what `ps` shows of the server.

use crate::services::config::{Config, expand_title};
use crate::sys::title::Title;

/// The title, with what of it doesn't come from the configuration.
pub struct ProcessTitle {
    /// `None`: the process keeps the title it was started with.
    memory: Option<Title>,
    /// The program's name as it was started.
    program: String,
    config_file: String,
}

impl ProcessTitle {
    /// To be called before any thread starts.
    pub fn new(config: &Config, config_file: &str) -> Self {
        let program = std::env::args_os().next().unwrap_or_default().to_string_lossy().into_owned();
        let memory = if config.set_proc_title { Title::claim() } else { None };
        ProcessTitle { memory, program, config_file: config_file.to_string() }
    }

    /// Shows what the configuration says.
    pub fn apply(&mut self, config: &Config) {
        let Some(memory) = &mut self.memory else { return };
        let (port, tls_port) = (config.port.to_string(), config.tls_port.to_string());
        let unixsocket = config.unixsocket.as_deref().unwrap_or_default();
        let listen = match (config.port, config.tls_port) {
            (0, 0) => unixsocket.to_string(),
            (0, port) | (port, _) => format!("{}:{port}", config.bind.first().map_or("*", String::as_str)),
        };
        let value = |variable: &str| match variable {
            "title" => Some(self.program.as_str()),
            "listen-addr" => Some(listen.as_str()),
            "server-mode" => Some(""),
            "port" => Some(port.as_str()),
            "tls-port" => Some(tls_port.as_str()),
            "unixsocket" => Some(unixsocket),
            "config-file" if self.config_file.is_empty() => Some("-"),
            "config-file" => Some(self.config_file.as_str()),
            _ => None,
        };
        if let Some(title) = expand_title(&config.proc_title_template, value) {
            memory.set(title.trim());
        }
    }
}
