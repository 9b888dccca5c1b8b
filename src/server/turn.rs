//! One turn of the loop, as a list.

use std::time::Duration;

use super::Server;
use crate::engine::Request;

impl Server {
    /// Turns until told to stop.
    pub fn run(mut self) -> i32 {
        while !self.stopping {
            if let Err(error) = self.turn() {
                log::error!("The event loop failed: {error}");
                return 1;
            }
        }
        0
    }

    fn turn(&mut self) -> std::io::Result<()> {
        let (net, engine) = (&mut self.net, &mut self.engine);
        net.poll(Some(Duration::from_millis(engine.sleep_ms())))?;
        engine.start_turn();
        net.accept(engine);
        engine.tick();
        net.serve(engine, persist);
        net.deliver(engine);
        persist(engine);
        net.flush(engine);
        self.carry_out_requests();
        self.net.reap(&mut self.engine);
        Ok(())
    }

    fn carry_out_requests(&mut self) {
        for request in std::mem::take(&mut self.engine.requests) {
            match self.net.carry_out(request, &self.engine) {
                Some(Request::Shutdown) => self.stopping = true,
                Some(_) | None => {}
            }
        }
    }
}

/// What must be safe before any reply leaves. Until there is an AOF or a replica, nothing is.
fn persist(_engine: &mut crate::engine::Engine) {}
