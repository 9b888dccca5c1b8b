//! OOM score (`oom-score-adj`): how likely the kernel is to end this process when memory runs out.

use std::io;

use crate::services::config::{Config, OomScoreAdj};

const FILE: &str = "/proc/self/oom_score_adj";
/// What the kernel takes.
const BOUNDS: (i32, i32) = (-1000, 1000);

/// The score that others gave the process; only while ours is in force.
#[derive(Debug, Default)]
pub struct OomScore {
    base: Option<i32>,
    is_replica: bool,
}

impl OomScore {
    /// Does as the configuration says; `yes` adds to the score found, which comes back with
    /// `no`.
    pub fn apply(&mut self, config: &Config) -> io::Result<()> {
        let values = &config.oom_score_adj_values;
        let score = if self.is_replica { values.replica } else { values.primary };
        let score = match config.oom_score_adj {
            OomScoreAdj::No => return self.base.take().map_or(Ok(()), write),
            OomScoreAdj::Absolute => score,
            OomScoreAdj::Relative => score + self.base.map_or_else(read, Ok)?,
        };
        let was_in_force = self.base.is_some();
        self.base()?;
        write(score.clamp(BOUNDS.0, BOUNDS.1)).inspect_err(|_| {
            if !was_in_force {
                self.base = None;
            }
        })
    }

    /// Does the same for the role that the server has now, if it is another one.
    pub fn follow_role(&mut self, config: &Config, is_replica: bool) {
        if std::mem::replace(&mut self.is_replica, is_replica) != is_replica
            && config.oom_score_adj != OomScoreAdj::No
            && let Err(error) = self.apply(config)
        {
            log::warn!("The score for the kernel's choice of a victim could not be set: {error}");
        }
    }

    fn base(&mut self) -> io::Result<i32> {
        match self.base {
            Some(base) => Ok(base),
            None => Ok(*self.base.insert(read()?)),
        }
    }
}

fn read() -> io::Result<i32> {
    let text = std::fs::read_to_string(FILE)?;
    text.trim().parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
}

fn write(score: i32) -> io::Result<()> {
    std::fs::write(FILE, score.to_string())
}
