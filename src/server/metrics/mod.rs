//! The metrics port: answers `/metrics`, `/healthz` and `/readyz`, and the page under `/` with what it asks for.
//!
//! Everything is put together when it is asked for; only the page's history is recorded before.

mod api;
mod clients;
mod cluster;
mod families;
mod fields;
pub mod history;
mod page;
mod quotas;
mod text;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use super::Server;
use super::inherited::Inherited;
use super::listeners::{listen_on_all, tcp_options};
use crate::engine::Engine;
use crate::net::Listener;
use crate::services::acl::User;
use crate::services::config::Config;
use crate::services::exposition::Format;
use crate::services::http::{Request, Response};

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
            "/healthz" => return Response::text(200, "ok"),
            "/readyz" => return readiness(&self.engine),
            path if path == "/" || path == "/metrics" || path.starts_with("/api/") => {}
            _ => return Response::text(404, "Here are /, /metrics, /healthz and /readyz."),
        }
        let Some(user) = self.reader(request) else {
            return Response {
                headers: &["WWW-Authenticate: Basic realm=\"redloop\", charset=\"UTF-8\""],
                ..Response::text(401, "Name and password of a user with the right to INFO are needed.")
            };
        };
        if request.path == "/metrics" {
            return metrics(&mut self.engine, request);
        }
        if self.is_open() && !request.is_for_an_address() {
            return Response::text(
                403,
                "Without a password, the page is at the address alone, not at a name.",
            );
        }
        match request.path.as_str() {
            "/" => page::response(),
            _ => api::answer(&mut self.engine, self.recorder.history.as_deref(), &user, request),
        }
    }

    /// Whether requests come from this machine by necessity.
    fn is_open(&self) -> bool {
        self.net.http.listeners.iter().filter_map(Listener::address).all(is_local)
    }

    /// The user that a request names, if it may call INFO; without a name the user `default`, where only this machine can ask.
    fn reader(&mut self, request: &Request) -> Option<Arc<User>> {
        let users = &self.engine.acl.users;
        let Some((name, password)) = &request.user else {
            return self.is_open().then(|| users.default_user().clone());
        };
        let named = users.get(name.as_bytes()).filter(|user| user.accepts(password.as_bytes())).cloned();
        if named.is_none() {
            self.engine.metrics.stats.auth_failures += 1;
        }
        named.filter(|user| api::may(&self.engine, user, &["info"]))
    }
}

fn metrics(engine: &mut Engine, request: &Request) -> Response {
    let is_open = request.accept.contains("application/openmetrics-text");
    let format = if is_open { Format::OpenMetrics } else { Format::Prometheus };
    let body = families::write(engine, format).into_bytes();
    Response { status: 200, content_type: format.content_type(), body, headers: &[] }
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
