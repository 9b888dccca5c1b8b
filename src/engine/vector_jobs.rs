//! Long searches of vector sets: done by threads of the server on clones of the sets, while the clients wait and others are served.
//!
//! ```text
//! VSIM ── job ──▶ queue ──▶ thread ── reply ─────▶ client
//! VADD ── job ──▶ queue ──▶ thread ── place ──▶ the request is run again, and inserts
//! ```
//!
//! So many jobs may be under way; a client that comes then waits without one, and its request is run again when one is over. A
//! request that is run again is admitted as if it were new: a pause holds it back, a replica refuses it. Of a client that has gone the result
//! is dropped.

use std::collections::VecDeque;

use crate::base::ids::ClientId;
use crate::engine::dispatch::unblock::Retried;
use crate::engine::{Awaited, Engine, ServerAction};
use crate::keyspace::{VectorJob, VectorResult};
use crate::resp::OwnedArgs;
use crate::sys::clock::Ticks;

/// Jobs that may be under way. Each keeps a clone of a set, of which what is changed meanwhile is kept twice.
const MOST_JOBS: usize = 64;

/// See the head of this file.
#[derive(Default)]
pub(super) struct VectorJobs {
    /// Those that the server hasn't taken yet.
    queue: VecDeque<VectorJob>,
    /// Those that threads have, with their clients.
    running: Vec<(ClientId, Ticks)>,
    /// Clients that wait without a job, first come first.
    waiting: VecDeque<ClientId>,
    /// Results whose requests are held back.
    held: VecDeque<(ClientId, VectorResult)>,
}

impl Engine {
    /// A client begins to wait for work on vectors, or goes on waiting.
    pub(super) fn await_vectors(&mut self, client: ClientId) {
        match self.data.keyspace.vectors.take_given().filter(|job| job.client == client) {
            Some(job) => {
                self.vector_jobs.queue.push_back(job);
                self.actions.push_back(ServerAction::RunVectorJobs);
            }
            None => self.vector_jobs.waiting.push_back(client),
        }
        self.note_vector_jobs();
    }

    fn note_vector_jobs(&mut self) {
        let VectorJobs { queue, running, .. } = &self.vector_jobs;
        self.data.keyspace.vectors.is_busy = queue.len() + running.len() >= MOST_JOBS;
    }

    /// The next job for a thread.
    pub fn take_vector_job(&mut self) -> Option<VectorJob> {
        let job = self.vector_jobs.queue.pop_front()?;
        self.vector_jobs.running.push((job.client, self.clock.ticks()));
        Some(job)
    }

    /// A job is done.
    pub fn finish_vector_job(&mut self, client: ClientId, result: VectorResult) {
        let running = &mut self.vector_jobs.running;
        if let Some(at) = running.iter().position(|(running, _)| *running == client) {
            let (_, started) = running.swap_remove(at);
            let nanos = self.clock.nanos(started, self.clock.ticks());
            let session = self.clients.sessions.get_mut(client);
            if let Some(waiting) = session.and_then(|session| session.waiting.as_mut()) {
                waiting.wait.nanos += nanos;
            }
        }
        self.note_vector_jobs();
        if self.scripting.is_busy() {
            // Nothing else may change data before the script is over.
            return self.vector_jobs.held.push_back((client, result));
        }
        self.start_unit();
        self.use_vector_result(client, result);
        self.admit_vector_waiters();
        self.after_cron();
    }

    /// Answers the client, or runs its request again.
    fn use_vector_result(&mut self, client: ClientId, result: VectorResult) {
        if !self.awaits_vectors(client) {
            return;
        }
        let VectorResult::Reply(reply) = result else {
            if let Some((outcome, Some(result))) = self.retry_vectors(client, Some(result))
                && outcome == Retried::HeldBack
            {
                self.vector_jobs.held.push_back((client, result));
            }
            return;
        };
        self.count_answer(client, reply.len() as u64);
        self.unblock_with(client, &reply);
    }

    fn awaits_vectors(&self, client: ClientId) -> bool {
        let session = self.clients.sessions.get(client);
        let waiting = session.and_then(|session| session.waiting.as_ref());
        waiting.is_some_and(|waiting| matches!(waiting.wait.awaited, Awaited::Vectors))
    }

    /// Runs a waiting client's request again; with what it left of the result.
    fn retry_vectors(
        &mut self,
        client: ClientId,
        result: Option<VectorResult>,
    ) -> Option<(Retried, Option<VectorResult>)> {
        let waiting = self.clients.sessions.get(client)?.waiting.as_ref()?;
        let request: OwnedArgs = waiting.retried().clone();
        self.data.keyspace.vectors.exchange_result(result);
        let outcome = self.retry(client, &request);
        let left = self.data.keyspace.vectors.exchange_result(None);
        if outcome == Retried::Waits {
            self.await_vectors(client);
        }
        Some((outcome, left))
    }

    /// Runs the requests again that wait for a job, as many as may have one.
    fn admit_vector_waiters(&mut self) {
        while !self.data.keyspace.vectors.is_busy
            && let Some(client) = self.vector_jobs.waiting.pop_front()
        {
            if self.awaits_vectors(client)
                && let Some((Retried::HeldBack, _)) = self.retry_vectors(client, None)
            {
                return self.vector_jobs.waiting.push_front(client);
            }
        }
    }

    /// A job of each turn: runs the requests again that were held back; whether some still are.
    pub(super) fn retry_held_vectors(&mut self) -> bool {
        for (client, result) in std::mem::take(&mut self.vector_jobs.held) {
            self.use_vector_result(client, result);
        }
        self.admit_vector_waiters();
        !self.vector_jobs.held.is_empty()
    }

    /// Whether requests that wait for vectors may have been held back.
    pub(super) fn holds_vectors(&self) -> bool {
        let VectorJobs { held, waiting, .. } = &self.vector_jobs;
        !held.is_empty() || !waiting.is_empty() && !self.data.keyspace.vectors.is_busy
    }
}
