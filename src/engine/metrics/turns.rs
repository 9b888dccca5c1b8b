//! Long turns: the longest of the last hour, with what took the longest in each.
//!
//! Only kept while the metrics port is open. Their number is fixed: a longer turn takes the place of the shortest.

use crate::engine::Engine;
use crate::engine::command::table::CommandId;

/// Turns that are kept, for how long (ms), and how long they are at least (ns).
const KEPT: usize = 32;
const KEPT_MS: u64 = 3_600_000;
const SHORTEST: u64 = 1_000_000;

/// A turn that took long.
#[derive(Clone, Debug)]
pub struct LongTurn {
    /// When it began, Unix ms, and how long it took.
    pub time_ms: u64,
    pub nanos: u64,
    /// The periodic job that took the most of it, or "commands", or "input and output" (with answers of the metrics port).
    pub cause: &'static str,
    /// How many calls there were.
    pub calls: u64,
    /// The longest call, if it took a millisecond.
    pub call: Option<TurnCall>,
}

/// A call in a long turn.
#[derive(Clone, Debug)]
pub struct TurnCall {
    pub command: CommandId,
    pub us: u64,
    pub client_id: u64,
    pub address: String,
    pub client_name: Box<[u8]>,
}

/// The longest turns.
#[derive(Clone, Debug)]
pub struct LongTurns {
    turns: Vec<LongTurn>,
    /// The longest since this was last taken, ns.
    longest: u64,
    /// Turns of so many nanoseconds are noted; of none while nothing is kept.
    pub(in crate::engine) least: u64,
}

impl Default for LongTurns {
    fn default() -> Self {
        LongTurns { turns: Vec::new(), longest: 0, least: u64::MAX }
    }
}

impl LongTurns {
    /// Begins or ends keeping turns.
    pub fn keep(&mut self, on: bool) {
        if on != (self.least != u64::MAX) {
            *self = LongTurns { least: if on { SHORTEST } else { u64::MAX }, ..LongTurns::default() };
        }
    }

    /// Those of the last hour, the longest first.
    pub fn longest(&self, now_ms: u64) -> Vec<&LongTurn> {
        let mut turns: Vec<_> = self.turns.iter().filter(|turn| turn.time_ms + KEPT_MS > now_ms).collect();
        turns.sort_by_key(|turn| (std::cmp::Reverse(turn.nanos), turn.time_ms));
        turns
    }

    /// The longest turn of a millisecond and more since the last question, ns.
    pub fn take_longest(&mut self) -> u64 {
        std::mem::take(&mut self.longest)
    }

    fn add(&mut self, turn: LongTurn) {
        self.longest = self.longest.max(turn.nanos);
        self.turns.retain(|known| known.time_ms + KEPT_MS > turn.time_ms);
        if self.turns.len() == KEPT {
            let shortest = (0..KEPT).min_by_key(|index| self.turns[*index].nanos);
            match shortest.filter(|index| self.turns[*index].nanos < turn.nanos) {
                Some(index) => self.turns.swap_remove(index),
                None => return,
            };
        }
        self.turns.push(turn);
    }
}

impl Engine {
    /// Keeps a turn that has just ended.
    #[cold]
    pub(in crate::engine) fn note_long_turn(&mut self, nanos: u64, calls: u64) {
        let now = self.clock.unix_us(self.clock.ticks()) / 1000;
        let (began_ms, metrics) = (now.saturating_sub(nanos / 1_000_000 + 1), &mut self.metrics);
        let of_turn = metrics.large_calls.longest(now).into_iter().find(|call| call.time_ms >= began_ms);
        let call = of_turn.filter(|call| call.us * 1000 <= nanos).map(|call| TurnCall {
            command: call.command,
            us: call.us,
            client_id: call.client_id,
            address: call.address.clone(),
            client_name: call.client_name.clone(),
        });
        let is_job = metrics.turn_job_nanos * 2 > nanos;
        let cause = match calls {
            _ if is_job => metrics.turn_job,
            0 => "input and output",
            _ => "commands",
        };
        let call = call.filter(|_| !is_job);
        metrics.turns.add(LongTurn { time_ms: began_ms, nanos, cause, calls, call });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(time_ms: u64, nanos: u64) -> LongTurn {
        LongTurn { time_ms, nanos, cause: "commands", calls: 1, call: None }
    }

    #[test]
    fn the_longest_of_an_hour_are_kept() {
        let mut turns = LongTurns::default();
        for number in 0..100 {
            turns.add(turn(1000 + number, SHORTEST + number));
        }
        let nanos: Vec<_> = turns.longest(2000).iter().map(|turn| turn.nanos - SHORTEST).collect();
        assert_eq!(nanos, (100 - KEPT as u64..100).rev().collect::<Vec<_>>());
        assert_eq!(turns.take_longest(), SHORTEST + 99);
        assert_eq!(turns.take_longest(), 0);
        turns.add(turn(1098 + KEPT_MS, SHORTEST));
        let times: Vec<_> = turns.longest(1098 + KEPT_MS).iter().map(|turn| turn.time_ms).collect();
        assert_eq!(times, [1099, 1098 + KEPT_MS]);
    }
}
