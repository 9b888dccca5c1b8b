//! A turn of the event loop: the order of its steps (`beforeSleep`, `aeProcessEvents`).

use std::time::Duration;

use super::Server;
use crate::engine::{Engine, ServerAction};

impl Server {
    /// Runs turns until a shutdown; returns the exit status.
    pub fn run(mut self) -> i32 {
        loop {
            if let Err(error) = self.turn() {
                log::error!("The event loop failed: {error}");
                return 1;
            }
            if let Some(status) = self.ending {
                return status;
            }
        }
    }

    fn turn(&mut self) -> std::io::Result<()> {
        let (net, engine) = (&mut self.net, &mut self.engine);
        // Messages that were posted after the last delivery don't wait for an event.
        let timeout_ms = if engine.clients.outbox.is_empty() { engine.sleep_ms() } else { 0 };
        net.poll(Some(Duration::from_millis(timeout_ms)))?;
        engine.start_turn();
        net.close_pending(engine);
        net.accept(engine);
        engine.tick();
        net.serve(engine, persist);
        engine.evict_clients();
        self.handle_actions();
        let (net, engine) = (&mut self.net, &mut self.engine);
        net.deliver(engine);
        persist(engine);
        net.flush(engine);
        net.close_pending(engine);
        engine.end_turn();
        self.handle_signals();
        Ok(())
    }

    fn handle_actions(&mut self) {
        while let Some(action) = self.engine.next_action() {
            match self.net.handle_action(action, &self.engine) {
                Some(ServerAction::Shutdown { .. }) => {
                    log::warn!("User requested shutdown...");
                    self.ending = Some(0);
                }
                Some(ServerAction::ConfigChanged { client, before, changed }) => {
                    self.apply_config(client, *before, &changed);
                }
                Some(ServerAction::RewriteConfig { client, force_all }) => {
                    self.rewrite_config(client, force_all);
                }
                Some(ServerAction::Crash) => {
                    log::error!("Crashing, as DEBUG demands.");
                    std::process::abort();
                }
                Some(_) | None => {}
            }
        }
    }

    fn handle_signals(&mut self) {
        if !std::mem::take(&mut self.net.signal_event) {
            return;
        }
        if self.signals.read() {
            log::warn!("User requested shutdown...");
            self.ending = Some(0);
        }
    }
}

/// Makes safe what must be safe before a reply leaves: nothing, as long as there is neither an AOF nor a replica.
fn persist(_engine: &mut Engine) {}
