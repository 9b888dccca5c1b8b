//! A turn of the event loop: the order of its steps (`beforeSleep`, `aeProcessEvents`).

use std::time::Duration;

use super::{Server, logging};
use crate::engine::ServerAction;
use crate::engine::clients::ShutdownOptions;
use crate::engine::shutdown::SHUTDOWN_FAILED;
use crate::sys::double_sigint;

impl Server {
    /// Runs turns until a shutdown; the exit status, and whether the program is to be started again.
    pub fn run(mut self) -> (i32, bool) {
        self.idle_memory.give_back_at_start();
        loop {
            if let Err(error) = self.turn() {
                log::error!("The event loop failed: {error}");
                return (1, false);
            }
            if let Some(status) = self.ending {
                return (status, self.restarts);
            }
        }
    }

    fn turn(&mut self) -> std::io::Result<()> {
        let (net, engine) = (&mut self.net, &mut self.engine);
        // Messages that were posted after the last delivery don't wait for an event.
        let load_sleep = self.files.load_sleep_ms(engine).unwrap_or(u64::MAX);
        let log_sleep = self.files.sleep_ms(engine.steady_now()).unwrap_or(u64::MAX);
        let sleep_ms = engine.sleep_ms().min(log_sleep).min(load_sleep).min(self.supervisor.sleep_ms());
        let timeout_ms = if engine.clients.outbox.is_empty() { sleep_ms } else { 0 };
        net.poll(Some(Duration::from_millis(timeout_ms)))?;
        engine.start_turn();
        net.close_pending(engine);
        net.accept(engine);
        net.check_handshakes(engine);
        net.check_links(engine);
        self.watch_tls();
        self.take_snapshot_results();
        self.check_log();
        self.collect_scripts();
        self.check_nodes_file();
        self.take_vector_results();
        self.load_some();
        self.load_received();
        self.take_synced();
        if self.ending.is_some() {
            // What failed to load must not be served, and not be saved by SHUTDOWN.
            return Ok(());
        }
        let (net, engine, files) = (&mut self.net, &mut self.engine, &mut self.files);
        engine.tick();
        net.serve(engine, |engine| files.persist(engine));
        engine.evict_clients();
        engine.finish_cluster_turn();
        self.handle_actions();
        self.finish_cluster_commands();
        self.recorder.record(&mut self.engine);
        self.answer_http();
        let (net, engine, files) = (&mut self.net, &mut self.engine, &mut self.files);
        self.oom_score.follow_role(&engine.config, engine.replication.is_replica());
        logging::set_replica(engine.replication.is_replica());
        engine.finish_tracking();
        net.deliver(engine);
        files.persist_or_gather(engine, net.held_connections());
        net.flush(engine);
        if engine.evict_clients() {
            // What a socket didn't take counts before the client is seen again.
            self.handle_actions();
        }
        let (net, engine) = (&mut self.net, &mut self.engine);
        net.close_pending(engine);
        engine.end_turn();
        self.idle_memory.look(self.engine.steady_now());
        self.tell_supervisor();
        self.handle_signals();
        Ok(())
    }

    pub(super) fn handle_actions(&mut self) {
        while let Some(action) = self.engine.next_action() {
            if matches!(action, ServerAction::Close { gracefully: true, .. }) {
                // Its last reply may still be a message: none reaches a connection that is being closed.
                self.net.deliver(&mut self.engine);
            }
            match self.net.handle_action(action, &self.engine) {
                Some(ServerAction::Shutdown { client, options }) => {
                    if self.engine.request_shutdown(client, options)
                        && !self.shut_down(options)
                        && let Some(client) = client
                    {
                        self.engine.complete_deferred(client, SHUTDOWN_FAILED);
                    }
                }
                Some(ServerAction::ContinueMigrations) => self.engine.continue_migrations(),
                Some(ServerAction::RunVectorJobs) => self.run_vector_jobs(),
                Some(ServerAction::Sync(action)) => self.handle_sync(action),
                Some(ServerAction::WriteSnapshot) => self.write_snapshot(),
                Some(ServerAction::SendPayload { clients, source }) => self.send_payload(&clients, source),
                Some(ServerAction::RewriteLog) => self.rewrite_log(),
                Some(ServerAction::ReloadLog { client }) => self.reload_log(client),
                Some(ServerAction::Save { client }) => self.save_for(client),
                Some(ServerAction::Reload { client, save, flush, merge }) => {
                    self.reload(client, save, flush, merge);
                }
                Some(ServerAction::ConfigChanged { client, before, changed, in_exec }) => {
                    self.apply_config(client, &before, &changed, in_exec);
                }
                Some(ServerAction::RewriteConfig { client, force_all }) => {
                    self.rewrite_config(client, force_all);
                }
                Some(ServerAction::LoadUsers { client }) => self.reload_users(client),
                Some(ServerAction::SaveUsers { client }) => self.save_users(client),
                Some(ServerAction::PersistSentinel { client }) => self.persist_sentinel(client),
                Some(ServerAction::RunScript { job, words }) => self.run_script(job, &words),
                Some(ServerAction::KillScript { job }) => self.kill_script(job),
                Some(ServerAction::SaveNodes { text, sync, waits }) => self.save_nodes(text, sync, waits),
                Some(ServerAction::SaveNodesFor { client, text }) => self.save_nodes_for(client, text),
                Some(ServerAction::Exit(status)) => std::process::exit(status),
                Some(ServerAction::Restart { client }) => {
                    self.restarts = self.shut_down(ShutdownOptions::default());
                    if !self.restarts {
                        self.engine.complete_deferred(client, SHUTDOWN_FAILED);
                    }
                }
                Some(ServerAction::Crash) => {
                    log::error!("Crashing, as DEBUG demands.");
                    std::process::abort();
                }
                Some(ServerAction::Stop) => {
                    log::info!("Process is about to stop.");
                    crate::sys::process::stop();
                    log::info!("Process has been continued.");
                }
                Some(_) | None => {}
            }
        }
    }

    fn handle_signals(&mut self) {
        if std::mem::take(&mut self.net.signal_event) {
            let received = self.signals.read();
            self.reload.is_wanted |= received.reload;
            if received.shutdown.is_some() {
                self.engine.clients.shutdown_signal = received.shutdown;
            }
        }
        if let Some(pending) = self.engine.due_shutdown()
            && !self.shut_down(pending.options)
        {
            double_sigint::forget();
            self.engine.fail_shutdown(&pending);
        }
        // A slow script of the log that is being loaded has nothing to be saved at its end.
        let is_busy = self.engine.is_busy_with_script() && self.engine.persistence.loading.is_none();
        if self.engine.cron_is_paused() || is_busy {
            return;
        }
        if self.reload.is_wanted && !self.engine.is_busy_with_script() {
            self.reload_configuration();
        }
        if let Some(signal) = self.engine.clients.shutdown_signal.take() {
            let config = &self.engine.config;
            let flags =
                if signal == libc::SIGINT { config.shutdown_on_sigint } else { config.shutdown_on_sigterm };
            let options = flags.into();
            if self.engine.request_shutdown(None, options) && !self.shut_down(options) {
                double_sigint::forget();
                log::warn!(
                    "SIGTERM received but errors trying to shut down the server, check the logs for more information"
                );
            }
        }
    }
}
