//! The metrics port: answers `/metrics`, `/healthz` and `/readyz`.
//!
//! Everything is put together when it is asked for, and nothing is kept in between.

mod families;
mod fields;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::Server;
use super::inherited::Inherited;
use super::listeners::{listen_on_all, tcp_options};
use crate::engine::Engine;
use crate::net::Listener;
use crate::resp::{Args, Span};
use crate::services::config::Config;
use crate::services::exposition::Format;
use crate::services::http::{Request, Response};

/// The command whose right is needed.
const INFO: &[u8] = b"info";

/// The listeners of a configuration: on the addresses of `bind`, or on this machine's own without such.
pub(super) fn listen(config: &Config, inherited: &Inherited) -> Result<Vec<Listener>, String> {
    if config.metrics_port == 0 {
        return Ok(Vec::new());
    }
    let own = [Ipv4Addr::LOCALHOST.to_string()];
    let is_bound = config.bind != Config::default().bind;
    let addresses = if is_bound { &config.bind[..] } else { &own };
    listen_on_all(addresses, config.metrics_port, tcp_options(config, false), inherited)
        .map_err(|_| format!("Failed listening on port {} (metrics).", config.metrics_port))
}

/// Whether only this machine can reach an address.
fn is_local(address: SocketAddr) -> bool {
    match address.ip() {
        IpAddr::V4(ip) => ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_loopback(),
    }
}

impl Server {
    /// Answers the requests of this turn.
    pub(super) fn answer_http(&mut self) {
        for (index, request) in std::mem::take(&mut self.net.http.requests) {
            let response = self.answer(&request);
            self.net.respond(index, &response, Some(&request));
        }
    }

    fn answer(&mut self, request: &Request) -> Response {
        match request.path.as_str() {
            "/healthz" => Response::text(200, "ok"),
            "/readyz" => readiness(&self.engine),
            "/metrics" if !self.may_read(request) => Response {
                headers: &["WWW-Authenticate: Basic realm=\"redloop\", charset=\"UTF-8\""],
                ..Response::text(401, "Name and password of a user with the right to INFO are needed.")
            },
            "/metrics" => {
                let is_open = request.accept.contains("application/openmetrics-text");
                let format = if is_open { Format::OpenMetrics } else { Format::Prometheus };
                let text = families::write(&mut self.engine, format);
                Response {
                    status: 200,
                    content_type: format.content_type(),
                    body: text.into_bytes(),
                    headers: &[],
                }
            }
            _ => Response::text(404, "Here are /metrics, /healthz and /readyz."),
        }
    }

    /// Whether a request comes from this machine by necessity, or names a user who may call INFO.
    fn may_read(&mut self, request: &Request) -> bool {
        if self.net.http.listeners.iter().filter_map(Listener::address).all(is_local) {
            return true;
        }
        let Some((name, password)) = &request.user else { return false };
        let (acl, commands) = (&self.engine.acl, &self.engine.commands);
        let user = acl.users.get(name.as_bytes()).filter(|user| user.accepts(password.as_bytes()));
        let Some(user) = user else {
            self.engine.metrics.stats.auth_failures += 1;
            return false;
        };
        let word = [Span { start: 0, len: INFO.len() }];
        let info = commands.resolve(INFO, None);
        info.is_ok_and(|info| acl.check(commands, user, info, Args::new(INFO, &word), 0).is_ok())
    }
}

/// Whether clients should be sent here: not while data is being loaded, nor to a replica that is out of touch.
fn readiness(engine: &Engine) -> Response {
    if engine.persistence.loading.is_some() {
        return Response::text(503, "loading");
    }
    if engine.clients.shutdown.is_some() {
        return Response::text(503, "shutting down");
    }
    match &engine.replication.primary {
        Some(primary) if !primary.is_up() => Response::text(503, "the link to the primary is down"),
        _ => Response::text(200, "ready"),
    }
}
