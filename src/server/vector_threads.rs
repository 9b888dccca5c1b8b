//! Threads that search vector sets: started when there is work, as many as there is work for, up to [`MOST_THREADS`].

use std::sync::Arc;
use std::thread::available_parallelism;

use super::Server;
use crate::base::ids::ClientId;
use crate::keyspace::{VectorJob, VectorResult};
use crate::structures::hnsw::Scratch;
use crate::sys::worker::Worker;

/// Threads beside the one of the event loop, where there are processors for them.
const MOST_THREADS: usize = 4;

type Thread = Worker<VectorJob, (ClientId, VectorResult)>;

#[derive(Default)]
pub(super) struct VectorThreads {
    threads: Vec<Thread>,
}

impl Server {
    /// Gives threads what the engine has for them.
    pub(super) fn run_vector_jobs(&mut self) {
        while let Some(job) = self.engine.take_vector_job() {
            if let Some(job) = self.submit(job) {
                // There is no thread: it is done here.
                let result = (job.task)(&mut Scratch::new());
                self.engine.finish_vector_job(job.client, result);
            }
        }
    }

    /// Gives a job to the thread that has the least to do; back if there is none.
    fn submit(&mut self, job: VectorJob) -> Option<VectorJob> {
        let threads = &mut self.vector_threads.threads;
        let most = available_parallelism().map_or(1, |cores| cores.get().clamp(1, MOST_THREADS));
        let is_idle = threads.iter().any(|thread| thread.pending() == 0);
        if !is_idle && threads.len() < most {
            let waker = Arc::clone(&self.net.waker);
            let mut scratch = Scratch::new();
            let work = move |job: VectorJob| (job.client, (job.task)(&mut scratch));
            match Worker::start("vectors", work, move || drop(waker.wake())) {
                Ok(thread) => threads.push(thread),
                Err(error) => log::warn!("A thread to search vector sets can't be started: {error}"),
            }
        }
        let Some(thread) = threads.iter_mut().min_by_key(|thread| thread.pending()) else { return Some(job) };
        let client = job.client;
        if thread.submit(job).is_err() {
            log::error!("A thread that searches vector sets has ended; a client waits for it");
            self.engine.kill(client);
        }
        None
    }

    /// Hands over what threads have found.
    pub(super) fn take_vector_results(&mut self) {
        for at in 0..self.vector_threads.threads.len() {
            while let Some((client, result)) = self.vector_threads.threads[at].poll() {
                self.engine.finish_vector_job(client, result);
            }
        }
    }
}
